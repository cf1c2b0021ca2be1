package org.sparsedevice.demo;

import android.content.Context;
import android.view.LayoutInflater;
import android.view.View;
import android.view.ViewGroup;
import android.widget.BaseAdapter;
import android.widget.ImageButton;
import android.widget.TextView;
import java.util.Collections;
import java.util.List;
import org.sparsedevice.Recommendation;

/** Items in a list, each with a button to like it. */
final class ItemAdapter extends BaseAdapter {
    /** Hears what the user likes. */
    interface Listener {
        void toggle(String id);
    }

    private final Context context;
    private final Likes likes;
    private final Listener listener;
    private List<Recommendation> items = Collections.emptyList();
    private boolean scored;

    ItemAdapter(Context context, Likes likes, Listener listener) {
        this.context = context;
        this.likes = likes;
        this.listener = listener;
    }

    void show(List<Recommendation> shown, boolean withScores) {
        items = shown;
        scored = withScores;
        notifyDataSetChanged();
    }

    @Override
    public int getCount() {
        return items.size();
    }

    @Override
    public Recommendation getItem(int position) {
        return items.get(position);
    }

    @Override
    public long getItemId(int position) {
        return items.get(position).row();
    }

    @Override
    public View getView(int position, View old, ViewGroup parent) {
        View view = old != null ? old : LayoutInflater.from(context).inflate(R.layout.item, parent, false);
        final Recommendation item = items.get(position);
        String name = Screen.name(item.id(), item.title());
        ((TextView) view.findViewById(R.id.title)).setText(name);
        TextView detail = (TextView) view.findViewById(R.id.detail);
        detail.setVisibility(scored ? View.VISIBLE : View.GONE);
        detail.setText(context.getString(R.string.score, item.score()));
        ImageButton like = (ImageButton) view.findViewById(R.id.like);
        boolean liked = likes.has(item.id());
        like.setImageResource(liked ? R.drawable.ic_liked : R.drawable.ic_like);
        like.setContentDescription(context.getString(liked ? R.string.unlike : R.string.like, name));
        like.setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View clicked) {
                listener.toggle(item.id());
            }
        });
        return view;
    }
}
