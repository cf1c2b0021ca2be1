package org.sparsedevice;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.util.zip.CRC32;

/** Every promise of the format that head and section table alone do not show, in the order of the C core. */
final class Verifier {
    private final PackedFile file;
    private final ByteBuffer data;

    private Verifier(PackedFile file) {
        this.file = file;
        data = file.data;
    }

    /**
     * Check a file in time linear in its size.
     *
     * @throws PackedFileException naming the broken promise
     */
    static void verify(PackedFile file) {
        Verifier verifier = new Verifier(file);
        verifier.checkPadding();
        verifier.checkChecksums();
        verifier.checkTables();
        if (file.nUsers > 0) {
            TextVerifier.checkIds(file, PackedFile.USER_IDS);
        }
        verifier.checkSeen();
        TextVerifier.checkIds(file, PackedFile.ITEM_IDS);
        if (file.has(PackedFile.TITLES)) {
            TextVerifier.checkStrings(file, PackedFile.TITLES);
        }
        verifier.checkFloats(PackedFile.FOLD_WEIGHTS, false, Promise.FOLD_IN);
        verifier.checkFloats(PackedFile.FOLD_MATRIX, false, Promise.FOLD_IN);
        verifier.checkFloats(PackedFile.FOLD_TOWER, false, Promise.FOLD_IN);
        require(Fold.valid(file), Promise.FOLD_IN);
        require(Metadata.read(file) != null, Promise.METADATA);
    }

    static void require(boolean kept, Promise promise) {
        if (!kept) {
            throw new PackedFileException(promise);
        }
    }

    private static boolean finite(float value) {
        return value - value == 0;
    }

    private void checkPadding() {
        int end = file.tableEnd;
        for (int kind = 1; kind <= PackedFile.KINDS; kind++) {
            if (!file.has(kind)) {
                continue;
            }
            for (int at = end; at < file.offset(kind); at++) {
                require(data.get(at) == 0, Promise.PADDING);
            }
            end = file.offset(kind) + file.length(kind);
        }
        if (file.values == PackedFile.INT4) {
            require(file.sliced || lastNibbleIsZero(PackedFile.ITEM_VALUES, file.nnzItems), Promise.PADDING);
            require(lastNibbleIsZero(PackedFile.USER_POINTERS + 2, file.nnzUsers), Promise.PADDING);
        }
    }

    private boolean lastNibbleIsZero(int kind, long entries) {
        return (entries & 1) == 0 || (data.get(file.offset(kind) + (int) (entries / 2)) & 0xF0) == 0;
    }

    private void checkChecksums() {
        byte[] block = new byte[1 << 14];
        ByteBuffer view = data.duplicate();
        for (int kind = 1; kind <= PackedFile.KINDS; kind++) {
            if (!file.has(kind)) {
                continue;
            }
            CRC32 crc = new CRC32();
            ((Buffer) view).position(file.offset(kind));
            for (int left = file.length(kind); left > 0; ) {
                int part = Math.min(left, block.length);
                view.get(block, 0, part);
                crc.update(block, 0, part);
                left -= part;
            }
            require((int) crc.getValue() == file.checksum(kind), Promise.CHECKSUM);
        }
    }

    private void checkPointers(int kind, int count, long total) {
        require(file.u32(kind, 0) == 0 && file.u32(kind, count) == total, Promise.POINTERS);
        for (int i = 0; i < count; i++) {
            require(file.u32(kind, i) <= file.u32(kind, i + 1), Promise.POINTERS);
        }
    }

    private void checkTables() {
        if (file.sliced) {
            checkSlices();
        } else {
            checkRows(PackedFile.ITEM_POINTERS, file.nItems, file.nnzItems);
        }
        checkFloats(PackedFile.ITEM_SCALES, true, Promise.SCALES);
        checkOrder();
        if (file.nUsers > 0) {
            checkRows(PackedFile.USER_POINTERS, file.nUsers, file.nnzUsers);
            checkFloats(PackedFile.USER_SCALES, true, Promise.SCALES);
        }
    }

    private void checkRows(int first, int n, long nnz) {
        checkPointers(first, n, nnz);
        RowReader reader = new RowReader(file);
        for (int row = 0; row < n; row++) {
            require(file.u32(first, row + 1) - file.u32(first, row) <= file.dim, Promise.COLUMNS);
            reader.move(first, row);
            checkRow(reader);
        }
    }

