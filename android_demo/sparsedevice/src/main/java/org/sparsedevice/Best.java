package org.sparsedevice;

import java.util.Arrays;

/** The k best of the rows offered: kept as keys of which a larger one is a higher score, then a lower row. */
final class Best {
    /** Lower scores cannot enter any more. */
    float least;
    private int k;
    private int count;
    /** As soon as there are k, a heap with the smallest key on top. */
    private long[] keys = new long[16];

    void clear(int k) {
        this.k = k;
        count = 0;
        least = Float.NEGATIVE_INFINITY;
        if (keys.length < k) {
            keys = new long[k];
        }
    }

    /** Offer a row whose score is not below {@link #least}. */
    void add(float score, int row) {
        int bits = Float.floatToRawIntBits(score + 0.0f); // one zero
        long key = (long) (bits ^ bits >> 31 & 0x7FFFFFFF) << 32 | ~row & 0xFFFFFFFFL;
        if (count < k) {
            keys[count++] = key;
            for (int i = k / 2; count == k && i-- > 0; ) {
                sift(i);
            }
        } else if (key > keys[0]) {
            keys[0] = key;
            sift(0);
        }
        if (count == k) {
            least = score(keys[0]);
        }
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
