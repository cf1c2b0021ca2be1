package org.sparsedevice;

/**
 * Looks up entries of a query for columns, four bytes in a number. The entries of a number come out in the order 2, 3,
 * 0, 1, each plus 128. Belongs to one thread.
 *
 * <p>Tables are read at {@code x & table.length - 1}, where they have a power of two of entries, because that needs no
 * check of the index.
 */
final class LookUp {
    /** Up to as many columns two are looked up at once. */
    private static final int PAIR_DIM = 64;
    private static final int BIAS = 128;

    /** Entries for two columns, the second in the upper byte; empty where there are more columns. */
    private final char[] pairs;
    /** Entry of each column, where there are more. */
    private final int[] all;
    /** Those in reach of a byte. */
    private final int[] single = new int[PackedFile.MAX_BYTE_DIM];

    LookUp(PackedFile file) {
        boolean paired = file.dim <= PAIR_DIM;
        pairs = new char[paired ? PackedFile.MAX_BYTE_DIM * PAIR_DIM : 0];
        all = new int[paired ? 0 : file.hasBases() ? PackedFile.MAX_DIM + PackedFile.MAX_BYTE_DIM
                : PackedFile.MAX_BYTE_DIM];
    }

    /** Take the integers of a query. */
    void prepare(int[] table) {
        for (int i = 0; i < all.length; i++) {
            all[i] = table[i] + BIAS;
        }
        if (pairs.length == 0) {
            move(0);
            return;
        }
        for (int second = 0; second < PAIR_DIM; second++) {
            fill(pairs, PackedFile.MAX_BYTE_DIM * second, table, table[second] + BIAS << 8);
        }
    }

    private static void fill(char[] pairs, int at, int[] table, int upper) {
        for (int first = 0; first < PAIR_DIM; first++) {
            pairs[at + first] = (char) (upper | table[first] + BIAS);
        }
    }

    /** Columns count from {@code base} from now on. */
    void move(int base) {
        System.arraycopy(all, base, single, 0, single.length);
    }

    /** Replace columns by their entries. */
    void replace(int[] numbers, int from, int to) {
        if (pairs.length > 0) {
            replacePairs(numbers, from, to, pairs);
        } else {
            replaceSingles(numbers, from, to, single);
        }
    }

    private static void replacePairs(int[] numbers, int from, int to, char[] t) {
        for (int i = from; i < to; i++) {
            int c = numbers[i];
            numbers[i] = t[c >>> 16 & t.length - 1] | t[c & t.length - 1] << 16;
        }
    }

    private static void replaceSingles(int[] numbers, int from, int to, int[] t) {
        for (int i = from; i < to; i++) {
            int c = numbers[i];
            numbers[i] = t[c >>> 16 & t.length - 1] | t[c >>> 24 & t.length - 1] << 8
                    | t[c & t.length - 1] << 16 | t[c >>> 8 & t.length - 1] << 24;
        }
    }
}
