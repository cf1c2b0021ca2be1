package org.sparsedevice;

import java.nio.ByteBuffer;

/** One list of strings of a packed file, read where it lies (docs/format.md, "Strings"). Immutable. */
final class StringList {
    static final int HEAD_BYTES = 20;
    static final int TEXT = 0, NUMBERS = 1, COLUMNS = 3;
    /** What a symbol is made of: symbols, bytes from LITERAL on, or nothing. */
    static final int NOTHING = 0xEFF, LITERAL = 0xF00, END = 255;
    static final int NUMBER_BLOCK = 16, STEP_BITS = 6;
    static final int MAX_SYMBOL_BYTES = 64, MAX_COLUMNS = 64, MAX_DIGITS = 10;
    /** Bytes of a column's entry, and bits of a number that columns make. */
    static final int COLUMN_BYTES = 4, NUMBER_BITS = 32;
    private static final int MAX_START_WIDTH = 40;

    final int n, coding, width, symbolCount, shortCount, slots, slotWidth, startWidth;
    final long bits;
    private final ByteBuffer data;
    final int more, firstFinal, finalCount;
    /** Bits of a number in blocks, 0 where there are none, and of what follows it. */
    final int firstBits, restBits;
    private final int starts, symbols, codes, index;

    /** The next part of a string that is being read. */
    static final class Reader {
        final byte[] bytes = new byte[MAX_SYMBOL_BYTES];
        private final int[] open = new int[MAX_SYMBOL_BYTES];
        int count;
        boolean ended;
        long at, number;
        int column;

        void begin(long at) {
            this.at = at;
            column = 0;
            count = 0;
            ended = false;
        }
    }

    /** The list whose starts are section {@code first}. */
    StringList(PackedFile file, int first, int n) {
        int head = file.offset(first + 1);
        this.n = n;
        data = file.data;
        coding = data.get(head) & 255;
        width = data.get(head + 1) & 255;
        more = data.get(head + 2) & 255;
        startWidth = data.get(head + 3) & 255;
        symbolCount = data.getShort(head + 4) & 0xFFFF;
        shortCount = data.getShort(head + 6) & 0xFFFF;
        firstFinal = data.getShort(head + 8) & 0xFFFF;
        finalCount = data.getShort(head + 10) & 0xFFFF;
        bits = data.getLong(head + 12);
        firstBits = coding == NUMBERS ? width : coding == COLUMNS ? more : 0;
        restBits = width - firstBits;
        starts = file.offset(first);
        symbols = head + HEAD_BYTES;
        codes = symbols + 3 * symbolCount;
        slotWidth = 32 - Integer.numberOfLeadingZeros(n);
        index = first == PackedFile.TITLES ? -1 : file.offset(first + 2) + 4;
        slots = index < 0 ? 0 : data.getInt(index - 4);
    }

    /** Whether the sections have the lengths that their first bytes say. */
    static boolean fits(PackedFile file, int first, int n) {
        if (file.length(first + 1) < HEAD_BYTES || (first != PackedFile.TITLES && file.length(first + 2) < 4)) {
            return false;
        }
        StringList list = new StringList(file, first, n);
        long least = PackedFile.indexSlots(n);
        return list.headFits() && list.startWidth <= MAX_START_WIDTH && list.bits >>> MAX_START_WIDTH == 0
                && file.length(first) == bitBytes((long) list.blocks() * list.startWidth)
                && file.length(first + 1) == HEAD_BYTES + 3L * list.symbolCount + bitBytes(list.bits)
                && (first == PackedFile.TITLES || (list.slots >= least && list.slots <= 2 * least
                        && file.length(first + 2) == 4 + bitBytes((long) list.slots * list.slotWidth)));
    }

    private boolean headFits() {
        if (coding == NUMBERS) {
            return width >= 1 && width <= 32 && more == 0 && symbolCount == 0 && shortCount <= MAX_DIGITS;
        }
        if (coding == COLUMNS) {
            return more <= Math.min(width, NUMBER_BITS) && shortCount <= MAX_COLUMNS
                    && COLUMN_BYTES * shortCount <= 3 * symbolCount
                    && (more > 0 || (startWidth == 0 && bits == (long) n * width));
        }
        return coding == TEXT && width >= 1 && width <= 12 && more <= 12 && symbolCount <= NOTHING;
    }

