/* Decoding the columns and values of a compact file (docs/compact.md).
 *
 * Freestanding like the core: no libc, no allocation, no state. Any bytes are safe: nothing is read
 * outside the arrays that are handed in, and damage shows as a result of 0.
 */
#ifndef SD_COMPACT_H
#define SD_COMPACT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SD_STREAMS 8u
#define SD_CODE_BITS 9u     /* the longest code */
#define SD_TABLE_SLOTS 512u /* 2 to this power */
#define SD_ONLY_SYMBOL 15u  /* "length" of the code of a table's only symbol, which has none */
#define SD_STREAM_SLACK 8u  /* bytes behind the streams that may be read */
#define SD_MAX_TABLES 256u

/* Coded symbols. */
typedef struct sd_coded {
    const uint8_t *streams;       /* behind one another */
    uint64_t n_bytes;             /* of all streams, and of at least SD_STREAM_SLACK bytes more */
    const uint32_t *stream_bytes; /* of each of the SD_STREAMS */
    const uint8_t *code_lengths;  /* n_tables x n_symbols: 0 (not used) ... SD_CODE_BITS, or
                                     SD_ONLY_SYMBOL */
    uint32_t n_tables;            /* 1 ... 256 */
    uint32_t n_symbols;           /* 1 ... 256 */
} sd_coded;

/* The rows whose columns are coded. */
typedef struct sd_coded_rows {
    const uint16_t *lengths; /* entries of each row */
    uint64_t n_rows;
    uint32_t dim;      /* columns are below it; at most 65,536 */
    uint32_t shift;    /* the table is (column before + 1) >> shift, or 0 for the first of a row */
    uint32_t low_bits; /* lowest bits of each gap, which follow its code; 0 up to
                          256 columns, else 1 ... 8 */
} sd_coded_rows;

/* Bytes of scratch for columns below `dim` in this many tables, or, with 1 and 1, for bytes;
 * aligned to 2. */
uint64_t sd_coded_scratch(uint32_t n_tables, uint32_t dim);

/* Decode the columns of all rows. `out` has room for the sum of all lengths: uint8_t where dim is
 * at most 256, else uint16_t. 1: done; 0: the data are damaged, and `out` holds anything. */
int sd_decode_columns(const sd_coded *coded, const sd_coded_rows *rows, void *scratch, void *out);

/* Decode `count` symbols of the first table. 1: done; 0: the data are damaged. */
int sd_decode_bytes(const sd_coded *coded, uint64_t count, void *scratch, uint8_t *out);

#ifdef __cplusplus
}
#endif
#endif
