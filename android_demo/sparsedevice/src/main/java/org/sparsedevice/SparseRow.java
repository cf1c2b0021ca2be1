package org.sparsedevice;

/** The embedding of one item: the columns that are not zero, and their values. */
public final class SparseRow {
    private final int[] columns;
    private final float[] values;
    private final int dim;

    SparseRow(int[] columns, float[] values, int dim) {
        this.columns = columns;
        this.values = values;
        this.dim = dim;
    }

    /** Active columns, rising. */
    public int[] columns() {
        return columns.clone();
    }

    /** Their values, dequantised. */
    public float[] values() {
        return values.clone();
    }

    /** Columns of the table. */
    public int dim() {
        return dim;
    }
}
