package org.sparsedevice;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.Arrays;

/**
 * Scans whole slices. A batch of them is brought into small arrays, four entries in a number: compilers see through
 * arrays, but check every single read of a mapped buffer. Then each step is a loop of its own over many numbers,
 * because a short body is what JVMs make vector instructions of. Belongs to one thread.
 */
final class Slices {
    private static final int ROWS = PackedFile.SLICE_ROWS;
    /** Entries of a row that are loaded at once, at least. */
    private static final int BATCH = PackedFile.MAX_BYTE_DIM;
    /** Numbers that hold one entry of each row of a slice. */
    private static final int STEP = ROWS / 4;
    private static final int BATCH_ROWS = 512, FOLDED_ROWS = BATCH_ROWS / 4;
    private static final int LOW = 0x0F0F0F0F, SIGNS = 0x08080808;
    /** Floats below it, or products of some, may have lost their last bits. */
    private static final float SMALL = 1e-30f;
    /** A limit that every sum exceeds. */
    private static final int NO_LIMIT = -(1 << 30);

    private final PackedFile file;
    private final boolean narrow;
    private final IntBuffer allColumns;
    private final IntBuffer allValues;
    private final FloatBuffer allScales;
    private final LookUp entries;
    /** 1 / largest scale of each slice, shared by all threads. */
    private final float[] inverses;
    private final int[] columns;
    private final int[] values;
    private final int[] unit = new int[STEP];
    /** Four entries of the query for each row, and four values. */
    private final int[] four = new int[BATCH_ROWS];
    private final int[] times = new int[BATCH_ROWS];
    /** Sum of products of each row, less the limit of its slice. */
    private final int[] sums = new int[BATCH_ROWS];
    /** Below 0 where all rows that are so many apart are below their limits. */
    private final int[] folded = new int[FOLDED_ROWS];
    /** Rows of the batch that are not, and their scores. */
    private final int[] rows = new int[BATCH_ROWS + 1];
    private final float[] scores = new float[BATCH_ROWS];
    private final int[] limits = new int[BATCH_ROWS / ROWS];
    private final int[] begins = new int[BATCH_ROWS / ROWS];
    private final int[] steps = new int[BATCH_ROWS / ROWS];

    /** For the slices of a file, with what {@link #inverses} gives for it. */
    Slices(PackedFile file, float[] inverses) {
        this.file = file;
        this.inverses = inverses;
        narrow = file.values == PackedFile.INT4;
        columns = new int[STEP * Math.max(BATCH, file.dim)];
        values = new int[columns.length];
        allColumns = section(file, PackedFile.ITEM_COLUMNS).asIntBuffer();
        allValues = section(file, PackedFile.ITEM_VALUES).asIntBuffer();
        allScales = section(file, PackedFile.ITEM_SCALES).asFloatBuffer();
        entries = new LookUp(file);
    }

    /** 1 / largest scale of each slice; 0 where that is too small for exact limits. */
    static float[] inverses(PackedFile file) {
        float[] inverses = new float[(int) (((long) file.nItems + ROWS - 1) / ROWS)];
        for (int slice = 0; slice < inverses.length; slice++) {
            float largest = 0;
            for (int row = ROWS * slice; row < Math.min(ROWS * slice + ROWS, file.nItems); row++) {
                largest = Math.max(largest, file.f32(PackedFile.ITEM_SCALES, row));
            }
            inverses[slice] = largest > SMALL ? 1 / largest : 0;
        }
        return inverses;
    }

    private static ByteBuffer section(PackedFile file, int kind) {
        ByteBuffer at = file.data.duplicate();
        ((Buffer) at).position(file.offset(kind));
        return at.slice().order(file.data.order());
    }

