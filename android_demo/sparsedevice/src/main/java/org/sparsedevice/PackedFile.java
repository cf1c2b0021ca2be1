package org.sparsedevice;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32;

/**
 * Head and section table of a packed file, format version 1, and reads that stay inside it.
 *
 * <p>Immutable after construction; all reads are absolute, so many threads may share one.
 */
final class PackedFile {
    static final int F32 = 0, F16 = 1, INT8 = 2, INT4 = 3;
    static final int COSINE = 0, DOT = 1;
    static final int SLICE_ROWS = 64;
    static final int MAX_BYTE_DIM = 256;
    /** Rows of slices of up to this many columns are sorted by the half that their columns lie in. */
    static final int HALVED_DIM = 64;
    /** Bits of a scale that rows are not sorted by. */
    static final int BUCKET_BITS = 21;
    /** Steps of a slice that share a base, and what a base counts in. */
    static final int BASE_STEPS = 4, BASE_COLUMNS = 16;
    static final int MAX_DIM = 4096;
    static final int MAX_STRING = 65535;

    static final int ITEM_POINTERS = 1, ITEM_COLUMNS = 2, ITEM_VALUES = 3, ITEM_SCALES = 4;
    static final int USER_POINTERS = 5, USER_SCALES = 8;
    static final int SEEN_POINTERS = 9, SEEN_ROWS = 10;
    static final int ITEM_IDS = 11, USER_IDS = 14, TITLES = 17;
    static final int FOLD_WEIGHTS = 19, FOLD_MATRIX = 20, METADATA = 21, FOLD_RULE = 22,
            FOLD_TOWER = 23;
    static final int KINDS = 23;

    private static final int[] MAGIC = {0x93, 'S', 'D', 'V', '\r', '\n', 0x1A, '\n'};
    private static final int HEADER_BYTES = 64, ENTRY_BYTES = 24;
    static final long U32_MAX = 0xFFFFFFFFL;

    /** The whole file, little-endian, position 0. */
    final ByteBuffer data;
    final int size;
    /** First byte after the section table. */
    final int tableEnd;
    final int nItems, nUsers, dim, nSlices;
    final long nnzItems, nnzUsers, nnzSeen;
    /** Item entries in the file, padding included. */
    final long stored;
    final int values, similarity;
    final boolean sliced;
    /** By kind; -1 where the file has no such section. */
    private final int[] offsets = new int[KINDS + 1];
    private final long[] lengths = new long[KINDS + 1];
    private final int[] checksums = new int[KINDS + 1];

    /**
     * Check everything that head and section table show, in time that does not depend on the number of rows.
     *
     * @throws PackedFileException naming the broken promise
     */
    PackedFile(ByteBuffer bytes) {
        data = bytes.slice().order(ByteOrder.LITTLE_ENDIAN);
        size = data.limit();
        int sections = checkHead();
        tableEnd = HEADER_BYTES + ENTRY_BYTES * sections;
        nItems = count(16, 1, Integer.MAX_VALUE);
        nUsers = count(20, 0, Integer.MAX_VALUE);
        dim = count(24, 1, MAX_DIM);
        nnzItems = wideCount(32);
        nnzUsers = wideCount(40);
        nnzSeen = wideCount(48);
        values = data.get(28);
        similarity = data.get(30);
        int layout = data.get(29);
        require(values >= F32 && values <= INT4 && (layout & ~1) == 0 && (similarity & ~1) == 0
                && data.get(31) == flags(layout == 1, dim), Promise.CODES);
        sliced = layout == 1;
        require(!sliced || values >= INT8, Promise.CODES);
        nSlices = (int) (((long) nItems + SLICE_ROWS - 1) / SLICE_ROWS);
        readTable(sections);
        checkPresence();
        stored = sliced ? lengths[ITEM_COLUMNS] : nnzItems;
        checkLengths();
    }

    /** 1 where rows stand in the order of slices of up to 256 columns. */
    static byte flags(boolean sliced, int dim) {
        return (byte) (sliced && dim <= MAX_BYTE_DIM ? 1 : 0);
    }

    private static void require(boolean kept, Promise promise) {
        if (!kept) {
            throw new PackedFileException(promise);
        }
    }

    private int checkHead() {
        for (int i = 0; i < MAGIC.length && i < size; i++) {
            require((data.get(i) & 255) == MAGIC[i], Promise.MAGIC);
        }
        require(size >= HEADER_BYTES, Promise.TRUNCATED);
        require(data.getInt(12) == 0x0A0B0C0D, Promise.BYTE_ORDER);
        require(data.getInt(8) == 1, Promise.VERSION);
        int sections = data.getInt(56);
        require(sections >= 0 && sections <= KINDS, Promise.SECTIONS);
        int end = HEADER_BYTES + ENTRY_BYTES * sections;
        require(size >= end, Promise.TRUNCATED);
        byte[] head = new byte[end];
        for (int i = 0; i < end; i++) {
            head[i] = i >= 60 && i < 64 ? 0 : data.get(i);
        }
        CRC32 crc = new CRC32();
        crc.update(head, 0, end);
        require((int) crc.getValue() == data.getInt(60), Promise.HEADER_CHECKSUM);
        return sections;
    }

    private int count(int at, int least, int most) {
        int number = data.getInt(at);
        require(number >= least && number <= most, Promise.COUNTS);
        return number;
    }

