package org.sparsedevice;

import java.util.Arrays;

/**
 * From a history to a query: the weighted sum of its rows, and what the file's rule makes of it. Every number is
 * a double, and every sum has one order, so all backends come to the same bits.
 */
final class Fold {
    /** Bytes of the section of a rule. */
    static final int RULE_BYTES = 24;
    private static final int RIDGE = 1, STEPS = 2, TOWER = 3, MAX_LAYERS = 8;
    /** A step's sample takes every fourth row of blocks of 64. */
    private static final int COMB_ROWS = 16, TEETH = 4, BLOCK_ROWS = 64;
    private static final double[] POWERS = {1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1, 1};

    private final PackedFile file;
    private final RowReader reader;
    private final double[] sum, a, b, values;
    private final int[] columns;
    private int entries;
    private double scale;

    Fold(PackedFile file) {
        this.file = file;
        reader = new RowReader(file);
        sum = new double[file.dim];
        a = new double[file.dim];
        b = new double[file.dim];
        values = new double[file.dim];
        columns = new int[file.dim];
    }

    /** How many numbers the tower of a rule has, of which these are the first words; 0 where it has none. */
    static int towerNumbers(long kind, long count, long hidden, int dim) {
        if (kind != TOWER || count < 2 || count > MAX_LAYERS || hidden < 1 || hidden > dim) {
            return 0;
        }
        return (int) (hidden * (dim + 1) + (count - 2) * hidden * (hidden + 1) + dim * (hidden + 1));
    }

    /** Whether the rule is as the format says; no rule is. */
    static boolean valid(PackedFile file) {
        if (!file.has(PackedFile.FOLD_RULE)) {
            return true;
        }
        long kind = file.u32(PackedFile.FOLD_RULE, 0), count = file.u32(PackedFile.FOLD_RULE, 1);
        long rows = file.u32(PackedFile.FOLD_RULE, 2);
        float first = file.f32(PackedFile.FOLD_RULE, 3), second = file.f32(PackedFile.FOLD_RULE, 4);
        float third = file.f32(PackedFile.FOLD_RULE, 5);
        boolean twoLess = file.u32(PackedFile.FOLD_RULE, 4) == 0 && file.u32(PackedFile.FOLD_RULE, 5) == 0;
        boolean positive = first > 0 && first <= Float.MAX_VALUE && count >= 1;
        if (kind == RIDGE) {
            return positive && count <= 64 && rows == 0 && twoLess;
        }
        if (kind == TOWER) {
            return file.has(PackedFile.FOLD_TOWER) && file.u32(PackedFile.FOLD_RULE, 3) == 0 && twoLess;
        }
        return kind == STEPS && positive && count <= 16 && (count & count - 1) == 0
                && rows >= COMB_ROWS && rows <= 65536 && (rows & rows - 1) == 0
                && second > 0 && second <= 350 && third > 0 && third <= Float.MAX_VALUE
                && file.similarity == PackedFile.COSINE;
    }

    /** The query of a sorted history into {@code q}, which holds zeros; the steps use {@code query}'s tables. */
    void build(int[] history, int n, double[] q, Query query) {
        Arrays.fill(sum, 0);
        for (int i = 0; i < n; i++) {
            load(history[i]);
            add(weight(history[i]), sum);
        }
        int kind = n > 0 && file.has(PackedFile.FOLD_RULE) && valid(file)
                ? (int) file.u32(PackedFile.FOLD_RULE, 0) : 0;
        if (kind == RIDGE) {
            solve(history, n, q);
            return;
        }
        if (file.has(PackedFile.FOLD_MATRIX)) {
            addProduct(PackedFile.FOLD_MATRIX, 0, file.dim, file.dim, sum, q);
        } else {
            System.arraycopy(sum, 0, q, 0, q.length);
        }
        if (kind == STEPS) {
            refine(history, n, q, query);
        } else if (kind == TOWER) {
            climb(q);
        }
    }

    /** Dense layers, with tanh after all but the last; q at length 1 goes in and their output comes out. */
    private void climb(double[] q) {
        int count = (int) file.u32(PackedFile.FOLD_RULE, 1), hidden = (int) file.u32(PackedFile.FOLD_RULE, 2);
        if (!normalize(q)) {
            return;
        }
        double[] room = a;
        int at = 0, width = q.length;
        for (int layer = 1; layer <= count; layer++) {
            int out = layer < count ? hidden : q.length, bias = at + out * width;
            for (int i = 0; i < out; i++) {
                room[i] = file.f32(PackedFile.FOLD_TOWER, bias + i);
            }
            addProduct(PackedFile.FOLD_TOWER, at, out, width, q, room);
            for (int i = 0; i < out; i++) {
                q[i] = layer < count ? 1 - 2 / (exponential(2 * room[i]) + 1) : room[i];
            }
            at = bias + out;
            width = out;
        }
    }