    /** Bytes of so many bits, and eight more. */
    private static long bitBytes(long bits) {
        return ((bits + 7) >>> 3) + 8;
    }

    /** Log2 of the strings between two starts. */
    int blockShift() {
        return coding == TEXT ? 3 : 4;
    }

    int blocks() {
        return ((n - 1) >> blockShift()) + 1;
    }

    private long bitsAt(int bytes, long at, int count) {
        return data.getLong(bytes + (int) (at >>> 3)) >>> (at & 7) & ((1L << count) - 1);
    }

    /** Bits of the codes. */
    long codeBits(long at, int count) {
        return bitsAt(codes, at, count);
    }

    /** Row in a slot of the index; {@code n} or more where it is empty. */
    long slot(int slot) {
        return bitsAt(index, (long) slot * slotWidth, slotWidth);
    }

    /** The two parts of a symbol, the left one in the low 12 bits. */
    int entry(int symbol) {
        return data.getInt(symbols + 3 * symbol) & 0xFFFFFF;
    }

    /** Where the alphabet of a column begins, the bits of the number that begins here, and letters less one. */
    int column(int i) {
        return data.getInt(symbols + COLUMN_BYTES * i);
    }

    static int columnBits(int column) {
        return column >> 16 & 255;
    }

    static int columnSize(int column) {
        return (column >>> 24) + 1;
    }

    boolean isFinal(int symbol) {
        return symbol >= firstFinal && symbol < firstFinal + finalCount;
    }

    /** Start of a block as the file has it. */
    long start(int block) {
        return bitsAt(starts, (long) block * startWidth, startWidth);
    }

    private long blockOf(int row) {
        return coding == COLUMNS && firstBits == 0 ? (long) row * width : Math.min(start(row >> blockShift()), bits);
    }

    /** The number of a row in its block. */
    long number(int row) {
        long at = blockOf(row), number = codeBits(at, firstBits);
        int place = row % NUMBER_BLOCK;
        at += firstBits;
        if (place > 0 && at < bits) {
            int step = (int) codeBits(at, STEP_BITS);
            at += STEP_BITS;
            if (step <= 32 && at + (long) place * step <= bits) {
                for (int i = 0; i < place; i++, at += step) {
                    number += codeBits(at, step);
                }
            }
        }
        return number & (1L << firstBits) - 1;
    }

    /** The bit at which what follows the number of a row begins. */
    private long rest(int row) {
        int place = row % NUMBER_BLOCK, more = Math.min(n - (row - place), NUMBER_BLOCK) - 1;
        long at = blockOf(row) + firstBits;
        at += more > 0 && at < bits ? STEP_BITS + more * codeBits(at, STEP_BITS) : 0;
        return at + place * restBits;
    }

    private int code(Reader reader) {
        int found = (int) codeBits(reader.at, width + more), code = found & (1 << width) - 1;
        reader.at += width;
        if (code < shortCount) {
            return code;
        }
        reader.at += more;
        return shortCount + (code - shortCount << more) + (found >>> width);
    }

    /** Begin to read a string of a list of text or columns. */
    void begin(int row, Reader reader) {
        if (firstBits > 0) {
            reader.begin(rest(row));
            reader.number = number(row);
            return;
        }
        reader.begin(blockOf(row));
        for (int skip = coding == COLUMNS ? 0 : row & 7; skip > 0 && reader.at < bits; ) {
            skip -= isFinal(code(reader)) ? 1 : 0;
        }
    }

    /** Read the next part; false where the string has ended, or the bytes of the file make no sense. */
    boolean next(Reader reader) {
        reader.count = 0;
        if (reader.ended) {
            return false;
        }
        return coding == COLUMNS ? nextNumber(reader) : nextSymbol(reader);
    }

