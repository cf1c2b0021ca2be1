package org.sparsedevice;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.Arrays;

/**
 * Scores of whole slices. Entries are brought into small arrays a batch of slices at a time, four in a number:
 * compilers see through arrays, but check every single read of a mapped buffer. Belongs to one thread.
 *
 * <p>A table is read at {@code x & table.length - 1}, where it has a power of two of entries, because that needs no
 * check of the index; with checks, and bytes read one by one, a scan takes half as long again.
 */
final class Slices {
    private static final int ROWS = PackedFile.SLICE_ROWS;
    /** Entries of a row that are loaded at once, at least. */
    private static final int BATCH = PackedFile.MAX_BYTE_DIM;
    /** Numbers that hold one entry of each row of a slice. */
    private static final int STEP = ROWS / 4;
    private static final int LOW = 0x0F0F0F0F, SIGNS = 0x08080808;

    private final PackedFile file;
    private final boolean narrow;
    private final IntBuffer allColumns;
    private final IntBuffer allValues;
    private final FloatBuffer allScales;
    private final int[] columns;
    private final int[] values;
    private final int[] unit = new int[STEP];
    private final int[] window = new int[PackedFile.MAX_BYTE_DIM];
    private final float[] scales;
    private final int[] sums;
    private final int[] begins;
    private final int[] steps;

    /** For batches of at most {@code rows} rows, a multiple of 64. */
    Slices(PackedFile file, int rows) {
        this.file = file;
        narrow = file.values == PackedFile.INT4;
        columns = new int[STEP * Math.max(BATCH, file.dim)];
        values = new int[columns.length];
        allColumns = section(file, PackedFile.ITEM_COLUMNS).asIntBuffer();
        allValues = section(file, PackedFile.ITEM_VALUES).asIntBuffer();
        allScales = section(file, PackedFile.ITEM_SCALES).asFloatBuffer();
        scales = new float[rows];
        sums = new int[rows];
        begins = new int[rows / ROWS];
        steps = new int[rows / ROWS];
    }

    private static ByteBuffer section(PackedFile file, int kind) {
        ByteBuffer at = file.data.duplicate();
        ((Buffer) at).position(file.offset(kind));
        return at.slice().order(file.data.order());
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
                    && end + steps[last] - begin <= columns.length / STEP; last++) {
                end += steps[last];
            }
            load(begin, end);
            for (int i = last - 1; narrow && i >= done; i--) {
                widen(STEP * (begins[i] - begin), steps[i]);
            }
            for (int i = done; i < last; i++) {
                sum(query.table, STEP * (begins[i] - begin), begins[i], steps[i], ROWS * i);
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
        int numbers = STEP * (end - begin), part = narrow ? 2 : 1;
        ((Buffer) allColumns).position(STEP * begin);
        allColumns.get(columns, 0, numbers);
        ((Buffer) allValues).position(STEP * begin / part);
        allValues.get(values, 0, numbers / part);
    }

    /** int4 to int8 in place; units of 128 entries, but of 64 in a slice's last odd step, have low halves first. */
    private void widen(int at, int steps) {
        // From the back, so that no number is overwritten before it has been read.
        int numbers = STEP * steps;
        if ((steps & 1) != 0) {
            numbers -= STEP;
            widenUnit(at, numbers, STEP / 2);
        }
        while (numbers > 0) {
            numbers -= 2 * STEP;
            widenUnit(at, numbers, STEP);
        }
    }

    private void widenUnit(int at, int number, int half) {
        System.arraycopy(values, (at + number) / 2, unit, 0, half);
        for (int i = 0; i < half; i++) {
            values[at + number + i] = signed(unit[i] & LOW);
            values[at + number + half + i] = signed(unit[i] >>> 4 & LOW);
        }
    }

    /** Four numbers of 4 bits as four of 8: where the fourth bit is set, those above it are. */
    private static int signed(int four) {
        return four | (four & SIGNS) * 30;
    }

    /** sums[to + row] = Σ value · table[column] over the {@code steps} entries of each row of the slice. */
    private void sum(int[] table, int at, int begin, int steps, int to) {
        Arrays.fill(sums, to, to + ROWS, 0);
        int step = 0;
        for (; step < (steps & ~3); step += PackedFile.BASE_STEPS, at += 4 * STEP) {
            addQuads(columns, values, inReach(table, begin + step), at, sums, to);
        }
        int[] rest = step < steps ? inReach(table, begin + step) : table;
        if ((steps & 2) != 0) {
            addPairs(columns, values, rest, at, sums, to);
            at += 2 * STEP;
        }
        if ((steps & 1) != 0) {
            addSingles(columns, values, rest, at, sums, to);
        }
    }

    /** The entries of the query that the columns of a group of steps count from. */
    private int[] inReach(int[] table, int step) {
        if (!file.hasBases()) {
            return table;
        }
        System.arraycopy(table, file.base(step), window, 0, window.length);
        return window;
    }

    private static void addQuads(int[] columns, int[] values, int[] t, int at, int[] sums, int to) {
        for (int row = 0; row < ROWS; row++) {
            int c = columns[at + row], v = values[at + row];
            sums[to + row] += t[c & t.length - 1] * (byte) v + t[c >>> 8 & t.length - 1] * (byte) (v >> 8)
                    + t[c >>> 16 & t.length - 1] * (byte) (v >> 16) + t[c >>> 24 & t.length - 1] * (v >> 24);
        }
    }

    private static void addPairs(int[] columns, int[] values, int[] t, int at, int[] sums, int to) {
        for (int i = 0; i < ROWS / 2; i++) {
            int c = columns[at + i], v = values[at + i];
            sums[to + 2 * i] += t[c & t.length - 1] * (byte) v + t[c >>> 8 & t.length - 1] * (byte) (v >> 8);
            sums[to + 2 * i + 1] += t[c >>> 16 & t.length - 1] * (byte) (v >> 16)
                    + t[c >>> 24 & t.length - 1] * (v >> 24);
        }
    }

    private static void addSingles(int[] columns, int[] values, int[] t, int at, int[] sums, int to) {
        for (int i = 0; i < ROWS / 4; i++) {
            int c = columns[at + i], v = values[at + i], row = to + 4 * i;
            sums[row] += t[c & t.length - 1] * (byte) v;
            sums[row + 1] += t[c >>> 8 & t.length - 1] * (byte) (v >> 8);
            sums[row + 2] += t[c >>> 16 & t.length - 1] * (byte) (v >> 16);
            sums[row + 3] += t[c >>> 24 & t.length - 1] * (v >> 24);
        }
    }
}
