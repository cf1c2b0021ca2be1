/* The loop of the NEON kernels, built twice: by sd_neon.c, and with SD_DOT by sd_neon_dot.c for
 * machines that have the dot-product instructions of Armv8.2. */
#ifndef SD_NEON_SCAN_H
#define SD_NEON_SCAN_H

#include "sd_run.h"

#ifdef SD_NEON
#include <arm_neon.h>

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

/* What look-ups go to: one to four tables of 64, or one half of the first, from which fewer
 * registers are read. */
#define SD_LOWER_HALF (-1)
#define SD_UPPER_HALF (-2)

/* Look-ups in some registers of a table. Compilers copy it before every look-up, unless told which
 * registers it lives in. */
#define SD_LOOK_UP(name, registers)                                                                \
    SD_INLINE int8x16_t name(int8x16x4_t table, uint8x16_t columns) {                              \
        register int8x16_t a __asm__("v28") = table.val[0];                                        \
        register int8x16_t b __asm__("v29") = table.val[1];                                        \
        register int8x16_t c __asm__("v30") = table.val[2];                                        \
        register int8x16_t d __asm__("v31") = table.val[3];                                        \
        int8x16_t found;                                                                           \
        __asm__("tbl %0.16b, {" registers "}, %1.16b"                                              \
                : "=w"(found)                                                                      \
                : "w"(columns), "w"(a), "w"(b), "w"(c), "w"(d));                                   \
        return found;                                                                              \
    }

SD_LOOK_UP(look_up_first, "v28.16b - v31.16b")
SD_LOOK_UP(look_up_lower, "v28.16b - v29.16b")
SD_LOOK_UP(look_up_upper, "v30.16b - v31.16b")

/* Query entries of 16 column ids. A look-up leaves lanes whose index is beyond its table as they
 * are (TBX) or zero (TBL), and the subtraction wraps. */
