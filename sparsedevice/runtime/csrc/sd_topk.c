/* The best k rows: scan in chunks, keep what may still enter, cut back to k now and then. */
#include "sd_internal.h"

/* Keys that may pile up beyond k before they are cut back. */
#define SD_SLACK 256u
#define SD_NOT_A_NUMBER (sd_bits_float(0x7FC00000u))

typedef struct best {
    uint64_t *keys;
    uint32_t count, k, room; /* room: k + SD_SLACK */
    float least;             /* lower scores cannot enter any more */
} best;

/* Keep the k largest keys. */
static void cut_back(best *into) {
    uint64_t least = UINT64_MAX;
    if (into->count < into->k)
        return;
    sd_select_keys(into->keys, into->count, into->k);
    into->count = into->k;
    for (uint32_t i = 0; i < into->k; i++)
        least = into->keys[i] < least ? into->keys[i] : least;
    into->least = sd_key_score(least);
}

/* A first bound from a whole chunk of scores: of disjoint sets of rows, at least k, the k-th
 * largest maximum. Without it most of the first chunk would be kept, only to be cut back. */
static void bound_first(const float *scores, best *into) {
    float most[SD_SLICE_ROWS];
    if (4 * into->k > 3 * SD_SLICE_ROWS)
        return;
    for (uint32_t i = 0; i < SD_SLICE_ROWS; i++)
        most[i] = -SD_INFINITY;
    for (uint32_t row = 0; row < SD_CHUNK_ROWS; row += SD_SLICE_ROWS)
        for (uint32_t i = 0; i < SD_SLICE_ROWS; i++) /* a NaN is never above */
            most[i] = scores[row + i] > most[i] ? scores[row + i] : most[i];
    for (uint32_t i = 0; i < SD_SLICE_ROWS; i++)
        into->keys[i] = sd_key(most[i], i);
    into->count = SD_SLICE_ROWS;
    cut_back(into);
    into->count = 0;
}

/* Rows in ascending order, as bytes of the file or of scratch. */
typedef struct list {
    const uint8_t *rows;
    uint64_t count;
} list;

/* One question while it is answered. */
typedef struct job {
    sd_query query;
    list lists[2];        /* rows to leave out */
    uint32_t *candidates; /* NULL: all rows */
    uint32_t n_candidates;
    best into;
} job;

