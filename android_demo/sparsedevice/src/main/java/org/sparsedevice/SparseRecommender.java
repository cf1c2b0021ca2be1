package org.sparsedevice;

import android.content.Context;
import java.io.File;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/**
 * Recommends from one packed model, which stays in the file and is used where it is mapped.
 *
 * <pre>{@code
 * try (SparseRecommender recommender = SparseRecommender.open(context, "model.sd")) {
 *     for (Recommendation item : recommender.recommend(history, 10)) {
 *         show(item.title());
 *     }
 * }
 * }</pre>
 *
 * <p>Opening is work of milliseconds (it checks the whole file) and belongs off the main thread; keep the object as
 * long as you need it. All methods may be called by many threads at once. Whatever the caller can mend is a
 * {@link SparseDeviceException} that says what to do.
 */
public final class SparseRecommender implements AutoCloseable {
    private volatile State state;
    private final String engineName;

    /** All that a call needs; a call that runs while another thread closes keeps it alive until it is done. */
    private static final class State {
        final PackedFile file;
        final Texts texts;
        final Engine engine;
        final ThreadLocal<Scratch> scratch = new ThreadLocal<Scratch>() {
            @Override
            protected Scratch initialValue() {
                return new Scratch();
            }
        };

        State(PackedFile file, Texts texts, Engine engine) {
            this.file = file;
            this.texts = texts;
            this.engine = engine;
        }
    }

    private SparseRecommender(PackedFile file, Texts texts, Engine engine) {
        state = new State(file, texts, engine);
        engineName = engine.name();
    }

    /**
     * Map an asset of the app, which the build must store uncompressed.
     *
     * <p>An asset in the compact coding ({@code model.sdz}) is expanded at the first opening into
     * {@link Context#getNoBackupFilesDir()} and mapped from there ever after; an earlier version's expansion is
     * deleted. The first opening takes tens to hundreds of milliseconds and several times the packed model's memory,
     * later ones take the sha256 of the packed model (unless {@link Options#verify(boolean)} is off).
     *
     * @throws ModelUnavailableException if the asset is missing or compressed, or there is no room to expand it
     * @throws PackedFileException if it is not a whole and sound model
     * @throws DeltaException if it is a compact file that is damaged
     */
    public static SparseRecommender open(Context context, String asset) {
        return open(context, asset, new Options());
    }

    /** As {@link #open(Context, String)}, with options. */
    public static SparseRecommender open(Context context, String asset, Options options) {
        return open(ExpandedModels.map(context, asset, options.verify), asset, options);
    }

    /**
     * Map a file. Replace it by renaming another one over it, never by writing into it. A compact file is expanded as
     * in {@link #open(Context, String)}, but beside itself.
     *
     * @throws ModelUnavailableException if the file cannot be read, or there is no room to expand it
     * @throws PackedFileException if it is not a whole and sound model
     * @throws DeltaException if it is a compact file that is damaged
     */
    public static SparseRecommender open(File file) {
        return open(file, new Options());
    }

    /** As {@link #open(File)}, with options. */
    public static SparseRecommender open(File file, Options options) {
        return open(ExpandedModels.map(file, options.verify), file.toString(), options);
    }

    /**
     * Use the bytes between a buffer's position and limit, which nobody may change from now on. The native library
     * needs a direct buffer; any other one is served by Java.
     *
     * @throws PackedFileException if they are not a whole and sound model
     */
    public static SparseRecommender open(ByteBuffer bytes) {
        return open(bytes, new Options());
    }

    /** As {@link #open(ByteBuffer)}, with options. */
    public static SparseRecommender open(ByteBuffer bytes, Options options) {
        return open(bytes, "the buffer", options);
    }

    private static SparseRecommender open(ByteBuffer bytes, String source, Options options) {
        try {
            PackedFile file = new PackedFile(bytes);
            Texts texts = new Texts(file);
            if (useNative(file, options)) {
                return new SparseRecommender(file, texts, new NativeEngine(file, texts, options.verify));
            }
            if (options.verify) {
                Verifier.verify(file);
            }
            return new SparseRecommender(file, texts, new JavaEngine(file, texts));
        } catch (PackedFileException error) {
            throw new PackedFileException(source, error.promise());
        } catch (OutOfMemoryError error) {
            throw new ModelUnavailableException(source + ": too little memory to open it", error);
        }
    }

    private static boolean useNative(PackedFile file, Options options) {
        String missing = options.engine == Options.EngineChoice.JAVA ? "not asked for"
                : !file.data.isDirect() ? "the buffer is not direct" : NativeEngine.missing();
        if (missing != null && options.engine == Options.EngineChoice.NATIVE) {
            throw new ModelUnavailableException("the native engine cannot serve: " + missing
                    + "; ask for AUTO to fall back to Java");
        }
        return missing == null;
    }

