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

SD_INLINE tables load_tables(const int8_t *entries, int n_tables) {
    tables from;
    from.a = from.b = from.c = from.d = load_table(entries);
    if (n_tables > 1)
        from.b = load_table(entries + 64);
    if (n_tables > 2) {
        from.c = load_table(entries + 128);
        from.d = load_table(entries + 192);
    }
    return from;
}

/* GCC (12) copies the table before every look-up, unless told which registers it lives in. */
SD_INLINE int8x16_t look_up_first(int8x16x4_t table, uint8x16_t columns) {
#ifdef __clang__
    return vqtbl4q_s8(table, columns);
#else
    register int8x16_t a __asm__("v28") = table.val[0];
    register int8x16_t b __asm__("v29") = table.val[1];
    register int8x16_t c __asm__("v30") = table.val[2];
    register int8x16_t d __asm__("v31") = table.val[3];
    int8x16_t found;
    __asm__("tbl %0.16b, {v28.16b - v31.16b}, %1.16b"
            : "=w"(found)
            : "w"(columns), "w"(a), "w"(b), "w"(c), "w"(d));
    return found;
#endif
}

/* Query entries of 16 column ids. A look-up leaves lanes whose index is beyond its table as they
 * are (TBX) or zero (TBL), and the subtraction wraps. */
SD_INLINE int8x16_t look_up(tables from, int n_tables, uint8x16_t columns) {
    int8x16_t found = look_up_first(from.a, columns);
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

/* Sums of four rows each, begun with two entries of every row: no zeros are needed. */
SD_INLINE void begin_with_pairs(tables from, int n_tables, const uint8_t *columns,
                                const uint8_t *values, int nibbles, int32x4_t *sum) {
    SD_UNROLL
    for (int i = 0; i < 8; i++) {
        int8x16_t q = look_up(from, n_tables, vld1q_u8(columns + 16 * i));
        int8x16_t v = values_at(values, i, 64, nibbles);
        sum[2 * i] = vpaddlq_s16(vmull_s8(vget_low_s8(q), vget_low_s8(v)));
        sum[2 * i + 1] = vpaddlq_s16(vmull_high_s8(q, v));
    }
}

SD_INLINE void add_singles(tables from, int n_tables, const uint8_t *columns, const uint8_t *values,
                           int nibbles, int32x4_t *sum) {
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

/* A slice is finished without its second product and without stores where its largest score is
 * below `least`: rounding is monotonic, so the largest of the products is the product of the
 * largest. FMAXNM takes the number where the other is a NaN. */
SD_INLINE uint32_t scan(const sd_model *model, const sd_query *query, uint32_t first,
                        uint32_t count, float least, float *restrict scores, int n_tables, int wide,
                        int nibbles) {
    const uint8_t *pointers = model->sections[SD_K_ITEM_POINTERS];
    const uint8_t *all_columns = model->sections[SD_K_ITEM_COLUMNS];
    const uint8_t *all_values = model->sections[SD_K_ITEM_VALUES];
    const uint8_t *scales = model->sections[SD_K_ITEM_SCALES] + 4 * (uint64_t)first;
    const uint32_t dim = model->dim;
    const float query_scale = query->scale;
    uint64_t total = model->stored / SD_SLICE_ROWS;
    uint32_t groups = 0;
    const uint8_t *bases = sd_bases(model);
    tables from = load_tables(query->table, n_tables), rest = from;
    for (uint32_t done = 0; done < count; done += SD_SLICE_ROWS) {
        sd_range range = sd_clamped(pointers, (first + done) / SD_SLICE_ROWS, total, dim);
        const uint8_t *columns = all_columns + SD_SLICE_ROWS * range.begin;
        const uint8_t *values = all_values + (SD_SLICE_ROWS * range.begin >> nibbles);
        uint64_t quads = 64 * (uint64_t)(range.count & ~3u);
        const uint8_t *rest_columns = columns + quads, *rest_values = values + (quads >> nibbles);
        int32x4_t sum[16];
        float32x4_t product[16], most[8];
        if (wide && range.count & 3)
            rest = load_tables(query->table + sd_base(bases + range.begin, range.count), n_tables);
        if (range.count & 2) {
            begin_with_pairs(wide ? rest : from, n_tables, rest_columns, rest_values, nibbles, sum);
            rest_columns += 128;
            rest_values += nibbles ? 64 : 128;
        } else {
            SD_UNROLL
            for (int i = 0; i < 16; i++)
                sum[i] = vdupq_n_s32(0);
        }
        for (uint32_t step = 0; step < (range.count & ~3u); step += 4) {
            if (wide)
                from = load_tables(query->table + sd_base(bases + range.begin, step), n_tables);
            SD_UNROLL
            for (int i = 0; i < 16; i++) {
                int8x16_t q = look_up(from, n_tables, vld1q_u8(columns + 16 * i));
                sum[i] = add_quads(sum[i], q, values_at(values, i, 64, nibbles));
            }
            columns += 256;
            values += nibbles ? 128 : 256;
        }
        if (range.count & 1)
            add_singles(wide ? rest : from, n_tables, rest_columns, rest_values, nibbles, sum);
        SD_UNROLL
        for (int i = 0; i < 16; i++) {
            float32x4_t row_scale = vreinterpretq_f32_u8(vld1q_u8(scales + 4 * done + 16 * i));
            product[i] = vmulq_f32(vcvtq_f32_s32(sum[i]), row_scale);
        }
        SD_UNROLL
        for (int i = 0; i < 8; i++)
            most[i] = vmaxnmq_f32(product[i], product[i + 8]);
        SD_UNROLL
        for (int i = 0; i < 4; i++)
            most[i] = vmaxnmq_f32(most[i], most[i + 4]);
        float32x4_t all = vmaxnmq_f32(vmaxnmq_f32(most[0], most[1]), vmaxnmq_f32(most[2], most[3]));
        if (!(vmaxnmvq_f32(all) * query_scale >= least))
            continue;
        groups |= 1u << done / SD_SLICE_ROWS;
        SD_UNROLL
        for (int i = 0; i < 16; i++)
            vst1q_f32(scores + done + 4 * i, vmulq_n_f32(product[i], query_scale));
    }
    return groups;
}

/* One copy of the loop for each number of tables and kind of values. */
SD_INLINE uint32_t scan_any(const sd_model *model, const sd_query *query, uint32_t first,
                            uint32_t count, float least, float *scores) {
    int nibbles = model->values == SD_INT4;
    if (model->dim <= 64 && !nibbles)
        return scan(model, query, first, count, least, scores, 1, 0, 0);
    if (model->dim <= 64)
        return scan(model, query, first, count, least, scores, 1, 0, 1);
    if (model->dim <= 128 && !nibbles)
        return scan(model, query, first, count, least, scores, 2, 0, 0);
    if (model->dim <= 128)
        return scan(model, query, first, count, least, scores, 2, 0, 1);
    if (model->dim <= SD_MAX_BYTE_DIM && !nibbles)
        return scan(model, query, first, count, least, scores, 4, 0, 0);
    if (model->dim <= SD_MAX_BYTE_DIM)
        return scan(model, query, first, count, least, scores, 4, 0, 1);
    if (!nibbles)
        return scan(model, query, first, count, least, scores, 4, 1, 0);
    return scan(model, query, first, count, least, scores, 4, 1, 1);
}
#endif
#endif
