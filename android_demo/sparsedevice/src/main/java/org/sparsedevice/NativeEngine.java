package org.sparsedevice;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
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

    private final ByteBuffer data;
    private final ByteBuffer model;
    private final int nItems;

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
    NativeEngine(ByteBuffer data, int nItems, boolean verify) {
        this.data = data;
        this.nItems = nItems;
        model = ByteBuffer.allocateDirect(modelBytes()).order(ByteOrder.nativeOrder());
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
        ByteBuffer memory = scratch.memory(checkRoom(room));
        for (int i = 0; i < count; i++) {
            int length = Utf8.encode(ids.get(i), memory, at);
            memory.putInt(4 * i, length);
            at += Math.max(length, 0);
        }
        find(data, model, memory, count);
        int[] found = scratch.found(count);
        for (int i = 0; i < count; i++) {
            found[i] = memory.getInt(4 * i);
        }
    }

    private static int checkRoom(long bytes) {
        if (bytes > Integer.MAX_VALUE) {
            throw new BadRequestException("the request needs " + bytes + " bytes of memory; ask for less at once");
        }
        return (int) bytes;
    }

    @Override
    int recommend(Scratch scratch) {
        int room = Math.min(scratch.k, nItems);
        ByteBuffer memory = fill(scratch, room);
        int count = recommend(data, model, memory, scratch.source, scratch.row, scratch.history.count,
                scratch.exclude.count, scratch.restricted ? scratch.candidates.count : -1, room,
                scratch.excludeSeen);
        if (count < 0) {
            throw new SparseDeviceException("the core refused a request, status " + -count);
        }
        int rows = 4 * listed(scratch), scores = rows + 4 * room;
        scratch.results(count);
        for (int i = 0; i < count; i++) {
            scratch.rows[i] = memory.getInt(rows + 4 * i);
            scratch.scores[i] = memory.getFloat(scores + 4 * i);
        }
        return count;
    }

    @Override
    void score(Scratch scratch) {
        int n = scratch.candidates.count;
        ByteBuffer memory = fill(scratch, n);
        int status = score(data, model, memory, scratch.source, scratch.row, scratch.history.count,
                scratch.exclude.count, n);
        if (status != 0) {
            throw new SparseDeviceException("the core refused a request, status " + status);
        }
        int scores = 4 * listed(scratch) + 4 * n;
        scratch.results(n);
        for (int i = 0; i < n; i++) {
            scratch.scores[i] = memory.getFloat(scores + 4 * i);
        }
    }

    private static int listed(Scratch scratch) {
        return scratch.history.count + scratch.exclude.count + scratch.candidates.count;
    }

    /** The lists one after the other at the start of the thread's memory; room for results and scratch after them. */
    private ByteBuffer fill(Scratch scratch, int room) {
        long bytes = memoryBytes(model, scratch.source, scratch.history.count, scratch.exclude.count,
                scratch.candidates.count, room);
        ByteBuffer memory = scratch.memory(checkRoom(bytes));
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

    private static native int modelBytes();

    private static native int open(ByteBuffer model, ByteBuffer data, long size);

    private static native int verify(ByteBuffer data, ByteBuffer model);

    private static native int kernel(ByteBuffer model);

    private static native int selectKernel(ByteBuffer model, int kernel);

    private static native long memoryBytes(
            ByteBuffer model, int source, int nHistory, int nExclude, int nCandidates, int room);

    private static native void find(ByteBuffer data, ByteBuffer model, ByteBuffer memory, int count);

    /** Count of results, or a status of the core below 0. {@code data} is passed to keep the mapping alive. */
    private static native int recommend(
            ByteBuffer data, ByteBuffer model, ByteBuffer memory, int source, int row, int nHistory, int nExclude,
            int nCandidates, int k, boolean excludeSeen);

    private static native int score(
            ByteBuffer data, ByteBuffer model, ByteBuffer memory, int source, int row, int nHistory, int nExclude,
            int nCandidates);
}
