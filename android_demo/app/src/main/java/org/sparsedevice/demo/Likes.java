package org.sparsedevice.demo;

import android.content.SharedPreferences;
import java.util.ArrayList;
import java.util.List;

/** What the user likes, the newest first, kept over restarts. */
final class Likes {
    private static final String COUNT = "likes", ID = "like ";

    private final SharedPreferences store;
    private final List<String> ids = new ArrayList<>();

    Likes(SharedPreferences store) {
        this.store = store;
        for (int i = 0; i < store.getInt(COUNT, 0); i++) {
            ids.add(store.getString(ID + i, ""));
        }
    }

    /** A copy that does not change. */
    List<String> ids() {
        return new ArrayList<>(ids);
    }

    boolean has(String id) {
        return ids.contains(id);
    }

    void toggle(String id) {
        if (!ids.remove(id)) {
            ids.add(0, id);
        }
        save();
    }

    void clear() {
        ids.clear();
        save();
    }

    private void save() {
        SharedPreferences.Editor editor = store.edit().clear().putInt(COUNT, ids.size());
        for (int i = 0; i < ids.size(); i++) {
            editor.putString(ID + i, ids.get(i));
        }
        editor.apply();
    }
}
