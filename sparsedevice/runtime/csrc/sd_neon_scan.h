/* The loop of the NEON kernels, built twice: by sd_neon.c, and with SD_DOT by sd_neon_dot.c for
 * machines that have the dot-product instructions of Armv8.2. */
#ifndef SD_NEON_SCAN_H
#define SD_NEON_SCAN_H

#include "sd_internal.h"

#ifdef SD_NEON
#include <arm_neon.h>

/* The 16 sums of a slice stay in registers only where loops over them are unrolled altogether. */
#ifdef __clang__
#define SD_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SD_UNROLL _Pragma("GCC unroll 16")
#endif

/* 256 query entries in four tables of 64; named ones, because an array of them would live in
 * memory. */
typedef struct tables {
    int8x16x4_t a, b, c, d;
} tables;

SD_INLINE int8x16x4_t load_table(const int8_t *entries) {
    int8x16x4_t table = {{vld1q_s8(entries), vld1q_s8(entries + 16), vld1q_s8(entries + 32),
                          vld1q_s8(entries + 48)}};
    return table;
}

/* Query entries of 16 column ids. A look-up leaves lanes whose index is beyond its table as they
 * are (TBX) or zero (TBL), and the subtraction wraps. */
SD_INLINE int8x16_t look_up(tables from, int n_tables, uint8x16_t columns) {
    int8x16_t found = vqtbl4q_s8(from.a, columns);
    if (n_tables > 1)
        found = vqtbx4q_s8(found, from.b, vsubq_u8(columns, vdupq_n_u8(64)));
    if (n_tables > 2) {
        found = vqtbx4q_s8(found, from.c, vsubq_u8(columns, vdupq_n_u8(128)));
        found = vqtbx4q_s8(found, from.d, vsubq_u8(columns, vdupq_n_u8(192)));
    }
    return found;
}

/* Sums of four neighbouring products each, into four exact 32-bit sums. */
SD_INLINE int32x4_t add_quads(int32x4_t sum, int8x16_t q, int8x16_t v) {
#ifdef SD_DOT
    return vdotq_s32(sum, q, v);
#else
    /* Two products of at most 127 * 128 fit 16 bits. */
    int16x8_t low = vmull_s8(vget_low_s8(q), vget_low_s8(v)), high = vmull_high_s8(q, v);
    return vpadalq_s16(sum, vpaddq_s16(low, high));
#endif
}

/* 16 values from entry 16 * i of a group on, in which int4 values lie in units of 2 * half. */
SD_INLINE int8x16_t values_at(const uint8_t *values, int i, int half, int nibbles) {
    if (!nibbles)
        return vreinterpretq_s8_u8(vld1q_u8(values + 16 * i));
    int at = 16 * i, inside = at % (2 * half);
    int8x16_t bytes = vreinterpretq_s8_u8(vld1q_u8(values + (at - inside) / 2 + inside % half));
    return vshrq_n_s8(inside < half ? vshlq_n_s8(bytes, 4) : bytes, 4);
}

SD_INLINE void scan(const sd_model *model, const sd_query *query, uint32_t first, uint32_t count,
                    float *restrict scores, int n_tables, int nibbles) {
    const uint8_t *pointers = model->sections[SD_K_ITEM_POINTERS];
    const uint8_t *all_columns = model->sections[SD_K_ITEM_COLUMNS];
    const uint8_t *all_values = model->sections[SD_K_ITEM_VALUES];
    const uint8_t *scales = model->sections[SD_K_ITEM_SCALES] + 4 * (uint64_t)first;
    const float32x4_t query_scale = vdupq_n_f32(query->scale);
    const uint32_t dim = model->dim;
    uint64_t total = model->stored / SD_SLICE_ROWS;
    tables from;
    from.a = from.b = from.c = from.d = load_table(query->table);
    if (n_tables > 1)
        from.b = load_table(query->table + 64);
    if (n_tables > 2) {
        from.c = load_table(query->table + 128);
        from.d = load_table(query->table + 192);
    }
    for (uint32_t done = 0; done < count; done += SD_SLICE_ROWS) {
        sd_range range = sd_clamped(pointers, (first + done) / SD_SLICE_ROWS, total, dim);
        const uint8_t *columns = all_columns + SD_SLICE_ROWS * range.begin;
        const uint8_t *values = all_values + SD_SLICE_ROWS * range.begin / (nibbles ? 2 : 1);
        int32x4_t sum[16];
        SD_UNROLL
        for (int i = 0; i < 16; i++)
            sum[i] = vdupq_n_s32(0);
        for (uint32_t quads = range.count / 4; quads; quads--) {
            SD_UNROLL
            for (int i = 0; i < 16; i++) {
                int8x16_t q = look_up(from, n_tables, vld1q_u8(columns + 16 * i));
                sum[i] = add_quads(sum[i], q, values_at(values, i, 64, nibbles));
            }
            columns += 256;
            values += nibbles ? 128 : 256;
        }
        if (range.count & 2) {
            SD_UNROLL
            for (int i = 0; i < 8; i++) {
                int8x16_t q = look_up(from, n_tables, vld1q_u8(columns + 16 * i));
                int8x16_t v = values_at(values, i, 64, nibbles);
                sum[2 * i] = vpadalq_s16(sum[2 * i], vmull_s8(vget_low_s8(q), vget_low_s8(v)));
                sum[2 * i + 1] = vpadalq_s16(sum[2 * i + 1], vmull_high_s8(q, v));
            }
            columns += 128;
            values += nibbles ? 64 : 128;
        }
        if (range.count & 1) {
            SD_UNROLL
            for (int i = 0; i < 4; i++) {
                int8x16_t q = look_up(from, n_tables, vld1q_u8(columns + 16 * i));
                int8x16_t v = values_at(values, i, 32, nibbles);
                int16x8_t low = vmull_s8(vget_low_s8(q), vget_low_s8(v));
                int16x8_t high = vmull_high_s8(q, v);
                sum[4 * i] = vaddw_s16(sum[4 * i], vget_low_s16(low));
                sum[4 * i + 1] = vaddw_high_s16(sum[4 * i + 1], low);
                sum[4 * i + 2] = vaddw_s16(sum[4 * i + 2], vget_low_s16(high));
                sum[4 * i + 3] = vaddw_high_s16(sum[4 * i + 3], high);
            }
        }
        SD_UNROLL
        for (int i = 0; i < 16; i++) {
            float32x4_t row_scale = vreinterpretq_f32_u8(vld1q_u8(scales + 4 * done + 16 * i));
            float32x4_t scaled = vmulq_f32(vcvtq_f32_s32(sum[i]), row_scale);
            vst1q_f32(scores + done + 4 * i, vmulq_f32(scaled, query_scale));
        }
    }
}

/* One copy of the loop for each number of tables and kind of values. */
SD_INLINE void scan_any(const sd_model *model, const sd_query *query, uint32_t first,
                        uint32_t count, float *scores) {
    int nibbles = model->values == SD_INT4;
    if (model->dim <= 64 && !nibbles)
        scan(model, query, first, count, scores, 1, 0);
    else if (model->dim <= 64)
        scan(model, query, first, count, scores, 1, 1);
    else if (model->dim <= 128 && !nibbles)
        scan(model, query, first, count, scores, 2, 0);
    else if (model->dim <= 128)
        scan(model, query, first, count, scores, 2, 1);
    else if (!nibbles)
        scan(model, query, first, count, scores, 4, 0);
    else
        scan(model, query, first, count, scores, 4, 1);
}
#endif
#endif
