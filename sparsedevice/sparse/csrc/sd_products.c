/* Products of sparse rows: see sd_products.h. */
#include "sd_products.h"

#include <string.h>

#define LINE 16u /* floats in a line of a cache: what is transposed at a time */

void sd_to_strips(const sd_rows *rows, sd_strips *strips) {
    int64_t *at =
        strips->pointers + 1; /* counts, then where each list begins, then where it ends */
    for (uint64_t row = 0; row < rows->n; row++)
        for (int64_t e = rows->pointers[row]; e < rows->pointers[row + 1]; e++)
            at[row / SD_STRIP * rows->dim + rows->columns[e]]++;
    uint64_t lists = (rows->n + SD_STRIP - 1) / SD_STRIP * rows->dim;
    int64_t total = 0;
    for (uint64_t list = 0; list < lists; list++) {
        int64_t count = at[list];
        at[list] = total;
        total += count;
    }
    for (uint64_t row = 0; row < rows->n; row++)
        for (int64_t e = rows->pointers[row]; e < rows->pointers[row + 1]; e++) {
            int64_t to = at[row / SD_STRIP * rows->dim + rows->columns[e]]++;
            strips->rows[to] = (uint16_t)(row % SD_STRIP);
            strips->values[to] = rows->values[e];
        }
}

/* sums[row] (+)= sum of values[e] * tile[at[e]] over the row's entries, SD_TILE numbers each. */
typedef struct sd_job {
    const int64_t *pointers;
    const uint16_t *at;
    const float *values;
    uint64_t n;
    const float *tile;
    float *sums;
    uint64_t step; /* between sums of one row and of the next */
    int add;
} sd_job;

#if defined(__GNUC__)
typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));

/* A macro, since vectors are cut to the width of the function that they are written in before that
 * is inlined. */
#define ADD_ROWS(name, target)                                                                     \
    target static void name(const sd_job *job) {                                                   \
        for (uint64_t row = 0; row < job->n; row++) {                                              \
            lanes *sums = (lanes *)(void *)(job->sums + row * job->step);                          \
            const lanes *tile = (const lanes *)(const void *)job->tile;                            \
            lanes a = {0}, b = {0}, c = {0}, d = {0};                                              \
            if (job->add) {                                                                        \
                a = sums[0];                                                                       \
                b = sums[1];                                                                       \
                c = sums[2];                                                                       \
                d = sums[3];                                                                       \
            }                                                                                      \
            for (int64_t e = job->pointers[row]; e < job->pointers[row + 1]; e++) {                \
                const lanes *own = tile + SD_TILE / 16 * job->at[e];                               \
                a += own[0] * job->values[e];                                                      \
                b += own[1] * job->values[e];                                                      \
                c += own[2] * job->values[e];                                                      \
                d += own[3] * job->values[e];                                                      \
            }                                                                                      \
            sums[0] = a;                                                                           \
            sums[1] = b;                                                                           \
            sums[2] = c;                                                                           \
            sums[3] = d;                                                                           \
        }                                                                                          \
    }

ADD_ROWS(add_rows, )
#else
static void add_rows(const sd_job *job) {
    for (uint64_t row = 0; row < job->n; row++) {
        float *sums = job->sums + row * job->step, own[SD_TILE] = {0};
        if (job->add)
            memcpy(own, sums, sizeof own);
        for (int64_t e = job->pointers[row]; e < job->pointers[row + 1]; e++)
            for (uint32_t t = 0; t < SD_TILE; t++)
                own[t] += job->values[e] * job->tile[SD_TILE * job->at[e] + t];
        memcpy(sums, own, sizeof own);
    }
}
#endif

#if defined(__GNUC__) && defined(__x86_64__)
ADD_ROWS(add_rows_avx512, __attribute__((target("avx512f"))))
ADD_ROWS(add_rows_avx2, __attribute__((target("avx2"))))

static void run(const sd_job *job) {
    if (__builtin_cpu_supports("avx512f"))
        add_rows_avx512(job);
    else if (__builtin_cpu_supports("avx2"))
        add_rows_avx2(job);
    else
        add_rows(job);
}
#else
static void run(const sd_job *job) { add_rows(job); }
#endif

static uint32_t tile_width(uint64_t n, uint64_t tile) {
    return n - tile * SD_TILE < SD_TILE ? (uint32_t)(n - tile * SD_TILE) : SD_TILE;
}

void sd_row_products(const sd_rows *left, const sd_rows *right, uint64_t first, uint64_t last,
                     float *scratch, float *out) {
    for (uint64_t tile = first; tile < last; tile++) {
        uint64_t start = tile * SD_TILE;
        uint32_t width = tile_width(right->n, tile);
        memset(scratch, 0, sizeof(float) * SD_TILE * left->dim);
        for (uint32_t t = 0; t < width; t++)
            for (int64_t e = right->pointers[start + t]; e < right->pointers[start + t + 1]; e++)
                scratch[SD_TILE * right->columns[e] + t] = right->values[e];
        sd_job job = {left->pointers, left->columns, left->values, left->n,
                      scratch,        out + start,   right->n,     0};
        if (width == SD_TILE) {
            run(&job);
            continue;
        }
        float sums[SD_TILE];
        job.n = 1;
        job.sums = sums;
        for (uint64_t row = 0; row < left->n; row++, job.pointers++) {
            run(&job);
            memcpy(out + row * right->n + start, sums, sizeof(float) * width);
        }
    }
}

void sd_weighted_sums(const sd_strips *strips, uint64_t n_rows, uint32_t dim, const float *weights,
                      uint64_t row_step, uint64_t step, uint64_t n, uint64_t first, uint64_t last,
                      float *scratch, float *out) {
    float *sums = scratch + SD_STRIP * SD_TILE;
    memset(scratch, 0, sizeof(float) * SD_STRIP * SD_TILE);
    for (uint64_t tile = first; tile < last; tile++) {
        uint32_t width = tile_width(n, tile);
        memset(sums, 0, sizeof(float) * SD_TILE * dim);
        for (uint64_t row = 0, strip = 0; row < n_rows; row += SD_STRIP, strip++) {
            uint64_t rows = n_rows - row < SD_STRIP ? n_rows - row : SD_STRIP;
            const float *own = weights + row * row_step + tile * SD_TILE * step;
            if (step == 1)
                for (uint64_t r = 0; r < rows; r++)
                    memcpy(scratch + r * SD_TILE, own + r * row_step, sizeof(float) * width);
            else
                for (uint64_t r0 = 0; r0 < rows; r0 += LINE)
                    for (uint32_t t = 0; t < width; t++)
                        for (uint64_t r = r0; r < rows && r < r0 + LINE; r++)
                            scratch[r * SD_TILE + t] = own[r * row_step + t * step];
            sd_job job = {strips->pointers + strip * dim,
                          strips->rows,
                          strips->values,
                          dim,
                          scratch,
                          sums,
                          SD_TILE,
                          1};
            run(&job);
        }
        for (uint32_t t = 0; t < width; t++)
            for (uint32_t column = 0; column < dim; column++)
                out[(tile * SD_TILE + t) * dim + column] = sums[column * SD_TILE + t];
    }
}
