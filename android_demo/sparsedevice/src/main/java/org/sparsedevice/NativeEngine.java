package org.sparsedevice;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * The C core by JNI. Its model is a block of direct memory that points into the mapped file; both belong to this
 * object, so nothing is freed while a call runs, and nothing is left over when the last one has returned.
 */
final class NativeEngine extends Engine {
    private static final String[] KERNELS = {"scalar", "avx2", "avx512", "neon", "neon-dot", "wasm-simd"};
    private static final String LIBRARY = "sparsedevice";
    /** Why there is no native library; null where there is one. */
    private static final String MISSING = load();

    /** Room for strings of an answer: for each item, and for all of it; longer ones are read one by one. */
    private static final int STRING_BYTES = 96, MOST_STRING_BYTES = 1 << 15;
    /** A call's answer where its memory did not do. */
    private static final int TOO_SMALL = Integer.MIN_VALUE;

    private final ByteBuffer data;
    private final ByteBuffer model;
    private final long modelAddress;
    private final Texts texts;

    private static String load() {
        try {
            System.loadLibrary(LIBRARY);
            return null;
        } catch (UnsatisfiedLinkError error) {
            return String.valueOf(error.getMessage());
        } catch (SecurityException error) {
            return String.valueOf(error.getMessage());
        }
    }

    /** Why this device has no native engine, or null. */
    static String missing() {
        return MISSING;
    }

    /**
     * Open the bytes of a direct buffer.
     *
     * @throws PackedFileException naming the broken promise
     */
    NativeEngine(PackedFile file, Texts texts, boolean verify) {
        this.texts = texts;
        data = file.data;
        model = ByteBuffer.allocateDirect(modelBytes()).order(ByteOrder.nativeOrder());
        modelAddress = address(model);
        check(open(model, data, data.limit()));
        if (verify) {
            check(verify(data, model));
        }
    }

    private static void check(int status) {
        if (status != 0) {
            throw new PackedFileException(Promise.of(status));
        }
    }

    @Override
    String name() {
        return "native, " + KERNELS[kernel(model)];
    }

    /** Take a slower kernel than the fastest one; for tests and measurements. */
    void selectKernel(String name) {
        int number = java.util.Arrays.asList(KERNELS).indexOf(name);
        if (number < 0 || selectKernel(model, number) != 0) {
            throw new ModelUnavailableException("kernel " + name + " does not run on this device");
        }
    }

    /** Memory of a search: the length of each id, which the core replaces by its row, then their bytes. */
    @Override
    void find(List<String> ids, Scratch scratch) {
        int count = ids.size(), at = 4 * count;
        long room = at;
        for (int i = 0; i < count; i++) {
            room += Utf8.room(ids.get(i).length());
        }
        ByteBuffer memory = memory(scratch, room);
        for (int i = 0; i < count; i++) {
            int length = Utf8.encode(ids.get(i), memory, at);
            memory.putInt(4 * i, length);
            at += Math.max(length, 0);
        }
        find(data, model, memory, modelAddress, scratch.memoryAddress, count);
        int[] found = scratch.found(count);
        for (int i = 0; i < count; i++) {
            found[i] = memory.getInt(4 * i);
        }
    }

    @Override
    Recommendation[] recommend(Scratch scratch) {
        int k = Math.min(scratch.k, texts.nItems), listed = listed(scratch), count;
        int textBytes = (int) Math.min((long) STRING_BYTES * k, MOST_STRING_BYTES);
        byte[] text = scratch.bytes(textBytes);
        ByteBuffer memory = fill(scratch, listed + 16L * k + textBytes);
        while ((count = recommend(data, model, memory, modelAddress, scratch.memoryAddress, memory.capacity(),
                scratch.source, scratch.row, scratch.history.count, scratch.exclude.count,
                scratch.restricted ? scratch.candidates.count : -1, k, scratch.excludeSeen, text, textBytes))
                == TOO_SMALL) {
            memory = fill(scratch, needed(memory));
        }
        if (count < 0) {
            throw new SparseDeviceException("the core refused a request, status " + -count);
        }
        Recommendation[] items = new Recommendation[count];
        int lengths = listed + 8 * k, at = 0;
        for (int i = 0; i < count; i++) {
            int row = memory.getInt(listed + 4 * i);
            float score = memory.getFloat(listed + 4 * k + 4 * i);
            int idBytes = memory.getInt(lengths + 8 * i), titleBytes = memory.getInt(lengths + 8 * i + 4);
            String id = idBytes < 0 ? null : new String(text, at, idBytes, StandardCharsets.UTF_8);
            at += Math.max(idBytes, 0);
            String title = titleBytes < 0 ? null : new String(text, at, titleBytes, StandardCharsets.UTF_8);
            at += Math.max(titleBytes, 0);
            items[i] = new Recommendation(id, title, row, score);
        }
        for (int i = 0; i < count; i++) { // after all are read: what did not fit is read into the same bytes
            if (items[i].id() == null || (items[i].title() == null && texts.hasTitles())) {
                items[i] = texts.item(items[i].row(), items[i].score(), scratch);
            }
        }
        return items;
    }

