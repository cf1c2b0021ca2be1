/* AVX-512 kernel, and what an x86-64 has. Each function carries its own target, so the file builds
 * for any. */
#include "sd_internal.h"

#ifdef SD_X86
#include <cpuid.h>
#include <immintrin.h>

#define SD_AVX512                                                                                  \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni")))
#define SD_AVX512_INLINE                                                                           \
    static inline __attribute__((                                                                  \
        always_inline, target("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni")))

uint64_t sd_x86_kernels(void) {
    uint32_t a, b, c, d, low, high;
    uint64_t kernels = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) /* OSXSAVE */
        return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    if ((low & 6) == 6 && b >> 5 & 1)
        kernels |= 1u << SD_KERNEL_AVX2;
    uint32_t wanted = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    if ((low & 0xE6) == 0xE6 && (b & wanted) == wanted && c >> 1 & 1 && c >> 11 & 1)
        kernels |= 1u << SD_KERNEL_AVX512;
    return kernels;
}

/* Query entries of 64 column ids. The tables hold q + 128, because VPDPBUSD takes unsigned bytes.
 */
SD_AVX512_INLINE __m512i look_up(const __m512i *tables, int n_tables, __m512i columns) {
    if (n_tables == 1)
        return _mm512_permutexvar_epi8(columns, tables[0]);
    __m512i low = _mm512_permutex2var_epi8(tables[0], columns, tables[1]);
    if (n_tables == 2)
        return low;
    __m512i high = _mm512_permutex2var_epi8(tables[2], columns, tables[3]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(columns), low, high);
}

SD_AVX512_INLINE void fill_tables(const int8_t *entries, int n_tables, __m512i *tables) {
    for (int i = 0; i < n_tables; i++)
        tables[i] =
            _mm512_xor_si512(_mm512_loadu_si512(entries + 64 * i), _mm512_set1_epi8((char)-128));
}

/* sum += (q + 128) v and bias += 128 v: their difference is the exact sum of q v. */
SD_AVX512_INLINE void add_products(const __m512i *tables, int n_tables, __m512i columns,
                                   __m512i values, __m512i *sum, __m512i *bias) {
    *sum = _mm512_dpbusd_epi32(*sum, look_up(tables, n_tables, columns), values);
    *bias = _mm512_dpbusd_epi32(*bias, _mm512_set1_epi8((char)-128), values);
}

SD_AVX512_INLINE __m512i load(const uint8_t *p) { return _mm512_loadu_si512(p); }

/* int4 values stay in the upper half of their bytes: sixteen times their value. */
SD_AVX512_INLINE __m512i low_nibbles(__m512i bytes) {
    return _mm512_and_si512(_mm512_slli_epi16(bytes, 4), _mm512_set1_epi8((char)0xF0));
}

SD_AVX512_INLINE __m512i high_nibbles(__m512i bytes) {
    return _mm512_and_si512(bytes, _mm512_set1_epi8((char)0xF0));
}

/* Two entries of each row. Sums of the even and of the odd rows are formed apart, each with two
 * zeros to make four, and then brought into the order of rows. */
SD_AVX512_INLINE void add_pairs(const __m512i *tables, int n_tables, const uint8_t *columns,
                                const uint8_t *values, int nibbles, __m512i *sum) {
    const __m512i even = _mm512_set1_epi32(0xFFFF), zero = _mm512_setzero_si512();
    const __m512i first = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
    for (int i = 0; i < 2; i++) {
        __m512i v = load(values + (nibbles ? 0 : 64 * i));
        if (nibbles)
            v = i ? high_nibbles(v) : low_nibbles(v);
        __m512i q = look_up(tables, n_tables, load(columns + 64 * i)), part[2];
        for (int odd = 0; odd < 2; odd++) {
            __m512i own = odd ? _mm512_andnot_si512(even, v) : _mm512_and_si512(even, v);
            __m512i bias = _mm512_dpbusd_epi32(zero, _mm512_set1_epi8((char)-128), own);
            part[odd] = _mm512_sub_epi32(_mm512_dpbusd_epi32(zero, q, own), bias);
        }
        sum[2 * i] =
            _mm512_add_epi32(sum[2 * i], _mm512_permutex2var_epi32(part[0], first, part[1]));
        sum[2 * i + 1] =
            _mm512_add_epi32(sum[2 * i + 1], _mm512_permutex2var_epi32(part[0], second, part[1]));
    }
}

/* A slice is finished without its second products and without stores where its largest score is
 * below `least`: rounding is monotonic, so the largest of the products is the product of the
 * largest. */
