/* What the order of rows says of slices before they are read (docs/format.md, "Slices"). */
#ifndef SD_RUN_H
#define SD_RUN_H

#include "sd_internal.h"

#if defined(SD_NEON) || defined(SD_WASM_SIMD)
/* Slices side by side whose rows all have one length and one class. */
typedef struct run {
    const uint8_t *columns, *values;
    uint64_t begin;         /* first step */
    uint32_t slices, steps; /* of each slice */
    int even;               /* 0: one slice of which nothing is known */
    uint32_t kind;          /* sd_row_class */
} run;

SD_INLINE uint32_t class_of_lane(const uint8_t *columns, uint32_t steps, uint32_t lane) {
    uint32_t rest = 64u * (steps & ~3u) + (steps & 2 ? 2 * lane : lane);
    return sd_row_class(steps > 3 ? columns[4 * lane + 3] : 0, steps & 3 ? columns[rest] : 63);
}

/* The `left` slices from `first` on, or half of them, a quarter and so on, of which the first and
 * the last row say that all rows between them are alike, which is so because rows are sorted
 * (docs/format.md, "Slices"). */
SD_INLINE run find_run(const sd_model *model, uint32_t first, uint32_t left, int nibbles) {
    const int classes = model->dim <= SD_HALVED_DIM; /* else rows are not sorted by them */
    const uint8_t *pointers = model->sections[SD_K_ITEM_POINTERS];
    uint64_t total = model->stored / SD_SLICE_ROWS;
    sd_range range = sd_clamped(pointers, first, total, model->dim);
    run found = {0};
    found.begin = range.begin;
    found.steps = range.count;
    found.columns = model->sections[SD_K_ITEM_COLUMNS] + SD_SLICE_ROWS * range.begin;
    found.values = model->sections[SD_K_ITEM_VALUES] + (SD_SLICE_ROWS * range.begin >> nibbles);
    found.slices = 1;
    if (model->dim > SD_MAX_BYTE_DIM || !range.count)
        return found;
    uint32_t kind = classes ? class_of_lane(found.columns, range.count, 0) : 0;
    for (uint32_t slices = left; slices; slices /= 2) {
        sd_range last = sd_clamped(pointers, first + slices - 1, total, model->dim);
        uint64_t steps = (uint64_t)slices * range.count;
        if (last.begin + last.count != range.begin + steps || last.count != range.count)
            continue;
        uint32_t end = found.values[(SD_SLICE_ROWS * steps >> nibbles) - 1];
        if (!(nibbles ? end >> 4 : end)) /* not all are so long */
            continue;
        const uint8_t *columns = found.columns + SD_SLICE_ROWS * (steps - range.count);
        if (classes && class_of_lane(columns, range.count, 63) != kind)
            continue;
        found.slices = slices;
        found.even = 1;
        found.kind = kind;
        return found;
    }
    return found;
}

/* A number that no scale of a slice of rows that are alike is above: the last row has the largest
 * upper bits. */
SD_INLINE float scale_edge(const uint8_t *scales) {
    uint32_t bits = sd_u16(scales + 4 * SD_SLICE_ROWS - 2) | ((1u << (SD_BUCKET_BITS - 16)) - 1);
    return sd_bits_float((bits + 1) << 16);
}

#endif
#endif
