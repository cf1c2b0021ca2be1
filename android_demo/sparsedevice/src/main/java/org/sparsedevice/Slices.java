package org.sparsedevice;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;

/**
 * Scores of whole slices. Entries are brought into small arrays a batch of slices at a time: compilers see through
 * arrays, but check every single read of a mapped buffer. Belongs to one thread.
 */
final class Slices {
    private static final int ROWS = PackedFile.SLICE_ROWS;
    /** Entries that are loaded at once, at least: 64 rows of 256 columns. */
    private static final int BATCH = ROWS * PackedFile.MAX_BYTE_DIM;

    private final PackedFile file;
    private final boolean narrow;
    private final ByteBuffer view;
    private final FloatBuffer allScales;
    private final byte[] columns;
    private final byte[] values;
    private final byte[] unit = new byte[ROWS];
    private final float[] scales;
    private final int[] sums;
    private final int[] begins;
    private final int[] steps;

    /** For batches of at most {@code rows} rows, a multiple of 64. */
    Slices(PackedFile file, int rows) {
        this.file = file;
        narrow = file.values == PackedFile.INT4;
        columns = new byte[Math.max(BATCH, ROWS * file.dim)];
        values = new byte[columns.length];
        view = file.data.duplicate();
        ByteBuffer at = file.data.duplicate().order(file.data.order());
        ((Buffer) at).position(file.offset(PackedFile.ITEM_SCALES));
        allScales = at.slice().order(file.data.order()).asFloatBuffer();
        scales = new float[rows];
        sums = new int[rows];
        begins = new int[rows / ROWS];
        steps = new int[rows / ROWS];
    }

    /** score = (float32(sum) · row scale) · query scale: two float32 products, in this order. */
    void score(Query query, int first, int count, float[] scores) {
        int slices = (count + ROWS - 1) / ROWS;
        for (int i = 0; i < slices; i++) {
            long total = file.stored / ROWS, end = file.end(PackedFile.ITEM_POINTERS, first / ROWS + i, total);
            begins[i] = (int) file.begin(PackedFile.ITEM_POINTERS, first / ROWS + i, total);
            steps[i] = (int) Math.min(end - begins[i], file.dim);
        }
        for (int done = 0, last; done < slices; done = last) {
            int begin = begins[done], end = begin + steps[done];
            for (last = done + 1; last < slices && begins[last] == end
                    && end + steps[last] - begin <= columns.length / ROWS; last++) {
                end += steps[last];
            }
            load(begin, end);
            for (int i = last - 1; narrow && i >= done; i--) {
                widen(ROWS * (begins[i] - begin), steps[i]);
            }
            for (int i = done; i < last; i++) {
                sum(query.table, ROWS * (begins[i] - begin), begins[i], steps[i], ROWS * i);
            }
        }
        ((Buffer) allScales).position(first);
        allScales.get(scales, 0, count);
        multiply(sums, scales, query.scale, scores, count);
    }

    private static void multiply(int[] sums, float[] scales, float scale, float[] scores, int count) {
        for (int i = 0; i < count; i++) {
            scores[i] = (float) sums[i] * scales[i] * scale;
        }
    }

    private void load(int begin, int end) {
        int entries = ROWS * (end - begin), part = narrow ? 2 : 1;
        ((Buffer) view).position(file.offset(PackedFile.ITEM_COLUMNS) + ROWS * begin);
        view.get(columns, 0, entries);
        ((Buffer) view).position(file.offset(PackedFile.ITEM_VALUES) + ROWS * begin / part);
        view.get(values, 0, entries / part);
    }

    /** int4 to int8 in place; units of 128 entries, but of 64 in a slice's last odd step, have low halves first. */
    private void widen(int at, int steps) {
        // From the back, so that no byte is overwritten before it has been read.
        int entries = ROWS * steps;
        if ((steps & 1) != 0) {
            entries -= ROWS;
            widenUnit(at, entries, ROWS / 2);
        }
        while (entries > 0) {
            entries -= 2 * ROWS;
            widenUnit(at, entries, ROWS);
        }
    }

    private void widenUnit(int at, int entry, int half) {
        int from = (at + entry) / 2;
        for (int i = 0; i < half; i++) {
            unit[i] = values[from + i];
        }
        for (int i = 0; i < half; i++) {
            values[at + entry + i] = (byte) RowReader.nibble(unit[i]);
            values[at + entry + half + i] = (byte) (unit[i] >> 4);
        }
    }

    /** sums[to + row] = Σ value · table[column] over the {@code steps} entries of each row of the slice. */
    private void sum(int[] table, int at, int begin, int steps, int to) {
        Arrays.fill(sums, to, to + ROWS, 0);
        int step = 0;
        for (; step < (steps & ~3); step += PackedFile.BASE_STEPS, at += 4 * ROWS) {
            addQuads(columns, values, table, file.base(begin + step), at, sums, to);
        }
        int base = step < steps ? file.base(begin + step) : 0;
        if ((steps & 2) != 0) {
            addPairs(columns, values, table, base, at, sums, to);
            at += 2 * ROWS;
        }
        if ((steps & 1) != 0) {
            addSingles(columns, values, table, base, at, sums, to);
        }
    }

    private static void addQuads(byte[] c, byte[] v, int[] table, int base, int at, int[] sums, int to) {
        for (int row = 0; row < ROWS; row++) {
            int i = at + 4 * row;
            sums[to + row] += table[base + (c[i] & 255)] * v[i] + table[base + (c[i + 1] & 255)] * v[i + 1]
                    + table[base + (c[i + 2] & 255)] * v[i + 2] + table[base + (c[i + 3] & 255)] * v[i + 3];
        }
    }

    private static void addPairs(byte[] c, byte[] v, int[] table, int base, int at, int[] sums, int to) {
        for (int row = 0; row < ROWS; row++) {
            int i = at + 2 * row;
            sums[to + row] += table[base + (c[i] & 255)] * v[i] + table[base + (c[i + 1] & 255)] * v[i + 1];
        }
    }

    private static void addSingles(byte[] c, byte[] v, int[] table, int base, int at, int[] sums, int to) {
        for (int row = 0; row < ROWS; row++) {
            sums[to + row] += table[base + (c[at + row] & 255)] * v[at + row];
        }
    }
}
