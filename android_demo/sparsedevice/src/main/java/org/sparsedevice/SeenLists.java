package org.sparsedevice;

import java.util.Arrays;

/** For each user the rows of the items seen: what a delta changes. */
final class SeenLists {
    final int[] pointers;
    final int[] rows;

    SeenLists(int[] pointers, int[] rows) {
        this.pointers = pointers;
        this.rows = rows;
    }

    static SeenLists read(PackedFile file) {
        int[] pointers = new int[file.nUsers + 1], rows = new int[(int) file.nnzSeen];
        for (int user = 0; user < file.nUsers; user++) {
            pointers[user + 1] = (int) file.end(PackedFile.SEEN_POINTERS, user, file.nnzSeen);
        }
        for (int i = 0; i < rows.length; i++) {
            rows[i] = (int) file.u32(PackedFile.SEEN_ROWS, i);
        }
        return new SeenLists(pointers, rows);
    }

    /** The base's lists with items in the new order, those that are gone left out; nothing of users that are new. */
    private static SeenLists expected(SeenLists old, RowMap items, RowMap users) {
        int n = users.base.length, count = 0;
        int[] pointers = new int[n + 1], rows = new int[old == null ? 0 : old.rows.length], news = items.inverse();
        for (int user = 0; user < n; user++) {
            int base = users.base[user];
            for (int i = old == null || base < 0 ? 0 : old.pointers[base]; i < end(old, base); i++) {
                int row = news[old.rows[i]];
                if (row >= 0) {
                    rows[count++] = row;
                }
            }
            Arrays.sort(rows, pointers[user], count);
            pointers[user + 1] = count;
        }
        return new SeenLists(pointers, rows);
    }

    private static int end(SeenLists old, int base) {
        return old == null || base < 0 ? 0 : old.pointers[base + 1];
    }

    /** Read lists: what is dropped of the expected ones, and what is added. */
    static SeenLists take(DeltaSource in, SeenLists old, RowMap items, RowMap users) {
        SeenLists expected = expected(old, items, users);
        int n = users.base.length, all = expected.pointers[n];
        int[] skips = in.planes(in.number(), 4), counts = in.planes(n, 4);
        boolean[] dropped = new boolean[all];
        long place = -1, added = 0;
        for (int skip : skips) {
            place += (skip & PackedFile.U32_MAX) + 1;
            if (place >= all) {
                throw DeltaException.body("seen item " + place + " of " + all + " is dropped");
            }
            dropped[(int) place] = true;
        }
        for (int count : counts) {
            added += count & PackedFile.U32_MAX;
        }
        int[] gaps = in.planes(added, 4), pointers = new int[n + 1];
        int[] rows = new int[DeltaSource.size((long) all - skips.length + gaps.length)];
        for (int user = 0, count = 0, next = 0; user < n; user++) {
            for (int i = expected.pointers[user]; i < expected.pointers[user + 1]; i++) {
                if (!dropped[i]) {
                    rows[count++] = expected.rows[i];
                }
            }
            long row = -1;
            for (int i = 0; i < counts[user]; i++) {
                row += (gaps[next++] & PackedFile.U32_MAX) + 1;
                if (row >= items.base.length) {
                    throw DeltaException.body("a seen list names row " + row + " of " + items.base.length);
                }
                rows[count++] = (int) row;
            }
            Arrays.sort(rows, pointers[user], count);
            pointers[user + 1] = count;
        }
        return new SeenLists(pointers, rows);
    }
}
