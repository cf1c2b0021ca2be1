package org.sparsedevice;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.zip.CRC32;

/**
 * Working memory of one thread for one recommender. It grows to the largest request and is used again, so that
 * a query allocates its result only.
 */
final class Scratch {
    /** What a query is made of; the numbers are those of the C core. */
    static final int FROM_HISTORY = 0, FROM_USER = 1, FROM_ITEM = 2;

    int source;
    /** The user or the item. */
    int row;
    final Rows history = new Rows();
    final Rows exclude = new Rows();
    final Rows candidates = new Rows();
    /** Whether only {@link #candidates} are eligible. */
    boolean restricted;
    boolean excludeSeen;
    int k;
    /** Answer of a search for ids: rows, or -1. */
    int[] found = new int[16];
    /** Answer: rows and scores, best first. */
    int[] rows = new int[16];
    float[] scores = new float[16];
    final CRC32 crc = new CRC32();

    final StringList.Reader reader = new StringList.Reader();

    private byte[] bytes = new byte[256];
    private ByteBuffer wrapped = ByteBuffer.wrap(bytes);
    private char[] chars = new char[256];
    private ByteBuffer view;
    private ByteBuffer memory = ByteBuffer.allocateDirect(0);
    /** Where it lies; 0 while nobody has asked. */
    long memoryAddress;

    /** A list of rows. */
    static final class Rows {
        int[] rows = new int[16];
        int count;

        void add(int row) {
            if (count == rows.length) {
                rows = Arrays.copyOf(rows, Math.max(16, 2 * count));
            }
            rows[count++] = row;
        }

        /** Sort ascending and drop repeats. */
        void sortUnique() {
            Arrays.sort(rows, 0, count);
            int kept = Math.min(count, 1);
            for (int i = 1; i < count; i++) {
                if (rows[i] != rows[kept - 1]) {
                    rows[kept++] = rows[i];
                }
            }
            count = kept;
        }
    }

    void clear(int source) {
        this.source = source;
        row = 0;
        k = 1;
        history.count = exclude.count = candidates.count = 0;
        restricted = false;
        excludeSeen = false;
    }

    /** Room for the rows of {@code count} ids. */
    int[] found(int count) {
        if (found.length < count) {
            found = new int[count];
        }
        return found;
    }

    /** Room for {@code count} results. */
    void results(int count) {
        if (rows.length < count) {
            rows = new int[count];
            scores = new float[count];
        }
    }

    byte[] bytes(int count) {
        if (bytes.length < count) {
            bytes = new byte[count];
            wrapped = ByteBuffer.wrap(bytes);
        }
        return bytes;
    }

    /** {@link #bytes(int)} with room for {@code more} behind the {@code count} that are kept. */
    byte[] moreBytes(int count, int more) {
        if (bytes.length < count + more) {
            bytes = Arrays.copyOf(bytes, 2 * (count + more));
            wrapped = ByteBuffer.wrap(bytes);
        }
        return bytes;
    }

    /** {@link #bytes(int)} as a buffer. */
    ByteBuffer wrapped(int count) {
        bytes(count);
        return wrapped;
    }

    char[] chars(int count) {
        if (chars.length < count) {
            chars = new char[count];
        }
        return chars;
    }

    /** A view of the file whose position belongs to this thread. */
    ByteBuffer view(ByteBuffer data) {
        if (view == null) {
            view = data.duplicate();
        }
        return view;
    }

    /** Memory that the C core works in. */
    ByteBuffer memory(int count) {
        if (memory.capacity() < count) {
            memory = ByteBuffer.allocateDirect(Math.max(count, 4096)).order(ByteOrder.nativeOrder());
            memoryAddress = 0;
        }
        return memory;
    }
}
