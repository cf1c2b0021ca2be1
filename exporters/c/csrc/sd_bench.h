/* What the parts of sd-bench share: what is asked for, the model, and how to fail. */
#ifndef SPARSEDEVICE_SD_BENCH_H
#define SPARSEDEVICE_SD_BENCH_H

#include "sd_bench_system.h"
#include "sd_internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHORTLIST = 100 };

struct settings {
    const char *model, *trace, *kernel, *cpus;
    uint32_t k, repetitions, warmup, batch, queries, scans;
    double min_seconds;
    int dropped, answers;
};

/* A history as the device meets it: ids, which the file's own strings stand for, and their rows. */
struct history {
    const char **ids;
    uint32_t *id_bytes, *rows, *found, n;
};

struct bench {
    struct settings settings;
    sd_model model;
    struct history *histories;
    uint32_t n_histories, longest, k;
    void *scratch;
    uint64_t scratch_bytes;
    uint32_t *rows, shortlist[SHORTLIST], n_shortlist;
    float *scores, *row_values;
    uint16_t *row_columns;
    uint64_t checksum; /* of everything computed, so that no work can be optimised away */
};

static void fail(int code, const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    fputs("sd-bench: ", stderr);
    vfprintf(stderr, format, rest);
    fputc('\n', stderr);
    va_end(rest);
    exit(code);
}

static void *take(uint64_t bytes) {
    void *memory = calloc(1, bytes ? bytes : 1);
    if (!memory)
        fail(1, "out of memory");
    return memory;
}

#endif
