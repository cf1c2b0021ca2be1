/* AVX2 kernel. Each function carries its own target, so the file builds for any x86-64. */
#include "sd_internal.h"

#ifdef SD_X86
#include <immintrin.h>

#define SD_AVX2 __attribute__((target("avx2")))
#define SD_AVX2_INLINE static inline __attribute__((always_inline, target("avx2")))

SD_AVX2_INLINE __m256i load_32(const void *p) { return _mm256_loadu_si256(p); }

/* Tables of 16 query entries, each as what it differs from the next by, the last of eight or fewer
 * as it is. */
typedef struct tables {
    __m256i steps[16];
} tables;

SD_AVX2_INLINE __m256i table_at(const int8_t *entries) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)entries));
}

/* n_tables: 4, 8 or 16. */
SD_AVX2_INLINE tables load_tables(const int8_t *entries, int n_tables) {
    tables from;
    const int last = n_tables < 8 ? n_tables - 1 : 7;
    SD_UNROLL
    for (int i = 0; i < n_tables; i++) {
        from.steps[i] = table_at(entries + 16 * i);
        if ((i & last) != last)
            from.steps[i] = _mm256_xor_si256(from.steps[i], table_at(entries + 16 * i + 16));
    }
    return from;
}

/* `found` for columns from 16 * (place + 1) on, changed for those before, whose additions leave the
 * top bit as it is: with it the shuffle gives zero. */
SD_AVX2_INLINE __m256i step_back(__m256i found, __m256i table, __m256i columns, int place) {
    __m256i own = _mm256_adds_epu8(columns, _mm256_set1_epi8((char)(0x70 - 16 * place)));
    return _mm256_xor_si256(found, _mm256_shuffle_epi8(table, own));
}

/* Query entries of 32 column ids: that of the last table, then back from table to table as far as
 * the column asks. Shuffles read the lower four bits only. */
SD_AVX2_INLINE __m256i entries_of(const tables *from, int n_tables, __m256i columns) {
    const int last = n_tables < 8 ? n_tables - 1 : 7;
    __m256i found = _mm256_shuffle_epi8(from->steps[last], columns);
    SD_UNROLL
    for (int i = last; i-- > 0;)
        found = step_back(found, from->steps[i], columns, i);
    if (n_tables == 16) { /* the top bit says which eight */
        __m256i others = _mm256_xor_si256(columns, _mm256_set1_epi8((char)0x80));
        found = _mm256_xor_si256(found, _mm256_shuffle_epi8(from->steps[15], others));
        SD_UNROLL
        for (int i = 7; i-- > 0;)
            found = step_back(found, from->steps[8 + i], others, i);
    }
    return found;
}

/* Products of neighbouring entries, added in pairs; |q v| <= 127 * 128 twice fits 16 bits. */
SD_AVX2_INLINE __m256i pair_sums(__m256i q, __m256i v) {
    return _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(v, q));
}

/* 32 int4 values as bytes, from the low or the high halves of 32 bytes. */
SD_AVX2_INLINE __m256i nibbles_at(const uint8_t *p, int high) {
    __m256i bytes = load_32(p), eight = _mm256_set1_epi8(8);
    if (high)
        bytes = _mm256_srli_epi16(bytes, 4);
    bytes = _mm256_and_si256(bytes, _mm256_set1_epi8(15));
    return _mm256_sub_epi8(_mm256_xor_si256(bytes, eight), eight);
}

/* 32 values from entry 32 * i of a group on, in which int4 values lie in units of 2 * half. */
SD_AVX2_INLINE __m256i values_at(const uint8_t *values, int i, int half, int nibbles) {
    if (!nibbles)
        return load_32(values + 32 * i);
    int at = 32 * i, inside = at % (2 * half);
    return nibbles_at(values + (at - inside) / 2 + inside % half, inside >= half);
}

/* What is added up, and from where. */
typedef struct part {
    const tables *from;
    const uint8_t *columns, *values;
    int n_tables, nibbles;
} part;

SD_AVX2_INLINE __m256i found_at(part of, int i) {
    return entries_of(of.from, of.n_tables, load_32(of.columns + 32 * i));
}

/* 16 numbers of 16 bits, added to sums of eight rows each. */
SD_AVX2_INLINE void add_words(__m256i words, __m256i *sum) {
    __m256i low = _mm256_cvtepi16_epi32(_mm256_castsi256_si128(words));
    __m256i high = _mm256_cvtepi16_epi32(_mm256_extracti128_si256(words, 1));
    sum[0] = _mm256_add_epi32(sum[0], low);
    sum[1] = _mm256_add_epi32(sum[1], high);
}

