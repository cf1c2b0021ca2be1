package org.sparsedevice;

/** One item of a ranking, or one that a search found. */
public final class Recommendation {
    private final String id;
    private final String title;
    private final int row;
    private final float score;

    Recommendation(String id, String title, int row, float score) {
        this.id = id;
        this.title = title;
        this.row = row;
        this.score = score;
    }

    /** The item's id, as in the log that the model was trained on. */
    public String id() {
        return id;
    }

    /** Its title; empty where it has none, null where the model ships no titles. */
    public String title() {
        return title;
    }

    /** Its row in the file; equal scores stand in row order. */
    public int row() {
        return row;
    }

    /** Its score; 0 for what a search found. */
    public float score() {
        return score;
    }

    @Override
    public String toString() {
        return title == null || title.isEmpty() ? id : title;
    }
}
