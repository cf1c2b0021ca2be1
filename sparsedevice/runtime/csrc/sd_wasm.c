/* WebAssembly SIMD kernel. Builds with -msimd128 only; other builds see an empty file. */
#include "sd_internal.h"

#ifdef SD_WASM_SIMD
#include <wasm_simd128.h>

SD_INLINE v128_t load(const void *p) { return wasm_v128_load(p); }

/* Query entries of 16 column ids, from tables of 16 entries. A table answers only for its own ids:
 * a swizzle gives zero for every index of 16 or more, and the subtraction wraps. */
SD_INLINE v128_t look_up(const v128_t *tables, uint32_t n_tables, v128_t columns) {
    v128_t found = wasm_i8x16_swizzle(tables[0], columns);
    for (uint32_t i = 1; i < n_tables; i++) {
        v128_t own = wasm_i8x16_sub(columns, wasm_i8x16_splat((int8_t)(16 * i)));
        found = wasm_v128_or(found, wasm_i8x16_swizzle(tables[i], own));
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

SD_INLINE void add_to(int32_t *sums, v128_t more) {
    wasm_v128_store(sums, wasm_i32x4_add(load(sums), more));
}

/* Sums of the 64 rows of a slice. A base counts in tables. The sums stay in memory: there are too
 * few registers for them beside the tables. */
SD_INLINE void add_steps(const v128_t *tables, uint32_t n_tables, const uint8_t *bases,
                         const uint8_t *columns, const uint8_t *values, uint32_t steps, int nibbles,
                         int32_t *sums) {
    const v128_t *all = tables;
#pragma clang loop unroll(disable)
    for (uint32_t i = 0; i < SD_SLICE_ROWS; i += 4)
        wasm_v128_store(sums + i, wasm_i32x4_splat(0));
    for (uint32_t quads = steps / 4; quads; quads--) {
        if (bases) {
            tables = all + *bases;
            bases += 4;
        }
#pragma clang loop unroll(disable)
        for (uint32_t at = 0; at < 256; at += 16) {
            v128_t q = look_up(tables, n_tables, load(columns + at));
            add_to(sums + at / 4, quad_sums(q, values_at(values, at, 64, nibbles)));
        }
        columns += 256;
        values += nibbles ? 128 : 256;
    }
    if (bases && steps & 3)
        tables = all + *bases;
    if (steps & 2) {
#pragma clang loop unroll(disable)
        for (uint32_t at = 0; at < 128; at += 16) {
            v128_t q = look_up(tables, n_tables, load(columns + at));
            v128_t low = half_at(values, at, nibbles), high = half_at(values, at + 8, nibbles);
            add_to(sums + at / 2, wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(q), low));
            add_to(sums + at / 2 + 4, wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(q), high));
        }
        columns += 128;
        values += nibbles ? 64 : 128;
    }
    if (steps & 1) {
#pragma clang loop unroll(disable)
        for (uint32_t at = 0; at < 64; at += 16) {
            v128_t q = look_up(tables, n_tables, load(columns + at));
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

SD_INLINE uint32_t scan(const sd_model *model, const sd_query *query, uint32_t first,
                        uint32_t count, float least, float *scores, int few, int nibbles) {
    const uint8_t *all_columns = model->sections[SD_K_ITEM_COLUMNS];
    const uint8_t *all_values = model->sections[SD_K_ITEM_VALUES];
    const uint8_t *scales = model->sections[SD_K_ITEM_SCALES] + 4 * (uint64_t)first;
    const v128_t query_scale = wasm_f32x4_splat(query->scale), bound = wasm_f32x4_splat(least);
    const uint32_t n_tables = sd_min((model->dim + 15) / 16, SD_MAX_BYTE_DIM / 16);
    uint32_t groups = 0;
    uint64_t total = model->stored / SD_SLICE_ROWS;
    const uint8_t *bases = NULL;
    const v128_t *tables = (const void *)query->table; /* aligned, as all scratch is */
    int32_t sums[SD_SLICE_ROWS];
    v128_t own[4];
    if (few) {
        for (uint32_t i = 0; i < 4; i++)
            own[i] = tables[i];
        tables = own;
    } else {
        bases = sd_bases(model);
    }
    for (uint32_t done = 0; done < count; done += SD_SLICE_ROWS) {
        sd_range range = sd_clamped(model->sections[SD_K_ITEM_POINTERS],
                                    (first + done) / SD_SLICE_ROWS, total, model->dim);
        const uint8_t *columns = all_columns + SD_SLICE_ROWS * range.begin;
        const uint8_t *values = all_values + SD_SLICE_ROWS * range.begin / (nibbles ? 2 : 1);
        add_steps(tables, few ? 4 : n_tables, bases ? bases + range.begin : NULL, columns, values,
                  range.count, nibbles, sums);
        v128_t enter = wasm_i32x4_splat(0);
#pragma clang loop unroll(disable)
        for (uint32_t i = 0; i < SD_SLICE_ROWS; i += 4) {
            uint32_t row = done + i;
            v128_t scaled =
                wasm_f32x4_mul(wasm_f32x4_convert_i32x4(load(sums + i)), load(scales + 4 * row));
            v128_t score = wasm_f32x4_mul(scaled, query_scale);
            wasm_v128_store(scores + row, score);
            enter = wasm_v128_or(enter, wasm_f32x4_ge(score, bound));
        }
        groups |= (uint32_t)wasm_v128_any_true(enter) << done / SD_SLICE_ROWS;
    }
    return groups;
}

uint32_t sd_scan_slices_wasm(const sd_model *model, const sd_query *query, uint32_t first,
                             uint32_t count, float least, float *scores) {
    int nibbles = model->values == SD_INT4;
    if (model->dim <= 64 && !nibbles)
        return scan(model, query, first, count, least, scores, 1, 0);
    return scan(model, query, first, count, least, scores, 0, nibbles);
}

uint32_t sd_collect_wasm(const float *scores, float least, uint32_t first, uint64_t *keys) {
    const v128_t bound = wasm_f32x4_splat(least);
    uint32_t taken = 0;
    for (uint32_t i = 0; i < SD_SLICE_ROWS; i += 4) {
        uint32_t enter = (uint32_t)wasm_i32x4_bitmask(wasm_f32x4_ge(load(scores + i), bound));
        for (; enter; enter &= enter - 1) {
            uint32_t j = i + (uint32_t)__builtin_ctz(enter);
            keys[taken++] = sd_key(scores[j], first + j);
        }
    }
    return taken;
}
#endif