/* Place of the first row that is not below `row`. */
static uint64_t lower_bound(const list *rows, uint32_t row) {
    uint64_t low = 0, high = rows->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (sd_u32(rows->rows + 4 * middle) < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Rows of the list within [first, first + count) become NaN, which no comparison lets in. */
static void leave_out(const list *out, uint32_t first, uint32_t count, float *scores) {
    if (!out->count)
        return;
    for (uint64_t at = lower_bound(out, first); at < out->count; at++) {
        uint32_t row = sd_u32(out->rows + 4 * at);
        if (row - first >= count) /* also where an unverified list is not in order */
            return;
        scores[row - first] = SD_NOT_A_NUMBER;
    }
}

sd_scan *sd_choose_scan(const sd_model *model) {
    if (model->layout == SD_CSR)
        return sd_scan_rows_scalar;
#ifdef SD_X86
    if (model->kernel == SD_KERNEL_AVX512)
        return sd_scan_slices_avx512;
    if (model->kernel == SD_KERNEL_AVX2)
        return sd_scan_slices_avx2;
#endif
#ifdef SD_NEON
    if (model->kernel == SD_KERNEL_NEON_DOT)
        return sd_scan_slices_neon_dot;
    if (model->kernel == SD_KERNEL_NEON)
        return sd_scan_slices_neon;
#endif
#ifdef SD_WASM_SIMD
    if (model->kernel == SD_KERNEL_WASM_SIMD)
        return sd_scan_slices_wasm;
#endif
    return sd_scan_slices_scalar;
}

static sd_collect *choose_collect(const sd_model *model) {
#ifdef SD_X86
    if (model->kernel == SD_KERNEL_AVX512)
        return sd_collect_avx512;
    if (model->kernel == SD_KERNEL_AVX2)
        return sd_collect_avx2;
#endif
#ifdef SD_NEON
    if (model->kernel == SD_KERNEL_NEON || model->kernel == SD_KERNEL_NEON_DOT)
        return sd_collect_neon;
#endif
#ifdef SD_WASM_SIMD
    if (model->kernel == SD_KERNEL_WASM_SIMD)
        return sd_collect_wasm;
#endif
    (void)model;
    return sd_collect_scalar;
}

/* In the order of the file, so that memory is read ahead: any other order takes twice as long or
 * more where a catalogue does not fit the caches. */
static void scan_all(const sd_model *model, job *jobs, uint32_t n_jobs) {
    float scores[SD_CHUNK_ROWS];
    sd_scan *scan = sd_choose_scan(model);
    sd_collect *collect = choose_collect(model);
    for (uint32_t first = 0; first < model->n_items; first += SD_CHUNK_ROWS) {
        uint32_t count = sd_min(model->n_items - first, SD_CHUNK_ROWS);
        uint32_t whole = (count + SD_SLICE_ROWS - 1) & ~(SD_SLICE_ROWS - 1);
        uint32_t all_groups = UINT32_MAX >> (32 - whole / SD_SLICE_ROWS);
        for (uint32_t i = 0; i < n_jobs; i++) {
            best *into = &jobs[i].into;
            if (jobs[i].candidates)
                continue;
            uint32_t groups = scan(model, &jobs[i].query, first,
                                   model->layout == SD_SLICED ? whole : count, into->least, scores);
            if (!groups)
                continue;
            for (uint32_t row = count; row < whole; row++)
                scores[row] = SD_NOT_A_NUMBER;
            leave_out(&jobs[i].lists[0], first, count, scores);
            leave_out(&jobs[i].lists[1], first, count, scores);
            if (!first && count == SD_CHUNK_ROWS)
                bound_first(scores, into);
            for (groups &= all_groups; groups; groups &= groups - 1) {
                uint32_t at = SD_SLICE_ROWS * sd_trailing_zeros(groups);
                if (into->room - into->count < SD_SLICE_ROWS + 8)
                    cut_back(into);
                into->count +=
                    collect(scores + at, into->least, first + at, into->keys + into->count);
            }
            /* Often while k is small: a higher bound lets fewer groups in. */
            if (into->count >= into->k + sd_min(into->k / 8 + 2, SD_SLACK / 2))
                cut_back(into);
        }
    }
}

static int holds(const list *rows, uint32_t row) {
    uint64_t at = lower_bound(rows, row);
    return at < rows->count && sd_u32(rows->rows + 4 * at) == row;
}

static void scan_candidates(const sd_model *model, job *asked) {
    best *into = &asked->into;
    for (uint32_t i = 0; i < asked->n_candidates; i++) {
        uint32_t row = asked->candidates[i];
        if (holds(&asked->lists[0], row) || holds(&asked->lists[1], row))
            continue;
        float score = sd_score_row(model, &asked->query, row);
        if (!(score >= into->least))
            continue;
        into->keys[into->count++] = sd_key(score, row);
        if (into->count == into->room)
            cut_back(into);
    }
}

/* A sorted copy of up to two lists of rows; NULL where scratch is too small or a row is too large.
 */
static sd_status sorted_copy(const sd_model *model, sd_arena *arena, const uint32_t *a,
                             uint32_t n_a, const uint32_t *b, uint32_t n_b, uint32_t **rows,
                             uint32_t *count) {
    *rows = sd_take(arena, 4 * ((uint64_t)n_a + n_b));
    if (!*rows || (uint64_t)n_a + n_b > UINT32_MAX)
        return SD_BAD_REQUEST;
    for (uint32_t i = 0; i < n_a + n_b; i++) {
        (*rows)[i] = i < n_a ? a[i] : b[i - n_a];
        if ((*rows)[i] >= model->n_items)
            return SD_BAD_ROW;
    }
    *count = sd_sort_unique(*rows, n_a + n_b);
    return SD_OK;
}

static uint64_t list_bytes(const sd_request *request) {
    return 4 * ((uint64_t)request->n_history + request->n_exclude + request->n_candidates + 1) +
           3 * 64;
}

uint64_t sd_scratch_bytes(const sd_model *model, const sd_request *request) {
    uint64_t k = sd_min(request->k, model->n_items);
    return sd_query_bytes(model, request) + list_bytes(request) + 8 * (k + SD_SLACK) + 128;
}

/* The rows to leave out: a sorted list of the caller's, and the user's seen list in the file. */
static sd_status find_excluded(const sd_model *model, const sd_request *request, sd_arena *arena,
                               list *lists) {
    const uint32_t *own = NULL;
    uint32_t n_own = 0, *rows, count = 0;
    if (request->exclude_seen && request->source == SD_FROM_HISTORY) {
        own = request->history;
        n_own = request->n_history;
    } else if (request->exclude_seen && request->source == SD_FROM_ITEM) {
        own = &request->row;
        n_own = 1;
    } else if (request->exclude_seen && model->sections[SD_K_SEEN_ROWS]) {
        sd_range range = sd_clamped(model->sections[SD_K_SEEN_POINTERS], request->row,
                                    model->nnz_seen, UINT32_MAX);
        lists[1].rows = model->sections[SD_K_SEEN_ROWS] + 4 * range.begin;
        lists[1].count = range.count;
    }
    sd_status status =
        sorted_copy(model, arena, own, n_own, request->exclude, request->n_exclude, &rows, &count);
    lists[0].rows = (const uint8_t *)rows;
    lists[0].count = count;
    return status;
}

static sd_status prepare(const sd_model *model, const sd_request *request, sd_arena *arena,
                         job *asked) {
    const job fresh = {0};
    *asked = fresh;
    if (!request->k)
        return SD_BAD_REQUEST;
    sd_status status = sd_build_query(model, request, arena, &asked->query);
    if (!status)
        status = find_excluded(model, request, arena, asked->lists);
    if (!status && request->candidates)
        status = sorted_copy(model, arena, request->candidates, request->n_candidates, NULL, 0,
                             &asked->candidates, &asked->n_candidates);
    if (status)
        return status;
    asked->into.k = sd_min(request->k, model->n_items);
    asked->into.room = asked->into.k + SD_SLACK;
    asked->into.least = -SD_INFINITY;
    asked->into.keys = sd_take(arena, 8 * (uint64_t)asked->into.room);
    return asked->into.keys ? SD_OK : SD_BAD_REQUEST;
}

static uint32_t finish_job(const sd_model *model, job *asked, uint32_t *rows, float *scores) {
    best *into = &asked->into;
    cut_back(into);
    sd_sort_keys(into->keys, into->count);
    for (uint32_t i = 0; i < into->count; i++) {
        rows[i] = sd_key_row(into->keys[i]);
        scores[i] = sd_key_score(into->keys[i]);
    }
    if (into->count <= 64) { /* the caller will ask for ids and titles next */
        sd_prefetch_strings(model, SD_K_ITEM_ID_POINTERS, rows, into->count);
        sd_prefetch_strings(model, SD_K_TITLE_POINTERS, rows, into->count);
    }
    return into->count;
}

sd_status sd_recommend(const sd_model *model, const sd_request *request, void *scratch,
                       uint64_t scratch_bytes, uint32_t *rows, float *scores, uint32_t *count) {
    sd_arena arena = {scratch, scratch_bytes};
    job asked;
    *count = 0;
    sd_status status = prepare(model, request, &arena, &asked);
    if (status)
        return status;
    if (asked.candidates)
        scan_candidates(model, &asked);
    else
        scan_all(model, &asked, 1);
    *count = finish_job(model, &asked, rows, scores);
    return SD_OK;
}

uint64_t sd_batch_scratch_bytes(const sd_model *model, const sd_request *requests,
                                uint32_t n_requests) {
    uint64_t bytes = sizeof(job) * (uint64_t)n_requests + 64;
    for (uint32_t i = 0; i < n_requests; i++)
        bytes += sd_scratch_bytes(model, &requests[i]);
    return bytes;
}

sd_status sd_recommend_batch(const sd_model *model, const sd_request *requests, uint32_t n_requests,
                             void *scratch, uint64_t scratch_bytes, uint32_t room, uint32_t *rows,
                             float *scores, uint32_t *counts) {
    sd_arena arena = {scratch, scratch_bytes};
    job *jobs = sd_take(&arena, sizeof(job) * (uint64_t)n_requests);
    sd_status status = jobs ? SD_OK : SD_BAD_REQUEST;
    for (uint32_t i = 0; i < n_requests; i++)
        counts[i] = 0;
    for (uint32_t i = 0; i < n_requests && !status; i++) {
        status = prepare(model, &requests[i], &arena, &jobs[i]);
        if (!status && jobs[i].into.k > room)
            status = SD_BAD_REQUEST;
    }
    if (status)
        return status;
    scan_all(model, jobs, n_requests);
    for (uint32_t i = 0; i < n_requests; i++) {
        if (jobs[i].candidates)
            scan_candidates(model, &jobs[i]);
        counts[i] =
            finish_job(model, &jobs[i], rows + (uint64_t)i * room, scores + (uint64_t)i * room);
    }
    return SD_OK;
}

sd_status sd_score(const sd_model *model, const sd_request *request, void *scratch,
                   uint64_t scratch_bytes, float *scores) {
    sd_arena arena = {scratch, scratch_bytes};
    sd_query query;
    sd_status status = sd_build_query(model, request, &arena, &query);
    if (status)
        return status;
    if (!request->candidates)
        return SD_BAD_REQUEST;
    for (uint32_t i = 0; i < request->n_candidates; i++) {
        if (request->candidates[i] >= model->n_items)
            return SD_BAD_ROW;
        scores[i] = sd_score_row(model, &query, request->candidates[i]);
    }
    return SD_OK;
}