SD_AVX2_INLINE void add_fours(part of, __m256i *sum) {
    SD_UNROLL
    for (int i = 0; i < 8; i++) {
        __m256i pairs = pair_sums(found_at(of, i), values_at(of.values, i, 64, of.nibbles));
        sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
}

SD_AVX2_INLINE void add_twos(part of, __m256i *sum) {
    SD_UNROLL
    for (int i = 0; i < 4; i++)
        add_words(pair_sums(found_at(of, i), values_at(of.values, i, 64, of.nibbles)), sum + 2 * i);
}

SD_AVX2_INLINE void add_ones(part of, __m256i *sum) {
    SD_UNROLL
    for (int i = 0; i < 2; i++) {
        __m256i q = found_at(of, i), v = values_at(of.values, i, 32, of.nibbles);
        __m256i low = _mm256_mullo_epi16(_mm256_cvtepi8_epi16(_mm256_castsi256_si128(q)),
                                         _mm256_cvtepi8_epi16(_mm256_castsi256_si128(v)));
        __m256i high = _mm256_mullo_epi16(_mm256_cvtepi8_epi16(_mm256_extracti128_si256(q, 1)),
                                          _mm256_cvtepi8_epi16(_mm256_extracti128_si256(v, 1)));
        add_words(low, sum + 4 * i);
        add_words(high, sum + 4 * i + 2);
    }
}

/* Scores of a slice; returns whether one is `least` or more. */
SD_AVX2_INLINE uint32_t write_scores(const __m256i *sum, const uint8_t *scales, float query_scale,
                                     float least, float *scores) {
    __m256 most = _mm256_set1_ps(-SD_INFINITY);
    SD_UNROLL
    for (int i = 0; i < 8; i++) {
        __m256 row_scale = _mm256_loadu_ps((const float *)(const void *)(scales + 32 * i));
        __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[i]), row_scale);
        __m256 score = _mm256_mul_ps(scaled, _mm256_set1_ps(query_scale));
        _mm256_storeu_ps(scores + 8 * i, score);
        most = _mm256_max_ps(score, most); /* the second where one is not a number */
    }
    return _mm256_movemask_ps(_mm256_cmp_ps(most, _mm256_set1_ps(least), _CMP_GE_OQ)) != 0;
}

SD_AVX2_INLINE uint32_t scan(const sd_model *model, const sd_query *query, uint32_t first,
                             uint32_t count, float least, float *scores, int n_tables, int wide,
                             int nibbles) {
    const uint8_t *scales = model->sections[SD_K_ITEM_SCALES] + 4 * (uint64_t)first;
    const uint64_t total = model->stored / SD_SLICE_ROWS;
    tables from = load_tables(query->table, n_tables);
    uint32_t enter = 0;
    for (uint32_t done = 0, n = count / SD_SLICE_ROWS; done < n; done++) {
        sd_range range = sd_clamped(model->sections[SD_K_ITEM_POINTERS],
                                    first / SD_SLICE_ROWS + done, total, model->dim);
        const uint8_t *bases = wide ? sd_bases(model) + range.begin : NULL;
        const uint32_t steps = range.count, fours = steps & ~3u;
        part at = {&from, model->sections[SD_K_ITEM_COLUMNS] + SD_SLICE_ROWS * range.begin,
                   model->sections[SD_K_ITEM_VALUES] + (SD_SLICE_ROWS * range.begin >> nibbles),
                   n_tables, nibbles};
        __m256i sum[8];
        SD_UNROLL
        for (int i = 0; i < 8; i++)
            sum[i] = _mm256_setzero_si256();
        for (uint32_t step = 0; step < fours; step += 4) {
            if (wide)
                from = load_tables(query->table + sd_base(bases, step), n_tables);
            add_fours(at, sum);
            at.columns += 256;
            at.values += 256 >> nibbles;
        }
        if (wide && steps & 3)
            from = load_tables(query->table + sd_base(bases, steps), n_tables);
        if (steps & 2) {
            add_twos(at, sum);
            at.columns += 128;
            at.values += 128 >> nibbles;
        }
        if (steps & 1)
            add_ones(at, sum);
        enter |= write_scores(sum, scales, query->scale, least, scores) << done;
        scales += 4 * SD_SLICE_ROWS;
        scores += SD_SLICE_ROWS;
    }
    return enter;
}

/* One copy of the loop for each number of tables and kind of values. */
SD_AVX2 uint32_t sd_scan_slices_avx2(const sd_model *model, const sd_query *query, uint32_t first,
                                     uint32_t count, float least, float *scores) {
    int nibbles = model->values == SD_INT4;
    if (model->dim <= 64 && !nibbles)
        return scan(model, query, first, count, least, scores, 4, 0, 0);
    if (model->dim <= 64)
        return scan(model, query, first, count, least, scores, 4, 0, 1);
    if (model->dim <= 128 && !nibbles)
        return scan(model, query, first, count, least, scores, 8, 0, 0);
    if (model->dim <= 128)
        return scan(model, query, first, count, least, scores, 8, 0, 1);
    if (model->dim <= SD_MAX_BYTE_DIM && !nibbles)
        return scan(model, query, first, count, least, scores, 16, 0, 0);
    if (model->dim <= SD_MAX_BYTE_DIM)
        return scan(model, query, first, count, least, scores, 16, 0, 1);
    if (!nibbles)
        return scan(model, query, first, count, least, scores, 16, 1, 0);
    return scan(model, query, first, count, least, scores, 16, 1, 1);
}

SD_AVX2 uint32_t sd_collect_avx2(const float *scores, float least, uint32_t first, uint64_t *keys) {
    const __m256 bound = _mm256_set1_ps(least);
    uint64_t enter = 0;
    uint32_t taken = 0;
    for (uint32_t i = 0; i < SD_SLICE_ROWS; i += 8) {
        __m256 above = _mm256_cmp_ps(_mm256_loadu_ps(scores + i), bound, _CMP_GE_OQ);
        enter |= (uint64_t)(uint32_t)_mm256_movemask_ps(above) << i;
    }
    for (; enter; enter &= enter - 1) {
        uint32_t j = sd_trailing_zeros(enter);
        keys[taken++] = sd_key(scores[j], first + j);
    }
    return taken;
}
#endif
