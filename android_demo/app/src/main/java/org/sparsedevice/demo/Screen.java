package org.sparsedevice.demo;

import java.util.ArrayList;
import java.util.List;
import org.sparsedevice.Recommendation;
import org.sparsedevice.SparseRecommender;

/** What the main screen shows, asked of the model in one go. */
final class Screen {
    static final int K = 20;

    final List<Recommendation> items;
    /** What the user likes, with titles; what another model knew and this one does not is left out. */
    final List<String[]> likes = new ArrayList<>();
    final boolean searching;
    final long microseconds;
    final int itemCount;
    final long fileBytes;
    final String engine;

    Screen(SparseRecommender recommender, List<String> liked, String search) {
        searching = !search.trim().isEmpty();
        long start = System.nanoTime();
        items = searching ? recommender.search(search, K) : recommender.recommend(liked, K);
        microseconds = (System.nanoTime() - start) / 1000;
        List<String> known = new ArrayList<>();
        for (String id : liked) {
            if (recommender.contains(id)) {
                known.add(id);
            }
        }
        List<String> titles = recommender.titles(known);
        for (int i = 0; i < known.size(); i++) {
            likes.add(new String[] {known.get(i), name(known.get(i), titles.get(i))});
        }
        itemCount = recommender.itemCount();
        fileBytes = recommender.fileBytes();
        engine = recommender.engine();
    }

    /** What an item is called: its title, or its id where it has none. */
    static String name(String id, String title) {
        return title == null || title.isEmpty() ? id : title;
    }
}
