package org.sparsedevice;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.util.zip.CRC32;

/** Writes a packed file from its sections, byte for byte as every writer does. */
final class PackedWriter {
    static final byte[] MAGIC = {(byte) 0x93, 'S', 'D', 'V', '\r', '\n', 0x1A, '\n'};
    private static final int HEADER_BYTES = 64, ENTRY_BYTES = 24;

    final int nItems, nUsers, dim, values;
    final boolean sliced, cosine;
    private final byte[][] parts = new byte[PackedFile.KINDS + 1][];
    private int nnzItems, nnzUsers, nnzSeen;

    PackedWriter(int nItems, int nUsers, int dim, int values, boolean sliced, boolean cosine) {
        this.nItems = nItems;
        this.nUsers = nUsers;
        this.dim = dim;
        this.values = values;
        this.sliced = sliced;
        this.cosine = cosine;
    }

    /** Bytes of a stored value; two of int4 share one. */
    int width() {
        return values == PackedFile.F32 ? 4 : values == PackedFile.F16 ? 2 : 1;
    }

    private static ByteBuffer room(long bytes) {
        return ByteBuffer.allocate(DeltaSource.size(bytes)).order(ByteOrder.LITTLE_ENDIAN);
    }

    void put(int kind, byte[] part) {
        parts[kind] = part;
    }

    void put(int kind, int[] numbers) {
        ByteBuffer part = room(4L * numbers.length);
        part.asIntBuffer().put(numbers);
        parts[kind] = part.array();
    }

    void putSeen(SeenLists seen) {
        nnzSeen = seen.rows.length;
        put(PackedFile.SEEN_POINTERS, seen.pointers);
        put(PackedFile.SEEN_ROWS, seen.rows);
    }

    /** @param most bytes that the file may have */
    void putItems(StoredRows rows, long most) {
        nnzItems = rows.values.length;
        if (sliced) {
            putSlices(rows, most);
        } else {
            putRows(PackedFile.ITEM_POINTERS, rows, most);
        }
    }

    void putUsers(StoredRows rows, long most) {
        nnzUsers = rows.values.length;
        putRows(PackedFile.USER_POINTERS, rows, most);
    }

    private void putRows(int first, StoredRows rows, long most) {
        int count = rows.values.length;
        boolean wide = dim > PackedFile.MAX_BYTE_DIM;
        checkRoom((wide ? 2L : 1L) * count, most);
        ByteBuffer columns = room((wide ? 2L : 1L) * count);
        boolean nibbles = values == PackedFile.INT4;
        ByteBuffer stored = room(nibbles ? (count + 1L) / 2 : (long) width() * count);
        for (int i = 0; i < count; i++) {
            if (wide) {
                columns.putShort((short) rows.columns[i]);
            } else {
                columns.put((byte) rows.columns[i]);
            }
            if (nibbles) {
                stored.put(i / 2, (byte) (stored.get(i / 2) | (rows.values[i] & 15) << 4 * (i & 1)));
            } else if (width() == 1) {
                stored.put((byte) rows.values[i]);
            } else if (width() == 2) {
                stored.putShort((short) rows.values[i]);
            } else {
                stored.putInt(rows.values[i]);
            }
        }
        put(first, rows.pointers);
        put(first + 1, columns.array());
        put(first + 2, stored.array());
        put(first + 3, rows.scales);
    }

    private static void checkRoom(long bytes, long most) {
        if (bytes > most) {
            throw DeltaException.body("its rows do not fit the " + most + " bytes that it promises");
        }
    }

