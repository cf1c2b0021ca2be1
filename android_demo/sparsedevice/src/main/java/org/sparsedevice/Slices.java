package org.sparsedevice;

import java.nio.ByteBuffer;
import java.util.Arrays;

/** Exact sums of the 64 rows of a slice. Entries are read eight at a time: a bounds check for each would dominate. */
final class Slices {
    private Slices() {}

    /** sums[row] = Σ value · table[column] over the {@code steps} entries of each row; int8 values. */
    static void sumInt8(ByteBuffer data, int[] table, int columns, int values, int steps, int[] sums) {
        Arrays.fill(sums, 0);
        int at = 0;
        for (int left = steps >> 2; left > 0; left--) {
            for (int lane = 0; lane < 64; lane += 2, at += 8) {
                long c = data.getLong(columns + at), v = data.getLong(values + at);
                sums[lane] += quad((int) c, (int) v, table);
                sums[lane + 1] += quad((int) (c >>> 32), (int) (v >>> 32), table);
            }
        }
        if ((steps & 2) != 0) {
            for (int lane = 0; lane < 64; lane += 4, at += 8) {
                long c = data.getLong(columns + at), v = data.getLong(values + at);
                addPairs((int) c, (int) v, table, sums, lane);
                addPairs((int) (c >>> 32), (int) (v >>> 32), table, sums, lane + 2);
            }
        }
        if ((steps & 1) != 0) {
            for (int lane = 0; lane < 64; lane += 4, at += 4) {
                addSingles(data.getInt(columns + at), data.getInt(values + at), table, sums, lane);
            }
        }
    }

    /** The same for int4 values, which lie in units of 128 or 64 entries: low halves first. */
    static void sumInt4(ByteBuffer data, int[] table, int columns, int values, int steps, int[] sums) {
        Arrays.fill(sums, 0);
        int at = 0;
        for (int left = steps >> 2; left > 0; left--) {
            for (int unit = 0; unit < 64; unit += 32, at += 128) {
                for (int i = 0; i < 64; i += 4) {
                    int v = data.getInt(values + at / 2 + i), lane = unit + i / 4;
                    sums[lane] += quad(data.getInt(columns + at + i), low(v), table);
                    sums[lane + 16] += quad(data.getInt(columns + at + 64 + i), low(v >>> 4), table);
                }
            }
        }
        if ((steps & 2) != 0) {
            for (int i = 0; i < 64; i += 4) {
                int v = data.getInt(values + at / 2 + i);
                addPairs(data.getInt(columns + at + i), low(v), table, sums, i / 2);
                addPairs(data.getInt(columns + at + 64 + i), low(v >>> 4), table, sums, 32 + i / 2);
            }
            at += 128;
        }
        if ((steps & 1) != 0) {
            for (int i = 0; i < 32; i += 4) {
                int v = data.getInt(values + at / 2 + i);
                addSingles(data.getInt(columns + at + i), low(v), table, sums, i);
                addSingles(data.getInt(columns + at + 32 + i), low(v >>> 4), table, sums, 32 + i);
            }
        }
    }

    /** The low four bits of each byte, sign extended to the byte. */
    private static int low(int packed) {
        // (x ^ 8) - 8 in each byte; bit 7 is set first so that no borrow leaves a byte.
        int x = packed & 0x0F0F0F0F ^ 0x08080808;
        return (x | 0x80808080) - 0x08080808 ^ 0x80808080;
    }

    private static int quad(int c, int v, int[] table) {
        return table[c & 255] * (byte) v + table[c >>> 8 & 255] * (byte) (v >> 8)
                + table[c >>> 16 & 255] * (byte) (v >> 16) + table[c >>> 24] * (v >> 24);
    }

    private static void addPairs(int c, int v, int[] table, int[] sums, int lane) {
        sums[lane] += table[c & 255] * (byte) v + table[c >>> 8 & 255] * (byte) (v >> 8);
        sums[lane + 1] += table[c >>> 16 & 255] * (byte) (v >> 16) + table[c >>> 24] * (v >> 24);
    }

    private static void addSingles(int c, int v, int[] table, int[] sums, int lane) {
        sums[lane] += table[c & 255] * (byte) v;
        sums[lane + 1] += table[c >>> 8 & 255] * (byte) (v >> 8);
        sums[lane + 2] += table[c >>> 16 & 255] * (byte) (v >> 16);
        sums[lane + 3] += table[c >>> 24] * (v >> 24);
    }
}
