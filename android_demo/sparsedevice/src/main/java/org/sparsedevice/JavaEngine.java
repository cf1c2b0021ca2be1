package org.sparsedevice;

import java.util.Arrays;
import java.util.List;

/** Exact scoring in Java, bit for bit the C core's on the integer path; for devices that load no native library. */
final class JavaEngine extends Engine {
    /** Rows scored before they are compared with the best so far. */
    private static final int CHUNK_ROWS = 1024;

    private final PackedFile file;
    private final Texts texts;
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
        final Slices slices;
        final Scratch.Rows history = new Scratch.Rows();
        final Scratch.Rows out = new Scratch.Rows();

        Work(PackedFile file) {
            query = new Query(file);
            reader = new RowReader(file);
            slices = file.sliced ? new Slices(file, CHUNK_ROWS) : null;
        }
    }

    JavaEngine(PackedFile file, Texts texts) {
        this.file = file;
        this.texts = texts;
    }

    @Override
    void find(List<String> ids, Scratch scratch) {
        int[] found = scratch.found(ids.size());
        for (int i = 0, n = ids.size(); i < n; i++) {
            found[i] = texts.find(PackedFile.ITEM_IDS, ids.get(i), scratch);
        }
    }

    @Override
    String name() {
        return "java";
    }

    @Override
    Recommendation[] recommend(Scratch scratch) {
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
        Recommendation[] items = new Recommendation[own.best.finish(scratch)];
        for (int i = 0; i < items.length; i++) {
            items[i] = texts.item(scratch.rows[i], scratch.scores[i], scratch);
        }
        return items;
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
                own.slices.score(own.query, first, count, scores);
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
}