    private void putSlices(StoredRows rows, long most) {
        int slices = (int) (((long) nItems + PackedFile.SLICE_ROWS - 1) / PackedFile.SLICE_ROWS);
        int[] pointers = new int[slices + 1];
        int[] scales = new int[DeltaSource.size((long) PackedFile.SLICE_ROWS * slices)];
        java.util.Arrays.fill(scales, Float.floatToRawIntBits(1));
        System.arraycopy(rows.scales, 0, scales, 0, nItems);
        Windows windows = dim > PackedFile.MAX_BYTE_DIM ? new Windows(rows, nItems) : null;
        long steps = 0;
        for (int slice = 0; slice < slices; slice++) {
            int last = Math.min(nItems, PackedFile.SLICE_ROWS * (slice + 1)), longest = 0;
            for (int row = PackedFile.SLICE_ROWS * slice; row < last; row++) {
                longest = Math.max(longest, rows.count(row));
            }
            steps += windows != null ? windows.steps(slice) : longest;
            checkRoom(PackedFile.SLICE_ROWS * steps, most);
            pointers[slice + 1] = (int) steps;
        }
        boolean nibbles = values == PackedFile.INT4;
        byte[] columns = room(PackedFile.SLICE_ROWS * steps).array();
        byte[] stored = nibbles ? new byte[columns.length / 2] : new byte[columns.length];
        for (int row = 0; row < nItems; row++) {
            int slice = row / PackedFile.SLICE_ROWS, begin = PackedFile.SLICE_ROWS * pointers[slice];
            int count = pointers[slice + 1] - pointers[slice];
            for (int i = rows.pointers[row]; i < rows.pointers[row + 1]; i++) {
                int place = windows != null ? windows.places[i] : i - rows.pointers[row];
                int offset = RowReader.sliceOffset(count, row % PackedFile.SLICE_ROWS, place);
                int value = rows.values[i], base = windows != null ? windows.base(slice, place) : 0;
                columns[begin + offset] = (byte) (rows.columns[i] - base);
                if (nibbles) {
                    int at = begin / 2 + RowReader.nibbleByte(count, offset);
                    stored[at] |= (value & 15) << (RowReader.inHighBits(count, offset) ? 4 : 0);
                } else {
                    stored[begin + offset] = (byte) value;
                }
            }
        }
        put(PackedFile.ITEM_POINTERS, pointers);
        if (windows != null) {
            ByteBuffer both = room(4L * pointers.length + steps);
            both.put(parts[PackedFile.ITEM_POINTERS]);
            for (int slice = 0; slice < slices; slice++) {
                for (int step = 0; step < windows.steps(slice); step++) {
                    both.put((byte) (windows.base(slice, step) / PackedFile.BASE_COLUMNS));
                }
            }
            put(PackedFile.ITEM_POINTERS, both.array());
        }
        put(PackedFile.ITEM_COLUMNS, columns);
        put(PackedFile.ITEM_VALUES, stored);
        put(PackedFile.ITEM_SCALES, scales);
    }

    /** Write the file, and check that it has a sha256. */
    void write(OutputStream out, byte[] sha256) throws IOException {
        MessageDigest digest = Delta.sha256();
        write(new DigestOutputStream(out, digest));
        if (!MessageDigest.isEqual(digest.digest(), sha256)) {
            throw new DeltaException("result", "it does not give the model that it promises; fetch it again");
        }
    }

    /** Write head, section table and sections. */
    private void write(OutputStream out) throws IOException {
        int sections = 0;
        for (byte[] part : parts) {
            sections += part == null ? 0 : 1;
        }
        ByteBuffer head = room(HEADER_BYTES + (long) ENTRY_BYTES * sections);
        head.put(MAGIC).putInt(1).putInt(0x0A0B0C0D).putInt(nItems).putInt(nUsers).putInt(dim);
        head.put((byte) values).put((byte) (sliced ? 1 : 0)).put((byte) (cosine ? 0 : 1)).put(PackedFile.flags(sliced, dim));
        head.putLong(nnzItems).putLong(nnzUsers).putLong(nnzSeen).putInt(sections).putInt(0);
        long end = head.capacity();
        CRC32 crc = new CRC32();
        for (int kind = 1; kind < parts.length; kind++) {
            if (parts[kind] != null) {
                end = end + 63 & ~63L;
                crc.reset();
                crc.update(parts[kind], 0, parts[kind].length);
                head.putInt(kind).putInt((int) crc.getValue()).putLong(end).putLong(parts[kind].length);
                end += parts[kind].length;
            }
        }
        crc.reset();
        crc.update(head.array(), 0, head.capacity());
        head.putInt(HEADER_BYTES - 4, (int) crc.getValue());
        out.write(head.array());
        end = head.capacity();
        for (byte[] part : parts) {
            if (part != null) {
                out.write(new byte[(int) (-end & 63)]);
                out.write(part);
                end = (end + 63 & ~63L) + part.length;
            }
        }
    }
}
