package org.sparsedevice;

import java.nio.ByteBuffer;
import java.util.Arrays;

/** Exact scoring in Java, bit for bit the C core's on the integer path; for devices that load no native library. */
final class JavaEngine extends Engine {
    /** Rows scored before they are compared with the best so far. */
    private static final int CHUNK_ROWS = 1024;

    private final PackedFile file;
    private final ThreadLocal<Work> work = new ThreadLocal<Work>() {
        @Override
        protected Work initialValue() {
            return new Work(file);
        }
    };

    /** What one thread works in. */
    private static final class Work {
        final Query query;
        final RowReader reader;
        final Best best = new Best();
        final float[] scores = new float[CHUNK_ROWS];
        final int[] sums = new int[PackedFile.SLICE_ROWS];
        final Scratch.Rows history = new Scratch.Rows();
        final Scratch.Rows out = new Scratch.Rows();

        Work(PackedFile file) {
            query = new Query(file);
            reader = new RowReader(file);
        }
    }

    JavaEngine(PackedFile file) {
        this.file = file;
    }

    @Override
    String name() {
        return "java";
    }

    @Override
    int recommend(Scratch scratch) {
        Work own = work.get();
        buildQuery(scratch, own);
        findExcluded(scratch, own);
        own.best.clear(Math.min(scratch.k, file.nItems));
        if (scratch.restricted) {
            scratch.candidates.sortUnique();
            scanCandidates(scratch, own);
        } else {
            scanAll(own);
        }
        return own.best.finish(scratch);
    }

    @Override
    void score(Scratch scratch) {
        Work own = work.get();
        buildQuery(scratch, own);
        scratch.results(scratch.candidates.count);
        for (int i = 0; i < scratch.candidates.count; i++) {
            scratch.scores[i] = scoreRow(own, scratch.candidates.rows[i]);
        }
    }

    private static void copy(Scratch.Rows from, Scratch.Rows to) {
        to.count = 0;
        for (int i = 0; i < from.count; i++) {
            to.add(from.rows[i]);
        }
    }

    private static void buildQuery(Scratch scratch, Work own) {
        copy(scratch.history, own.history);
        own.history.sortUnique();
        own.query.build(scratch, own.history.rows, own.history.count);
    }

    /** All rows to leave out, sorted: the caller's, and the user's seen ones in the file. */
    private void findExcluded(Scratch scratch, Work own) {
        copy(scratch.exclude, own.out);
        if (scratch.excludeSeen && scratch.source == Scratch.FROM_ITEM) {
            own.out.add(scratch.row);
        } else if (scratch.excludeSeen && scratch.source == Scratch.FROM_HISTORY) {
            for (int i = 0; i < own.history.count; i++) {
                own.out.add(own.history.rows[i]);
            }
        } else if (scratch.excludeSeen && file.has(PackedFile.SEEN_ROWS)) {
            int pointers = PackedFile.SEEN_POINTERS;
            long end = file.end(pointers, scratch.row, file.nnzSeen);
            for (long i = file.begin(pointers, scratch.row, file.nnzSeen); i < end; i++) {
                own.out.add((int) file.u32(PackedFile.SEEN_ROWS, (int) i));
            }
        }
        own.out.sortUnique();
    }

    private void scanCandidates(Scratch scratch, Work own) {
        for (int i = 0; i < scratch.candidates.count; i++) {
            int row = scratch.candidates.rows[i];
            if (Arrays.binarySearch(own.out.rows, 0, own.out.count, row) >= 0) {
                continue;
            }
            float score = scoreRow(own, row);
            if (score >= own.best.least) {
                own.best.add(score, row);
            }
        }
    }

    private void scanAll(Work own) {
        float[] scores = own.scores;
        Best best = own.best;
        int next = 0;
        for (int first = 0; first < file.nItems; first += CHUNK_ROWS) {
            int count = Math.min(file.nItems - first, CHUNK_ROWS);
            if (!file.sliced) {
                for (int i = 0; i < count; i++) {
                    scores[i] = scoreRow(own, first + i);
                }
            } else {
                scanSlices(own, first, count);
            }
            for (; next < own.out.count && own.out.rows[next] < first + count; next++) {
                if (own.out.rows[next] >= first) { // below only in an unverified file
                    scores[own.out.rows[next] - first] = Float.NaN;
                }
            }
            float least = best.least;
            for (int i = 0; i < count; i++) {
                if (scores[i] >= least) {
                    best.add(scores[i], first + i);
                    least = best.least;
                }
            }
        }
    }

    private float scoreRow(Work own, int row) {
        RowReader reader = own.reader;
        reader.move(PackedFile.ITEM_POINTERS, row);
        if (file.integer()) {
            int sum = 0;
            for (int i = 0; i < reader.count; i++) {
                sum += reader.integer(i) * own.query.table[reader.column(i) & PackedFile.MAX_DIM - 1];
            }
            return (float) sum * reader.scale * own.query.scale;
        }
        float sum = 0;
        for (int i = 0; i < reader.count; i++) {
            sum += reader.number(i) * own.query.numbers[reader.column(i) & PackedFile.MAX_DIM - 1];
        }
        float score = reader.scale * sum * own.query.scale; // kept finite, so that every row can be ranked
        return score > Float.MAX_VALUE ? Float.MAX_VALUE : score >= -Float.MAX_VALUE ? score : -Float.MAX_VALUE;
    }

    /** Scores of {@code count} rows from {@code first} on, which is a multiple of 64. */
    private void scanSlices(Work own, int first, int count) {
        int[] sums = own.sums;
        boolean narrow = file.values == PackedFile.INT4;
        for (int done = 0; done < count; done += PackedFile.SLICE_ROWS) {
            int slice = (first + done) / PackedFile.SLICE_ROWS;
            long total = file.stored / PackedFile.SLICE_ROWS;
            int begin = (int) file.begin(PackedFile.ITEM_POINTERS, slice, total);
            int steps = (int) Math.min(file.end(PackedFile.ITEM_POINTERS, slice, total) - begin, file.dim);
            int columns = file.offset(PackedFile.ITEM_COLUMNS) + PackedFile.SLICE_ROWS * begin;
            int values = file.offset(PackedFile.ITEM_VALUES) + PackedFile.SLICE_ROWS * begin / (narrow ? 2 : 1);
            if (narrow) {
                Slices.sumInt4(file.data, own.query.table, columns, values, steps, sums);
            } else {
                Slices.sumInt8(file.data, own.query.table, columns, values, steps, sums);
            }
            int scales = file.offset(PackedFile.ITEM_SCALES) + 4 * (first + done);
            int rows = Math.min(count - done, PackedFile.SLICE_ROWS);
            scale(file.data, scales, rows, sums, own.query.scale, own.scores, done);
        }
    }

    /** score = (float32(sum) · row scale) · query scale: two float32 products, in this order. */
    private static void scale(
            ByteBuffer data, int scales, int rows, int[] sums, float queryScale, float[] scores, int to) {
        for (int lane = 0; lane < rows; lane++) {
            scores[to + lane] = (float) sums[lane] * data.getFloat(scales + 4 * lane) * queryScale;
        }
    }
}
