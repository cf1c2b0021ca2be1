/* What the packed kernels stand beside on arm64: dense scoring of rows of DIM columns, written with
 * the same care, one row at a time and four. DIM is a multiple of 16. */
#ifndef SPARSEDEVICE_DENSE_H
#define SPARSEDEVICE_DENSE_H

#include <arm_neon.h>
#include <stdint.h>

enum { DIM = 64 };

/* out[row] = sum over c of table[row][c] * query[c], float32 with fused multiply-add. */
static __attribute__((noinline)) void dense_f32(const float *table, uint32_t n_rows,
                                                const float *query, float *out) {
    float32x4_t q[DIM / 4];
    for (int i = 0; i < DIM / 4; i++)
        q[i] = vld1q_f32(query + 4 * i);
    for (uint32_t row = 0; row < n_rows; row++, table += DIM) {
        float32x4_t sum[4];
        for (int j = 0; j < 4; j++)
            sum[j] = vmulq_f32(vld1q_f32(table + 4 * j), q[j]);
        for (int i = 4; i < DIM / 4; i += 4)
            for (int j = 0; j < 4; j++)
                sum[j] = vfmaq_f32(sum[j], vld1q_f32(table + 4 * (i + j)), q[i + j]);
        out[row] = vaddvq_f32(vaddq_f32(vaddq_f32(sum[0], sum[1]), vaddq_f32(sum[2], sum[3])));
    }
}

/* The same, four rows at a time: chains of additions beside one another, and one pairwise tree for
 * four results. n_rows is a multiple of 4. */
static __attribute__((noinline)) void dense_f32_by_4(const float *table, uint32_t n_rows,
                                                     const float *query, float *out) {
    float32x4_t q[DIM / 4];
    for (int i = 0; i < DIM / 4; i++)
        q[i] = vld1q_f32(query + 4 * i);
    for (uint32_t row = 0; row < n_rows; row += 4, table += 4 * DIM) {
        float32x4_t sum[4];
        for (int j = 0; j < 4; j++)
            sum[j] = vmulq_f32(vld1q_f32(table + j * DIM), q[0]);
#pragma GCC unroll 16
        for (int i = 1; i < DIM / 4; i++)
            for (int j = 0; j < 4; j++)
                sum[j] = vfmaq_f32(sum[j], vld1q_f32(table + j * DIM + 4 * i), q[i]);
        vst1q_f32(out + row, vpaddq_f32(vpaddq_f32(sum[0], sum[1]), vpaddq_f32(sum[2], sum[3])));
    }
}

/* The same over int8, exact in int32, with the dot-product instruction (armv8.2-a+dotprod). */
static __attribute__((noinline)) void dense_i8(const int8_t *table, uint32_t n_rows,
                                               const int8_t *query, int32_t *out) {
    int8x16_t q[DIM / 16];
    for (int i = 0; i < DIM / 16; i++)
        q[i] = vld1q_s8(query + 16 * i);
    for (uint32_t row = 0; row < n_rows; row++, table += DIM) {
        int32x4_t sum = vdupq_n_s32(0);
        for (int i = 0; i < DIM / 16; i++)
            sum = vdotq_s32(sum, vld1q_s8(table + 16 * i), q[i]);
        out[row] = vaddvq_s32(sum);
    }
}

/* The same, four rows at a time. n_rows is a multiple of 4. */
static __attribute__((noinline)) void dense_i8_by_4(const int8_t *table, uint32_t n_rows,
                                                    const int8_t *query, int32_t *out) {
    int8x16_t q[DIM / 16];
    for (int i = 0; i < DIM / 16; i++)
        q[i] = vld1q_s8(query + 16 * i);
    for (uint32_t row = 0; row < n_rows; row += 4, table += 4 * DIM) {
        int32x4_t sum[4];
        for (int j = 0; j < 4; j++)
            sum[j] = vdupq_n_s32(0);
        for (int i = 0; i < DIM / 16; i++)
            for (int j = 0; j < 4; j++)
                sum[j] = vdotq_s32(sum[j], vld1q_s8(table + j * DIM + 16 * i), q[i]);
        vst1q_s32(out + row, vpaddq_s32(vpaddq_s32(sum[0], sum[1]), vpaddq_s32(sum[2], sum[3])));
    }
}

#endif