    private void checkSlices() {
        int first = PackedFile.ITEM_POINTERS;
        checkPointers(first, file.nSlices, file.stored / PackedFile.SLICE_ROWS);
        RowReader reader = new RowReader(file);
        long entries = 0;
        for (int slice = 0; slice < file.nSlices; slice++) {
            long steps = file.u32(first, slice + 1) - file.u32(first, slice);
            require(steps <= file.dim, Promise.POINTERS);
            checkBases(file.u32(first, slice), steps);
            int longest = 0;
            for (int lane = 0; lane < PackedFile.SLICE_ROWS; lane++) {
                int row = slice * PackedFile.SLICE_ROWS + lane;
                reader.move(first, row);
                int count = checkRow(reader);
                require(count == 0 || row < file.nItems, Promise.PADDING);
                longest = Math.max(longest, count);
                entries += count;
            }
            require(longest == steps || file.hasBases(), Promise.POINTERS);
        }
        require(entries == file.nnzItems, Promise.VALUES);
    }

    /** Rows of slices of up to 256 columns stand in order: by length, class, and upper bits of the scale. */
    private void checkOrder() {
        RowReader reader = new RowReader(file);
        long last = 0;
        for (int row = 0; row < file.nItems && file.sliced && !file.hasBases(); row++) {
            reader.move(PackedFile.ITEM_POINTERS, row);
            int count = reader.count, kind = 0, half = PackedFile.HALVED_DIM / 2;
            while (count > 0 && reader.padding(count - 1)) {
                count--;
            }
            if (file.dim <= PackedFile.HALVED_DIM && ((count & 3) == 0 || reader.column(count & ~3) >= half)) {
                kind = count < 4 || reader.column(3) < half ? 1 : 2;
            }
            int bucket = Float.floatToRawIntBits(reader.scale) >>> PackedFile.BUCKET_BITS;
            long key = (long) (file.dim - count) << 32 | kind << 16 | bucket;
            require(key >= last, Promise.COLUMNS);
            last = key;
        }
    }

    private void checkBases(long begin, long steps) {
        for (int step = 0; file.hasBases() && step < steps; step++) {
            int base = file.base(begin + step);
            require(base < file.dim && base == file.base(begin + step / PackedFile.BASE_STEPS * PackedFile.BASE_STEPS),
                    Promise.COLUMNS);
        }
    }

    /** Entries of the row. */
    private int checkRow(RowReader reader) {
        int last = -1, count = 0;
        boolean padding = false;
        for (int i = 0; i < reader.count; i++) {
            int column = reader.column(i);
            if (reader.padding(i)) {
                require(column == reader.base(i), Promise.PADDING);
                padding = !file.hasBases();
                continue;
            }
            require(!padding, Promise.PADDING);
            require(column < file.dim && column > last, Promise.COLUMNS);
            if (file.integer()) {
                int value = reader.integer(i);
                require(value != 0 && value != (file.values == PackedFile.INT8 ? -128 : -8), Promise.VALUES);
            } else {
                float value = reader.number(i);
                require(value != 0 && finite(value), Promise.VALUES);
            }
            last = column;
            count++;
        }
        return count;
    }

    private void checkFloats(int kind, boolean positive, Promise promise) {
        for (int i = 0; file.has(kind) && i < file.length(kind) / 4; i++) {
            float value = file.f32(kind, i);
            require(finite(value) && (!positive || value > 0), promise);
        }
    }

    private void checkSeen() {
        if (!file.has(PackedFile.SEEN_ROWS)) {
            return;
        }
        checkPointers(PackedFile.SEEN_POINTERS, file.nUsers, file.nnzSeen);
        for (int user = 0; user < file.nUsers; user++) {
            long last = -1;
            for (long i = file.u32(PackedFile.SEEN_POINTERS, user);
                    i < file.u32(PackedFile.SEEN_POINTERS, user + 1); i++) {
                long row = file.u32(PackedFile.SEEN_ROWS, (int) i);
                require(row < file.nItems && row > last, Promise.SEEN);
                last = row;
            }
        }
    }
}
