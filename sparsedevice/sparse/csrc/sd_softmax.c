/* The softmax of whole users: see sd_softmax.h. */
#include "sd_softmax.h"
#include "sd_inline.h"

#include <string.h>

/* e^x for x up to 80, within 2 units in the last place; 0 below -87. */
INLINE float exponential(float x) {
    /* x = n ln 2 + r with |r| <= ln 2 / 2; adding 1.5 * 2^23 rounds to whole numbers. */
    const float shift = 12582912.0f;
    float shifted = (x > -87.0f ? x : -87.0f) * 1.44269504f + shift;
    float n = shifted - shift;
    float r = (x > -87.0f ? x : -87.0f) - n * 0.693359375f; /* exact: few bits of ln 2 */
    r -= n * -2.12194440e-4f;
    /* Taylor's series, with the coefficients of least error on the interval. */
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127u) << 23; /* 2^n: the low bits of `shifted` are n */
    float power;
    memcpy(&power, &bits, sizeof power);
    return x > -87.0f ? p * power : 0.0f;
}

INLINE float largest(const float *numbers, uint64_t n) {
    float own[LANES];
    uint64_t i = 0;
    for (uint32_t lane = 0; lane < LANES; lane++)
        own[lane] = numbers[0];
    for (; i + LANES <= n; i += LANES)
        for (uint32_t lane = 0; lane < LANES; lane++)
            own[lane] = numbers[i + lane] > own[lane] ? numbers[i + lane] : own[lane];
    for (; i < n; i++)
        own[0] = numbers[i] > own[0] ? numbers[i] : own[0];
    for (uint32_t lane = 1; lane < LANES; lane++)
        own[0] = own[lane] > own[0] ? own[lane] : own[0];
    return own[0];
}

/* scores[i] = e^(scores[i] / temperature - top - log_inclusion[i]); gives their sum. */
INLINE float exponentials(float *restrict scores, const float *restrict log_inclusion, uint64_t n,
                          float scale, float top) {
    float sums[LANES] = {0}, total = 0;
    uint64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (uint32_t lane = 0; lane < LANES; lane++) {
            float own = exponential(scores[i + lane] * scale - top - log_inclusion[i + lane]);
            scores[i + lane] = own;
            sums[lane] += own;
        }
    for (; i < n; i++) {
        scores[i] = exponential(scores[i] * scale - top - log_inclusion[i]);
        sums[0] += scores[i];
    }
    for (uint32_t lane = 0; lane < LANES; lane++)
        total += sums[lane];
    return total;
}

INLINE void softmax_row(const sd_softmax *softmax, float *restrict scores, int64_t first,
                        int64_t last, float *top, float *rest, float *restrict positives) {
    const uint64_t n = softmax->n_items;
    const float scale = 1 / softmax->temperature;
    *top = largest(scores, n) * scale;
    for (int64_t p = first; p < last; p++) {
        float *own = scores + softmax->columns[p];
        positives[p] = *own * scale;
        *own = -1e30f; /* no part of the sum */
    }
    *rest = exponentials(scores, softmax->log_inclusion, n, scale, *top);
    float weight = 0;
    if (softmax->temperature2 > 0) {
        *rest = *rest > 1e-30f ? *rest : 1e-30f;
        weight = softmax->temperature2 * (float)(last - first) / *rest;
    } else {
        for (int64_t p = first; p < last; p++)
            weight += 1 / (exponential(positives[p] - *top) + *rest);
    }
    for (uint64_t i = 0; i < n; i++)
        scores[i] *= weight;
    for (int64_t p = first; p < last; p++) {
        float own = softmax->temperature2 > 0 ? 0 : exponential(positives[p] - *top);
        scores[softmax->columns[p]] = (own > 0 ? own / (own + *rest) : 0) - 1;
    }
}

typedef struct sd_job {
    const sd_softmax *softmax;
    float *scores;
    uint64_t n;
    const int64_t *starts;
    float *tops, *rests, *positives;
} sd_job;

INLINE void softmax(const sd_job *job) {
    for (uint64_t i = 0; i < job->n; i++)
        softmax_row(job->softmax, job->scores + i * job->softmax->n_items, job->starts[i],
                    job->starts[i + 1], job->tops + i, job->rests + i, job->positives);
}

#if defined(__GNUC__) && defined(__x86_64__)
__attribute__((target("avx512f"))) static void softmax_avx512(const sd_job *job) { softmax(job); }
__attribute__((target("avx2"))) static void softmax_avx2(const sd_job *job) { softmax(job); }
#endif

void sd_softmax_rows(const sd_softmax *own, float *scores, uint64_t n, const int64_t *starts,
                     float *tops, float *rests, float *positives) {
    const sd_job job = {own, scores, n, starts, tops, rests, positives};
#if defined(__GNUC__) && defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        softmax_avx512(&job);
    else if (__builtin_cpu_supports("avx2"))
        softmax_avx2(&job);
    else
#endif
        softmax(&job);
}
