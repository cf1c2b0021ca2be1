package org.sparsedevice;

import java.util.Arrays;

/** The entropy coder's streams behind the body of a compact file (docs/compact.md, "The entropy coder"). */
final class PrefixCodes {
    private static final int STREAMS = 8, CODE_BITS = 9, SLOTS = 1 << CODE_BITS, ONLY_SYMBOL = 15, BYTES = 256;
    /** Zeros behind the last stream. */
    private static final int SLACK = 8;

    private final byte[] data;
    /** Where the streams begin that nobody has read yet. */
    private int next;

    /** The next bits of one stream, the highest of a byte first; zeros behind its end. */
    private static final class Bits {
        private final byte[] data;
        private final int begin, end;
        private int at, count;
        private long bits;

        Bits(byte[] data, int begin, int end) {
            this.data = data;
            this.begin = begin;
            this.end = end;
            at = begin;
        }

        /** The next symbol, by the table whose slots begin at {@code from}. */
        int symbol(char[] slots, int from) {
            while (count < 2 * CODE_BITS) {
                bits = bits << 8 | (at < end ? data[at] & 255 : 0);
                at++;
                count += 8;
            }
            int entry = slots[from + ((int) (bits >>> count - CODE_BITS) & SLOTS - 1)];
            count -= entry & 255;
            return entry >> 8;
        }

        /** The number that the next bits make, at most {@code CODE_BITS} of them, after a symbol. */
        int low(int width) {
            count -= width;
            return (int) (bits >>> count) & (1 << width) - 1;
        }

        /** Whether the last bit taken is in the stream's last byte. */
        boolean ended() {
            return (8L * (at - begin) - count + 7) / 8 == end - begin;
        }
    }

    /** The streams that begin at {@code from}. */
    PrefixCodes(byte[] data, int from) {
        this.data = data;
        next = from;
    }

    /** Check that nothing but zeros is left. */
    void end() {
        boolean zeros = data.length - next == SLACK;
        for (int i = next; i < data.length; i++) {
            zeros &= data[i] == 0;
        }
        if (!zeros) {
            throw DeltaException.body("its streams do not end in " + SLACK + " zeros");
        }
    }

    /** Read so many bytes, whose code and stream sizes are next in the body. */
    byte[] bytes(DeltaSource body, int count) {
        char[] slots = new char[SLOTS];
        fillTable(body.raw(BYTES), 0, BYTES, slots, 0);
        byte[] out = new byte[count];
        int stream = 0;
        for (Bits bits : streams(body)) {
            for (int i = stream++; i < count; i += STREAMS) {
                out[i] = (byte) bits.symbol(slots, 0);
            }
            checkEnd(bits);
        }
        return out;
    }

    /** Read the columns of rows whose lengths are known, coded as the body says next. */
    void columns(DeltaSource body, int dim, StoredRows rows) {
        int lowBits = Math.max(0, 24 - Integer.numberOfLeadingZeros(dim - 1)), n = rows.pointers.length - 1;
        long shift = body.number();
        if (shift < lowBits || shift > 12) {
            throw DeltaException.body("columns have the unknown coding " + shift);
        }
        int step = (int) shift, tables = (dim - 1 >> step) + 1, symbols = (dim - 1 >> lowBits) + 1;
        byte[] lengths = body.raw(tables * symbols);
        char[] slots = new char[tables * SLOTS];
        for (int table = 0; table < tables; table++) {
            fillTable(lengths, table * symbols, symbols, slots, table * SLOTS);
        }
        int stream = 0;
        for (Bits bits : streams(body)) {
            for (int row = stream++; row < n; row += STREAMS) {
                int column = -1, end = rows.pointers[row + 1];
                for (int i = rows.pointers[row]; i < end; i++) {
                    if (column >= dim - 1) {
                        throw damaged("a row has entries behind its last column");
                    }
                    int symbol = bits.symbol(slots, (column + 1 >> step) * SLOTS);
                    column += 1 + (symbol << lowBits | bits.low(lowBits));
                    rows.columns[i] = (char) column;
                }
                if (column >= dim) {
                    throw damaged("column " + column + " stands in a table of " + dim);
                }
            }
            checkEnd(bits);
        }
    }

    /** The next eight streams, whose sizes are next in the body. */
    private Bits[] streams(DeltaSource body) {
        Bits[] streams = new Bits[STREAMS];
        for (int i = 0; i < STREAMS; i++) {
            long size = body.number();
            if (size > data.length - SLACK - next) {
                throw DeltaException.body("a stream of " + size + " bytes does not lie in the file");
            }
            streams[i] = new Bits(data, next, next + (int) size);
            next += (int) size;
        }
        return streams;
    }

    private static void checkEnd(Bits bits) {
        if (!bits.ended()) {
            throw damaged("a stream does not end where its last symbol ends");
        }
    }

    private static DeltaException damaged(String message) {
        return new DeltaException("streams", "its coded numbers are damaged: " + message + "; fetch it again");
    }

    /**
     * Fill the slots of one table from {@code to} on: bits of the code, and above bit 8 the symbol. Codes are
     * canonical: shorter ones first, equally long ones in the order of their symbols.
     */
    private static void fillTable(byte[] lengths, int from, int symbols, char[] slots, int to) {
        int[] begin = new int[CODE_BITS + 1];
        int only = -1, used = 0;
        for (int symbol = 0; symbol < symbols; symbol++) {
            int length = lengths[from + symbol] & 255;
            if (length == ONLY_SYMBOL && only < 0) {
                only = symbol;
            } else if (length > CODE_BITS) {
                throw damaged("a code has " + length + " bits");
            } else if (length > 0) {
                begin[length] += SLOTS >> length;
            }
        }
        for (int length = 1; length <= CODE_BITS; length++) {
            int slotsOfLength = begin[length];
            begin[length] = used;
            used += slotsOfLength;
        }
        if (used > 0 && (used != SLOTS || only >= 0)) {
            throw damaged("code lengths make no code");
        }
        if (only >= 0) {
            Arrays.fill(slots, to, to + SLOTS, (char) (only << 8));
        }
        for (int symbol = 0; symbol < symbols && used > 0; symbol++) {
            int length = lengths[from + symbol];
            if (length > 0) {
                int first = to + begin[length];
                begin[length] += SLOTS >> length;
                Arrays.fill(slots, first, to + begin[length], (char) (symbol << 8 | length));
            }
        }
    }
}
