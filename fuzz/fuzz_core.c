/* libFuzzer target for the C core, run under AddressSanitizer and UndefinedBehaviorSanitizer (make
 * fuzz).
 *
 * The input is a packed file with a few bytes of questions before it: byte 0 chooses the call,
 * bytes 1 to 7 its arguments. The file is copied to a block of exactly its size, so that a read of
 * one byte beyond it is caught. Before use its checksums are made right, which lets mutations get
 * past the first gate; a file that sd_verify accepts and one that only sd_open accepts are both
 * asked, and all kernels of the machine must agree on the former.
 */
#include "sd_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUESTION_BYTES = 8, MOST_SAMPLED = 256 };

/* Write right checksums into a file whose section table lies within it. */
static void repair(uint8_t *file, size_t size) {
    if (size < 64)
        return;
    uint32_t n = sd_u32(file + 56);
    if (n > SD_KINDS || 64 + 24 * (size_t)n > size)
        return;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *entry = file + 64 + 24 * (size_t)i;
        uint64_t offset = sd_u64(entry + 8), length = sd_u64(entry + 16);
        if (offset <= size && length <= size - offset) {
            /* A fold-in rule may ask for a million rows, which would take all of the time. */
            if (sd_u32(entry) == SD_K_FOLD_RULE && length == SD_RULE_BYTES &&
                sd_u32(file + offset + 8) > MOST_SAMPLED)
                memset(file + offset + 9, 0, 3);
            uint32_t crc = sd_crc32(0, file + offset, length);
            memcpy(entry + 4, &crc, 4);
        }
    }
    memset(file + 60, 0, 4);
    uint32_t crc = sd_crc32(0, file, 64 + 24 * (size_t)n);
    memcpy(file + 60, &crc, 4);
}

static void must(int condition, const char *what) {
    if (!condition) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* Ask one question; results land in rows and scores, of which there are as many as asked for. */
static uint32_t recommend(const sd_model *model, const sd_request *request, uint32_t *rows,
                          float *scores) {
    uint32_t count = 0;
    uint64_t bytes = sd_scratch_bytes(model, request);
    void *scratch = malloc(bytes);
    sd_status status = sd_recommend(model, request, scratch, bytes, rows, scores, &count);
    free(scratch);
    must(!status || status == SD_BAD_ROW, "sd_recommend refuses bad rows only");
    return count;
}

static void ask(sd_model *model, const uint8_t *question, int verified) {
    enum { MOST = 64 };
    uint32_t lists[4], rows[MOST], other_rows[MOST];
    float scores[MOST], other_scores[MOST];
    for (int i = 0; i < 4; i++)
        lists[i] = question[i + 2] % (model->n_items + (question[7] & 1));
    sd_request request = {
        .history = lists, .n_history = question[1] % 5, .k = 1 + question[6] % MOST};
    request.source = question[0] & 3   ? SD_FROM_HISTORY
                     : question[0] & 4 ? SD_FROM_ITEM
                                       : SD_FROM_USER;
    request.row = question[1];
    request.exclude_seen = question[7] >> 1 & 1;
    request.exclude = lists + 2;
    request.n_exclude = question[7] >> 2 & 1;
    if (question[7] & 8) {
        request.candidates = lists;
        request.n_candidates = 4;
    }
    sd_select_kernel(model, SD_KERNEL_SCALAR);
    uint32_t count = recommend(model, &request, rows, scores);
    for (uint32_t i = 0; i < count; i++) {
        static char string[SD_MAX_STRING];
        const char *text = string;
        uint32_t length, found = 0;
        must(rows[i] < model->n_items, "rows exist");
        sd_string(model, SD_ITEM_ID, rows[i], string, SD_MAX_STRING, &length);
        for (uint32_t j = 0; j < length; j++)
            found += (uint8_t)text[j];
        uint32_t row = sd_find(model, SD_ITEMS, text, length), row_again;
        uint64_t wide_length = length;
        sd_find_all(model, SD_ITEMS, &text, &wide_length, 1, &row_again);
        must(row == row_again, "both searches end alike");
        if (verified)
            must(row == rows[i], "an id leads to its row");
        if (!sd_string(model, SD_TITLE, rows[i], string, SD_MAX_STRING, &length) && length)
            found += (uint8_t)text[length - 1];
        (void)found;
    }
    for (uint32_t kernel = 1; kernel <= SD_KERNEL_WASM_SIMD; kernel++) {
        if (sd_select_kernel(model, (sd_kernel)kernel))
            continue;
        uint32_t other = recommend(model, &request, other_rows, other_scores);
        if (verified) {
            must(other == count && !memcmp(rows, other_rows, 4 * count), "kernels rank alike");
            must(!memcmp(scores, other_scores, 4 * count), "kernels score alike");
        }
    }
    if (request.candidates) {
        uint64_t bytes = sd_scratch_bytes(model, &request);
        void *scratch = malloc(bytes);
        sd_score(model, &request, scratch, bytes, scores);
        free(scratch);
    }
    uint16_t *columns = malloc(2 * (size_t)model->dim);
    float *values = malloc(4 * (size_t)model->dim);
    uint32_t entries;
    sd_row(model, SD_ITEMS, lists[0], columns, values, &entries);
    sd_row(model, SD_USERS, question[1], columns, values, &entries);
    must(entries <= model->dim, "a row has at most dim entries");
    free(columns);
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < QUESTION_BYTES)
        return 0;
    size_t file_bytes = size - QUESTION_BYTES;
    uint8_t *file = malloc(file_bytes ? file_bytes : 1);
    memcpy(file, data + QUESTION_BYTES, file_bytes);
    if (data[0] & 128)
        repair(file, file_bytes);
    sd_model model;
    if (!sd_open(&model, file, file_bytes))
        ask(&model, data, !sd_verify(&model));
    free(file);
    return 0;
}
