/* Scalar kernels: the reference that every other kernel equals bit by bit on the integer path. */
#include "sd_internal.h"

/* An int32 sum as a score: two float products, in this order. */
SD_INLINE float finish(int32_t sum, float row_scale, float query_scale) {
    return ((float)sum * row_scale) * query_scale;
}

/* Float scores stay finite, so that every row can be ranked. */
static float finish_number(float sum, float row_scale, float query_scale) {
    const float limit = 3.40282347e38f;
    float score = (row_scale * sum) * query_scale;
    return score > limit ? limit : score >= -limit ? score : -limit;
}

float sd_score_row(const sd_model *model, const sd_query *query, uint32_t row) {
    sd_cursor at = sd_cursor_at(model, SD_ITEMS, row);
    if (model->values >= SD_INT8) {
        int32_t sum = 0;
        for (uint32_t i = 0; i < at.count; i++)
            sum += sd_cursor_integer(&at, i) * query->table[sd_cursor_column(&at, i)];
        return finish(sum, at.scale, query->scale);
    }
    float sum = 0;
    for (uint32_t i = 0; i < at.count; i++)
        sum += sd_cursor_number(&at, i) * query->numbers[sd_cursor_column(&at, i)];
    return finish_number(sum, at.scale, query->scale);
}

/* One copy of the loop for each kind of values and width of columns; one for all with SD_SMALL. */
SD_INLINE void scan_rows(const sd_model *model, const sd_query *query, uint32_t first,
                         uint32_t count, float *scores, sd_values kind, int wide) {
    const uint8_t *columns = model->sections[SD_K_ITEM_COLUMNS];
    const uint8_t *values = model->sections[SD_K_ITEM_VALUES];
    const uint8_t *scales = model->sections[SD_K_ITEM_SCALES];
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = first + i;
        float scale = sd_f32(scales + 4 * (uint64_t)row), number_sum = 0;
        int32_t sum = 0;
        sd_range range =
            sd_clamped(model->sections[SD_K_ITEM_POINTERS], row, model->nnz_items, model->dim);
        for (uint64_t at = range.begin; at < range.begin + range.count; at++) {
            uint32_t column = wide ? sd_u16(columns + 2 * at) & (SD_MAX_DIM - 1) : columns[at];
            if (kind == SD_F32)
                number_sum += sd_f32(values + 4 * at) * query->numbers[column];
            else if (kind == SD_F16)
                number_sum += sd_f16(values + 2 * at) * query->numbers[column];
            else if (kind == SD_INT8)
                sum += (int8_t)values[at] * query->table[column];
            else
                sum += sd_nibble((uint32_t)values[at / 2] >> (at % 2 * 4)) * query->table[column];
        }
        scores[i] = kind < SD_INT8 ? finish_number(number_sum, scale, query->scale)
                                   : finish(sum, scale, query->scale);
    }
}

/* The scalar kernels write all scores, and leave comparing them to the caller. */
#define ALL_GROUPS UINT32_MAX

uint32_t sd_scan_rows_scalar(const sd_model *model, const sd_query *query, uint32_t first,
                             uint32_t count, float least, float *scores) {
    int wide = model->dim > SD_MAX_BYTE_DIM;
#ifdef SD_SMALL
    scan_rows(model, query, first, count, scores, model->values, wide);
#else
    switch (model->values) {
    case SD_F32:
        if (wide)
            scan_rows(model, query, first, count, scores, SD_F32, 1);
        else
            scan_rows(model, query, first, count, scores, SD_F32, 0);
        break;
    case SD_F16:
        if (wide)
            scan_rows(model, query, first, count, scores, SD_F16, 1);
        else
            scan_rows(model, query, first, count, scores, SD_F16, 0);
        break;
    case SD_INT8:
        if (wide)
            scan_rows(model, query, first, count, scores, SD_INT8, 1);
        else
            scan_rows(model, query, first, count, scores, SD_INT8, 0);
        break;
    case SD_INT4:
        if (wide)
            scan_rows(model, query, first, count, scores, SD_INT4, 1);
        else
            scan_rows(model, query, first, count, scores, SD_INT4, 0);
        break;
    }
#endif
    (void)least;
    return ALL_GROUPS;
}

/* Entries of one lane group of a slice: `width` of each of 64 rows. */
static void add_group(const int8_t *table, const uint8_t *columns, const int8_t *values,
                      uint32_t width, int32_t *sums) {
    for (uint32_t lane = 0; lane < SD_SLICE_ROWS; lane++)
        for (uint32_t i = 0; i < width; i++)
            sums[lane] += values[lane * width + i] * table[columns[lane * width + i]];
}

/* `count` entries of int4 values that lie in units of `unit` entries. */
static void widen(const uint8_t *packed, uint32_t count, uint32_t unit, int8_t *values) {
    uint32_t half = unit / 2;
    for (uint32_t i = 0; i < count; i += unit)
        for (uint32_t j = 0; j < half; j++) {
            uint8_t byte = packed[i / 2 + j];
            values[i + j] = (int8_t)sd_nibble(byte);
            values[i + half + j] = (int8_t)sd_nibble((uint32_t)byte >> 4);
        }
}

uint32_t sd_scan_slices_scalar(const sd_model *model, const sd_query *query, uint32_t first,
                               uint32_t count, float least, float *scores) {
    const uint8_t *scales = model->sections[SD_K_ITEM_SCALES] + 4 * (uint64_t)first;
    const uint8_t *bases = sd_bases(model);
    int half = model->values == SD_INT4;
    for (uint32_t done = 0; done < count; done += SD_SLICE_ROWS) {
        sd_range range =
            sd_clamped(model->sections[SD_K_ITEM_POINTERS], (first + done) / SD_SLICE_ROWS,
                       model->stored / SD_SLICE_ROWS, model->dim);
        const uint8_t *columns = model->sections[SD_K_ITEM_COLUMNS] + SD_SLICE_ROWS * range.begin;
        const uint8_t *values =
            model->sections[SD_K_ITEM_VALUES] + (SD_SLICE_ROWS * range.begin >> half);
        int32_t sums[SD_SLICE_ROWS] = {0};
        int8_t wide[4 * SD_SLICE_ROWS];
        for (uint32_t left = range.count; left;) {
            uint32_t width = left >= 4 ? 4 : left >= 2 ? 2 : 1;
            uint32_t entries = width * SD_SLICE_ROWS;
            if (half)
                widen(values, entries, width > 1 ? 128 : 64, wide);
            const int8_t *table = query->table;
            if (bases)
                table += sd_base(bases + range.begin, range.count - left);
            add_group(table, columns, half ? wide : (const int8_t *)values, width, sums);
            columns += entries;
            values += half ? entries / 2 : entries;
            left -= width;
        }
        for (uint32_t lane = 0; lane < SD_SLICE_ROWS; lane++)
            scores[done + lane] =
                finish(sums[lane], sd_f32(scales + 4 * (done + lane)), query->scale);
    }
    (void)least;
    return ALL_GROUPS;
}

uint32_t sd_collect_scalar(const float *scores, float least, uint32_t first, uint64_t *keys) {
    uint32_t taken = 0;
    for (uint32_t i = 0; i < SD_SLICE_ROWS; i++)
        if (scores[i] >= least)
            keys[taken++] = sd_key(scores[i], first + i);
    return taken;
}