    @Override
    void score(Scratch scratch) {
        int n = scratch.candidates.count, listed = listed(scratch), status;
        ByteBuffer memory = fill(scratch, listed + 8L * n);
        while ((status = score(data, model, memory, modelAddress, scratch.memoryAddress, memory.capacity(),
                scratch.source, scratch.row, scratch.history.count, scratch.exclude.count, n)) == TOO_SMALL) {
            memory = fill(scratch, needed(memory));
        }
        if (status != 0) {
            throw new SparseDeviceException("the core refused a request, status " + status);
        }
        scratch.results(n);
        for (int i = 0; i < n; i++) {
            scratch.scores[i] = memory.getFloat(listed + 4 * n + 4 * i);
        }
    }

    /** Bytes of the lists. */
    private static int listed(Scratch scratch) {
        return 4 * (scratch.history.count + scratch.exclude.count + scratch.candidates.count);
    }

    /** The bytes that a call found lacking. */
    private static long needed(ByteBuffer memory) {
        return memory.getInt(0) & 0xFFFFFFFFL | (long) memory.getInt(4) << 32;
    }

    /** Memory of a thread, with its address in {@code scratch}. */
    private static ByteBuffer memory(Scratch scratch, long bytes) {
        if (bytes > Integer.MAX_VALUE) {
            throw new BadRequestException("the request needs " + bytes + " bytes of memory; ask for less at once");
        }
        ByteBuffer memory = scratch.memory((int) bytes);
        if (scratch.memoryAddress == 0) {
            scratch.memoryAddress = address(memory);
        }
        return memory;
    }

    /** The lists one after the other at the start of the thread's memory. */
    private static ByteBuffer fill(Scratch scratch, long bytes) {
        ByteBuffer memory = memory(scratch, bytes);
        int at = put(memory, 0, scratch.history);
        at = put(memory, at, scratch.exclude);
        put(memory, at, scratch.candidates);
        return memory;
    }

    private static int put(ByteBuffer memory, int at, Scratch.Rows list) {
        for (int i = 0; i < list.count; i++) {
            memory.putInt(at + 4 * i, list.rows[i]);
        }
        return at + 4 * list.count;
    }

    // The native side has sparsedevice_jni.c. All of these are calls of a few nanoseconds beside the work itself.
    // The buffers are passed with their addresses to be kept alive.

    private static native int modelBytes();

    private static native int open(ByteBuffer model, ByteBuffer data, long size);

    private static native int verify(ByteBuffer data, ByteBuffer model);

    private static native int kernel(ByteBuffer model);

    private static native int selectKernel(ByteBuffer model, int kernel);

    private static native long address(ByteBuffer buffer);

    private static native void find(
            ByteBuffer data, ByteBuffer model, ByteBuffer memory, long modelAt, long memoryAt, int count);

    /** Count of results, a status of the core below 0, or {@link #TOO_SMALL}. */
    private static native int recommend(
            ByteBuffer data, ByteBuffer model, ByteBuffer memory, long modelAt, long memoryAt, int memoryBytes,
            int source, int row, int nHistory, int nExclude, int nCandidates, int k, boolean excludeSeen,
            byte[] text, int textBytes);

    /** A status of the core, or {@link #TOO_SMALL}. */
    private static native int score(
            ByteBuffer data, ByteBuffer model, ByteBuffer memory, long modelAt, long memoryAt, int memoryBytes,
            int source, int row, int nHistory, int nExclude, int nCandidates);
}
