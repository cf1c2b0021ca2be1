package org.sparsedevice;

import java.util.zip.CRC32;

/** The promises of ids and titles, in the order of the C core. */
final class TextVerifier {
    private final PackedFile file;
    private final int first;
    private final StringList list;
    private final StringList.Reader reader = new StringList.Reader();
    private final Scratch scratch = new Scratch();

    private TextVerifier(PackedFile file, int first) {
        this.file = file;
        this.first = first;
        list = new Texts(file).list(first);
    }

    /** Blocks begin where the ones before end, symbols are sound, strings are UTF-8. */
    static void checkStrings(PackedFile file, int first) {
        new TextVerifier(file, first).checkStrings();
    }

    /** The index holds each row once, and leads from each id to its row: so ids are distinct. */
    static void checkIds(PackedFile file, int first) {
        TextVerifier verifier = new TextVerifier(file, first);
        verifier.checkStrings();
        verifier.checkIndex();
    }

    private static void require(boolean kept, Promise promise) {
        Verifier.require(kept, promise);
    }

    private void checkStrings() {
        if (list.coding == StringList.TEXT) {
            require(symbolsAreSound(), Promise.STRINGS);
        } else if (list.coding == StringList.COLUMNS) {
            require(columnsAreSound(), Promise.STRINGS);
        }
        long at = 0;
        int block = 1 << list.blockShift();
        boolean blocks = list.coding != StringList.COLUMNS || list.firstBits > 0;
        for (int row = 0; row < list.n; row++) {
            if (blocks && row % block == 0) {
                require(list.start(row / block) == at && at < list.bits, Promise.POINTERS);
                at = list.firstBits > 0 ? blockEnd(row, at) : at;
            }
            if (list.coding != StringList.NUMBERS) {
                if (list.firstBits > 0) {
                    list.begin(row, reader);
                } else {
                    reader.begin(at);
                }
                checkString();
                at = list.firstBits > 0 ? at : reader.at;
            }
        }
        require(at == list.bits, Promise.POINTERS);
        int codes = file.offset(first + 1) + StringList.HEAD_BYTES + 3 * list.symbolCount;
        checkRest(file.offset(first), list.startWidth * (long) list.blocks());
        checkRest(codes, list.bits);
    }

    /** Bit behind a block of numbers, and what follows them, that begins at bit {@code at}. */
    private long blockEnd(int row, long at) {
        int count = Math.min(StringList.NUMBER_BLOCK, list.n - row), step = 0;
        at += list.firstBits;
        if (count > 1 && at < list.bits) {
            step = (int) list.codeBits(at, StringList.STEP_BITS);
            at += StringList.STEP_BITS;
        }
        require(step <= list.firstBits, Promise.STRINGS);
        return at + (count - 1) * step + count * list.restBits;
    }

    /** The string that is being read, up to its end. */
    private void checkString() {
        int count = 0;
        while (list.next(reader)) {
            System.arraycopy(reader.bytes, 0, scratch.moreBytes(count, reader.count), count, reader.count);
            count += reader.count;
            require(count <= PackedFile.MAX_STRING, Promise.STRINGS);
        }
        java.nio.ByteBuffer bytes = scratch.wrapped(count);
        require(reader.ended && Utf8.valid(bytes, 0, count), Promise.STRINGS);
    }

    private void checkRest(int bytes, long bits) {
        int last = bytes + (int) (bits >>> 3);
        require((file.data.get(last) & 255) >> (bits & 7) == 0, Promise.PADDING);
        for (int at = last + 1; at < bytes + (int) ((bits + 7) >>> 3) + 8; at++) {
            require(file.data.get(at) == 0, Promise.PADDING);
        }
    }

    private boolean columnsAreSound() {
        int width = 0;
        for (int i = 0; i < list.shortCount; i++) {
            int column = list.column(i), bits = StringList.columnBits(column);
            if (bits > StringList.NUMBER_BITS
                    || (column & 0xFFFF) + StringList.columnSize(column) > 3 * list.symbolCount) {
                return false;
            }
            width += bits;
        }
        return width == list.width && (list.firstBits == 0 || list.firstBits == StringList.columnBits(list.column(0)));
    }

    private boolean ends(int part) {
        return part >= StringList.LITERAL ? part == StringList.LITERAL + StringList.END : list.isFinal(part);
    }

    private boolean known(int part) {
        return part < list.symbolCount || part >= StringList.LITERAL;
    }

    /** Symbols stand for one byte or for two parts; the end is the last byte of those that end a string only. */
    private boolean symbolsAreSound() {
        int n = list.symbolCount, known = 0, before = -1;
        int[] bytes = new int[n];
        while (known != n && before != known) {
            before = known;
            for (int symbol = 0; symbol < n; symbol++) {
                int left = list.entry(symbol) & 0xFFF, right = list.entry(symbol) >> 12;
                boolean single = right == StringList.NOTHING;
                int last = single ? left : right;
                if (bytes[symbol] > 0) {
                    continue;
                }
                if (!known(left) || !known(last) || (single ? left < StringList.LITERAL : ends(left))
                        || ends(last) != list.isFinal(symbol)) {
                    return false;
                }
                int begin = left < StringList.LITERAL ? bytes[left] : 1;
                int end = single ? 0 : right < StringList.LITERAL ? bytes[right] : 1;
                if (begin == 0 || (end == 0 && !single)) {
                    continue;
                }
                if (begin + end > StringList.MAX_SYMBOL_BYTES) {
                    return false;
                }
                bytes[symbol] = begin + end;
                known++;
            }
        }
        return known == n;
    }

    private void checkIndex() {
        long empty = (1L << list.slotWidth) - 1;
        int filled = 0;
        for (int slot = 0; slot < list.slots; slot++) {
            long row = list.slot(slot);
            require(row < list.n || row == empty, Promise.IDS);
            filled += row < list.n ? 1 : 0;
        }
        require(filled == list.n, Promise.IDS);
        checkRest(file.offset(first + 2) + 4, (long) list.slots * list.slotWidth);
        CRC32 crc = new CRC32();
        for (int row = 0; row < list.n; row++) {
            int length = list.copy(row, scratch);
            byte[] id = scratch.bytes(length);
            for (int slot = Texts.firstSlot(id, length, list.n, crc); ; slot++) {
                require(slot < list.slots, Promise.IDS);
                long other = list.slot(slot);
                if (other == row) {
                    break;
                }
                require(other < list.n && !same((int) other, row, id, length), Promise.IDS);
            }
        }
    }

    private boolean same(int other, int row, byte[] id, int length) {
        return list.coding == StringList.NUMBERS ? list.number(other) == list.number(row)
                : list.equal(other, id, length, reader);
    }
}
