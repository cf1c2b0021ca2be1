package org.sparsedevice.demo;

import android.app.Activity;
import android.app.AlertDialog;
import android.content.Intent;
import android.os.Bundle;
import android.os.Debug;
import android.text.Editable;
import android.text.TextWatcher;
import android.text.format.Formatter;
import android.view.Menu;
import android.view.MenuItem;
import android.view.View;
import android.view.ViewGroup;
import android.widget.AdapterView;
import android.widget.EditText;
import android.widget.LinearLayout;
import android.widget.ListView;
import android.widget.TextView;
import java.text.NumberFormat;
import java.util.List;
import org.sparsedevice.Recommendation;
import org.sparsedevice.Recommendations;
import org.sparsedevice.SparseRecommender;

/** Search titles, like some, and see the recommendations follow. */
public final class MainActivity extends Activity implements ItemAdapter.Listener {
    private static final int SIMILAR = 10;

    private Likes likes;
    private ItemAdapter adapter;
    private EditText search;
    private TextView heading, status, empty;
    /** The newest question; answers to older ones are not shown. */
    private int asked;

    @Override
    protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        setContentView(R.layout.main);
        likes = new Likes(getSharedPreferences("likes", MODE_PRIVATE));
        adapter = new ItemAdapter(this, likes, this);
        search = (EditText) findViewById(R.id.search);
        heading = (TextView) findViewById(R.id.heading);
        status = (TextView) findViewById(R.id.status);
        empty = (TextView) findViewById(R.id.empty);
        ListView list = (ListView) findViewById(R.id.items);
        list.setAdapter(adapter);
        list.setOnItemClickListener(new AdapterView.OnItemClickListener() {
            @Override
            public void onItemClick(AdapterView<?> parent, View view, int position, long row) {
                showSimilar(adapter.getItem(position));
            }
        });
        search.addTextChangedListener(new TextWatcher() {
            @Override
            public void beforeTextChanged(CharSequence text, int start, int count, int after) {}

            @Override
            public void onTextChanged(CharSequence text, int start, int before, int count) {}

            @Override
            public void afterTextChanged(Editable text) {
                refresh();
            }
        });
        refresh();
    }

    @Override
    public void toggle(String id) {
        likes.toggle(id);
        refresh();
    }

    @Override
    public boolean onCreateOptionsMenu(Menu menu) {
        getMenuInflater().inflate(R.menu.main, menu);
        return true;
    }

    @Override
    public boolean onOptionsItemSelected(MenuItem item) {
        if (item.getItemId() == R.id.benchmark) {
            startActivity(new Intent(this, BenchmarkActivity.class));
            return true;
        }
        if (item.getItemId() == R.id.clear) {
            likes.clear();
            refresh();
            return true;
        }
        return super.onOptionsItemSelected(item);
    }

    private void refresh() {
        final int question = ++asked;
        final List<String> liked = likes.ids();
        final String wanted = search.getText().toString();
        Catalogue.of(this).run(new Catalogue.Task<Screen>() {
            @Override
            Screen ask(SparseRecommender recommender) {
                return new Screen(recommender, liked, wanted);
            }

            @Override
            void show(Screen screen) {
                if (question == asked && !isDestroyed()) {
                    MainActivity.this.show(screen);
                }
            }

            @Override
            void failed(String message) {
                if (!isDestroyed()) {
                    fail(message);
                }
            }
        });
    }

    private void show(Screen screen) {
        adapter.show(screen.items, !screen.searching && !screen.likes.isEmpty());
        heading.setText(screen.searching ? R.string.found
                : screen.likes.isEmpty() ? R.string.start : R.string.recommended);
        empty.setVisibility(screen.items.isEmpty() ? View.VISIBLE : View.GONE);
        empty.setText(screen.searching ? R.string.nothing_found : R.string.nothing_left);
        showLikes(screen.likes);
        NumberFormat number = NumberFormat.getIntegerInstance();
        String took = screen.microseconds < 10_000 ? number.format(screen.microseconds) + " µs"
                : number.format(screen.microseconds / 1000) + " ms";
        status.setText(getString(R.string.status, screen.items.size(), number.format(screen.itemCount), took,
                screen.engine, Formatter.formatShortFileSize(this, screen.fileBytes),
                Formatter.formatShortFileSize(this, 1024L * Debug.getPss())));
    }

    private void showLikes(List<String[]> shown) {
        findViewById(R.id.liked_part).setVisibility(shown.isEmpty() ? View.GONE : View.VISIBLE);
        LinearLayout chips = (LinearLayout) findViewById(R.id.liked);
        chips.removeAllViews();
        for (final String[] like : shown) {
            chips.addView(chip(like[0], like[1]));
        }
    }

    private View chip(final String id, String name) {
        TextView chip = new TextView(this);
        int unit = Math.round(getResources().getDisplayMetrics().density * 4);
        LinearLayout.LayoutParams place = new LinearLayout.LayoutParams(
                ViewGroup.LayoutParams.WRAP_CONTENT, ViewGroup.LayoutParams.WRAP_CONTENT);
        place.setMargins(unit, unit, unit, unit);
        chip.setLayoutParams(place);
        chip.setMinHeight(12 * unit);
        chip.setGravity(android.view.Gravity.CENTER_VERTICAL);
        chip.setPadding(4 * unit, 2 * unit, 4 * unit, 2 * unit);
        chip.setBackgroundResource(R.drawable.chip);
        chip.setTextColor(getColor(R.color.on_primary_container));
        chip.setTextSize(14);
        chip.setText(name + "  ×");
        chip.setContentDescription(getString(R.string.unlike, name));
        chip.setFocusable(true);
        chip.setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View clicked) {
                toggle(id);
            }
        });
        return chip;
    }

    private void showSimilar(final Recommendation item) {
        Catalogue.of(this).run(new Catalogue.Task<Recommendations>() {
            @Override
            Recommendations ask(SparseRecommender recommender) {
                return recommender.similar(item.id(), SIMILAR);
            }

            @Override
            void show(Recommendations found) {
                StringBuilder text = new StringBuilder();
                for (Recommendation other : found) {
                    text.append(Screen.name(other.id(), other.title())).append('\n');
                }
                if (!isDestroyed()) {
                    new AlertDialog.Builder(MainActivity.this)
                            .setTitle(getString(R.string.similar_to, Screen.name(item.id(), item.title())))
                            .setMessage(text.toString().trim())
                            .setPositiveButton(R.string.close, null)
                            .show();
                }
            }

            @Override
            void failed(String message) {
                fail(message);
            }
        });
    }

    private void fail(String message) {
        heading.setText(R.string.app_name);
        empty.setVisibility(View.VISIBLE);
        empty.setText(message);
    }
}
