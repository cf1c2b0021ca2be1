package org.sparsedevice;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.zip.CRC32;

/** The sections of a list of strings, as every writer makes them (docs/format.md, "Strings"). */
final class TextWriter {
    private static final int TEXT_BLOCK = 8;

    private TextWriter() {}

    /** Put the sections of a list whose first is {@code first}; {@code symbols} null where it is no text. */
    static void put(PackedWriter file, int first, StoredStrings strings, SymbolTable symbols) {
        int end = strings.pointers[strings.count()];
        for (int i = 0; i < end; i++) {
            if (strings.bytes[i] == (byte) StringList.END) {
                throw DeltaException.body("a string is no UTF-8");
            }
        }
        byte[][] coded = shorter(numbers(strings), Columns.code(strings));
        coded = coded == null ? text(strings, symbols) : coded;
        file.put(first, coded[0]);
        file.put(first + 1, coded[1]);
        if (first != PackedFile.TITLES) {
            file.put(first + 2, index(strings));
        }
    }

    /** Of two codings of a list the one of fewer bytes, the first if alike; null where there is none. */
    static byte[][] shorter(byte[][] one, byte[][] other) {
        return one == null || (other != null && bytes(other) < bytes(one)) ? other : one;
    }

    private static long bytes(byte[][] coded) {
        return (long) coded[0].length + coded[1].length;
    }

    static int bitLength(long number) {
        return 64 - Long.numberOfLeadingZeros(number);
    }

    /** Starts, and codes behind their head and table. */
    static byte[][] join(long[] starts, int[] head, byte[] table, BitSink codes) {
        BitSink packed = new BitSink();
        int startBits = starts.length == 0 ? 0 : bitLength(starts[starts.length - 1]);
        for (long start : starts) {
            packed.put(start, startBits);
        }
        ByteBuffer out = ByteBuffer.allocate(StringList.HEAD_BYTES + table.length + codes.size())
                .order(ByteOrder.LITTLE_ENDIAN);
        out.put((byte) head[0]).put((byte) head[1]).put((byte) head[2]).put((byte) startBits);
        out.putShort((short) (table.length / 3)).putShort((short) head[3]).putShort((short) head[4]);
        out.putShort((short) head[5]).putLong(codes.bits()).put(table);
        codes.copy(out.array(), out.position());
        return new byte[][] {packed.toBytes(), out.array()};
    }

    /** Blocks of the first number, and differences in as many bits as the block needs; null where one is none. */
    private static byte[][] numbers(StoredStrings strings) {
        int n = strings.count(), digits = 0, shortest = StringList.MAX_DIGITS;
        long[] numbers = new long[n];
        long most = 1;
        for (int row = 0; row < n; row++) {
            int length = strings.length(row), begin = strings.pointers[row];
            byte[] id = Arrays.copyOfRange(strings.bytes, begin, begin + Math.min(length, StringList.MAX_DIGITS));
            numbers[row] = StringList.decimal(id, length);
            if (numbers[row] < 0) {
                return null;
            }
            digits = StringList.isPadded(id, length) ? Math.max(digits, length) : digits;
            shortest = Math.min(shortest, length);
            most = Math.max(most, numbers[row]);
        }
        if (digits > shortest) {
            return null;
        }
        int width = bitLength(most);
        long[] starts = new long[(n - 1) / StringList.NUMBER_BLOCK + 1];
        BitSink codes = new BitSink();
        for (int row = 0; row < n; row += StringList.NUMBER_BLOCK) {
            starts[row / StringList.NUMBER_BLOCK] = codes.bits();
            putBlock(codes, Arrays.copyOfRange(numbers, row, Math.min(row + StringList.NUMBER_BLOCK, n)), width);
        }
        return join(starts, new int[] {StringList.NUMBERS, width, 0, digits, 0, 0}, new byte[0], codes);
    }

    /** Put the first number and, where there are more, the bits of their differences and these. */
    static void putBlock(BitSink codes, long[] numbers, int width) {
        long mask = (1L << width) - 1;
        int step = 0;
        codes.put(numbers[0], width);
        for (int i = 1; i < numbers.length; i++) {
            step = Math.max(step, bitLength(numbers[i] - numbers[i - 1] & mask));
        }
        if (numbers.length > 1) {
            codes.put(step, StringList.STEP_BITS);
        }
        for (int i = 1; i < numbers.length; i++) {
            codes.put(numbers[i] - numbers[i - 1] & mask, step);
        }
    }

    private static byte[][] text(StoredStrings strings, SymbolTable symbols) {
        if (symbols == null) {
            throw DeltaException.body("it lacks the symbols of a list of text");
        }
        int n = strings.count();
        long[] starts = new long[(n - 1) / TEXT_BLOCK + 1];
        BitSink codes = new BitSink();
        for (int row = 0; row < n; row++) {
            if (row % TEXT_BLOCK == 0) {
                starts[row / TEXT_BLOCK] = codes.bits();
            }
            symbols.put(codes, strings.bytes, strings.pointers[row], strings.length(row));
        }
        byte[] table = new byte[3 * symbols.count];
        for (int i = 0; i < symbols.count; i++) {
            table[3 * i] = (byte) symbols.entries[i];
            table[3 * i + 1] = (byte) (symbols.entries[i] >> 8);
            table[3 * i + 2] = (byte) (symbols.entries[i] >> 16);
        }
        int[] head = {StringList.TEXT, symbols.width, symbols.more, symbols.shortCount, symbols.firstFinal,
            symbols.finalCount};
        return join(starts, head, table, codes);
    }

    /** The index of distinct ids: each lies at its slot, or right after the one before it. */
    private static byte[] index(StoredStrings ids) {
        int n = ids.count();
        long slots = PackedFile.indexSlots(n);
        if (slots > Integer.MAX_VALUE - 8 - n) {
            throw DeltaException.body("an index of " + slots + " slots is too large for this device");
        }
        int[] first = new int[n], starts = new int[(int) slots + 1], order = new int[n];
        CRC32 crc = new CRC32();
        for (int row = 0; row < n; row++) {
            crc.reset();
            crc.update(ids.bytes, ids.pointers[row], ids.length(row));
            first[row] = (int) (crc.getValue() * slots >>> 32);
            starts[first[row] + 1]++;
        }
        for (int slot = 0; slot < slots; slot++) {
            starts[slot + 1] += starts[slot];
        }
        for (int row = 0; row < n; row++) {
            order[starts[first[row]]++] = row;
        }
        int width = bitLength(n), end = 0;
        BitSink index = new BitSink();
        for (int row : order) {
            for (; end < first[row]; end++) {
                index.put(-1, width);
            }
            index.put(row, width);
            end++;
        }
        for (; end < slots; end++) {
            index.put(-1, width);
        }
        ByteBuffer section = ByteBuffer.allocate(4 + index.size()).order(ByteOrder.LITTLE_ENDIAN);
        index.copy(section.putInt(end).array(), 4);
        return section.array();
    }
}
