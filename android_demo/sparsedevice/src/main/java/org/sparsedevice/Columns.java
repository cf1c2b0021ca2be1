package org.sparsedevice;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/** Writes strings of one length (docs/format.md, "Columns"). */
final class Columns {
    private static final int MAX_WIDTH = 255;

    private final StoredStrings strings;
    private final int[][] places;
    private final byte[][] alphabets;
    private final int[] sizes, bits;

    /** Of strings of {@code count} bytes. */
    private Columns(StoredStrings strings, int count) {
        this.strings = strings;
        places = new int[count][256];
        alphabets = new byte[count][];
        sizes = new int[count];
        for (int column = 0; column < count; column++) {
            alphabets[column] = alphabet(strings, column, places[column]);
            sizes[column] = alphabets[column].length;
        }
        bits = numberBits(sizes);
    }

    /** Starts and codes of letters as places in the alphabets of their columns; null where lengths differ or are too
     * large. */
    static byte[][] code(StoredStrings strings) {
        int count = strings.length(0), width = 0;
        for (int row = 1; row < strings.count(); row++) {
            if (strings.length(row) != count) {
                return null;
            }
        }
        if (count > StringList.MAX_COLUMNS) {
            return null;
        }
        Columns columns = new Columns(strings, count);
        for (int of : columns.bits) {
            width += of;
        }
        if (width > MAX_WIDTH) {
            return null;
        }
        byte[][] rows = columns.inRows(width);
        return width == 0 ? rows : TextWriter.shorter(rows, columns.inBlocks(width));
    }

    private byte[][] inRows(int width) {
        BitSink codes = new BitSink();
        for (int row = 0; row < strings.count(); row++) {
            put(codes, numbers(row), 0);
        }
        return join(new long[0], width, 0, codes);
    }

    /** The first number of each string in blocks, and the others behind these. */
    private byte[][] inBlocks(int width) {
        int n = strings.count(), block = StringList.NUMBER_BLOCK;
        long[] starts = new long[(n - 1) / block + 1];
        BitSink codes = new BitSink();
        for (int row = 0; row < n; row += block) {
            long[][] numbers = new long[Math.min(block, n - row)][];
            long[] first = new long[numbers.length];
            for (int i = 0; i < numbers.length; i++) {
                numbers[i] = numbers(row + i);
                first[i] = numbers[i][0];
            }
            starts[row / block] = codes.bits();
            TextWriter.putBlock(codes, first, bits[0]);
            for (long[] of : numbers) {
                put(codes, of, 1);
            }
        }
        return join(starts, width, bits[0], codes);
    }

    private byte[][] join(long[] starts, int width, int first, BitSink codes) {
        int[] head = {StringList.COLUMNS, width, first, bits.length, 0, 0};
        return TextWriter.join(starts, head, table(alphabets, bits), codes);
    }

    /** Put the numbers that begin at a column or behind it. */
    private void put(BitSink codes, long[] numbers, int from) {
        for (int column = from; column < bits.length; column++) {
            codes.put(numbers[column], bits[column]);
        }
    }

    /** The numbers of a string, each at the column where it begins. */
    private long[] numbers(int row) {
        long[] numbers = new long[bits.length];
        long fraction = 0;
        for (int column = bits.length - 1; column >= 0; column--) {
            int place = places[column][strings.bytes[strings.pointers[row] + column] & 255];
            fraction = quotient(((long) place << StringList.NUMBER_BITS) + fraction, sizes[column]);
            if (bits[column] > 0) {
                numbers[column] = quotient(fraction, 1L << StringList.NUMBER_BITS - bits[column]);
                fraction = 0;
            }
        }
        return numbers;
    }

    /** Rounded up. */
    private static long quotient(long number, long divisor) {
        return (number + divisor - 1) / divisor;
    }

    /** Bits of the number that begins at each column, 0 where one goes on: fewest in all, earlier numbers longest. */
    private static int[] numberBits(int[] sizes) {
        int n = sizes.length;
        int[] fewest = new int[n + 1], ends = new int[n + 1], bits = new int[n];
        for (int begin = n - 1; begin >= 0; begin--) {
            fewest[begin] = Integer.MAX_VALUE;
            long numbers = 1;
            for (int end = begin + 1; end <= n; end++) {
                numbers *= sizes[end - 1];
                if (numbers > 1L << StringList.NUMBER_BITS) {
                    break;
                }
                int sum = TextWriter.bitLength(numbers - 1) + fewest[end];
                if (sum <= fewest[begin]) {
                    fewest[begin] = sum;
                    ends[begin] = end;
                }
            }
        }
        for (int begin = 0; begin < n; begin = ends[begin]) {
            bits[begin] = fewest[begin] - fewest[ends[begin]];
        }
        return bits;
    }

    /** The columns, then their alphabets; what stands there already is used again. */
    private static byte[] table(byte[][] alphabets, int[] bits) {
        int before = StringList.COLUMN_BYTES * alphabets.length;
        byte[] table = new byte[before];
        ByteBuffer columns = ByteBuffer.allocate(before).order(ByteOrder.LITTLE_ENDIAN);
        for (int column = 0; column < alphabets.length; column++) {
            byte[] alphabet = alphabets[column];
            int at = find(table, before, alphabet);
            if (at == table.length) {
                table = Arrays.copyOf(table, at + alphabet.length);
                System.arraycopy(alphabet, 0, table, at, alphabet.length);
            }
            columns.putInt(at | bits[column] << 16 | alphabet.length - 1 << 24);
        }
        System.arraycopy(columns.array(), 0, table, 0, before);
        return Arrays.copyOf(table, (table.length + 2) / 3 * 3);
    }

    /** Where an alphabet stands in a table from a byte on; the end of the table if nowhere. */
    private static int find(byte[] table, int from, byte[] alphabet) {
        for (int at = from; at + alphabet.length <= table.length; at++) {
            if (Arrays.equals(Arrays.copyOfRange(table, at, at + alphabet.length), alphabet)) {
                return at;
            }
        }
        return table.length;
    }

    /** The bytes that stand in a column, increasing, and the place of each. */
    private static byte[] alphabet(StoredStrings strings, int column, int[] places) {
        boolean[] used = new boolean[256];
        for (int row = 0; row < strings.count(); row++) {
            used[strings.bytes[strings.pointers[row] + column] & 255] = true;
        }
        byte[] alphabet = new byte[DeltaSource.count(used)];
        for (int letter = 0, count = 0; letter < 256; letter++) {
            if (used[letter]) {
                places[letter] = count;
                alphabet[count++] = (byte) letter;
            }
        }
        return alphabet;
    }
}
