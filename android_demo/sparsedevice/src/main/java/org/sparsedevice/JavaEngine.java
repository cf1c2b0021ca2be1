package org.sparsedevice;

import java.util.Arrays;
import java.util.List;

/** Exact scoring in Java, bit for bit the C core's on the integer path; for devices that load no native library. */
final class JavaEngine extends Engine {
    private final PackedFile file;
    private final Texts texts;
    private final ThreadLocal<Work> work = new ThreadLocal<Work>() {
        @Override
        protected Work initialValue() {
            return new Work(file, inverses());
        }
    };

    private float[] inverses;

    /** What one thread works in. */
    private static final class Work {
        final Query query;
        final RowReader reader;
        final Best best = new Best();
        final Slices slices;
        final Scratch.Rows history = new Scratch.Rows();
        final Scratch.Rows out = new Scratch.Rows();

        Work(PackedFile file, float[] inverses) {
            query = new Query(file);
            reader = new RowReader(file);
            slices = file.sliced ? new Slices(file, inverses) : null;
        }

        void offer(float score, int row) {
            if (score >= best.least && Arrays.binarySearch(out.rows, 0, out.count, row) < 0) {
                best.add(score, row);
            }
        }
    }

    JavaEngine(PackedFile file, Texts texts) {
        this.file = file;
        this.texts = texts;
    }

    /** What {@link Slices} needs to know of each slice: read when the first thread asks. */
    private synchronized float[] inverses() {
        if (inverses == null && file.sliced) {
            inverses = Slices.inverses(file);
        }
        return inverses;
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
            own.offer(scoreRow(own, row), row);
        }
    }

    private void scanAll(Work own) {
        if (file.sliced) {
            own.slices.scan(own.query, own.out, own.best);
            return;
        }
        for (int row = 0; row < file.nItems; row++) {
            own.offer(scoreRow(own, row), row);
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