    /** The letters of the next number: a fraction, of whose product with the size of an alphabet a place there
     * stands before the point, and the letters that follow behind it. */
    private boolean nextNumber(Reader reader) {
        if (reader.at > bits) {
            return false;
        }
        long fraction = 0;
        for (; reader.column < shortCount; reader.column++) {
            int column = column(reader.column), count = columnBits(column);
            if (count > 0) {
                if (reader.count > 0) {
                    return true;
                }
                boolean inBlock = firstBits > 0 && reader.column == 0;
                long number = inBlock ? reader.number : codeBits(reader.at, count);
                fraction = number << NUMBER_BITS - count & PackedFile.U32_MAX;
                reader.at += inBlock ? 0 : count;
            }
            long product = fraction * columnSize(column);
            int place = (column & 0xFFFF) + (int) (product >>> NUMBER_BITS);
            fraction = product & PackedFile.U32_MAX;
            if (place >= 3 * symbolCount) {
                return false;
            }
            reader.bytes[reader.count++] = data.get(symbols + place);
        }
        reader.ended = true;
        return true;
    }

    private boolean nextSymbol(Reader reader) {
        if (reader.at >= bits) {
            return false;
        }
        int part = code(reader), depth = 0, steps = 2 * MAX_SYMBOL_BYTES;
        reader.ended = isFinal(part);
        while (true) {
            while (part < NOTHING) {
                if (part < 0 || part >= symbolCount || depth == MAX_SYMBOL_BYTES || --steps == 0) {
                    return false;
                }
                int entry = entry(part);
                reader.open[depth++] = entry >> 12;
                part = entry & 0xFFF;
            }
            if (part != NOTHING) {
                if (reader.count == MAX_SYMBOL_BYTES) {
                    return false;
                }
                reader.bytes[reader.count++] = (byte) part;
            }
            if (depth == 0) {
                break;
            }
            part = reader.open[--depth];
        }
        reader.count -= reader.ended && reader.count > 0 ? 1 : 0;
        return true;
    }

    /** Write a string into {@code scratch.bytes}; its length. */
    int copy(int row, Scratch scratch) {
        if (coding == NUMBERS) {
            return digits(number(row), scratch.bytes(MAX_DIGITS));
        }
        Reader reader = scratch.reader;
        int count = 0;
        begin(row, reader);
        while (count <= PackedFile.MAX_STRING - MAX_SYMBOL_BYTES && next(reader)) {
            System.arraycopy(reader.bytes, 0, scratch.moreBytes(count, MAX_SYMBOL_BYTES), count, reader.count);
            count += reader.count;
        }
        return count;
    }

    /** Decimal digits, at most ten; how many. */
    private int digits(long number, byte[] out) {
        int count = 1;
        for (long rest = number; rest > 9 || count < shortCount; rest /= 10) {
            count++;
        }
        for (int i = count; i > 0; i--, number /= 10) {
            out[i - 1] = (byte) ('0' + number % 10);
        }
        return count;
    }

    /** The number that an id of a list of numbers is the decimal form of; -1 where it is none. */
    long numberOf(byte[] id, int length) {
        return length < shortCount || (isPadded(id, length) && length != shortCount) ? -1 : decimal(id, length);
    }

    /** Whether digits begin with zeros that a number does not need. */
    static boolean isPadded(byte[] id, int length) {
        return length > 1 && id[0] == '0';
    }

    /** The number below 2^32 that digits make; -1 where there is none. */
    static long decimal(byte[] id, int length) {
        if (length == 0 || length > MAX_DIGITS) {
            return -1;
        }
        long value = 0;
        for (int i = 0; i < length; i++) {
            if (id[i] < '0' || id[i] > '9') {
                return -1;
            }
            value = 10 * value + (id[i] - '0');
        }
        return value <= PackedFile.U32_MAX ? value : -1;
    }

    /** Whether a row of a list of text or columns has this id. */
    boolean equal(int row, byte[] id, int length, Reader reader) {
        begin(row, reader);
        for (int done = 0; ; done += reader.count) {
            if (!next(reader)) {
                return reader.ended && done == length;
            }
            if (reader.count > length - done) {
                return false;
            }
            for (int i = 0; i < reader.count; i++) {
                if (reader.bytes[i] != id[done + i]) {
                    return false;
                }
            }
        }
    }
}