SD_INLINE int8x16_t look_up(tables from, int n_tables, uint8x16_t columns) {
    if (n_tables == SD_LOWER_HALF)
        return look_up_lower(from.a, columns);
    if (n_tables == SD_UPPER_HALF)
        return look_up_upper(from.a, vsubq_u8(columns, vdupq_n_u8(32)));
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

/* What is added up, and from where. n_tables as of look_up. */
typedef struct part {
    tables from;
    const uint8_t *columns, *values;
    int n_tables, nibbles;
} part;

/* Sums of four rows each, begun with two entries of each: no zeros are needed. */
SD_INLINE void begin_with_pairs(part of, int32x4_t *sum) {
    SD_UNROLL
    for (int i = 0; i < 8; i++) {
        int8x16_t q = look_up(of.from, of.n_tables, vld1q_u8(of.columns + 16 * i));
        int8x16_t v = values_at(of.values, i, 64, of.nibbles);
        sum[2 * i] = vpaddlq_s16(vmull_s8(vget_low_s8(q), vget_low_s8(v)));
        sum[2 * i + 1] = vpaddlq_s16(vmull_high_s8(q, v));
    }
}

SD_INLINE void add_fours(part of, int32x4_t *sum) {
    SD_UNROLL
    for (int i = 0; i < 16; i++) {
        int8x16_t q = look_up(of.from, of.n_tables, vld1q_u8(of.columns + 16 * i));
        sum[i] = add_quads(sum[i], q, values_at(of.values, i, 64, of.nibbles));
    }
}

SD_INLINE void add_singles(part of, int32x4_t *sum) {
    SD_UNROLL
    for (int i = 0; i < 4; i++) {
        int8x16_t q = look_up(of.from, of.n_tables, vld1q_u8(of.columns + 16 * i));
        int8x16_t v = values_at(of.values, i, 32, of.nibbles);
        int16x8_t low = vmull_s8(vget_low_s8(q), vget_low_s8(v)), high = vmull_high_s8(q, v);
        sum[4 * i] = vaddw_s16(sum[4 * i], vget_low_s16(low));
        sum[4 * i + 1] = vaddw_high_s16(sum[4 * i + 1], low);
        sum[4 * i + 2] = vaddw_s16(sum[4 * i + 2], vget_low_s16(high));
        sum[4 * i + 3] = vaddw_high_s16(sum[4 * i + 3], high);
    }
}

/* The largest of 32 sums, in some lane. */
SD_INLINE int32x4_t largest(const int32x4_t *sum) {
    int32x4_t most[4];
    SD_UNROLL
    for (int i = 0; i < 4; i++)
        most[i] = vmaxq_s32(sum[i], sum[i + 4]);
    return vmaxq_s32(vmaxq_s32(most[0], most[1]), vmaxq_s32(most[2], most[3]));
}

/* A number that sums of rows with scores of `least` or more are not below, if no scale is above
 * `edge`. */
SD_INLINE int32_t limit_of(float least, float edge, float query_scale) {
    float unit = edge * query_scale, limit = least / unit * 0.99999f - 1;
    if (!(unit > 1e-30f && limit > 0)) /* smaller ones are not exact enough */
        return INT32_MIN;
    return limit < 1e9f ? (int32_t)limit : 1000000000;
}

/* Integers within 2^22 are the last bits of 3 * 2^22 and them: two additions, which most cores have
 * twice the units for that conversions have. 256 products are less. */
SD_INLINE float32x4_t to_floats(int32x4_t sum, int wide) {
    const float shift = 12582912;
    if (wide)
        return vcvtq_f32_s32(sum);
    int32x4_t bits = vaddq_s32(sum, vreinterpretq_s32_f32(vdupq_n_f32(shift)));
    return vsubq_f32(vreinterpretq_f32_s32(bits), vdupq_n_f32(shift));
}

/* Scores of 32 rows; returns the largest, in some lane. FMAXNM takes the number where the other is
 * a NaN. */
SD_INLINE float32x4_t write_scores(const int32x4_t *sum, const uint8_t *scales, float query_scale,
                                   float *restrict scores, int wide) {
    float32x4_t most = vdupq_n_f32(-SD_INFINITY);
    SD_UNROLL
    for (int i = 0; i < 8; i++) {
        float32x4_t row_scale = vreinterpretq_f32_u8(vld1q_u8(scales + 16 * i));
        float32x4_t product = vmulq_f32(to_floats(sum[i], wide), row_scale);
        float32x4_t score = vmulq_n_f32(product, query_scale);
        vst1q_f32(scores + 4 * i, score);
        most = vmaxnmq_f32(most, score);
    }
    return most;
}

SD_INLINE void write_lowest(float *scores) {
    for (int i = 0; i < 32; i += 4)
        vst1q_f32(scores + i, vdupq_n_f32(-SD_INFINITY));
}

/* Scores of the slices of a run. Returns a bit for each that has a half whose scores were written;
 * its other half gets scores that are below `least`, as theirs are. */
SD_INLINE uint32_t scan_run(const sd_model *model, const sd_query *query, const run *of,
                            const uint8_t *scales, float least, float *restrict scores,
                            int n_tables, int n_fours, int n_rest, int pairs, int wide,
                            int nibbles) {
    const uint8_t *bases = wide ? sd_bases(model) + of->begin : NULL;
    const uint32_t steps = of->steps, fours = steps & ~3u;
    const float query_scale = query->scale;
    part all = {load_tables(query->table, n_tables), of->columns, of->values, n_tables, nibbles};
    part rest = all;
    uint32_t written = 0;
    float edge = 0;
    int32_t limit = INT32_MIN;
    rest.n_tables = n_rest;
    if (wide && steps & 3)
        rest.from = load_tables(query->table + sd_base(bases, steps), n_tables);
    for (uint32_t slice = 0; slice < of->slices; slice++) {
        float next_edge = scale_edge(scales);
        if (of->even && next_edge != edge) {
            edge = next_edge;
            __asm__ volatile(""); /* or clang divides for every slice */
            limit = limit_of(least, edge, query_scale);
        }
        rest.columns = all.columns + 64 * fours;
        rest.values = all.values + (64 * fours >> nibbles);
        int32x4_t sum[16];
        part at = all, single = rest;
        if (pairs) {
            begin_with_pairs(rest, sum);
            single.columns += 128;
            single.values += nibbles ? 64 : 128;
        } else {
            SD_UNROLL
            for (int i = 0; i < 16; i++)
                sum[i] = vdupq_n_s32(0);
        }
        if (fours && !wide) {
            at.n_tables = n_fours;
            add_fours(at, sum);
        }
        at.n_tables = n_tables;
        for (uint32_t step = wide ? 0 : 4; step < fours; step += 4) {
            at.columns = all.columns + 64 * step;
            at.values = all.values + (64 * step >> nibbles);
            if (wide)
                at.from = load_tables(query->table + sd_base(bases, step), n_tables);
            add_fours(at, sum);
        }
        if (steps & 1)
            add_singles(single, sum);
        int32x4_t lower = largest(sum), upper = largest(sum + 8);
        if (!of->even) {
            float32x4_t most = write_scores(sum, scales, query_scale, scores, wide);
            most = vmaxnmq_f32(most,
                               write_scores(sum + 8, scales + 128, query_scale, scores + 32, wide));
            written |= (uint32_t)(vmaxnmvq_f32(most) >= least) << slice;
        } else if (vmaxvq_s32(vmaxq_s32(lower, upper)) >= limit) {
            written |= 1u << slice;
            if (vmaxvq_s32(lower) >= limit)
                write_scores(sum, scales, query_scale, scores, wide);
            else
                write_lowest(scores);
            if (vmaxvq_s32(upper) >= limit)
                write_scores(sum + 8, scales + 128, query_scale, scores + 32, wide);
            else
                write_lowest(scores + 32);
        }
        all.columns += 64 * steps;
        all.values += 64 * steps >> nibbles;
        scales += 4 * SD_SLICE_ROWS;
        scores += SD_SLICE_ROWS;
    }
    return written;
}

/* A copy of the loop for each class of rows. */
SD_INLINE uint32_t scan_class(const sd_model *model, const sd_query *query, const run *of,
                              const uint8_t *scales, float least, float *to, int pairs) {
    if (of->even && of->kind == 0)
        return scan_run(model, query, of, scales, least, to, 1, SD_LOWER_HALF, 1, pairs, 0, 0);
    if (of->even && of->kind == 1)
        return scan_run(model, query, of, scales, least, to, 1, SD_LOWER_HALF, SD_UPPER_HALF, pairs,
                        0, 0);
    if (of->even)
        return scan_run(model, query, of, scales, least, to, 1, 1, SD_UPPER_HALF, pairs, 0, 0);
    return scan_run(model, query, of, scales, least, to, 1, 1, 1, pairs, 0, 0);
}

/* Only int8 values of up to 64 columns, the commonest, have copies for classes: each is 3 KB of
 * code. Copies for pairs, too, save up to a tenth of the instructions with SD_DOT, little without.
 */
SD_INLINE uint32_t scan_kind(const sd_model *model, const sd_query *query, const run *of,
                             const uint8_t *scales, float least, float *to, int n_tables, int wide,
                             int nibbles) {
    int pairs = of->steps & 2;
    if (n_tables == 1 && !nibbles) {
#ifdef SD_DOT
        if (pairs)
            return scan_class(model, query, of, scales, least, to, 1);
        pairs = 0;
#endif
        return scan_class(model, query, of, scales, least, to, pairs);
    }
    return scan_run(model, query, of, scales, least, to, n_tables, n_tables, n_tables, pairs, wide,
                    nibbles);
}

SD_INLINE uint32_t scan(const sd_model *model, const sd_query *query, uint32_t first,
                        uint32_t count, float least, float *restrict scores, int n_tables, int wide,
                        int nibbles) {
    uint32_t written = 0;
    for (uint32_t done = 0, n = count / SD_SLICE_ROWS; done < n;) {
        run of = find_run(model, first / SD_SLICE_ROWS + done, n - done, nibbles);
        const uint8_t *scales =
            model->sections[SD_K_ITEM_SCALES] + 4 * (first + SD_SLICE_ROWS * (uint64_t)done);
        float *to = scores + SD_SLICE_ROWS * done;
        uint32_t groups = scan_kind(model, query, &of, scales, least, to, n_tables, wide, nibbles);
        written |= groups << done;
        done += of.slices;
    }
    return written;
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
