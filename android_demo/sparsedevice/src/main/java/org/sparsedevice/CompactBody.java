package org.sparsedevice;

import java.util.Arrays;

/** Reads what a compact file says (docs/compact.md, "Body"). No array is made that the packed file would not fill. */
final class CompactBody {
    private static final int FRONT_CODED = 0, DECIMAL = 1, MAX_DIGITS = 19;

    private final DeltaSource body;
    private final PrefixCodes codes;
    private final long packedBytes;

    /** @param packedBytes that the packed file may have */
    CompactBody(DeltaSource body, PrefixCodes codes, long packedBytes) {
        this.body = body;
        this.codes = codes;
        this.packedBytes = packedBytes;
    }

    PackedWriter read() {
        ContentHead head = ContentHead.take(body);
        PackedWriter file = head.file;
        file.putItems(takeRows(file, file.nItems), packedBytes);
        if (file.nUsers > 0) {
            file.putUsers(takeRows(file, file.nUsers), packedBytes);
        }
        takeStrings(file, PackedFile.ITEM_IDS, file.nItems);
        if (file.nUsers > 0) {
            takeStrings(file, PackedFile.USER_IDS, file.nUsers);
        }
        if (head.has(ContentHead.TITLES)) {
            takeStrings(file, PackedFile.TITLES, file.nItems);
        }
        if (head.has(ContentHead.SEEN)) {
            file.putSeen(takeSeen(file));
        }
        if (head.has(ContentHead.WEIGHTS)) {
            file.put(PackedFile.FOLD_WEIGHTS, body.planes(file.nItems, 4));
        }
        if (head.has(ContentHead.MATRIX)) {
            file.put(PackedFile.FOLD_MATRIX, body.planes((long) file.dim * file.dim, 4));
        }
        if (head.has(ContentHead.METADATA)) {
            file.put(PackedFile.METADATA, body.raw(body.number()));
        }
        if (head.has(ContentHead.RULE)) {
            byte[] rule = body.raw(Fold.RULE_BYTES);
            file.put(PackedFile.FOLD_RULE, rule);
            if (head.has(ContentHead.TOWER)) {
                file.put(PackedFile.FOLD_TOWER, body.planes(ContentHead.towerNumbers(rule, file.dim), 4));
            }
        }
        body.end();
        codes.end();
        return file;
    }

    private StoredRows takeRows(PackedWriter file, int n) {
        checkRoom("rows", n, 4);
        int[] pointers = takePointers(n, file.dim > PackedFile.MAX_BYTE_DIM ? 2 : 1);
        StoredRows rows = new StoredRows(pointers, pointers[n]);
        codes.columns(body, file.dim, rows);
        takeValues(file, rows.values);
        long follow = body.number();
        if (follow > 1 || (follow == 1 && !file.cosine)) {
            throw DeltaException.body("its scales have an unknown coding");
        }
        rows.scales = follow == 1 ? rows.inverseNorms(file.values) : body.planes(n, 4);
        return rows;
    }

    private void checkRoom(String what, long count, int width) {
        if (width * count > packedBytes) {
            throw DeltaException.body(count + " " + what + " do not fit a file of " + packedBytes + " bytes");
        }
    }

    /** Where rows begin, of their lengths: runs of equal ones, or coded bytes. */
    private int[] takePointers(int n, int columnBytes) {
        int[] lengths;
        long runs = body.number(), rows = 0, entries = 0;
        if (runs > 0) {
            int[] lengthOf = body.planes(runs, 2), counts = body.planes(runs, 4);
            for (int count : counts) {
                rows += count & PackedFile.U32_MAX;
            }
            if (rows != n) {
                throw DeltaException.body("lengths of " + rows + " rows stand where " + n + " belong");
            }
            lengths = new int[n];
            for (int run = 0, row = 0; run < counts.length; row += counts[run++]) {
                Arrays.fill(lengths, row, row + counts[run], lengthOf[run]);
            }
        } else {
            long planes = body.number();
            if (planes != 1 && planes != 2) {
                throw DeltaException.body("lengths of rows have " + planes + " bytes");
            }
            byte[] coded = codes.bytes(body, DeltaSource.size(n * planes));
            lengths = new DeltaSource(coded).planes(n, (int) planes);
        }
        int[] pointers = new int[n + 1];
        for (int row = 0; row < n; row++) {
            entries += lengths[row];
            pointers[row + 1] = (int) entries;
        }
        checkRoom("entries", entries, columnBytes);
        DeltaSource.size(entries);
        return pointers;
    }