    /** Offer the rows that may be among the best, but none of {@code out}, which is sorted. */
    void scan(Query query, Scratch.Rows out, Best best) {
        int next = 0;
        entries.prepare(query.table);
        for (int first = 0, count; first < inverses.length; first += count) {
            count = plan(first);
            load(begins[0], begins[count - 1] + steps[count - 1]);
            for (int i = count - 1; narrow && i >= 0; i--) {
                widen(STEP * (begins[i] - begins[0]), steps[i]);
            }
            look(count);
            limit(first, count, best.least, query.scale);
            for (int step = 0, upTo; (upTo = spread(step, count)) > 0; step += 4) {
                add(sums, four, times, ROWS * upTo);
            }
            int begin = ROWS * first, end = begin + ROWS * count;
            for (; next < out.count && out.rows[next] < end; next++) {
                if (out.rows[next] >= begin) { // below only in an unverified file
                    sums[out.rows[next] - begin] = -1;
                }
            }
            take(query.scale, first, count, best);
        }
    }

    /** Put the entry of the query in place of each column. */
    private void look(int count) {
        if (!file.hasBases()) {
            entries.replace(columns, 0, STEP * (begins[count - 1] + steps[count - 1] - begins[0]));
            return;
        }
        for (int i = 0; i < count; i++) {
            for (int step = 0; step < steps[i]; step += PackedFile.BASE_STEPS) {
                int at = STEP * (begins[i] + step - begins[0]);
                entries.move(file.base(begins[i] + step));
                entries.replace(columns, at, at + STEP * Math.min(PackedFile.BASE_STEPS, steps[i] - step));
            }
        }
    }

    /** Begin each sum with what it lacks in the limit of its slice: a row below it scores below {@code least}. */
    private void limit(int first, int count, float least, float scale) {
        // A millionth is more than the three roundings of a score and that of the inverse can make.
        double need = least > SMALL ? (double) least / scale * (1 - 1e-6) : 0;
        for (int i = 0; i < count; i++) {
            limits[i] = need > 0 ? (int) Math.min(need * inverses[first + i], 1 << 30) - 1 : NO_LIMIT;
            Arrays.fill(sums, ROWS * i, ROWS * i + ROWS, -limits[i]);
        }
    }

