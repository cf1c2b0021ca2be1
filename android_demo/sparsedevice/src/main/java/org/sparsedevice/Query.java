package org.sparsedevice;

import java.util.Arrays;

/** A query as the scan reads it: built from a history, a user or an item. Reused by one thread. */
final class Query {
    /** Integer path: the quantised query, with zeros from dim on, for every number that a column can be. */
    final int[] table;
    /** Float path: the same in float32. */
    final float[] numbers;
    float scale;

    private final PackedFile file;
    private final RowReader reader;
    private final double[] q;
    private final Fold fold;

    Query(PackedFile file) {
        this.file = file;
        reader = new RowReader(file);
        q = new double[file.dim];
        fold = new Fold(file);
        int entries = file.dim <= PackedFile.MAX_BYTE_DIM
                ? PackedFile.MAX_BYTE_DIM : PackedFile.MAX_DIM + PackedFile.MAX_BYTE_DIM;
        table = new int[file.integer() ? entries : 0];
        numbers = new float[file.integer() ? 0 : entries];
    }

    /** Build it; {@code history} must be sorted and without repeats. */
    void build(Scratch scratch, int[] history, int nHistory) {
        Arrays.fill(q, 0);
        if (scratch.source == Scratch.FROM_HISTORY) {
            fold.build(history, nHistory, q, this);
        } else {
            boolean user = scratch.source == Scratch.FROM_USER;
            add(user ? PackedFile.USER_POINTERS : PackedFile.ITEM_POINTERS, scratch.row, 1.0, q);
        }
        quantize(q);
    }

    /** target[column] += weight · scale · value, in float64 and in this order, which all backends keep. */
    private void add(int first, int row, double weight, double[] target) {
        reader.move(first, row);
        double factor = weight * (double) reader.scale;
        for (int i = 0; i < reader.count; i++) {
            int column = reader.column(i);
            if (column < target.length) { // always, in a verified file
                target[column] += factor * (file.integer() ? reader.integer(i) : reader.number(i));
            }
        }
    }

    /** The table or the numbers, and the scale, of a vector. */
    void quantize(double[] q) {
        Arrays.fill(table, 0);
        Arrays.fill(numbers, 0);
        scale = 0;
        double most = 0;
        for (double x : q) {
            if (!(Math.abs(x) <= most)) {
                most = Math.abs(x);
            }
            if (most != most) {
                return; // not a number: only in an unverified file
            }
        }
        double inverse = 127 / most;
        if (!(most > 0) || !(inverse > 0) || Double.isInfinite(inverse)) {
            return;
        }
        if (file.integer()) {
            int square = 0;
            for (int i = 0; i < q.length; i++) {
                table[i] = (int) Math.rint(q[i] * inverse);
                square += table[i] * table[i];
            }
            scale = file.similarity == PackedFile.DOT ? (float) (most / 127) : (float) (1 / Math.sqrt(square));
            return;
        }
        scale = 1;
        double length = 1, square = 0;
        boolean cosine = file.similarity == PackedFile.COSINE;
        for (int i = 0; cosine && i < q.length; i++) {
            square += q[i] / most * (q[i] / most);
        }
        length = cosine ? Math.sqrt(square) : 1;
        for (int i = 0; i < q.length; i++) {
            numbers[i] = (float) (cosine ? q[i] / most / length : q[i]);
        }
    }
}
