package org.sparsedevice;

/** Which step of a slice each entry of a table of more than 256 columns stands at, as every writer has it. */
final class Windows {
    private static final int ROWS = PackedFile.SLICE_ROWS, STEPS = PackedFile.BASE_STEPS;

    /** Step of each entry. */
    final char[] places;
    private final int[] steps;
    /** Of each slice, the bases of its groups of four steps, in units of 16 columns. */
    private final byte[][] bases;

    Windows(StoredRows rows, int nRows) {
        int slices = (int) (((long) nRows + ROWS - 1) / ROWS);
        places = new char[rows.columns.length];
        steps = new int[slices];
        bases = new byte[slices][];
        byte[] room = new byte[PackedFile.MAX_DIM / STEPS];
        for (int slice = 0; slice < slices; slice++) {
            int groups = fill(rows, ROWS * slice, Math.min(ROWS, nRows - ROWS * slice), room, slice);
            bases[slice] = java.util.Arrays.copyOf(room, groups);
        }
    }

    /**
     * Group after group: its base is that of the lowest column that a row still has, and each row gives up to
     * four entries of the 256 columns from there on. Returns the number of groups.
     */
    private int fill(StoredRows rows, int first, int count, byte[] room, int slice) {
        int[] next = java.util.Arrays.copyOfRange(rows.pointers, first, first + count);
        for (int groups = 0;; groups++) {
            int lowest = PackedFile.MAX_DIM;
            for (int lane = 0; lane < count; lane++) {
                if (next[lane] < rows.pointers[first + lane + 1]) {
                    lowest = Math.min(lowest, rows.columns[next[lane]]);
                }
            }
            if (lowest == PackedFile.MAX_DIM) {
                return groups;
            }
            int base = lowest / PackedFile.BASE_COLUMNS, most = 0;
            int limit = PackedFile.BASE_COLUMNS * base + PackedFile.MAX_BYTE_DIM;
            for (int lane = 0; lane < count; lane++) {
                int given = 0, end = rows.pointers[first + lane + 1];
                for (; given < STEPS && next[lane] < end && rows.columns[next[lane]] < limit; given++) {
                    places[next[lane]++] = (char) (STEPS * groups + given);
                }
                most = Math.max(most, given);
            }
            room[groups] = (byte) base;
            steps[slice] = STEPS * groups + most;
        }
    }

    int steps(int slice) {
        return steps[slice];
    }

    /** The column from which on the columns of a step count. */
    int base(int slice, int step) {
        return PackedFile.BASE_COLUMNS * (bases[slice][step / STEPS] & 255);
    }
}