    /**
     * Begins and lengths of the slices of a batch from {@code first} on; returns their number. The first batches are
     * small, because no row is below the limit before there is one.
     */
    private int plan(int first) {
        long stored = file.stored / ROWS;
        int count = 0, end = 0;
        for (; count <= first && count < begins.length && first + count < inverses.length; count++) {
            int begin = (int) file.begin(PackedFile.ITEM_POINTERS, first + count, stored);
            int length = (int) Math.min(file.end(PackedFile.ITEM_POINTERS, first + count, stored) - begin, file.dim);
            if (count > 0 && (begin != end || begin + length - begins[0] > columns.length / STEP)) {
                break;
            }
            begins[count] = begin;
            steps[count] = length;
            end = begin + length;
        }
        return count;
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

    /** Entries and values from {@code step} on, up to four of each row; returns the number of slices that have any. */
    private int spread(int step, int count) {
        int upTo = 0;
        for (int i = 0; i < count; i++) {
            int at = STEP * (begins[i] - begins[0] + step), left = steps[i] - step, to = ROWS * i;
            if (left <= 0) {
                Arrays.fill(times, to, to + ROWS, 0);
                continue;
            }
            upTo = i + 1;
            if (left >= 4) {
                System.arraycopy(columns, at, four, to, ROWS);
                System.arraycopy(values, at, times, to, ROWS);
            } else if (left == 3) {
                spreadTriples(columns, values, at, four, times, to);
            } else if (left == 2) {
                spreadPairs(columns, values, at, four, times, to);
            } else {
                spreadSingles(columns, values, at, four, times, to);
            }
        }
        return upTo;
    }

    // Where a row has fewer than four entries, the others have the value 0, and any entry of the query.

    private static void spreadSingles(int[] entries, int[] values, int at, int[] four, int[] times, int to) {
        for (int i = 0; i < STEP; i++) {
            int e = entries[at + i], v = values[at + i], row = to + 4 * i;
            four[row] = e;
            times[row] = v & 255;
            four[row + 1] = e >>> 8;
            times[row + 1] = v >>> 8 & 255;
            four[row + 2] = e << 16;
            times[row + 2] = v >>> 16 & 255;
            four[row + 3] = e << 8;
            times[row + 3] = v >>> 24;
        }
    }

    private static void spreadPairs(int[] entries, int[] values, int at, int[] four, int[] times, int to) {
        for (int i = 0; i < 2 * STEP; i++) {
            int e = entries[at + i], v = values[at + i], row = to + 2 * i;
            four[row] = e;
            times[row] = v & 0xFFFF;
            four[row + 1] = e << 16;
            times[row + 1] = v >>> 16;
        }
    }

    private static void spreadTriples(int[] entries, int[] values, int at, int[] four, int[] times, int to) {
        for (int i = 0; i < STEP; i++) {
            int single = entries[at + 2 * STEP + i], value = values[at + 2 * STEP + i], row = to + 4 * i;
            int e = entries[at + 2 * i], v = values[at + 2 * i];
            four[row] = e & 0xFFFF0000 | single >>> 16;
            times[row] = v & 0xFFFF | (value & 255) << 16;
            four[row + 1] = e << 16 | single >>> 24;
            times[row + 1] = v >>> 16 | (value & 0xFF00) << 8;
            e = entries[at + 2 * i + 1];
            v = values[at + 2 * i + 1];
            four[row + 2] = e & 0xFFFF0000 | single & 0xFFFF;
            times[row + 2] = v & 0xFFFF | value & 0xFF0000;
            four[row + 3] = e << 16 | single >>> 8 & 255;
            times[row + 3] = v >>> 16 | value >>> 24 << 16;
        }
    }

    /**
     * sums[i] += the four products of bytes of entries[i] and values[i]. The product (a + b 2^16) (c + d 2^16) has
     * a d + b c in its upper 16 bits, once half a unit is added: so one multiplication makes two. That is why entries
     * stand in the order 2, 3, 0, 1 and values in the order 0 to 3; those at even places are multiplied first.
     */
    private static void add(int[] sums, int[] entries, int[] values, int count) {
        for (int i = 0; i < count; i++) {
            sums[i] += (((entries[i] & 0xFF00FF) - 0x800080) * ((values[i] & 0xFF00FF ^ 0x800080) - 0x800080)
                    + 0x8000 >> 16)
                    + (((entries[i] >>> 8 & 0xFF00FF) - 0x800080) * ((values[i] >>> 8 & 0xFF00FF ^ 0x800080) - 0x800080)
                    + 0x8000 >> 16);
        }
    }

    /** Offer the rows of a batch whose sum is not below the limit. */
    private void take(float scale, int first, int count, Best best) {
        int n = ROWS * count, found = 0;
        Arrays.fill(sums, n, BATCH_ROWS, -1);
        fold(sums, folded);
        for (int lane = 0; lane < FOLDED_ROWS; lane++) {
            for (int row = lane; folded[lane] >= 0 && row < n; row += FOLDED_ROWS) {
                rows[found] = row;
                found += ~sums[row] >>> 31;
            }
        }
        // All scores before the first offer: their scales are far apart, and memory brings them at one time then.
        for (int i = 0; i < found; i++) {
            int row = rows[i];
            scores[i] = (float) (sums[row] + limits[row / ROWS]) * allScales.get(ROWS * first + row) * scale;
        }
        for (int i = 0; i < found; i++) {
            int item = ROWS * first + rows[i];
            if (scores[i] >= best.least && item < file.nItems) {
                best.add(scores[i], item);
            }
        }
    }

    private static void fold(int[] sums, int[] folded) {
        for (int i = 0; i < FOLDED_ROWS; i++) {
            folded[i] = sums[i] & sums[i + FOLDED_ROWS] & sums[i + 2 * FOLDED_ROWS] & sums[i + 3 * FOLDED_ROWS];
        }
    }
}
