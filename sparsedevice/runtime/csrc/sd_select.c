/* Sorting rows, and choosing and sorting the largest keys of scored rows. No loop can be made
 * quadratic. */
#include "sd_internal.h"

static void sift_rows(uint32_t *rows, uint32_t root, uint32_t count) {
    uint32_t moved = rows[root];
    for (uint32_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && rows[child + 1] > rows[child])
            child++;
        if (rows[child] <= moved)
            break;
        rows[root] = rows[child];
    }
    rows[root] = moved;
}

uint32_t sd_sort_unique(uint32_t *rows, uint32_t count) {
    if (count < 2)
        return count;
    for (uint32_t i = count / 2; i-- > 0;)
        sift_rows(rows, i, count);
    for (uint32_t end = count; --end > 0;) {
        uint32_t top = rows[0];
        rows[0] = rows[end];
        rows[end] = top;
        sift_rows(rows, 0, end);
    }
    uint32_t kept = 1;
    for (uint32_t i = 1; i < count; i++)
        if (rows[i] != rows[kept - 1])
            rows[kept++] = rows[i];
    return kept;
}

/* Heap with its smallest key on top. */
static void sift_keys(uint64_t *keys, uint32_t root, uint32_t count) {
    uint64_t moved = keys[root];
    for (uint64_t child; (child = 2 * (uint64_t)root + 1) < count; root = (uint32_t)child) {
        if (child + 1 < count && keys[child + 1] < keys[child])
            child++;
        if (keys[child] >= moved)
            break;
        keys[root] = keys[child];
    }
    keys[root] = moved;
}

/* The k largest keys first, in time that no order of keys can make quadratic. */
static void select_by_heap(uint64_t *keys, uint32_t count, uint32_t k) {
    for (uint32_t i = k / 2; i-- > 0;)
        sift_keys(keys, i, k);
    for (uint32_t i = k; i < count; i++)
        if (keys[i] > keys[0]) {
            uint64_t out = keys[0];
            keys[0] = keys[i];
            keys[i] = out;
            sift_keys(keys, 0, k);
        }
}

/* Larger keys than a pivot before it, smaller ones after it; returns its place. No branch depends
 * on a key. */
static uint32_t partition(uint64_t *keys, uint32_t count) {
    uint64_t a = keys[0], b = keys[count / 2], c = keys[count - 1];
    uint32_t middle = (a < b) == (b < c) ? count / 2 : (b < a) == (a < c) ? 0 : count - 1;
    uint64_t pivot = keys[middle];
    uint32_t larger = 0;
    keys[middle] = keys[count - 1];
    for (uint32_t i = 0; i + 1 < count; i++) {
        uint64_t key = keys[i];
        keys[i] = keys[larger];
        keys[larger] = key;
        larger += key > pivot;
    }
    keys[count - 1] = keys[larger];
    keys[larger] = pivot;
    return larger;
}

void sd_select_keys(uint64_t *keys, uint32_t count, uint32_t k) {
    for (uint32_t tries = 48; k && count > k; tries--) {
        if (!tries) {
            select_by_heap(keys, count, k);
            break;
        }
        uint32_t place = partition(keys, count);
        if (place >= k) {
            count = place;
            continue;
        }
        keys += place + 1;
        count -= place + 1;
        k -= place + 1;
    }
}

void sd_sort_keys(uint64_t *keys, uint32_t count) {
    while (count > 16) {
        uint32_t place = partition(keys, count), after = count - place - 1;
        if (place < count / 8 || after < count / 8) { /* an unlucky pivot */
            for (uint32_t i = count / 2; i-- > 0;)
                sift_keys(keys, i, count);
            for (uint32_t end = count; end > 1;) {
                uint64_t top = keys[0];
                keys[0] = keys[--end];
                keys[end] = top;
                sift_keys(keys, 0, end);
            }
            return;
        }
        sd_sort_keys(keys + place + 1, after);
        count = place;
    }
    for (uint32_t i = 1; i < count; i++) {
        uint64_t key = keys[i];
        uint32_t j = i;
        for (; j && keys[j - 1] < key; j--)
            keys[j] = keys[j - 1];
        keys[j] = key;
    }
}