    /** Gradient steps of the sampled softmax on the user's unit vector. */
    private void refine(int[] history, int n, double[] q, Query query) {
        int count = (int) file.u32(PackedFile.FOLD_RULE, 1), rows = (int) file.u32(PackedFile.FOLD_RULE, 2);
        double length = file.f32(PackedFile.FOLD_RULE, 3), sharpness = file.f32(PackedFile.FOLD_RULE, 4);
        double weight = file.f32(PackedFile.FOLD_RULE, 5);
        int combs = rows / COMB_ROWS, shift = Integer.numberOfTrailingZeros(count * combs);
        int blocks = Math.max(1, file.nItems / BLOCK_ROWS), lanes = Math.min(BLOCK_ROWS, file.nItems);
        double[] mean = sum, pull = a;
        double total = 0;
        for (int i = 0; i < n; i++) {
            total += weight(history[i]);
        }
        if (!(total > 0) || !normalize(q)) {
            return;
        }
        for (int i = 0; i < mean.length; i++) {
            mean[i] /= total;
        }
        for (int step = 0; step < count; step++) {
            double mass = 0;
            query.quantize(q);
            Arrays.fill(pull, 0);
            for (int i = 0; i < rows; i++) {
                long comb = (long) (i / COMB_ROWS * count + step) * TEETH * blocks >> shift;
                int lane = ((int) (comb % TEETH) + TEETH * (i % COMB_ROWS)) % lanes;
                int sampled = (int) (comb / TEETH) * BLOCK_ROWS + lane;
                if (Arrays.binarySearch(history, 0, n, sampled) >= 0) {
                    continue;
                }
                load(sampled);
                double e = exponential(((double) score(query) - 1) * sharpness);
                mass += e;
                add(e, pull);
            }
            double far = length * (count - step) / count;
            for (int i = 0; i < q.length; i++) {
                q[i] += far * (mean[i] - (mass > 0 ? weight * (pull[i] / mass) : 0));
            }
            if (!normalize(q)) {
                return;
            }
        }
    }

    /** Conjugate gradients on (penalty + matrix + sum of weight v v') q = sum of weight v, from 0. */
    private void solve(int[] history, int n, double[] q) {
        int count = (int) file.u32(PackedFile.FOLD_RULE, 1);
        double penalty = file.f32(PackedFile.FOLD_RULE, 3);
        double[] r = sum, p = a, ap = b;
        double square = dot(r, r);
        System.arraycopy(r, 0, p, 0, p.length);
        for (int step = 0; step < count && square > 0; step++) {
            for (int i = 0; i < p.length; i++) {
                ap[i] = penalty * p[i];
            }
            if (file.has(PackedFile.FOLD_MATRIX)) {
                addProduct(PackedFile.FOLD_MATRIX, 0, file.dim, file.dim, p, ap);
            }
            for (int i = 0; i < n; i++) {
                load(history[i]);
                add(weight(history[i]) * rowDot(p), ap);
            }
            double curvature = dot(p, ap);
            if (!(curvature > 0)) {
                return;
            }
            double alpha = square / curvature;
            for (int i = 0; i < q.length; i++) {
                q[i] += alpha * p[i];
                r[i] -= alpha * ap[i];
            }
            double after = dot(r, r), beta = after / square;
            for (int i = 0; i < p.length; i++) {
                p[i] = r[i] + beta * p[i];
            }
            square = after;
        }
    }

    private double weight(int row) {
        return file.has(PackedFile.FOLD_WEIGHTS) ? file.f32(PackedFile.FOLD_WEIGHTS, row) : 1.0;
    }

    private void load(int row) {
        reader.move(PackedFile.ITEM_POINTERS, row);
        scale = reader.scale;
        entries = 0;
        for (int i = 0; i < reader.count; i++) {
            int column = reader.column(i);
            if (column < file.dim) { // always, in a verified file
                columns[entries] = column;
                values[entries++] = file.integer() ? reader.integer(i) : reader.number(i);
            }
        }
    }

    /** The score of the loaded row, as the scan computes it. */
    private float score(Query query) {
        if (file.integer()) {
            int total = 0;
            for (int i = 0; i < entries; i++) {
                total += (int) values[i] * query.table[columns[i]];
            }
            return (float) total * reader.scale * query.scale;
        }
        float total = 0;
        for (int i = 0; i < entries; i++) {
            total += (float) values[i] * query.numbers[columns[i]];
        }
        float score = reader.scale * total * query.scale;
        return score > Float.MAX_VALUE ? Float.MAX_VALUE : score >= -Float.MAX_VALUE ? score : -Float.MAX_VALUE;
    }

    private double rowDot(double[] x) {
        double total = 0;
        for (int i = 0; i < entries; i++) {
            total += values[i] * x[columns[i]];
        }
        return scale * total;
    }

    private void add(double weight, double[] target) {
        double factor = weight * scale;
        for (int i = 0; i < entries; i++) {
            target[columns[i]] += factor * values[i];
        }
    }

    /** Add the product of a matrix, which begins at number {@code first} of a section, and x. */
    private void addProduct(int section, int first, int rows, int columns, double[] x, double[] target) {
        for (int row = 0; row < rows; row++) {
            double total = target[row];
            for (int column = 0; column < columns; column++) {
                total += (double) file.f32(section, first + row * columns + column) * x[column];
            }
            target[row] = total;
        }
    }

    private static boolean normalize(double[] q) {
        double length = Math.sqrt(dot(q, q));
        for (int i = 0; length > 0 && i < q.length; i++) {
            q[i] /= length;
        }
        return length > 0;
    }

    private static double dot(double[] x, double[] y) {
        double total = 0;
        for (int i = 0; i < x.length; i++) {
            total += x[i] * y[i];
        }
        return total;
    }

    /** e^x by the polynomial that all backends use. */
    private static double exponential(double x) {
        x = x > -700 ? Math.min(x, 700) : -700;
        double k = Math.rint(x * 1.4426950408889634);
        double r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
        double p = 1.0 / 5040;
        for (double coefficient : POWERS) {
            p = p * r + coefficient;
        }
        return p * Double.longBitsToDouble((long) ((int) k + 1023) << 52);
    }
}
