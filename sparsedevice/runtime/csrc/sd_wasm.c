/* WebAssembly SIMD kernel. Builds with -msimd128 only; other builds see an empty file. */
#include "sd_run.h"

#ifdef SD_WASM_SIMD
#include <wasm_simd128.h>

SD_INLINE v128_t load(const void *p) { return wasm_v128_load(p); }

/* Tables of 16 query entries each, from one on and up to another. */
typedef struct tables {
    const v128_t *all;
    uint32_t from, to;
} tables;

/* Query entries of 16 column ids. A table answers only for its own ids: a swizzle gives zero for
 * every index of 16 or more, and the subtractions wrap. */
SD_INLINE v128_t look_up(tables of, const uint8_t *columns) {
    v128_t own = wasm_i8x16_sub(load(columns), wasm_i8x16_splat((int8_t)(16 * of.from)));
    v128_t found = wasm_i8x16_swizzle(of.all[of.from], own);
    for (uint32_t i = of.from + 1; i < of.to; i++) {
        own = wasm_i8x16_sub(own, wasm_i8x16_splat(16));
        found = wasm_v128_or(found, wasm_i8x16_swizzle(of.all[i], own));
    }
    return found;
}

/* 16 int4 values as bytes, from the low or the high halves of 16 bytes. */
SD_INLINE v128_t nibbles_at(const uint8_t *p, uint32_t high) {
    v128_t bytes = load(p), eight = wasm_i8x16_splat(8);
    if (high)
        bytes = wasm_u16x8_shr(bytes, 4);
    bytes = wasm_v128_and(bytes, wasm_i8x16_splat(15));
    return wasm_i8x16_sub(wasm_v128_xor(bytes, eight), eight);
}

/* 16 values from entry `at` of a group of units on, whose halves have `half` entries. */
SD_INLINE v128_t values_at(const uint8_t *values, uint32_t at, uint32_t half, int nibbles) {
    if (!nibbles)
        return load(values + at);
    uint32_t inside = at % (2 * half);
    return nibbles_at(values + (at - inside) / 2 + inside % half, inside >= half);
}

/* Eight int8 values from entry `at` of a group on, as 16 bits each. */
SD_INLINE v128_t half_at(const uint8_t *values, uint32_t at, int nibbles) {
    if (!nibbles)
        return wasm_i16x8_load8x8(values + at);
    v128_t all = values_at(values, at & ~15u, 64, nibbles);
    return at & 8 ? wasm_i16x8_extend_high_i8x16(all) : wasm_i16x8_extend_low_i8x16(all);
}

/* Sums of four neighbouring products: of the first and third, 65,536 times too large and still less
 * than 2^31, then of the second and fourth. */
SD_INLINE v128_t quad_sums(v128_t q, v128_t v) {
    v128_t even = wasm_i32x4_dot_i16x8(wasm_i16x8_shl(q, 8), wasm_i16x8_shl(v, 8));
    v128_t odd = wasm_i32x4_dot_i16x8(wasm_i16x8_shr(q, 8), wasm_i16x8_shr(v, 8));
    return wasm_i32x4_add(wasm_i32x4_shr(even, 16), odd);
}

/* Loops are short, because engines unroll them; the sums stay in memory, because there are too few
 * registers for them beside the tables. */
#define SD_SHORT _Pragma("clang loop unroll(disable)")

SD_INLINE void add_to(int32_t *sums, v128_t more) {
    wasm_v128_store(sums, wasm_i32x4_add(load(sums), more));
}

/* Four entries of each row. `begin`: nothing was added before. */
SD_INLINE void add_fours(tables of, const uint8_t *columns, const uint8_t *values, int nibbles,
                         int begin, int32_t *sums) {
    SD_SHORT
    for (uint32_t at = 0; at < 256; at += 16) {
        v128_t q = look_up(of, columns + at);
        v128_t more = quad_sums(q, values_at(values, at, 64, nibbles));
        if (begin)
            wasm_v128_store(sums + at / 4, more);
        else
            add_to(sums + at / 4, more);
    }
}

