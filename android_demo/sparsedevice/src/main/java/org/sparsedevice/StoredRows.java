package org.sparsedevice;

/** Rows of a table as stored, without padding: what a delta changes, and a compact file has. */
final class StoredRows {
    /** First entry of each row, and the end of the last. */
    final int[] pointers;
    final char[] columns;
    /** Bits of the values; int8 and int4 as a byte. */
    final int[] values;
    /** Bits of the scales. */
    int[] scales;

    StoredRows(int[] pointers, int entries) {
        this.pointers = pointers;
        columns = new char[entries];
        values = new int[entries];
    }

    int count(int row) {
        return pointers[row + 1] - pointers[row];
    }

    /** The table whose pointers are section {@code first}. */
    static StoredRows read(PackedFile file, int first, int n) {
        RowReader reader = new RowReader(file);
        int[] pointers = new int[n + 1];
        for (int row = 0; row < n; row++) {
            reader.move(first, row);
            pointers[row + 1] = pointers[row] + reader.entries();
        }
        StoredRows rows = new StoredRows(pointers, pointers[n]);
        rows.scales = new int[n];
        for (int row = 0; row < n; row++) {
            reader.move(first, row);
            rows.scales[row] = Float.floatToRawIntBits(reader.scale);
            for (int i = 0, at = pointers[row]; i < reader.count; i++) {
                if (!reader.padding(i)) {
                    rows.columns[at] = (char) reader.column(i);
                    rows.values[at++] = reader.bits(i);
                }
            }
        }
        return rows;
    }

    /**
     * Read the rows of the new file.
     *
     * @param old rows of the base; null where it has none of this coding
     * @param width bytes of a value
     */
    static StoredRows take(DeltaSource in, StoredRows old, RowMap map, int dim, int width, boolean integers) {
        int n = map.base.length;
        boolean[] moved = in.bits(n);
        int[] lengths = in.planes(DeltaSource.count(moved), 2);
        int[] pointers = new int[n + 1];
        long movedEntries = 0, entries = 0;
        for (int row = 0, given = 0; row < n; row++) {
            int count = moved[row] ? lengths[given++] : expected(old, map, row);
            movedEntries += moved[row] ? count : 0;
            entries += count;
            pointers[row + 1] = (int) entries;
        }
        int[] gaps = in.planes(movedEntries, 2);
        StoredRows rows = new StoredRows(pointers, DeltaSource.size(entries));
        for (int row = 0, given = 0; row < n; row++) {
            int begin = pointers[row], count = rows.count(row);
            if (!moved[row] && count > 0) {
                System.arraycopy(old.columns, old.pointers[map.base[row]], rows.columns, begin, count);
            }
            for (int i = 0, column = -1; moved[row] && i < count; i++) {
                column += gaps[given++] + 1;
                if (column >= dim) {
                    throw DeltaException.body("column " + column + " stands in a table of " + dim);
                }
                rows.columns[begin + i] = (char) column;
            }
        }
        rows.takeValues(in, old, map, width, integers);
        return rows;
    }

    private static int expected(StoredRows old, RowMap map, int row) {
        return old == null || map.base[row] < 0 ? 0 : old.count(map.base[row]);
    }

    /** Values are expected to be those of the same columns in the base's row, else 0. */
    private void takeValues(DeltaSource in, StoredRows old, RowMap map, int width, boolean integers) {
        int n = map.base.length, mask = width == 4 ? -1 : (1 << 8 * width) - 1;
        boolean[] differs = in.bits(n);
        long changed = 0;
        for (int row = 0; row < n; row++) {
            changed += differs[row] ? count(row) : 0;
        }
        int[] differences = in.planes(changed, width);
        for (int row = 0, given = 0; row < n; row++) {
            int from = expected(old, map, row) == 0 ? 0 : old.pointers[map.base[row]];
            int end = from + expected(old, map, row);
            for (int i = pointers[row]; i < pointers[row + 1]; i++) {
                while (from < end && old.columns[from] < columns[i]) {
                    from++;
                }
                int value = from < end && old.columns[from] == columns[i] ? old.values[from] : 0;
                int difference = differs[row] ? differences[given++] : 0;
                values[i] = (integers ? value + difference : value ^ difference) & mask;
            }
        }
    }

    /** Read the scales, which follow from the values or are given. */
    void takeScales(DeltaSource in, StoredRows old, RowMap map, int coding, boolean cosine) {
        long follow = in.number();
        if (follow > 1 || (follow == 1 && !cosine)) {
            throw DeltaException.body("its scales have an unknown coding");
        }
        int one = Float.floatToRawIntBits(1);
        scales = follow == 1 ? inverseNorms(coding) : map.takeWords(in, old == null ? null : old.scales, one);
    }

    /** 1 / Euclidean norm of each row, summed in order in double; 1 where that is no positive finite float. */
    int[] inverseNorms(int coding) {
        int[] scales = new int[pointers.length - 1];
        for (int row = 0; row < scales.length; row++) {
            double sum = 0;
            for (int i = pointers[row]; i < pointers[row + 1]; i++) {
                double value = coding == PackedFile.F32 ? Float.intBitsToFloat(values[i])
                        : coding == PackedFile.F16 ? RowReader.half((short) values[i]) : (byte) values[i];
                sum += value * value;
            }
            double norm = Math.sqrt(sum);
            float inverse = (float) (1.0 / (norm > 0 ? norm : 1.0));
            boolean usable = inverse > 0 && inverse <= Float.MAX_VALUE;
            scales[row] = Float.floatToRawIntBits(usable ? inverse : 1.0f);
        }
        return scales;
    }
}
