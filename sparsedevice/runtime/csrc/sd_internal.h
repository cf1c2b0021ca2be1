/* Shared by the files of the core; not part of the interface. */
#ifndef SD_INTERNAL_H
#define SD_INTERNAL_H

#include "sd_core.h"

#include <stddef.h>

#define SD_SLICE_ROWS 64u
#define SD_MAX_DIM 4096u
#define SD_MAX_BYTE_DIM 256u
#define SD_BASE_COLUMNS 16u
/* Up to this many columns, rows are sorted by the half that their columns lie in. */
#define SD_HALVED_DIM 64u
/* Scales are sorted by their upper bits only: steps of 14 to 25 %. */
#define SD_BUCKET_BITS 21
#define SD_INFINITY (sd_bits_float(0x7F800000u))
#define SD_MAX_F32 3.4028234663852886e38f
#define SD_RULE_BYTES 24u
/* Rows whose scores are computed before they are compared with the best so far: 4 KB of floats. */
#define SD_CHUNK_ROWS 1024u

#if (defined(__GNUC__) || defined(__clang__)) && !defined(SD_SMALL)
#define SD_INLINE static inline __attribute__((always_inline))
#else
#define SD_INLINE static inline
#endif

/* Before a loop that is to be unrolled altogether: arrays of vectors stay in registers only then.
 */
#ifdef __clang__
#define SD_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define SD_UNROLL _Pragma("GCC unroll 16")
#else
#define SD_UNROLL
#endif

/* Memory that is needed soon: asked for ahead, many reads wait for one another's time, not one by
 * one. */
#if (defined(__GNUC__) || defined(__clang__)) && !defined(__wasm__)
#define SD_PREFETCH(address) __builtin_prefetch(address)
#define SD_NO_PREFETCH 0
#else
#define SD_PREFETCH(address) ((void)(address))
#define SD_NO_PREFETCH 1
#endif

enum sd_kind {
    SD_K_ITEM_POINTERS = 1,
    SD_K_ITEM_COLUMNS,
    SD_K_ITEM_VALUES,
    SD_K_ITEM_SCALES,
    SD_K_USER_POINTERS,
    SD_K_USER_COLUMNS,
    SD_K_USER_VALUES,
    SD_K_USER_SCALES,
    SD_K_SEEN_POINTERS,
    SD_K_SEEN_ROWS,
    SD_K_ITEM_ID_POINTERS,
    SD_K_ITEM_ID_BYTES,
    SD_K_ITEM_ID_INDEX,
    SD_K_USER_ID_POINTERS,
    SD_K_USER_ID_BYTES,
    SD_K_USER_ID_INDEX,
    SD_K_TITLE_POINTERS,
    SD_K_TITLE_BYTES,
    SD_K_FOLD_WEIGHTS,
    SD_K_FOLD_MATRIX,
    SD_K_METADATA,
    SD_K_FOLD_RULE,
    SD_K_FOLD_TOWER
};

/* Little-endian reads from any address. sd_open refuses machines of the other byte order. */
SD_INLINE uint16_t sd_u16(const uint8_t *p) { return (uint16_t)(p[0] | (p[1] << 8)); }

SD_INLINE uint32_t sd_u32(const uint8_t *p) {
    return (uint32_t)p[0] | ((uint32_t)p[1] << 8) | ((uint32_t)p[2] << 16) | ((uint32_t)p[3] << 24);
}

SD_INLINE uint64_t sd_u64(const uint8_t *p) {
    return (uint64_t)sd_u32(p) | ((uint64_t)sd_u32(p + 4) << 32);
}

SD_INLINE float sd_bits_float(uint32_t bits) {
    union {
        uint32_t u;
        float f;
    } both = {bits};
    return both.f;
}

SD_INLINE uint32_t sd_float_bits(float value) {
    union {
        float f;
        uint32_t u;
    } both = {value};
    return both.u;
}

SD_INLINE float sd_f32(const uint8_t *p) { return sd_bits_float(sd_u32(p)); }