    private long wideCount(int at) {
        long number = data.getLong(at);
        require(number >= 0 && number <= U32_MAX, Promise.COUNTS);
        return number;
    }

    private void readTable(int sections) {
        java.util.Arrays.fill(offsets, -1);
        long end = tableEnd;
        int last = 0;
        for (int i = 0; i < sections; i++) {
            int entry = HEADER_BYTES + ENTRY_BYTES * i;
            int kind = data.getInt(entry);
            long offset = data.getLong(entry + 8), length = data.getLong(entry + 16);
            require(kind > last && kind <= KINDS, Promise.SECTIONS);
            require(offset == ((end + 63) & ~63L), Promise.CONTIGUOUS);
            require(offset <= size && length >= 0 && length <= size - offset, Promise.TRUNCATED);
            offsets[kind] = (int) offset;
            lengths[kind] = length;
            checksums[kind] = data.getInt(entry + 4);
            last = kind;
            end = offset + length;
        }
        require(end == size, Promise.EXTENT);
    }

    private void checkPresence() {
        boolean seen = has(SEEN_POINTERS);
        require(allOrNone(1, 4, true) && allOrNone(5, 8, nUsers > 0) && allOrNone(9, 10, seen)
                && !(seen && nUsers == 0) && allOrNone(11, 13, true) && allOrNone(14, 16, nUsers > 0)
                && allOrNone(17, 18, has(TITLES)), Promise.SECTIONS);
    }

    private boolean allOrNone(int first, int last, boolean wanted) {
        for (int kind = first; kind <= last; kind++) {
            if (has(kind) != wanted) {
                return false;
            }
        }
        return true;
    }

    private long valueBytes(long count) {
        return values == F32 ? 4 * count : values == F16 ? 2 * count : values == INT8 ? count : (count + 1) / 2;
    }

    private void checkLengths() {
        require(!sliced || (stored % SLICE_ROWS == 0 && nnzItems <= stored), Promise.LENGTHS);
        long n = nItems, u = nUsers, width = dim <= MAX_BYTE_DIM ? 1 : 2;
        long[] expected = {-1,
            4 * ((sliced ? nSlices : n) + 1) + (hasBases() ? stored / SLICE_ROWS : 0),
            stored * (sliced ? 1 : width), valueBytes(stored),
            4 * (sliced ? (long) SLICE_ROWS * nSlices : n),
            4 * (u + 1), nnzUsers * width, valueBytes(nnzUsers), 4 * u,
            4 * (u + 1), 4 * nnzSeen,
            -1, -1, -1, -1, -1, -1, -1, -1,
            4 * n, 4L * dim * dim, -1, Fold.RULE_BYTES, towerBytes()};
        for (int kind = 1; kind <= KINDS; kind++) {
            require(!has(kind) || expected[kind] < 0 || lengths[kind] == expected[kind], Promise.LENGTHS);
        }
        require(StringList.fits(this, ITEM_IDS, nItems), Promise.LENGTHS);
        require(nUsers == 0 || StringList.fits(this, USER_IDS, nUsers), Promise.LENGTHS);
        require(!has(TITLES) || StringList.fits(this, TITLES, nItems), Promise.LENGTHS);
    }

    /** Bytes that the fold-in rule's tower takes; no section's length where the rule has none. */
    private long towerBytes() {
        if (!has(FOLD_RULE) || lengths[FOLD_RULE] != Fold.RULE_BYTES) {
            return Long.MAX_VALUE;
        }
        int numbers = Fold.towerNumbers(u32(FOLD_RULE, 0), u32(FOLD_RULE, 1), u32(FOLD_RULE, 2), dim);
        return numbers > 0 ? 4L * numbers : Long.MAX_VALUE;
    }

    /** Slots that the hashes of {@code n} ids are spread over. */
    static long indexSlots(int n) {
        return (long) n + n / 4 + 1;
    }

    boolean has(int kind) {
        return offsets[kind] >= 0;
    }

    int offset(int kind) {
        return offsets[kind];
    }

    int length(int kind) {
        return (int) lengths[kind];
    }

    int checksum(int kind) {
        return checksums[kind];
    }

    boolean integer() {
        return values >= INT8;
    }

    /** Unsigned number {@code i} of a section of 32-bit numbers. */
    long u32(int kind, int i) {
        return data.getInt(offsets[kind] + 4 * i) & U32_MAX;
    }

    float f32(int kind, int i) {
        return data.getFloat(offsets[kind] + 4 * i);
    }

    /** Whether columns of slices count from bases. */
    boolean hasBases() {
        return sliced && dim > MAX_BYTE_DIM;
    }

    /** The column from which on the columns of a group of steps count; {@code step} is the group's first one. */
    int base(long step) {
        return hasBases() ? BASE_COLUMNS * (data.get(offset(ITEM_POINTERS) + 4 * (nSlices + 1) + (int) step) & 255) : 0;
    }

    /** First entry of a run, clamped to {@code total} whatever the pointers say. */
    long begin(int pointers, int i, long total) {
        return Math.min(u32(pointers, i), end(pointers, i, total));
    }

    /** End of a run, clamped to {@code total}. */
    long end(int pointers, int i, long total) {
        return Math.min(u32(pointers, i + 1), total);
    }
}