SD_AVX512_INLINE uint32_t scan_avx512(const sd_model *model, const sd_query *query, uint32_t first,
                                      uint32_t count, float least, float *scores, int n_tables,
                                      int wide, int nibbles) {
    const uint8_t *pointers = model->sections[SD_K_ITEM_POINTERS];
    const uint8_t *all_columns = model->sections[SD_K_ITEM_COLUMNS];
    const uint8_t *all_values = model->sections[SD_K_ITEM_VALUES];
    const uint8_t *scales = model->sections[SD_K_ITEM_SCALES];
    const __m512 query_scale = _mm512_set1_ps(query->scale), bound = _mm512_set1_ps(least);
    uint32_t groups = 0;
    uint64_t total = model->stored / SD_SLICE_ROWS;
    const uint8_t *bases = sd_bases(model);
    __m512i tables[4];
    fill_tables(query->table, n_tables, tables);
    for (uint32_t done = 0; done < count; done += SD_SLICE_ROWS) {
        sd_range range = sd_clamped(pointers, (first + done) / SD_SLICE_ROWS, total, model->dim);
        const uint8_t *columns = all_columns + SD_SLICE_ROWS * range.begin;
        const uint8_t *values = all_values + SD_SLICE_ROWS * range.begin / (nibbles ? 2 : 1);
        __m512i sum[4], bias[4];
        for (int i = 0; i < 4; i++)
            sum[i] = bias[i] = _mm512_setzero_si512();
        for (uint32_t step = 0; step < (range.count & ~3u); step += 4) {
            if (wide)
                fill_tables(query->table + sd_base(bases + range.begin, step), n_tables, tables);
            for (int i = 0; i < 4; i++) {
                __m512i v;
                if (nibbles)
                    v = i & 1 ? high_nibbles(load(values + 64 * (i / 2)))
                              : low_nibbles(load(values + 64 * (i / 2)));
                else
                    v = load(values + 64 * i);
                add_products(tables, n_tables, load(columns + 64 * i), v, &sum[i], &bias[i]);
            }
            columns += 256;
            values += nibbles ? 128 : 256;
        }
        if (wide && range.count & 3)
            fill_tables(query->table + sd_base(bases + range.begin, range.count), n_tables, tables);
        if (range.count & 2) {
            add_pairs(tables, n_tables, columns, values, nibbles, sum);
            columns += 128;
            values += nibbles ? 64 : 128;
        }
        if (range.count & 1) {
            for (int i = 0; i < 4; i++) {
                __m128i c = _mm_loadu_si128((const __m128i *)(columns + 16 * i));
                __m128i v = _mm_loadu_si128((const __m128i *)(values + 16 * (nibbles ? i & 1 : i)));
                if (nibbles && i < 2)
                    v = _mm_slli_epi16(v, 4);
                if (nibbles)
                    v = _mm_and_si128(v, _mm_set1_epi8((char)0xF0));
                add_products(tables, n_tables, _mm512_cvtepu8_epi32(c), _mm512_cvtepu8_epi32(v),
                             &sum[i], &bias[i]);
            }
        }
        __m512 score[4];
        for (int i = 0; i < 4; i++) {
            __m512i exact = _mm512_sub_epi32(sum[i], bias[i]);
            if (nibbles)
                exact = _mm512_srai_epi32(exact, 4);
            __m512 row_scale =
                _mm512_loadu_ps(scales + 4 * ((uint64_t)first + done + 16 * (uint32_t)i));
            score[i] =
                _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(exact), row_scale), query_scale);
            _mm512_storeu_ps(scores + done + 16 * i, score[i]);
        }
        __m512 most =
            _mm512_max_ps(_mm512_max_ps(score[0], score[1]), _mm512_max_ps(score[2], score[3]));
        uint32_t enter = _mm512_cmp_ps_mask(most, bound, _CMP_GE_OQ);
        groups |= (uint32_t)(enter != 0) << done / SD_SLICE_ROWS;
    }
    return groups;
}

SD_AVX512 uint32_t sd_scan_slices_avx512(const sd_model *model, const sd_query *query,
                                         uint32_t first, uint32_t count, float least,
                                         float *scores) {
    int nibbles = model->values == SD_INT4;
    if (model->dim <= 64 && !nibbles)
        return scan_avx512(model, query, first, count, least, scores, 1, 0, 0);
    if (model->dim <= 64)
        return scan_avx512(model, query, first, count, least, scores, 1, 0, 1);
    if (model->dim <= 128 && !nibbles)
        return scan_avx512(model, query, first, count, least, scores, 2, 0, 0);
    if (model->dim <= 128)
        return scan_avx512(model, query, first, count, least, scores, 2, 0, 1);
    if (model->dim <= SD_MAX_BYTE_DIM && !nibbles)
        return scan_avx512(model, query, first, count, least, scores, 4, 0, 0);
    if (model->dim <= SD_MAX_BYTE_DIM)
        return scan_avx512(model, query, first, count, least, scores, 4, 0, 1);
    if (!nibbles)
        return scan_avx512(model, query, first, count, least, scores, 4, 1, 0);
    return scan_avx512(model, query, first, count, least, scores, 4, 1, 1);
}

SD_AVX512 uint32_t sd_collect_avx512(const float *scores, float least, uint32_t first,
                                     uint64_t *keys) {
    const __m512 bound = _mm512_set1_ps(least);
    uint64_t enter = 0;
    uint32_t taken = 0;
    for (uint32_t i = 0; i < SD_SLICE_ROWS; i += 16)
        enter |= (uint64_t)_mm512_cmp_ps_mask(_mm512_loadu_ps(scores + i), bound, _CMP_GE_OQ) << i;
    for (; enter; enter &= enter - 1) {
        uint32_t j = sd_trailing_zeros(enter);
        keys[taken++] = sd_key(scores[j], first + j);
    }
    return taken;
}
#endif