SD_INLINE float sd_f16(const uint8_t *p) {
    uint32_t half = sd_u16(p);
    uint32_t sign = (half & 0x8000u) << 16, exponent = (half >> 10) & 31u, fraction = half & 1023u;
    if (exponent == 31)
        return sd_bits_float(sign | 0x7F800000u | (fraction << 13));
    if (exponent)
        return sd_bits_float(sign | ((exponent + 112u) << 23) | (fraction << 13));
    float small = (float)fraction * 5.9604644775390625e-8f; /* 2^-24 */
    return sign ? -small : small;
}

/* Four-bit two's complement. */
SD_INLINE int32_t sd_nibble(uint32_t bits) { return (int32_t)((bits & 15u) ^ 8u) - 8; }

SD_INLINE uint32_t sd_min(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Of bits of which one is set. */
SD_INLINE uint32_t sd_trailing_zeros(uint64_t bits) {
#if defined(__GNUC__) || defined(__clang__)
    return (uint32_t)__builtin_ctzll(bits);
#else
    uint32_t count = 0;
    for (; !(bits & 1); bits >>= 1)
        count++;
    return count;
#endif
}

/* A run of entries, clamped to the table whatever the pointers say, and never longer than dim. */
typedef struct sd_range {
    uint64_t begin;
    uint32_t count;
} sd_range;

SD_INLINE sd_range sd_clamped(const uint8_t *pointers, uint64_t i, uint64_t total, uint32_t limit) {
    uint64_t begin = sd_u32(pointers + 4 * i), end = sd_u32(pointers + 4 * i + 4);
    if (end > total)
        end = total;
    if (begin > end)
        begin = end;
    uint64_t count = end - begin;
    sd_range range = {begin, count > limit ? limit : (uint32_t)count};
    return range;
}

/* A query as the kernels read it. Tables cover every column id that a file can hold (256; or 4096
 * after masking, and 255 bases of 16 columns and a byte in slices), with zeros from dim on. */
typedef struct sd_query {
    const int8_t *table;  /* integer path */
    const float *numbers; /* float path */
    float scale;
} sd_query;

/* One row of a table in any layout: calls for its entries one after the other. */
typedef struct sd_cursor {
    const uint8_t *columns, *values;
    const uint8_t *bases; /* sliced: of its steps; NULL up to 256 columns */
    uint64_t begin;       /* entry, or first step of the slice */
    uint32_t count;       /* entries, or steps */
    uint32_t lane;        /* sliced: row within the slice */
    float scale;
    sd_values kind;
    sd_layout layout;
    int wide; /* two-byte columns */
} sd_cursor;

sd_cursor sd_cursor_at(const sd_model *model, sd_table table, uint32_t row);

/* Offset of entry `place` of a lane in a slice of `steps` steps (docs/format.md, "Slices"). */
SD_INLINE uint32_t sd_slice_offset(uint32_t steps, uint32_t lane, uint32_t place) {
    uint32_t quads = steps & ~3u, pairs = steps & 2u;
    if (place < quads)
        return SD_SLICE_ROWS * (place & ~3u) + 4u * lane + (place & 3u);
    if (place < quads + pairs)
        return SD_SLICE_ROWS * quads + 2u * lane + (place - quads);
    return SD_SLICE_ROWS * (quads + pairs) + lane;
}

/* int4 in a slice of `steps` steps: byte and shift of the entry at `offset`. */
SD_INLINE int32_t sd_slice_nibble(const uint8_t *slice, uint32_t steps, uint32_t offset) {
    uint32_t half = offset < SD_SLICE_ROWS * (steps & ~1u) ? 64u : 32u;
    uint32_t inside = offset % (2 * half); /* units of 64 start at multiples of 128 too */
    uint8_t byte = slice[(offset - inside) / 2 + inside % half];
    return sd_nibble(inside < half ? byte : (uint32_t)byte >> 4);
}

/* Bases of the steps of slices, one for each; NULL up to 256 columns (docs/format.md, "Slices"). */
SD_INLINE const uint8_t *sd_bases(const sd_model *model) {
    return model->dim > SD_MAX_BYTE_DIM
               ? model->sections[SD_K_ITEM_POINTERS] + 4 * ((uint64_t)model->n_slices + 1)
               : NULL;
}

/* The column from which on the columns of a step's group count. */
SD_INLINE uint32_t sd_base(const uint8_t *bases, uint32_t step) {
    return bases ? SD_BASE_COLUMNS * bases[step & ~3u] : 0;
}

/* The class of a row of up to 64 columns, by its fourth column (0 if none) and the one after its
 * groups of four (63 if none): which half of the columns they lie in (docs/format.md, "Slices"). */
SD_INLINE uint32_t sd_row_class(uint32_t fourth, uint32_t rest) {
    return rest < 32 ? 0 : fourth < 32 ? 1 : 2;
}

SD_INLINE uint32_t sd_cursor_column(const sd_cursor *at, uint32_t place) {
    if (at->layout == SD_SLICED)
        return sd_base(at->bases, place) + at->columns[sd_slice_offset(at->count, at->lane, place)];
    return at->wide ? sd_u16(at->columns + 2 * (at->begin + place)) & (SD_MAX_DIM - 1)
                    : at->columns[at->begin + place];
}

SD_INLINE int32_t sd_cursor_integer(const sd_cursor *at, uint32_t place) {
    if (at->layout == SD_SLICED) {
        uint32_t offset = sd_slice_offset(at->count, at->lane, place);
        return at->kind == SD_INT8 ? (int8_t)at->values[offset]
                                   : sd_slice_nibble(at->values, at->count, offset);
    }
    uint64_t entry = at->begin + place;
    return at->kind == SD_INT8 ? (int8_t)at->values[entry]
                               : sd_nibble((uint32_t)at->values[entry / 2] >> (entry % 2 * 4));
}

SD_INLINE float sd_cursor_number(const sd_cursor *at, uint32_t place) {
    uint64_t entry = at->begin + place;
    if (at->kind == SD_F32)
        return sd_f32(at->values + 4 * entry);
    if (at->kind == SD_F16)
        return sd_f16(at->values + 2 * entry);
    return (float)sd_cursor_integer(at, place);
}

/* Scores of `count` rows from `first` on, at most SD_CHUNK_ROWS. For slices both are multiples of
 * 64, and rows after the last item are scored too. Returns a bit for each group of 64 rows: where
 * it is 0, no score of the group is `least` or more, and its scores may not have been written. */
typedef uint32_t sd_scan(const sd_model *model, const sd_query *query, uint32_t first,
                         uint32_t count, float least, float *scores);

sd_scan sd_scan_rows_scalar, sd_scan_slices_scalar;

/* The scan for the model's layout and kernel. */
sd_scan *sd_choose_scan(const sd_model *model);

/* Write the key of each of 64 scores that is `least` or more, which a NaN never is, and return how
 * many were written; up to 8 keys after them may be overwritten. The row of score 0 is `first`. */
typedef uint32_t sd_collect(const float *scores, float least, uint32_t first, uint64_t *keys);

sd_collect sd_collect_scalar;

/* Larger key: higher score, then lower row. */
SD_INLINE uint64_t sd_key(float score, uint32_t row) {
    uint32_t bits = sd_float_bits(score + 0.0f); /* one zero */
    bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return ((uint64_t)bits << 32) | (uint32_t)~row;
}

SD_INLINE float sd_key_score(uint64_t key) {
    uint32_t bits = (uint32_t)(key >> 32);
    return sd_bits_float(bits & 0x80000000u ? bits & 0x7FFFFFFFu : ~bits);
}

SD_INLINE uint32_t sd_key_row(uint64_t key) { return ~(uint32_t)key; }

#if (defined(__x86_64__) || defined(_M_X64)) && (defined(__GNUC__) || defined(__clang__))
#define SD_X86 1
uint64_t sd_x86_kernels(void);
sd_scan sd_scan_slices_avx2, sd_scan_slices_avx512;
sd_collect sd_collect_avx2, sd_collect_avx512;
#endif

#if defined(__aarch64__) && defined(__ARM_NEON) && (defined(__GNUC__) || defined(__clang__))
#define SD_NEON 1
sd_scan sd_scan_slices_neon, sd_scan_slices_neon_dot;
sd_collect sd_collect_neon;
#endif

#ifdef __wasm_simd128__
#define SD_WASM_SIMD 1
sd_scan sd_scan_slices_wasm;
sd_collect sd_collect_wasm;
#endif

/* Ask for the strings of some rows, which are needed soon. */
void sd_prefetch_strings(const sd_model *model, uint32_t first, const uint32_t *rows,
                         uint32_t count);

uint32_t sd_crc32(uint32_t crc, const uint8_t *bytes, uint64_t count);

/* Slots that the hashes of n ids are spread over. */
SD_INLINE uint64_t sd_index_slots(uint32_t n) { return (uint64_t)n + n / 4 + 1; }

/* Sort ascending and drop repeats; returns how many are left. */
uint32_t sd_sort_unique(uint32_t *rows, uint32_t count);

/* The k largest keys first, in no order. */
void sd_select_keys(uint64_t *keys, uint32_t count, uint32_t k);

/* Largest first. */
void sd_sort_keys(uint64_t *keys, uint32_t count);

float sd_score_row(const sd_model *model, const sd_query *query, uint32_t row);

/* Scratch is handed out in pieces, each aligned to 64 bytes. */
typedef struct sd_arena {
    uint8_t *next;
    uint64_t left;
} sd_arena;

/* NULL where scratch is too small. */
void *sd_take(sd_arena *arena, uint64_t bytes);

/* 1.5 * 2^52: a number of at most 2^51 is rounded half to even by adding it. */
#define SD_ROUNDING_SHIFT 6755399441055744.0

/* Half to even, for |x| <= 2^51. */
int32_t sd_round_even(double x);

double sd_square_root(double x);

enum { SD_RULE_RIDGE = 1, SD_RULE_STEPS = 2, SD_RULE_TOWER = 3 };
/* Rows of a block of 64, every fourth, that a gradient step looks at. */
#define SD_COMB_ROWS 16u
enum { SD_MAX_LAYERS = 8 };
enum { SD_MAX_SOLVE = 64, SD_MAX_STEPS = 16, SD_MAX_SAMPLE = 65536, SD_MAX_SHARPNESS = 350 };

/* What follows the weighted sum; kind 0: nothing (docs/format.md, "The fold-in rule"). */
typedef struct sd_rule {
    uint32_t kind, count, rows;
    double a, b, c;
} sd_rule;

/* Numbers of the tower that the rule asks for; 0 where it asks for none. */
uint32_t sd_tower_numbers(const sd_model *model);

/* *valid is 0, and the rule is none, where the section is not as the format says. */
sd_rule sd_fold_rule(const sd_model *model, int *valid);

/* The query of a row, or of a history of sorted rows, at least one, into q, which holds zeros.
 * memory has sd_fold_bytes, aligned for doubles; table has room for a query's. */
void sd_load_query(const sd_model *model, sd_table table, uint32_t row, void *memory, double *q);
uint64_t sd_fold_bytes(const sd_model *model);
void sd_fold_in(const sd_model *model, const uint32_t *history, uint32_t count, void *memory,
                void *table, double *q);

/* A query as the kernels read it; memory has 4 bytes for each number that a column can be. */
void sd_quantize(const sd_model *model, const double *q, sd_query *query, void *memory);

uint64_t sd_query_bytes(const sd_model *model, const sd_request *request);
sd_status sd_build_query(const sd_model *model, const sd_request *request, sd_arena *arena,
                         sd_query *query);

#endif
