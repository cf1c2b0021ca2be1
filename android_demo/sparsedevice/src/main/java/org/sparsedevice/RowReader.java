package org.sparsedevice;

import java.nio.ByteBuffer;

/** The entries of one row of a table, in any layout and coding. Reused from row to row by one thread. */
final class RowReader {
    private final PackedFile file;
    private final ByteBuffer data;
    private final boolean wide;
    /** Entries; in slices the steps, padding included. */
    int count;
    float scale;
    private boolean sliced;
    private int lane;
    private int columns, values;
    private long begin;

    RowReader(PackedFile file) {
        this.file = file;
        data = file.data;
        wide = file.dim > PackedFile.MAX_BYTE_DIM;
    }

    /** Go to a row of the table whose pointers are section {@code first}. */
    void move(int first, int row) {
        boolean items = first == PackedFile.ITEM_POINTERS;
        sliced = items && file.sliced;
        columns = file.offset(first + 1);
        values = file.offset(first + 2);
        scale = file.f32(first + 3, row);
        int run = sliced ? row / PackedFile.SLICE_ROWS : row;
        long total = sliced ? file.stored / PackedFile.SLICE_ROWS : items ? file.nnzItems : file.nnzUsers;
        begin = file.begin(first, run, total);
        count = (int) Math.min(file.end(first, run, total) - begin, file.dim);
        if (sliced) {
            lane = row % PackedFile.SLICE_ROWS;
            columns += (int) (PackedFile.SLICE_ROWS * begin);
            values += (int) (PackedFile.SLICE_ROWS * begin / (file.values == PackedFile.INT4 ? 2 : 1));
        }
    }

    /** Column of an entry as the file has it, which may be beyond {@code dim} in an unverified file. */
    int column(int place) {
        if (sliced) {
            return base(place) + (data.get(columns + sliceOffset(place)) & 255);
        }
        int entry = (int) begin + place;
        return wide ? data.getShort(columns + 2 * entry) & 0xFFFF : data.get(columns + entry) & 255;
    }

    int integer(int place) {
        if (sliced) {
            int offset = sliceOffset(place);
            return file.values == PackedFile.INT8 ? data.get(values + offset) : sliceNibble(offset);
        }
        long entry = begin + place;
        return file.values == PackedFile.INT8
                ? data.get(values + (int) entry)
                : nibble(data.get(values + (int) (entry / 2)) >> (int) (entry % 2 * 4));
    }

    float number(int place) {
        int entry = (int) begin + place;
        if (file.values == PackedFile.F32) {
            return data.getFloat(values + 4 * entry);
        }
        return file.values == PackedFile.F16 ? half(data.getShort(values + 2 * entry)) : integer(place);
    }

    /** The bits of a value as stored; int8 and int4 as a byte. */
    int bits(int place) {
        int entry = (int) begin + place;
        return file.values == PackedFile.F32 ? data.getInt(values + 4 * entry)
                : file.values == PackedFile.F16 ? data.getShort(values + 2 * entry) & 0xFFFF : integer(place) & 255;
    }

    /** Whether the entry is padding of a slice. */
    boolean padding(int place) {
        return sliced && integer(place) == 0;
    }

    /** How many entries are not padding. */
    int entries() {
        int entries = 0;
        for (int place = 0; place < count; place++) {
            entries += padding(place) ? 0 : 1;
        }
        return entries;
    }

    /** The column from which on the column of an entry of a slice counts. */
    int base(int place) {
        return file.base(begin + place / PackedFile.BASE_STEPS * PackedFile.BASE_STEPS);
    }

    private int sliceOffset(int place) {
        return sliceOffset(count, lane, place);
    }

    /** Where an entry of a lane lies in a slice of {@code count} steps. */
    static int sliceOffset(int count, int lane, int place) {
        int quads = count & ~3, pairs = count & 2;
        if (place < quads) {
            return PackedFile.SLICE_ROWS * (place & ~3) + 4 * lane + (place & 3);
        }
        if (place < quads + pairs) {
            return PackedFile.SLICE_ROWS * quads + 2 * lane + (place - quads);
        }
        return PackedFile.SLICE_ROWS * (quads + pairs) + lane;
    }

    private int sliceNibble(int offset) {
        int packed = data.get(values + nibbleByte(count, offset));
        return nibble(inHighBits(count, offset) ? packed >> 4 : packed);
    }

    /** Entries in the low bits of a unit of int4 values. */
    private static int half(int count, int offset) {
        return offset < PackedFile.SLICE_ROWS * (count & ~1) ? 64 : 32;
    }

    /** Byte of a slice of {@code count} steps of int4 values in which the entry at {@code offset} lies. */
    static int nibbleByte(int count, int offset) {
        int half = half(count, offset), inside = offset % (2 * half);
        return (offset - inside) / 2 + inside % half;
    }

    static boolean inHighBits(int count, int offset) {
        int half = half(count, offset);
        return offset % (2 * half) >= half;
    }

    /** Four-bit two's complement. */
    static int nibble(int bits) {
        return ((bits & 15) ^ 8) - 8;
    }

    static float half(short bits) {
        int sign = (bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
        if (exponent == 31) {
            return Float.intBitsToFloat(sign | 0x7F800000 | fraction << 13);
        }
        if (exponent != 0) {
            return Float.intBitsToFloat(sign | (exponent + 112) << 23 | fraction << 13);
        }
        float small = fraction * 5.9604644775390625e-8f; // 2^-24
        return sign != 0 ? -small : small;
    }
}
