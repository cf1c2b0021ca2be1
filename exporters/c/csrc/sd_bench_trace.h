/* The histories that sd-bench asks about: read from a file, or random ones. */
#ifndef SPARSEDEVICE_SD_BENCH_TRACE_H
#define SPARSEDEVICE_SD_BENCH_TRACE_H

#include "sd_bench.h"

enum { RANDOM_HISTORIES = 256, LEAST_RANDOM = 5, MOST_RANDOM = 50 };

static uint32_t *read_rows(const sd_model *model, const char *line, unsigned number, uint32_t *n) {
    uint32_t *rows = take(4 * ((uint64_t)strlen(line) / 2 + 1));
    *n = 0;
    for (const char *at = line;;) {
        char *end;
        unsigned long row = strtoul(at, &end, 10);
        if (end == at)
            return rows;
        if (row >= model->n_items)
            fail(2, "line %u of the trace has row %lu; the file has %u items", number, row,
                 (unsigned)model->n_items);
        rows[(*n)++] = (uint32_t)row;
        at = end;
    }
}

static void add_history(struct bench *b, uint32_t *rows, uint32_t n) {
    struct history h = {.rows = rows, .n = n};
    h.ids = take(n * sizeof *h.ids);
    h.id_bytes = take(4 * (uint64_t)n);
    h.found = take(4 * (uint64_t)n);
    for (uint32_t i = 0; i < n; i++) {
        sd_string(&b->model, SD_ITEM_ID, rows[i], NULL, 0, &h.id_bytes[i]);
        char *id = take(h.id_bytes[i]);
        sd_string(&b->model, SD_ITEM_ID, rows[i], id, h.id_bytes[i], &h.id_bytes[i]);
        h.ids[i] = id;
    }
    if (n > b->longest)
        b->longest = n;
    b->histories[b->n_histories++] = h;
}

/* SplitMix64. */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void make_trace(struct bench *b) {
    uint64_t seed = 0;
    b->histories = take(RANDOM_HISTORIES * sizeof *b->histories);
    for (uint32_t i = 0; i < RANDOM_HISTORIES; i++) {
        uint32_t n = LEAST_RANDOM + next_random(&seed) % (MOST_RANDOM - LEAST_RANDOM + 1);
        uint32_t *rows = take(4 * (uint64_t)n);
        for (uint32_t j = 0; j < n; j++)
            rows[j] = (uint32_t)(next_random(&seed) % b->model.n_items);
        add_history(b, rows, n);
    }
}

static void read_trace(struct bench *b) {
    sys_file file;
    if (sys_map(b->settings.trace, &file))
        fail(2, "cannot read %s", b->settings.trace);
    char *text = take(file.size + 1);
    memcpy(text, file.bytes, file.size);
    sys_unmap(&file);
    uint32_t lines = 0;
    for (char *c = text; *c; c++)
        lines += *c == '\n';
    b->histories = take(lines * sizeof *b->histories);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        uint32_t n, *rows = read_rows(&b->model, line, b->n_histories + 1, &n);
        add_history(b, rows, n);
    }
    if (!b->n_histories)
        fail(2, "%s holds no history", b->settings.trace);
    free(text);
}

#endif
