/* The C core for JavaScript: one model for each instance of the module, numbers in and out.
 *
 * JavaScript owns the memory behind __heap_base: it puts the file there, then lists, scratch and
 * results, and passes their addresses. A 32-bit address space holds all of it.
 */
#include "sd_core.h"

#define EXPORT(name) __attribute__((export_name(#name), used))

/* The compiler may call these four; the core itself calls no function of a C library. */
void *memset(void *to, int value, __SIZE_TYPE__ count) {
    unsigned char *at = to;
    for (; count; count--)
        *at++ = (unsigned char)value;
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, __SIZE_TYPE__ count) {
    unsigned char *at = to;
    const unsigned char *source = from;
    for (; count; count--)
        *at++ = *source++;
    return to;
}

void *memmove(void *to, const void *from, __SIZE_TYPE__ count) {
    unsigned char *at = to;
    const unsigned char *source = from;
    if ((__UINTPTR_TYPE__)to <= (__UINTPTR_TYPE__)from)
        return memcpy(to, from, count);
    for (; count; count--)
        at[count - 1] = source[count - 1];
    return to;
}

static sd_model model;
static sd_request request;

EXPORT(open) uint32_t web_open(const void *bytes, uint32_t size) {
    return sd_open(&model, bytes, size);
}

EXPORT(verify) uint32_t web_verify(void) { return sd_verify(&model); }

EXPORT(status_name) const char *web_status_name(uint32_t status) {
    return sd_status_name((sd_status)status);
}

/* What an open file is, by place: see INFO in sparsedevice.js. */
EXPORT(info) uint32_t web_info(uint32_t what) {
    switch (what) {
    case 0:
        return model.n_items;
    case 1:
        return model.n_users;
    case 2:
        return model.dim;
    case 3:
        return (uint32_t)model.nnz_items;
    case 4:
        return model.values;
    case 5:
        return model.layout;
    case 6:
        return model.similarity;
    case 7:
        return model.kernel;
    case 8:
        return sd_string(&model, SD_TITLE, 0, 0, 0, &what) == SD_OK;
    default:
        return 0;
    }
}

/* Set the question that recommend and score answer; returns the bytes of scratch they need. */
EXPORT(ask)
uint32_t web_ask(uint32_t source, uint32_t row, const uint32_t *history, uint32_t n_history,
                 uint32_t k, uint32_t exclude_seen, const uint32_t *exclude, uint32_t n_exclude,
                 const uint32_t *candidates, uint32_t n_candidates) {
    request.source = (sd_source)source;
    request.row = row;
    request.history = history;
    request.n_history = n_history;
    request.k = k;
    request.exclude_seen = (int)exclude_seen;
    request.exclude = exclude;
    request.n_exclude = n_exclude;
    request.candidates = candidates;
    request.n_candidates = n_candidates;
    uint64_t bytes = sd_scratch_bytes(&model, &request);
    return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}

EXPORT(recommend)
uint32_t web_recommend(void *scratch, uint32_t scratch_bytes, uint32_t *rows, float *scores,
                       uint32_t *count) {
    return sd_recommend(&model, &request, scratch, scratch_bytes, rows, scores, count);
}

EXPORT(score) uint32_t web_score(void *scratch, uint32_t scratch_bytes, float *scores) {
    return sd_score(&model, &request, scratch, scratch_bytes, scores);
}

EXPORT(row) uint32_t web_row(uint32_t row, uint16_t *columns, float *values, uint32_t *count) {
    return sd_row(&model, SD_ITEMS, row, columns, values, count);
}

/* Rows of ids that lie one after the other; SD_NO_ROW for those that are not in the file. */
EXPORT(find)
void web_find(uint32_t table, const char *ids, const uint32_t *lengths, uint32_t count,
              uint32_t *rows) {
    enum { AT_ONCE = 16 };
    const char *starts[AT_ONCE];
    uint64_t wide[AT_ONCE];
    for (uint32_t done = 0; done < count; done += AT_ONCE) {
        uint32_t n = count - done < AT_ONCE ? count - done : AT_ONCE;
        for (uint32_t i = 0; i < n; i++) {
            starts[i] = ids;
            wide[i] = lengths[done + i];
            ids += lengths[done + i];
        }
        sd_find_all(&model, (sd_table)table, starts, wide, n, rows + done);
    }
}

/* Write strings of rows one after the other, the first `room` bytes of them, and the length of
 * each; returns the length of all. */
EXPORT(strings)
uint32_t web_strings(uint32_t text, const uint32_t *rows, uint32_t count, uint32_t *lengths,
                     char *strings, uint32_t room) {
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t left = used < room ? room - used : 0;
        sd_string(&model, (sd_text)text, rows[i], strings + (left ? used : 0), left, &lengths[i]);
        used += lengths[i];
    }
    return used;
}