/* What is left after the fours: two entries of each row, one, or both. */
SD_INLINE void add_rest(tables of, const uint8_t *columns, const uint8_t *values, uint32_t steps,
                        int nibbles, int32_t *sums) {
    if (steps & 2) {
        SD_SHORT
        for (uint32_t at = 0; at < 128; at += 16) {
            v128_t q = look_up(of, columns + at);
            v128_t low = half_at(values, at, nibbles), high = half_at(values, at + 8, nibbles);
            add_to(sums + at / 2, wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(q), low));
            add_to(sums + at / 2 + 4, wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(q), high));
        }
        columns += 128;
        values += nibbles ? 64 : 128;
    }
    if (steps & 1) {
        SD_SHORT
        for (uint32_t at = 0; at < 64; at += 16) {
            v128_t q = look_up(of, columns + at);
            v128_t v = values_at(values, at, 32, nibbles);
            v128_t first = wasm_i16x8_extmul_low_i8x16(q, v);
            v128_t second = wasm_i16x8_extmul_high_i8x16(q, v);
            add_to(sums + at, wasm_i32x4_extend_low_i16x8(first));
            add_to(sums + at + 4, wasm_i32x4_extend_high_i16x8(first));
            add_to(sums + at + 8, wasm_i32x4_extend_low_i16x8(second));
            add_to(sums + at + 12, wasm_i32x4_extend_high_i16x8(second));
        }
    }
}

SD_INLINE void clear(int32_t *sums) {
    SD_SHORT
    for (uint32_t i = 0; i < SD_SLICE_ROWS; i += 4)
        wasm_v128_store(sums + i, wasm_i32x4_splat(0));
}

/* Sums of the 64 rows of a slice of int8 values and up to 64 columns, by the class of its rows. */
SD_INLINE void add_few(const v128_t *query, const uint8_t *columns, const uint8_t *values,
                       const run *of, int32_t *sums) {
    const tables whole = {query, 0, 4}, lower = {query, 0, 2}, upper = {query, 2, 4};
    uint32_t steps = of->steps;
    if (steps < 4)
        clear(sums);
    else if (of->even && of->kind < 2)
        add_fours(lower, columns, values, 0, 1, sums);
    else
        add_fours(whole, columns, values, 0, 1, sums);
    for (; steps > 7; steps -= 4) {
        columns += 256;
        values += 256;
        add_fours(whole, columns, values, 0, 0, sums);
    }
    columns += 64 * (steps & 4);
    values += 64 * (steps & 4);
    if (of->even && of->kind > 0)
        add_rest(upper, columns, values, steps, 0, sums);
    else
        add_rest(whole, columns, values, steps, 0, sums);
}

/* Sums of the 64 rows of any slice. A base counts in tables. */
SD_INLINE void add_any(tables of, const uint8_t *bases, const uint8_t *columns,
                       const uint8_t *values, uint32_t steps, int nibbles, int32_t *sums) {
    const v128_t *all = of.all;
    clear(sums);
    for (; steps > 3; steps -= 4) {
        if (bases) {
            of.all = all + *bases;
            bases += 4;
        }
        add_fours(of, columns, values, nibbles, 0, sums);
        columns += 256;
        values += nibbles ? 128 : 256;
    }
    if (bases && steps)
        of.all = all + *bases;
    add_rest(of, columns, values, steps, nibbles, sums);
}

/* Scores of a slice; returns whether one is `least` or more. */
SD_INLINE uint32_t write_scores(const int32_t *sums, const uint8_t *scales, float query_scale,
                                float least, float *scores) {
    v128_t enter = wasm_i32x4_splat(0);
    SD_SHORT
    for (uint32_t at = 0; at < SD_SLICE_ROWS; at += 8)
        for (uint32_t i = 0; i < 8; i += 4) {
            v128_t sum = wasm_f32x4_convert_i32x4(load(sums + at + i));
            v128_t scaled = wasm_f32x4_mul(sum, load(scales + 4 * at + 4 * i));
            v128_t score = wasm_f32x4_mul(scaled, wasm_f32x4_splat(query_scale));
            wasm_v128_store(scores + at + i, score);
            enter = wasm_v128_or(enter, wasm_f32x4_ge(score, wasm_f32x4_splat(least)));
        }
    return wasm_v128_any_true(enter);
}

