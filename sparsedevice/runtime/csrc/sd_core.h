/* sparsedevice core: recommend from the bytes of a packed file (docs/format.md).
 *
 * C11, freestanding: no libc, no allocation, no global mutable state.
 *
 * Ownership. The caller owns the bytes and keeps them unchanged and mapped while an sd_model points
 * into them; the model is a plain value that owns nothing and needs no closing. Strings are
 * written to the caller's memory. Scratch memory belongs to the caller and holds nothing between
 * calls.
 *
 * Threads. After sd_open (and sd_select_kernel) the model is only read: any number of threads may
 * use one model at once, without locks, each with scratch and results of its own.
 *
 * Safety. sd_open checks header and section table in constant time; sd_verify checks everything
 * else. Without sd_verify no call reads outside the bytes, whatever they hold; results are then
 * undefined numbers.
 */
#ifndef SD_CORE_H
#define SD_CORE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SD_FORMAT_VERSION 1u
#define SD_KINDS 23u
#define SD_NO_ROW UINT32_MAX

/* 0, a broken promise of the file (numbered as in docs/format.md), or a wrong call. */
typedef enum sd_status {
    SD_OK = 0,
    SD_MAGIC = 1,
    SD_VERSION = 2,
    SD_BYTE_ORDER = 3,
    SD_TRUNCATED = 4,
    SD_HEADER_CHECKSUM = 5,
    SD_COUNTS = 6,
    SD_CODES = 7,
    SD_SECTIONS = 8,
    SD_CONTIGUOUS = 9,
    SD_EXTENT = 10,
    SD_LENGTHS = 11,
    SD_PADDING = 12,
    SD_CHECKSUM = 13,
    SD_POINTERS = 14,
    SD_COLUMNS = 15,
    SD_VALUES = 16,
    SD_SCALES = 17,
    SD_SEEN = 18,
    SD_STRINGS = 19,
    SD_IDS = 20,
    SD_FOLD_IN = 21,
    SD_METADATA = 22,
    SD_BAD_ROW = 100,    /* a row number that the file does not have */
    SD_BAD_REQUEST = 101 /* k of 0, too little scratch, a kernel that this machine lacks */
} sd_status;

/* Name of a promise, for example "checksum". */
const char *sd_status_name(sd_status status);

typedef enum sd_values { SD_F32 = 0, SD_F16 = 1, SD_INT8 = 2, SD_INT4 = 3 } sd_values;
typedef enum sd_layout { SD_CSR = 0, SD_SLICED = 1 } sd_layout;
typedef enum sd_similarity { SD_COSINE = 0, SD_DOT = 1 } sd_similarity;

/* Integer scores have the same bits in every kernel. */
typedef enum sd_kernel {
    SD_KERNEL_SCALAR = 0,
    SD_KERNEL_AVX2 = 1,
    SD_KERNEL_AVX512 = 2, /* with VBMI and VNNI */
    SD_KERNEL_NEON = 3,
    SD_KERNEL_NEON_DOT = 4,
    SD_KERNEL_WASM_SIMD = 5
} sd_kernel;

/* An open file. Read its fields, do not write them. */
typedef struct sd_model {
    const uint8_t *bytes;
    uint64_t size;
    uint32_t n_items, n_users, dim, n_slices;
    uint64_t nnz_items, nnz_users, nnz_seen;
    uint64_t stored; /* item entries in the file, padding included */
    sd_values values;
    sd_layout layout;
    sd_similarity similarity;
    sd_kernel kernel;
    uint64_t kernels;                      /* bit i: sd_kernel i works on this machine */
    const uint8_t *sections[SD_KINDS + 1]; /* by kind; NULL where the file has none */
    uint64_t lengths[SD_KINDS + 1];
    uint32_t checksums[SD_KINDS + 1];
} sd_model;

/* Check header and section table, in time that does not depend on the number of rows. */
sd_status sd_open(sd_model *model, const void *bytes, uint64_t size);

