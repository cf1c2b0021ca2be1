package org.sparsedevice;

import java.util.AbstractList;
import java.util.Collections;
import java.util.List;

/** Items in order, best first; a list that cannot be changed. */
public final class Recommendations extends AbstractList<Recommendation> {
    private final Recommendation[] items;
    private final List<String> unknown;

    Recommendations(Recommendation[] items, List<String> unknown) {
        this.items = items;
        this.unknown = unknown == null ? Collections.<String>emptyList() : Collections.unmodifiableList(unknown);
    }

    @Override
    public Recommendation get(int index) {
        return items[index];
    }

    @Override
    public int size() {
        return items.length;
    }

    /** Ids of history, exclusions and candidates that the model does not know; they were ignored. */
    public List<String> unknown() {
        return unknown;
    }
}
