/* What sd-bench times: one call of each kind. */
#ifndef SPARSEDEVICE_SD_BENCH_CALLS_H
#define SPARSEDEVICE_SD_BENCH_CALLS_H

#include "sd_bench.h"

typedef void operation(struct bench *, uint32_t number);

static sd_request request_of(const struct bench *b, const uint32_t *rows, uint32_t n) {
    sd_request request = {0};
    request.source = SD_FROM_HISTORY;
    request.history = rows;
    request.n_history = n;
    request.k = b->settings.k;
    request.exclude_seen = 1;
    return request;
}

static const struct history *history_of(const struct bench *b, uint32_t number) {
    return &b->histories[number % b->n_histories];
}

static void recommend_rows(struct bench *b, const uint32_t *rows, uint32_t n) {
    sd_request request = request_of(b, rows, n);
    sd_status status =
        sd_recommend(&b->model, &request, b->scratch, b->scratch_bytes, b->rows, b->scores, &b->k);
    if (status)
        fail(1, "recommend failed: %s", sd_status_name(status));
}

static void op_find(struct bench *b, uint32_t number) {
    const struct history *h = history_of(b, number);
    for (uint32_t i = 0; i < h->n; i++)
        b->checksum += h->found[i] = sd_find(&b->model, SD_ITEMS, h->ids[i], h->id_bytes[i]);
}

static void op_end_to_end(struct bench *b, uint32_t number) {
    const struct history *h = history_of(b, number);
    op_find(b, number);
    recommend_rows(b, h->found, h->n);
    for (uint32_t i = 0; i < b->k; i++) {
        char id[256] = {0};
        uint32_t bytes;
        sd_string(&b->model, SD_ITEM_ID, b->rows[i], id, sizeof id, &bytes);
        b->checksum += bytes + (uint8_t)id[0];
    }
}

static void op_batch(struct bench *b, uint32_t number) {
    for (uint32_t i = 0; i < b->settings.batch; i++)
        op_end_to_end(b, number * b->settings.batch + i);
}

static void op_recommend(struct bench *b, uint32_t number) {
    const struct history *h = history_of(b, number);
    recommend_rows(b, h->rows, h->n);
    b->checksum += b->rows[0];
}

static void op_lookup(struct bench *b, uint32_t number) {
    const struct history *h = history_of(b, number);
    for (uint32_t i = 0, n; i < h->n; i++) {
        sd_row(&b->model, SD_ITEMS, h->rows[i], b->row_columns, b->row_values, &n);
        b->checksum += n;
    }
}

static void op_shortlist(struct bench *b, uint32_t number) {
    const struct history *h = history_of(b, number);
    sd_request request = request_of(b, h->rows, h->n);
    request.candidates = b->shortlist;
    request.n_candidates = b->n_shortlist;
    if (sd_score(&b->model, &request, b->scratch, b->scratch_bytes, b->scores))
        fail(1, "score failed");
    b->checksum += sd_float_bits(b->scores[0]);
}

static sd_query build_query(struct bench *b, uint32_t number) {
    const struct history *h = history_of(b, number);
    sd_request request = request_of(b, h->rows, h->n);
    sd_arena arena = {b->scratch, b->scratch_bytes};
    sd_query query;
    if (sd_build_query(&b->model, &request, &arena, &query))
        fail(1, "fold-in failed");
    return query;
}

static void op_fold_in(struct bench *b, uint32_t number) {
    b->checksum += sd_float_bits(build_query(b, number).scale);
}

/* Fold-in, then all scores, none kept: what is left of op_recommend beside it is the choice. */
static void op_scan(struct bench *b, uint32_t number) {
    float scores[SD_CHUNK_ROWS];
    sd_query query = build_query(b, number);
    sd_scan *scan = sd_choose_scan(&b->model);
    for (uint32_t first = 0; first < b->model.n_items; first += SD_CHUNK_ROWS) {
        uint32_t count = sd_min(b->model.n_items - first, SD_CHUNK_ROWS);
        if (b->model.layout == SD_SLICED)
            count = (count + SD_SLICE_ROWS - 1) & ~(SD_SLICE_ROWS - 1);
        /* A bound that no score reaches: what the scan costs where nothing is chosen. */
        b->checksum += scan(&b->model, &query, first, count, INFINITY, scores);
    }
}

#endif