/* Whether some row may have a score of `least`, which is positive, or more: one with the largest
 * sum and the largest scale, or one with a larger scale, would. Rounding is monotonic. */
SD_INLINE int may_enter(const int32_t *sums, float most_scale, float query_scale, float least) {
    v128_t most[4];
    for (uint32_t i = 0; i < 4; i++)
        most[i] = load(sums + 4 * i);
    SD_SHORT
    for (uint32_t at = 16; at < SD_SLICE_ROWS; at += 16)
        for (uint32_t i = 0; i < 4; i++)
            most[i] = wasm_i32x4_max(most[i], load(sums + at + 4 * i));
    most[0] = wasm_i32x4_max(wasm_i32x4_max(most[0], most[1]), wasm_i32x4_max(most[2], most[3]));
    v128_t scaled = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(most[0]), wasm_f32x4_splat(most_scale));
    v128_t score = wasm_f32x4_mul(scaled, wasm_f32x4_splat(query_scale));
    return wasm_v128_any_true(wasm_f32x4_ge(score, wasm_f32x4_splat(least)));
}

uint32_t sd_scan_slices_wasm(const sd_model *model, const sd_query *query, uint32_t first,
                             uint32_t count, float least, float *scores) {
    const int nibbles = model->values == SD_INT4, few = model->dim <= SD_HALVED_DIM && !nibbles;
    const v128_t *all = (const void *)query->table; /* aligned, as all scratch is */
    const v128_t own[4] = {all[0], all[1], all[2], all[3]};
    const tables from = {all, 0, sd_min((model->dim + 15) / 16, SD_MAX_BYTE_DIM / 16)};
    const uint8_t *scales = model->sections[SD_K_ITEM_SCALES] + 4 * (uint64_t)first;
    uint32_t written = 0, slice = first / SD_SLICE_ROWS, last = (first + count) / SD_SLICE_ROWS;
    int32_t sums[SD_SLICE_ROWS];
    for (uint32_t bit = 1; slice < last;) {
        run of = find_run(model, slice, last - slice, nibbles);
        const uint8_t *bases = sd_bases(model);
        if (bases)
            bases += of.begin;
        for (slice += of.slices; of.slices; of.slices--, bit <<= 1) {
            if (few)
                add_few(own, of.columns, of.values, &of, sums);
            else
                add_any(from, bases, of.columns, of.values, of.steps, nibbles, sums);
            if ((!of.even || !(least > 0) ||
                 may_enter(sums, scale_edge(scales), query->scale, least)) &&
                write_scores(sums, scales, query->scale, least, scores))
                written |= bit;
            of.columns += SD_SLICE_ROWS * of.steps;
            of.values += SD_SLICE_ROWS * of.steps >> nibbles;
            bases = bases ? bases + of.steps : NULL;
            scales += 4 * SD_SLICE_ROWS;
            scores += SD_SLICE_ROWS;
        }
    }
    return written;
}

uint32_t sd_collect_wasm(const float *scores, float least, uint32_t first, uint64_t *keys) {
    const v128_t bound = wasm_f32x4_splat(least);
    uint32_t taken = 0;
    SD_SHORT
    for (uint32_t i = 0; i < SD_SLICE_ROWS; i += 16) {
        v128_t enter[4];
        for (uint32_t j = 0; j < 4; j++)
            enter[j] = wasm_f32x4_ge(load(scores + i + 4 * j), bound);
        enter[0] = wasm_i16x8_narrow_i32x4(enter[0], enter[1]);
        enter[2] = wasm_i16x8_narrow_i32x4(enter[2], enter[3]);
        uint32_t bits = (uint32_t)wasm_i8x16_bitmask(wasm_i8x16_narrow_i16x8(enter[0], enter[2]));
        for (; bits; bits &= bits - 1) {
            uint32_t row = i + sd_trailing_zeros(bits);
            keys[taken++] = sd_key(scores[row], first + row);
        }
    }
    return taken;
}
#endif