    /**
     * The k best items for somebody with this history, which itself is left out.
     *
     * @param history item ids; repeats count once, unknown ids are reported and ignored
     * @param k 1 or more
     */
    public Recommendations recommend(List<String> history, int k) {
        return recommend(Request.forHistory(history).k(k));
    }

    /**
     * Answer a request.
     *
     * @throws UnknownIdException if its user is not in the file
     * @throws BadRequestException if k is below 1, or it has no history and no user
     */
    public Recommendations recommend(Request request) {
        State open = state();
        Scratch scratch = open.scratch.get();
        checkK(request.k);
        List<String> unknown = readSource(open, scratch, request);
        scratch.k = request.k;
        scratch.excludeSeen = request.excludeSeen;
        if (request.exclude != null) {
            unknown = readKnown(open, scratch, request.exclude, scratch.exclude, unknown);
        }
        if (request.candidates != null) {
            scratch.restricted = true;
            unknown = readKnown(open, scratch, request.candidates, scratch.candidates, unknown);
        }
        return rank(open, scratch, unknown);
    }

    /**
     * The k items nearest to one item, which itself is left out.
     *
     * @throws UnknownIdException if the item is not in the file
     */
    public Recommendations similar(String item, int k) {
        State open = state();
        Scratch scratch = open.scratch.get();
        checkK(k);
        scratch.clear(Scratch.FROM_ITEM);
        scratch.row = itemRow(open, scratch, item);
        scratch.k = k;
        scratch.excludeSeen = true;
        return rank(open, scratch, null);
    }

    /**
     * Scores of items for somebody with this history, in their order.
     *
     * @throws UnknownIdException if an item is not in the file
     */
    public float[] score(List<String> history, List<String> items) {
        return score(Request.forHistory(history), items);
    }

    /**
     * Scores of items for the history or user of a request, in their order.
     *
     * @throws UnknownIdException if an item or the user is not in the file
     */
    public float[] score(Request request, List<String> items) {
        State open = state();
        Scratch scratch = open.scratch.get();
        readSource(open, scratch, request);
        scratch.restricted = true;
        for (int i = 0; i < items.size(); i++) {
            scratch.candidates.add(itemRow(open, scratch, items.get(i)));
        }
        try {
            open.engine.score(scratch);
        } catch (OutOfMemoryError error) {
            throw tooLarge(error);
        }
        return java.util.Arrays.copyOf(scratch.scores, items.size());
    }

    /**
     * Embeddings of items.
     *
     * @throws UnknownIdException if an item is not in the file
     */
    public List<SparseRow> lookup(List<String> items) {
        State open = state();
        Scratch scratch = open.scratch.get();
        RowReader reader = new RowReader(open.file);
        List<SparseRow> rows = new ArrayList<>(items.size());
        for (int i = 0; i < items.size(); i++) {
            reader.move(PackedFile.ITEM_POINTERS, itemRow(open, scratch, items.get(i)));
            int[] columns = new int[reader.entries()];
            float[] values = new float[columns.length];
            for (int place = 0, entry = 0; place < reader.count; place++) {
                if (!reader.padding(place)) {
                    columns[entry] = reader.column(place);
                    float value = open.file.integer() ? reader.integer(place) : reader.number(place);
                    values[entry++] = value * reader.scale;
                }
            }
            rows.add(new SparseRow(columns, values, open.file.dim));
        }
        return rows;
    }

    /**
     * Titles of items: empty where one has none, null where the model ships no titles.
     *
     * @throws UnknownIdException if an item is not in the file
     */
    public List<String> titles(List<String> items) {
        State open = state();
        Scratch scratch = open.scratch.get();
        List<String> titles = new ArrayList<>(items.size());
        for (int i = 0; i < items.size(); i++) {
            titles.add(open.texts.title(itemRow(open, scratch, items.get(i)), scratch));
        }
        return titles;
    }

    /** Whether the model knows an item. */
    public boolean contains(String item) {
        State open = state();
        return open.texts.find(PackedFile.ITEM_IDS, checkId(item), open.scratch.get()) >= 0;
    }

