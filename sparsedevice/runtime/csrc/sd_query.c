/* From a history, a user or an item to a query (docs/architecture.md, "Scores, exactly"). */
#include "sd_internal.h"

#if !defined(__GNUC__) && !defined(__clang__)
#include <math.h>
#endif

void *sd_take(sd_arena *arena, uint64_t bytes) {
    uint64_t skip = (uint64_t)(-(uintptr_t)arena->next & 63u);
    if (arena->left < skip || arena->left - skip < bytes)
        return NULL;
    uint8_t *taken = arena->next + skip;
    arena->next = taken + bytes;
    arena->left -= skip + bytes;
    return taken;
}

sd_cursor sd_cursor_at(const sd_model *model, sd_table table, uint32_t row) {
    uint32_t first = table == SD_ITEMS ? SD_K_ITEM_POINTERS : SD_K_USER_POINTERS;
    sd_cursor at = {0};
    at.kind = model->values;
    at.layout = table == SD_ITEMS ? model->layout : SD_CSR;
    at.wide = model->dim > SD_MAX_BYTE_DIM;
    at.columns = model->sections[first + 1];
    at.values = model->sections[first + 2];
    at.scale = sd_f32(model->sections[first + 3] + 4 * (uint64_t)row);
    if (at.layout == SD_CSR) {
        uint64_t total = table == SD_ITEMS ? model->nnz_items : model->nnz_users;
        sd_range range = sd_clamped(model->sections[first], row, total, model->dim);
        at.begin = range.begin;
        at.count = range.count;
        return at;
    }
    sd_range range = sd_clamped(model->sections[first], row / SD_SLICE_ROWS,
                                model->stored / SD_SLICE_ROWS, model->dim);
    at.count = range.count;
    at.lane = row % SD_SLICE_ROWS;
    at.columns += SD_SLICE_ROWS * range.begin;
    at.bases = at.wide ? sd_bases(model) + range.begin : NULL;
    at.values += SD_SLICE_ROWS * range.begin >> (model->values == SD_INT4);
    return at;
}

sd_status sd_row(const sd_model *model, sd_table table, uint32_t row, uint16_t *columns,
                 float *values, uint32_t *count) {
    *count = 0;
    if (row >= (table == SD_ITEMS ? model->n_items : model->n_users))
        return SD_BAD_ROW;
    sd_cursor at = sd_cursor_at(model, table, row);
    for (uint32_t i = 0; i < at.count; i++) {
        float value = sd_cursor_number(&at, i);
        if (at.layout == SD_SLICED) {
            int32_t integer = sd_cursor_integer(&at, i);
            if (integer == 0)
                continue; /* padding */
            value = (float)integer;
        }
        columns[*count] = (uint16_t)sd_cursor_column(&at, i);
        values[*count] = value * at.scale;
        ++*count;
    }
    return SD_OK;
}

static double magnitude(double x) { return x < 0 ? -x : x; }

/* Half to even, for |x| <= 2^51. */
int32_t sd_round_even(double x) {
    volatile double shifted = x + SD_ROUNDING_SHIFT;
    return (int32_t)(shifted - SD_ROUNDING_SHIFT);
}

static uint32_t table_entries(const sd_model *model) {
    return model->dim <= SD_MAX_BYTE_DIM ? SD_MAX_BYTE_DIM : SD_MAX_DIM + SD_MAX_BYTE_DIM;
}

/* One instruction, rounded right. (__builtin_sqrt is that too, but where the compiler has to set
 * errno, as it does without -fno-math-errno, it also calls the C library.) */
double sd_square_root(double x) {
#if defined(SD_X86)
    __asm__("sqrtsd %1, %0" : "=x"(x) : "x"(x));
    return x;
#elif defined(__aarch64__)
    __asm__("fsqrt %d0, %d1" : "=w"(x) : "w"(x));
    return x;
#elif defined(__arm__) && defined(__ARM_FP) && (__ARM_FP & 8)
    __asm__("vsqrt.f64 %P0, %P1" : "=w"(x) : "w"(x));
    return x;
#elif defined(__GNUC__) || defined(__clang__)
    return __builtin_sqrt(x);
#else
    return sqrt(x);
#endif
}

