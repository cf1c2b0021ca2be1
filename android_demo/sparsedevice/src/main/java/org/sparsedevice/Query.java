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
    private final double[] sum;

    Query(PackedFile file) {
        this.file = file;
        reader = new RowReader(file);
        q = new double[file.dim];
        sum = new double[file.dim];
        int entries = file.dim <= PackedFile.MAX_BYTE_DIM ? PackedFile.MAX_BYTE_DIM : PackedFile.MAX_DIM;
        table = new int[file.integer() ? entries : 0];
        numbers = new float[file.integer() ? 0 : entries];
    }

    /** Build it; {@code history} must be sorted and without repeats. */
    void build(Scratch scratch, int[] history, int nHistory) {
        Arrays.fill(q, 0);
        if (scratch.source == Scratch.FROM_HISTORY) {
            foldIn(history, nHistory);
        } else {
            boolean user = scratch.source == Scratch.FROM_USER;
            add(user ? PackedFile.USER_POINTERS : PackedFile.ITEM_POINTERS, scratch.row, 1.0, q);
        }
        quantize();
    }

    private void foldIn(int[] history, int nHistory) {
        boolean weighted = file.has(PackedFile.FOLD_WEIGHTS), mixed = file.has(PackedFile.FOLD_MATRIX);
        double[] target = mixed ? sum : q;
        Arrays.fill(target, 0);
        for (int i = 0; i < nHistory; i++) {
            double weight = weighted ? file.f32(PackedFile.FOLD_WEIGHTS, history[i]) : 1.0;
            add(PackedFile.ITEM_POINTERS, history[i], weight, target);
        }
        for (int row = 0; mixed && row < file.dim; row++) {
            double total = 0;
            for (int column = 0; column < file.dim; column++) {
                total += (double) file.f32(PackedFile.FOLD_MATRIX, row * file.dim + column) * sum[column];
            }
            q[row] = total;
        }
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

    private void quantize() {
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