    /**
     * Items one of whose words begins with {@code prefix}, upper and lower case alike: first those whose title begins
     * with it, each group in row order. Where the model ships no titles, ids are searched. An empty prefix finds all.
     *
     * @param limit most results, 1 or more
     */
    public List<Recommendation> search(String prefix, int limit) {
        State open = state();
        Scratch scratch = open.scratch.get();
        checkK(limit);
        int first = open.file.has(PackedFile.TITLES) ? PackedFile.TITLES : PackedFile.ITEM_IDS;
        String wanted = prefix.trim().toLowerCase(java.util.Locale.ROOT);
        List<Recommendation> found = new ArrayList<>();
        List<Recommendation> later = new ArrayList<>();
        for (int row = 0; row < open.file.nItems && found.size() < limit; row++) {
            int length = open.texts.copy(first, row, scratch);
            char[] text = scratch.chars(length);
            int at = Words.find(wanted, text, Utf8.lower(scratch.wrapped(length), 0, length, text));
            if (at == 0) {
                found.add(open.texts.item(row, 0, scratch));
            } else if (at > 0 && later.size() < limit) {
                later.add(open.texts.item(row, 0, scratch));
            }
        }
        found.addAll(later.subList(0, Math.min(later.size(), limit - found.size())));
        return Collections.unmodifiableList(found);
    }

    /** Id of an item by its row, for example to show a whole catalogue. */
    public String itemId(int row) {
        State open = state();
        if (row < 0 || row >= open.file.nItems) {
            throw new BadRequestException("row " + row + " does not exist; there are " + open.file.nItems);
        }
        return open.texts.string(PackedFile.ITEM_IDS, row, open.scratch.get());
    }

    /** How many items the model has. */
    public int itemCount() {
        return state().file.nItems;
    }

    /** How many users the model ships. */
    public int userCount() {
        return state().file.nUsers;
    }

    /** Columns of the item table. */
    public int dim() {
        return state().file.dim;
    }

    /** Bytes of the model. */
    public long fileBytes() {
        return state().file.size;
    }

    /** Whether the model ships titles. */
    public boolean hasTitles() {
        return state().texts.hasTitles();
    }

    /** What the exporter wrote about the model. */
    public Map<String, String> metadata() {
        Map<String, String> metadata = Metadata.read(state().file);
        if (metadata == null) {
            throw new PackedFileException(Promise.METADATA);
        }
        return Collections.unmodifiableMap(metadata);
    }

    /** Who computes: {@code java}, or {@code native} and the kernel, for example {@code native, neon-dot}. */
    public String engine() {
        return engineName;
    }

    /** Let go of the model. Calls that run end well; later ones throw {@link ClosedRecommenderException}. */
    @Override
    public void close() {
        state = null;
    }

    private State state() {
        State open = state;
        if (open == null) {
            throw new ClosedRecommenderException();
        }
        return open;
    }

    private static void checkK(int k) {
        if (k < 1) {
            throw new BadRequestException("k is " + k + "; ask for 1 or more results");
        }
    }

    private static String checkId(String id) {
        if (id == null) {
            throw new BadRequestException("an id is null; give strings");
        }
        return id;
    }

    private static int itemRow(State open, Scratch scratch, String item) {
        int row = open.texts.find(PackedFile.ITEM_IDS, checkId(item), scratch);
        if (row < 0) {
            throw new UnknownIdException(item, "unknown item '" + item + "': it is not in this model");
        }
        return row;
    }

    /** Fill in who asks; the unknown ids, or null while there are none. */
    private static List<String> readSource(State open, Scratch scratch, Request request) {
        if (request.history == null && request.user == null) {
            throw new BadRequestException("give either a history or a user, not null");
        }
        if (request.history != null) {
            scratch.clear(Scratch.FROM_HISTORY);
            return readKnown(open, scratch, request.history, scratch.history, null);
        }
        scratch.clear(Scratch.FROM_USER);
        if (open.file.nUsers == 0) {
            throw new UnknownIdException(request.user, "unknown user '" + request.user
                    + "': this model ships no users; give a history instead");
        }
        scratch.row = open.texts.find(PackedFile.USER_IDS, request.user, scratch);
        if (scratch.row < 0) {
            throw new UnknownIdException(request.user, "unknown user '" + request.user
                    + "': the model does not ship this user; give a history instead");
        }
        return null;
    }

    private static List<String> readKnown(
            State open, Scratch scratch, List<String> ids, Scratch.Rows into, List<String> unknown) {
        for (int i = 0, n = ids.size(); i < n; i++) {
            checkId(ids.get(i));
        }
        open.engine.find(ids, scratch);
        for (int i = 0, n = ids.size(); i < n; i++) {
            if (scratch.found[i] >= 0) {
                into.add(scratch.found[i]);
            } else {
                unknown = unknown == null ? new ArrayList<String>() : unknown;
                unknown.add(ids.get(i));
            }
        }
        return unknown;
    }

    private static Recommendations rank(State open, Scratch scratch, List<String> unknown) {
        try {
            return new Recommendations(open.engine.recommend(scratch), unknown);
        } catch (OutOfMemoryError error) {
            throw tooLarge(error);
        }
    }

    private static SparseDeviceException tooLarge(OutOfMemoryError error) {
        return new SparseDeviceException("too little memory for this request; ask for fewer items", error);
    }
}
