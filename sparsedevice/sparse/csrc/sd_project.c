/* A step on whole rows and their largest entries: see sd_project.h. */
#include "sd_project.h"
#include "sd_inline.h"

#include <math.h>
#include <string.h>

INLINE uint32_t column_at(const sd_table *table, uint64_t entry) {
    if (table->column_bytes == 1)
        return ((const uint8_t *)table->columns)[entry];
    if (table->column_bytes == 2)
        return ((const uint16_t *)table->columns)[entry];
    return ((const uint32_t *)table->columns)[entry];
}

INLINE void put_column(const sd_table *table, uint64_t entry, uint32_t column) {
    if (table->column_bytes == 1)
        ((uint8_t *)table->columns)[entry] = (uint8_t)column;
    else if (table->column_bytes == 2)
        ((uint16_t *)table->columns)[entry] = (uint16_t)column;
    else
        ((uint32_t *)table->columns)[entry] = column;
}

/* Length of n numbers, a multiple of LANES. */
INLINE float length_of(const float *numbers, uint32_t n) {
    float sums[LANES] = {0}, total = 0;
    for (uint32_t c = 0; c < n; c += LANES)
        for (uint32_t i = 0; i < LANES; i++)
            sums[i] += numbers[c + i] * numbers[c + i];
    for (uint32_t i = 0; i < LANES; i++)
        total += sums[i];
    return sqrtf(total);
}

/* How many of n numbers are at least `least`. */
INLINE uint32_t count_from(const uint32_t *numbers, uint32_t n, uint32_t least) {
    uint32_t count = 0;
    for (uint32_t c = 0; c < n; c++)
        count += numbers[c] >= least;
    return count;
}

/* The k-th largest of n numbers, or a number between it and the next. `low` is a guess that is not
 * above it, `high` the largest. */
INLINE uint32_t kth_largest(const uint32_t *numbers, uint32_t n, uint32_t k, uint32_t low,
                            uint32_t high) {
    uint32_t guessed = count_from(numbers, n, low);
    if (guessed == k)
        return low;
    if (guessed < k)
        low = 0;
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        uint32_t count = count_from(numbers, n, middle);
        if (count == k)
            return middle;
        if (count > k)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

INLINE uint32_t magnitude(float number) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits & 0x7fffffffu;
}

/* `stepped`, `moments` and `sizes` have room for dim numbers, rounded up to LANES; `moments` is
 * zero before and after. */
INLINE void project_row(const sd_table *table, uint64_t row, const float *gradient, float bias1,
                        float bias2, const sd_step *step, float *restrict stepped,
                        float *restrict moments, uint32_t *restrict sizes) {
    const uint32_t dim = table->dim, width = table->width;
    const uint32_t padded = (dim + LANES - 1) / LANES * LANES;
    const uint64_t start = row * width;
    float *values = table->values + start, *first = table->first + start;

    /* The gradient along the sphere, and the moments of its active entries. */
    memcpy(stepped, gradient, sizeof(float) * dim);
    memset(stepped + dim, 0, sizeof(float) * (padded - dim));
    float along = 0, squares = 0;
    for (uint32_t e = 0; e < width; e++)
        along += gradient[column_at(table, start + e)] * values[e];
    for (uint32_t e = 0; e < width; e++) {
        uint32_t column = column_at(table, start + e);
        float tangent = gradient[column] - along * values[e];
        stepped[column] = tangent;
        squares += tangent * tangent;
        first[e] = step->beta1 * first[e] + (1 - step->beta1) * tangent;
    }
    float second = step->beta2 * table->second[row] + (1 - step->beta2) * squares;
    table->second[row] = second;
    float norm = sqrtf(second / bias2), all = 0.1f * length_of(stepped, padded);
    float scale = step->lr / ((norm > all ? norm : all) + 1e-12f);

    /* The step. */
    float inactive = scale * step->explore;
    for (uint32_t c = 0; c < padded; c++)
        stepped[c] *= -inactive;
    for (uint32_t e = 0; e < width; e++) {
        uint32_t column = column_at(table, start + e);
        stepped[column] = values[e] - scale * (first[e] / bias1);
        moments[column] = first[e];
    }

    /* The largest entries, part by part. */
    const uint32_t own = dim / table->n_parts, share = width / table->n_parts;
    for (uint32_t c = 0; c < padded; c++)
        sizes[c] = magnitude(stepped[c]);
    uint32_t kept = 0;
    float total = 0;
    for (uint32_t part = 0; part < table->n_parts; part++) {
        uint32_t low = UINT32_MAX, high = 0;
        for (uint32_t e = 0; e < share; e++) {
            uint32_t size = sizes[column_at(table, start + part * share + e)];
            low = size < low ? size : low;
        }
        for (uint32_t c = part * own; c < (part + 1) * own; c++)
            high = sizes[c] > high ? sizes[c] : high;
        uint32_t least = kth_largest(sizes + part * own, own, share, low, high);
        uint32_t ties = share - count_from(sizes + part * own, own, least + 1);
        for (uint32_t c = part * own; c < (part + 1) * own; c++) {
            if (sizes[c] < least || (sizes[c] == least && !ties))
                continue;
            ties -= sizes[c] == least;
            sizes[kept++] = c; /* not beyond c */
            total += stepped[c] * stepped[c];
        }
    }
    float length = sqrtf(total);
    length = length > 1e-12f ? length : 1e-12f;
    for (uint32_t e = 0; e < width; e++) {
        values[e] = stepped[sizes[e]] / length;
        first[e] = moments[sizes[e]]; /* zero where the entry is new */
    }
    for (uint32_t e = 0; e < width; e++)
        moments[column_at(table, start + e)] = 0;
    for (uint32_t e = 0; e < width; e++)
        put_column(table, start + e, sizes[e]);
}

typedef struct sd_job {
    const sd_table *table;
    const int64_t *rows;
    uint64_t n;
    const float *gradient, *bias1, *bias2;
    const sd_step *step;
    float *scratch;
} sd_job;

INLINE void project(const sd_job *job) {
    uint64_t room = SD_PROJECT_SCRATCH(job->table->dim) / 3;
    float *stepped = job->scratch, *moments = stepped + room;
    uint32_t *sizes = (uint32_t *)(void *)(moments + room);
    memset(moments, 0, sizeof(float) * room);
    for (uint64_t i = 0; i < job->n; i++)
        project_row(job->table, (uint64_t)job->rows[i], job->gradient + i * job->table->dim,
                    job->bias1[i], job->bias2[i], job->step, stepped, moments, sizes);
}

#if defined(__GNUC__) && defined(__x86_64__)
__attribute__((target("avx512f"))) static void project_avx512(const sd_job *job) { project(job); }
__attribute__((target("avx2"))) static void project_avx2(const sd_job *job) { project(job); }
#endif

void sd_project_rows(const sd_table *table, const int64_t *rows, uint64_t n, const float *gradient,
                     const float *bias1, const float *bias2, const sd_step *step, float *scratch) {
    const sd_job job = {table, rows, n, gradient, bias1, bias2, step, scratch};
#if defined(__GNUC__) && defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        project_avx512(&job);
    else if (__builtin_cpu_supports("avx2"))
        project_avx2(&job);
    else
#endif
        project(&job);
}
