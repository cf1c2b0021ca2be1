/* A question in int64 rows, as graphs of tensors ask it, put to the core. Shared by the custom
 * operators.
 *
 * Rows outside the table, -1 for one, are ignored, so no number that comes in can lead outside the
 * model. */
#ifndef SD_ROWS_H
#define SD_ROWS_H

#include "sparsedevice.h"

#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
#define SD_THREAD_LOCAL thread_local
#else
#define SD_THREAD_LOCAL _Thread_local
#endif

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

/* A list of rows; n of 0 stands for an empty list, for candidates for all rows. */
typedef struct sd_list {
    const int64_t *rows;
    uint64_t n;
} sd_list;

/* Open the bytes of a packed file; the checks take constant time.
 *
 * What a thread opened last it keeps: runtimes ask for the same bytes again and again, and opening
 * asks the processor what it can do, at which a virtual machine stops for microseconds. The header
 * has the checksum of the section table, so equal headers mean equal places of the sections. */
static inline sd_status sd_rows_open(sd_model *model, const void *bytes, uint64_t size) {
    static SD_THREAD_LOCAL sd_model last;
    static SD_THREAD_LOCAL unsigned char head[64];
    if (last.bytes && last.bytes == bytes && last.size == size &&
        !memcmp(head, bytes, sizeof head)) {
        *model = last;
        return SD_OK;
    }
    sd_status status = sd_open(model, bytes, size);
#if defined(__aarch64__) && defined(__linux__)
    if (!status && (getauxval(AT_HWCAP) & 1ul << 20)) /* HWCAP_ASIMDDP */
        sd_add_kernel(model, SD_KERNEL_NEON_DOT);
#endif
    if (!status) {
        last = *model;
        memcpy(head, bytes, sizeof head);
    }
    return status;
}

/* The rows of a list that the table has, into room for list.n; returns how many. */
static inline uint32_t sd_rows_known(sd_list list, uint32_t n_rows, uint32_t *out) {
    uint32_t count = 0;
    for (uint64_t i = 0; i < list.n; i++)
        if (list.rows[i] >= 0 && list.rows[i] < (int64_t)n_rows)
            out[count++] = (uint32_t)list.rows[i];
    return count;
}

/* The k best rows for: like, where it is a row; else user, where it is one of the file's; else the
 * history.
 *
 * rows and scores have room for min(k, n_items); *count says how many are filled, best first, equal
 * scores in row order. SD_BAD_REQUEST where memory is short. */
static inline sd_status sd_rows_top(const sd_model *model, sd_list history, int64_t user,
                                    int64_t like, sd_list excluded, sd_list candidates, int64_t k,
                                    int64_t *rows, float *scores, uint32_t *count) {
    const uint64_t words = history.n + excluded.n + candidates.n;
    *count = 0;
    if (k <= 0)
        return SD_OK;
    if (history.n > UINT32_MAX || excluded.n > UINT32_MAX || candidates.n > UINT32_MAX)
        return SD_BAD_REQUEST;
    uint32_t wanted = k < (int64_t)model->n_items ? (uint32_t)k : model->n_items;
    uint32_t *lists = (uint32_t *)malloc(sizeof(uint32_t) * (size_t)(words + wanted));
    if (!lists)
        return SD_BAD_REQUEST;
    uint32_t *out = lists + history.n, *among = out + excluded.n, *best = among + candidates.n;
    sd_request request = {SD_FROM_HISTORY, 0, NULL, 0, 0, 0, NULL, 0, NULL, 0};
    request.history = lists;
    request.n_history = sd_rows_known(history, model->n_items, lists);
    if (like >= 0 && like < (int64_t)model->n_items) {
        request.source = SD_FROM_ITEM;
        request.row = (uint32_t)like;
    } else if (user >= 0 && user < (int64_t)model->n_users) {
        request.source = SD_FROM_USER;
        request.row = (uint32_t)user;
    }
    request.k = wanted;
    request.exclude = out;
    request.n_exclude = sd_rows_known(excluded, model->n_items, out);
    if (candidates.n) {
        request.candidates = among;
        request.n_candidates = sd_rows_known(candidates, model->n_items, among);
    }
    uint64_t scratch_bytes = sd_scratch_bytes(model, &request);
    void *scratch = malloc(scratch_bytes ? (size_t)scratch_bytes : 1);
    sd_status status = SD_BAD_REQUEST;
    if (scratch)
        status = sd_recommend(model, &request, scratch, scratch_bytes, best, scores, count);
    for (uint32_t i = 0; !status && i < *count; i++)
        rows[i] = (int64_t)best[i];
    free(scratch);
    free(lists);
    return status;
}

#endif
