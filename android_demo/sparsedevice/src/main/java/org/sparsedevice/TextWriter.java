package org.sparsedevice;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.zip.CRC32;

/** The sections of a list of strings, as every writer makes them (docs/format.md, "Strings"). */
final class TextWriter {
    private static final int TEXT_BLOCK = 8, NUMBER_BLOCK = 16, MAX_COLUMN_BITS = 255, STEP_BITS = 6;

    private TextWriter() {}

    /** Put the sections of a list whose first is {@code first}; {@code symbols} null where it is no text. */
    static void put(PackedWriter file, int first, StoredStrings strings, SymbolTable symbols) {
        int end = strings.pointers[strings.count()];
        for (int i = 0; i < end; i++) {
            if (strings.bytes[i] == (byte) StringList.END) {
                throw DeltaException.body("a string is no UTF-8");
            }
        }
        if (!putNumbers(file, first, strings) && !putColumns(file, first, strings)) {
            putText(file, first, strings, symbols);
        }
        if (first != PackedFile.TITLES) {
            file.put(first + 2, index(strings));
        }
    }

    private static int bitLength(long number) {
        return 64 - Long.numberOfLeadingZeros(number);
    }

    private static void putCodes(PackedWriter file, int first, long[] starts, int[] head, byte[] table,
            BitSink codes) {
        BitSink packed = new BitSink();
        int startBits = starts.length == 0 ? 0 : bitLength(starts[starts.length - 1]);
        for (long start : starts) {
            packed.put(start, startBits);
        }
        file.put(first, packed.toBytes());
        ByteBuffer out = ByteBuffer.allocate(StringList.HEAD_BYTES + table.length + codes.size())
                .order(ByteOrder.LITTLE_ENDIAN);
        out.put((byte) head[0]).put((byte) head[1]).put((byte) head[2]).put((byte) startBits);
        out.putShort((short) (table.length / 3)).putShort((short) head[3]).putShort((short) head[4]);
        out.putShort((short) head[5]).putLong(codes.bits()).put(table);
        codes.copy(out.array(), out.position());
        file.put(first + 1, out.array());
    }

    /** Blocks of the first number, and differences in as many bits as the block needs; false where one is none. */
    private static boolean putNumbers(PackedWriter file, int first, StoredStrings strings) {
        int n = strings.count();
        long[] numbers = new long[n];
        long most = 1;
        for (int row = 0; row < n; row++) {
            int length = strings.length(row), begin = strings.pointers[row];
            byte[] id = Arrays.copyOfRange(strings.bytes, begin, begin + Math.min(length, 11));
            numbers[row] = StringList.numberOf(id, length);
            if (numbers[row] < 0) {
                return false;
            }
            most = Math.max(most, numbers[row]);
        }
        int width = bitLength(most);
        long mask = (1L << width) - 1;
        long[] starts = new long[(n - 1) / NUMBER_BLOCK + 1];
        BitSink codes = new BitSink();
        for (int row = 0; row < n; row += NUMBER_BLOCK) {
            int end = Math.min(n - row, NUMBER_BLOCK) + row, step = 0;
            starts[row / NUMBER_BLOCK] = codes.bits();
            codes.put(numbers[row], width);
            for (int i = row + 1; i < end; i++) {
                step = Math.max(step, bitLength(numbers[i] - numbers[i - 1] & mask));
            }
            if (end > row + 1) {
                codes.put(step, STEP_BITS);
            }
            for (int i = row + 1; i < end; i++) {
                codes.put(numbers[i] - numbers[i - 1] & mask, step);
            }
        }
        putCodes(file, first, starts, new int[] {StringList.NUMBERS, width, 0, 0, 0, 0}, new byte[0], codes);
        return true;
    }

    /** Each byte as its place in the alphabet of its column; false where lengths differ or it takes too many bits. */
    private static boolean putColumns(PackedWriter file, int first, StoredStrings strings) {
        int n = strings.count(), columns = strings.length(0);
        for (int row = 1; row < n; row++) {
            if (strings.length(row) != columns) {
                return false;
            }
        }
        if (columns > StringList.MAX_COLUMNS) {
            return false;
        }
        int[][] places = new int[columns][];
        int[] widths = new int[columns], begins = new int[columns];
        byte[] letters = new byte[0];
        int width = 0;
        for (int column = 0; column < columns; column++) {
            places[column] = new int[256];
            byte[] alphabet = alphabet(strings, column, places[column]);
            widths[column] = bitLength(alphabet.length - 1);
            width += widths[column];
            begins[column] = find(letters, alphabet);
            if (begins[column] < 0) {
                byte[] longer = Arrays.copyOf(letters, letters.length + alphabet.length);
                System.arraycopy(alphabet, 0, longer, letters.length, alphabet.length);
                letters = longer;
                begins[column] = find(letters, alphabet);
            }
        }
        if (width > MAX_COLUMN_BITS) {
            return false;
        }
        byte[] table = new byte[3 * columns + (letters.length + 2) / 3 * 3];
        for (int column = 0; column < columns; column++) {
            int at = 3 * columns + begins[column];
            table[3 * column] = (byte) at;
            table[3 * column + 1] = (byte) (at >> 8);
            table[3 * column + 2] = (byte) widths[column];
        }
        System.arraycopy(letters, 0, table, 3 * columns, letters.length);
        BitSink codes = new BitSink();
        for (int row = 0; row < n; row++) {
            for (int column = 0; column < columns; column++) {
                int letter = strings.bytes[strings.pointers[row] + column] & 255;
                codes.put(places[column][letter], widths[column]);
            }
        }
        putCodes(file, first, new long[0], new int[] {StringList.COLUMNS, width, 0, columns, 0, 0}, table, codes);
        return true;
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

    private static int find(byte[] letters, byte[] alphabet) {
        for (int at = 0; at + alphabet.length <= letters.length; at++) {
            if (Arrays.equals(Arrays.copyOfRange(letters, at, at + alphabet.length), alphabet)) {
                return at;
            }
        }
        return -1;
    }

    private static void putText(PackedWriter file, int first, StoredStrings strings, SymbolTable symbols) {
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
        putCodes(file, first, starts, head, table, codes);
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
