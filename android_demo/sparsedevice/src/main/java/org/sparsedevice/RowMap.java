package org.sparsedevice;

/** Which row of the base each row of the new file was; -1 for one that is new. */
final class RowMap {
    final int[] base;
    final int baseCount;

    private RowMap(int[] base, int baseCount) {
        this.base = base;
        this.baseCount = baseCount;
    }

    /** Read runs of rows that are new, or that follow one another in the base too. */
    static RowMap take(DeltaSource in, int n, int baseCount) {
        long runs = in.number();
        boolean[] isNew = in.bits(runs);
        int[] counts = in.planes(runs, 4);
        int[] jumps = in.planes(runs - DeltaSource.count(isNew), 4);
        long all = 0, added = 0;
        for (int i = 0; i < counts.length; i++) {
            all += counts[i] & PackedFile.U32_MAX;
            added += isNew[i] ? counts[i] & PackedFile.U32_MAX : 0;
        }
        // What each new row has is stored at least as its lengths, so their number is bounded by the bytes left.
        if (all != n || all - added > baseCount || added > in.left()) {
            throw DeltaException.body("its runs of rows do not make " + n + " rows");
        }
        int[] base = new int[n];
        boolean[] used = new boolean[baseCount];
        long end = 0;
        for (int run = 0, row = 0, kept = 0; run < counts.length; run++) {
            if (isNew[run]) {
                java.util.Arrays.fill(base, row, row + counts[run], -1);
                row += counts[run];
                continue;
            }
            end = end + (jumps[kept++] & PackedFile.U32_MAX) + counts[run] & PackedFile.U32_MAX;
            long begin = end - counts[run];
            if (begin < 0 || end > baseCount) {
                throw DeltaException.body("its runs of rows leave the base");
            }
            for (int old = (int) begin; old < end; old++) {
                if (used[old]) {
                    throw DeltaException.body("row " + old + " of the base is used twice");
                }
                used[old] = true;
                base[row++] = old;
            }
        }
        return new RowMap(base, baseCount);
    }

    /** The new row of each row of the base, or -1. */
    int[] inverse() {
        int[] rows = new int[baseCount];
        java.util.Arrays.fill(rows, -1);
        for (int row = 0; row < base.length; row++) {
            if (base[row] >= 0) {
                rows[base[row]] = row;
            }
        }
        return rows;
    }

    /** Read one number a row, of which those that differ from the base's are stored by exclusive or. */
    int[] takeWords(DeltaSource in, int[] old, int otherwise) {
        int[] expected = new int[base.length];
        for (int row = 0; row < base.length; row++) {
            expected[row] = old == null || base[row] < 0 ? otherwise : old[base[row]];
        }
        return takeWords(in, expected);
    }

    /** Read numbers over those that are expected. */
    static int[] takeWords(DeltaSource in, int[] expected) {
        boolean[] differs = in.bits(expected.length);
        int[] differences = in.planes(DeltaSource.count(differs), 4);
        for (int i = 0, given = 0; i < expected.length; i++) {
            expected[i] ^= differs[i] ? differences[given++] : 0;
        }
        return expected;
    }
}