/* Check every promise of the format, in time linear in the size of the file. */
sd_status sd_verify(const sd_model *model);

/* Take another kernel than the fastest one. SD_BAD_REQUEST where this machine lacks it. */
sd_status sd_select_kernel(sd_model *model, sd_kernel kernel);

/* Say that this machine runs a kernel that the core cannot find out by itself, and take it. On
 * arm64 that is SD_KERNEL_NEON_DOT: only the operating system knows (Linux and Android:
 * getauxval(AT_HWCAP) & HWCAP_ASIMDDP). SD_BAD_REQUEST where this build has no such kernel. */
sd_status sd_add_kernel(sd_model *model, sd_kernel kernel);

/* What a query is made of. */
typedef enum sd_source { SD_FROM_HISTORY, SD_FROM_USER, SD_FROM_ITEM } sd_source;

/* One question. All row numbers are rows of the file; lists need not be sorted and may repeat. */
typedef struct sd_request {
    sd_source source;
    uint32_t row;            /* the user or the item */
    const uint32_t *history; /* item rows; each counts once */
    uint32_t n_history;
    uint32_t k;              /* results wanted, 1 or more */
    int exclude_seen;        /* leave out the history, the user's seen list, or the item itself */
    const uint32_t *exclude; /* item rows to leave out as well */
    uint32_t n_exclude;
    const uint32_t *candidates; /* only these item rows; NULL: all */
    uint32_t n_candidates;
} sd_request;

/* Bytes of scratch that sd_recommend and sd_score need; 64-byte alignment is not required. */
uint64_t sd_scratch_bytes(const sd_model *model, const sd_request *request);

/* The k best rows, best first, equal scores in row order; *count of them: k while k are eligible.
 * rows and scores have room for min(k, n_items). */
sd_status sd_recommend(const sd_model *model, const sd_request *request, void *scratch,
                       uint64_t scratch_bytes, uint32_t *rows, float *scores, uint32_t *count);

/* Many requests in one pass over the catalogue: a part of it that is in the caches answers all of
 * them. The results of request i begin at rows[i * room] and scores[i * room]; room is at least
 * min(k, n_items) of each, and counts[i] of them are there. */
uint64_t sd_batch_scratch_bytes(const sd_model *model, const sd_request *requests,
                                uint32_t n_requests);
sd_status sd_recommend_batch(const sd_model *model, const sd_request *requests, uint32_t n_requests,
                             void *scratch, uint64_t scratch_bytes, uint32_t room, uint32_t *rows,
                             float *scores, uint32_t *counts);

/* Scores of the candidates in their order; candidates must not be NULL. */
sd_status sd_score(const sd_model *model, const sd_request *request, void *scratch,
                   uint64_t scratch_bytes, float *scores);

typedef enum sd_table { SD_ITEMS, SD_USERS } sd_table;

/* One dequantised row: *count columns and values; room for dim of each. */
sd_status sd_row(const sd_model *model, sd_table table, uint32_t row, uint16_t *columns,
                 float *values, uint32_t *count);

/* Row of an id (UTF-8, not terminated), or SD_NO_ROW. */
uint32_t sd_find(const sd_model *model, sd_table table, const char *id, uint64_t length);

/* Rows of many ids at once: faster than one by one where they are not in the caches. */
void sd_find_all(const sd_model *model, sd_table table, const char *const *ids,
                 const uint64_t *lengths, uint32_t count, uint32_t *rows);

typedef enum sd_text { SD_ITEM_ID, SD_USER_ID, SD_TITLE } sd_text;

/* Strings have at most this many bytes. */
#define SD_MAX_STRING 65535u

/* A string of the file, UTF-8, not terminated: the first `room` bytes of it go to `string`. *length
 * is the length of all of it; 0 (and SD_BAD_ROW) where there is none. */
sd_status sd_string(const sd_model *model, sd_text text, uint32_t row, char *string, uint32_t room,
                    uint32_t *length);

#ifdef __cplusplus
}
#endif
#endif