void sd_quantize(const sd_model *model, const double *q, sd_query *query, void *memory) {
    uint32_t dim = model->dim, entries = table_entries(model);
    int integer = model->values >= SD_INT8;
    int8_t *table = memory;
    float *numbers = memory;
    double amax = 0;
    query->table = integer ? table : NULL;
    query->numbers = integer ? NULL : numbers;
    query->scale = 0;
    for (uint32_t i = 0; i < entries; i++) {
        if (integer)
            table[i] = 0;
        else
            numbers[i] = 0;
    }
    for (uint32_t i = 0; i < dim; i++) {
        if (!(magnitude(q[i]) <= amax))
            amax = magnitude(q[i]); /* a NaN stays, and is refused below */
        if (amax != amax)
            return;
    }
    double inverse = 127 / amax;
    if (!(amax > 0) || !(inverse > 0) || !(inverse <= 1.7976931348623157e308))
        return;
    if (integer) {
        uint32_t square = 0;
        for (uint32_t i = 0; i < dim; i++) {
            int32_t v = sd_round_even(q[i] * inverse);
            table[i] = (int8_t)v;
            square += (uint32_t)(v * v);
        }
        query->scale = model->similarity == SD_DOT ? (float)(amax / 127)
                                                   : (float)(1 / sd_square_root((double)square));
        return;
    }
    double length = 1;
    query->scale = 1;
    if (model->similarity == SD_COSINE) {
        double square = 0;
        for (uint32_t i = 0; i < dim; i++)
            square += q[i] / amax * (q[i] / amax);
        length = sd_square_root(square);
        for (uint32_t i = 0; i < dim; i++)
            numbers[i] = (float)(q[i] / amax / length);
        return;
    }
    for (uint32_t i = 0; i < dim; i++)
        numbers[i] = (float)q[i];
}

uint64_t sd_query_bytes(const sd_model *model, const sd_request *request) {
    uint64_t history = request->source == SD_FROM_HISTORY ? 4 * (uint64_t)request->n_history : 0;
    return 4 * (uint64_t)table_entries(model) + 8 * (uint64_t)model->dim + history + 4 * 64 +
           sd_fold_bytes(model);
}

sd_status sd_build_query(const sd_model *model, const sd_request *request, sd_arena *arena,
                         sd_query *query) {
    uint32_t dim = model->dim;
    void *table = sd_take(arena, 4 * (uint64_t)table_entries(model));
    double *q = sd_take(arena, 8 * (uint64_t)dim);
    void *memory = sd_take(arena, sd_fold_bytes(model));
    if (!table || !q || !memory)
        return SD_BAD_REQUEST;
    for (uint32_t i = 0; i < dim; i++)
        q[i] = 0;
    if (request->source == SD_FROM_HISTORY) {
        uint32_t *rows = sd_take(arena, 4 * (uint64_t)request->n_history);
        if (!rows)
            return SD_BAD_REQUEST;
        for (uint32_t i = 0; i < request->n_history; i++) {
            rows[i] = request->history[i];
            if (rows[i] >= model->n_items)
                return SD_BAD_ROW;
        }
        uint32_t count = sd_sort_unique(rows, request->n_history);
        if (count)
            sd_fold_in(model, rows, count, memory, table, q);
    } else {
        sd_table from = request->source == SD_FROM_USER ? SD_USERS : SD_ITEMS;
        if (request->row >= (from == SD_USERS ? model->n_users : model->n_items))
            return SD_BAD_ROW;
        sd_load_query(model, from, request->row, memory, q);
    }
    sd_quantize(model, q, query, table);
    return SD_OK;
}