    private void takeValues(PackedWriter file, int[] values) {
        if (file.values < PackedFile.INT8) {
            System.arraycopy(body.planes(values.length, file.width()), 0, values, 0, values.length);
            return;
        }
        boolean nibbles = file.values == PackedFile.INT4;
        byte[] stored = codes.bytes(body, nibbles ? values.length / 2 + (values.length & 1) : values.length);
        for (int i = 0; i < values.length; i++) {
            values[i] = (nibbles ? RowReader.nibble(stored[i / 2] >> 4 * (i & 1)) : stored[i]) & 255;
        }
    }

    private void takeStrings(PackedWriter file, int first, int n) {
        long coding = body.number();
        if (coding != FRONT_CODED && coding != DECIMAL) {
            throw DeltaException.body("strings have the unknown coding " + coding);
        }
        StoredStrings strings = coding == DECIMAL ? takeNumbers(n) : takeFrontCoded(n);
        TextWriter.put(file, first, strings, body.number() == 0 ? null : SymbolTable.take(body));
    }

    private StoredStrings takeNumbers(int n) {
        int[] low = body.planes(n, 4), high = body.planes(n, 4), pointers = new int[n + 1];
        byte[] bytes = new byte[DeltaSource.size((long) MAX_DIGITS * n)];
        long number = 0;
        for (int row = 0; row < n; row++) {
            long zigzag = (long) high[row] << 32 | low[row] & PackedFile.U32_MAX;
            number += zigzag >>> 1 ^ -(zigzag & 1);
            if (number < 0) {
                throw DeltaException.body("an id is a negative number");
            }
            String digits = Long.toString(number);
            for (int i = 0; i < digits.length(); i++) {
                bytes[pointers[row] + i] = (byte) digits.charAt(i);
            }
            pointers[row + 1] = pointers[row] + digits.length();
        }
        return new StoredStrings(pointers, bytes);
    }

    /** Each string is the beginning of the one before, and bytes of its own up to the end that no UTF-8 has. */
    private StoredStrings takeFrontCoded(int n) {
        int[] shared = body.planes(n, 1), pointers = new int[n + 1];
        byte[] ends = body.raw(body.number());
        long size = ends.length;
        for (int length : shared) {
            size += length;
        }
        // A code has at least one bit, and stands for at most 64 bytes.
        if (size > 8L * StringList.MAX_SYMBOL_BYTES * packedBytes) {
            throw DeltaException.body("strings do not fit a file of " + packedBytes + " bytes");
        }
        byte[] bytes = new byte[DeltaSource.size(size)];
        int at = 0;
        for (int row = 0, before = 0; row < n; row++) {
            int to = pointers[row], skip = Math.min(shared[row], to - before);
            System.arraycopy(bytes, before, bytes, to, skip);
            before = to;
            to += skip;
            while (at < ends.length && ends[at] != (byte) StringList.END) {
                bytes[to++] = ends[at++];
            }
            if (at++ >= ends.length) {
                throw DeltaException.body(row + " strings stand where " + n + " belong");
            }
            pointers[row + 1] = to;
        }
        if (at != ends.length) {
            throw DeltaException.body("more than " + n + " strings stand where " + n + " belong");
        }
        return new StoredStrings(pointers, bytes);
    }

    private SeenLists takeSeen(PackedWriter file) {
        int[] lengths = body.planes(file.nUsers, 4), pointers = new int[file.nUsers + 1];
        long all = 0;
        for (int length : lengths) {
            all += length & PackedFile.U32_MAX;
        }
        int[] gaps = body.planes(all, 4);
        for (int user = 0, i = 0; user < file.nUsers; user++) {
            long row = -1;
            pointers[user + 1] = pointers[user] + lengths[user];
            for (; i < pointers[user + 1]; i++) {
                row += (gaps[i] & PackedFile.U32_MAX) + 1;
                if (row >= file.nItems) {
                    throw DeltaException.body("a seen list names row " + row + " of " + file.nItems);
                }
                gaps[i] = (int) row;
            }
        }
        return new SeenLists(pointers, gaps);
    }
}
