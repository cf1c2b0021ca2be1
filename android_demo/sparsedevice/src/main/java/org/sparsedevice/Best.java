package org.sparsedevice;

import java.util.Arrays;

/** The k best of the rows offered: kept as keys of which a larger one is a higher score, then a lower row. */
final class Best {
    private static final int SLACK = 128;

    /** Lower scores cannot enter any more. */
    float least;
    private int k;
    private int count;
    private long[] keys = new long[SLACK];

    void clear(int k) {
        this.k = k;
        count = 0;
        least = Float.NEGATIVE_INFINITY;
        if (keys.length < k + SLACK) {
            keys = new long[k + SLACK];
        }
    }

    /** Offer a row whose score is not below {@link #least}. */
    void add(float score, int row) {
        int bits = Float.floatToRawIntBits(score + 0.0f); // one zero
        keys[count++] = (long) (bits ^ bits >> 31 & 0x7FFFFFFF) << 32 | ~row & 0xFFFFFFFFL;
        if (count == k + SLACK) {
            cutBack();
        }
    }

    private void cutBack() {
        if (count <= k) {
            return;
        }
        // The first k are a heap with the smallest key on top; the others are offered to it.
        for (int i = k / 2; i-- > 0; ) {
            sift(i);
        }
        for (int i = k; i < count; i++) {
            if (keys[i] > keys[0]) {
                keys[0] = keys[i];
                sift(0);
            }
        }
        count = k;
        least = score(keys[0]);
    }

    private void sift(int root) {
        long moved = keys[root];
        for (int child; (child = 2 * root + 1) < k; root = child) {
            if (child + 1 < k && keys[child + 1] < keys[child]) {
                child++;
            }
            if (keys[child] >= moved) {
                break;
            }
            keys[root] = keys[child];
        }
        keys[root] = moved;
    }

    /** Write the best, first the best of all; returns how many. */
    int finish(Scratch scratch) {
        cutBack();
        Arrays.sort(keys, 0, count);
        scratch.results(count);
        for (int i = 0; i < count; i++) {
            long key = keys[count - 1 - i];
            scratch.rows[i] = ~(int) key;
            scratch.scores[i] = score(key);
        }
        return count;
    }

    private static float score(long key) {
        int bits = (int) (key >> 32);
        return Float.intBitsToFloat(bits ^ bits >> 31 & 0x7FFFFFFF);
    }
}
