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

#define SD_LANE_ENTRIES 2048u
#define SD_MAX_LANES 1024u
#define SD_TABLE_SLOTS 4096u
#define SD_MAX_TABLES 256u

/* The coded symbols of a table's rows. */
typedef struct sd_lanes {
    const uint8_t *words; /* n_words 16-bit words, little-endian, lane after lane */
    uint64_t n_words;
    const uint32_t *lane_words; /* words of each lane: sd_lane_count(entries) numbers */
    const uint16_t *lengths;    /* entries of each row */
    uint64_t n_rows;
    const uint16_t *frequencies; /* n_tables x n_symbols; each table adds up to 4,096, or to 0 */
    uint32_t n_tables;           /* 1 ... 256 */
    uint32_t n_symbols;          /* 1 ... 256 */
    uint32_t limit;              /* results are below it; at most 65,536 */
    int gaps;                    /* 0: results are symbols of the first table; else columns */
    uint32_t shift;              /* with gaps: the table is (column before + 1) >> shift */
    uint32_t low_bits;           /* with gaps: lowest bits of each gap, which are in `low` */
    const uint8_t *low;          /* one for each entry where low_bits > 0 */
} sd_lanes;

/* How many lanes this many entries are coded in. */
uint64_t sd_lane_count(uint64_t entries);

/* Bytes of scratch for this many tables; aligned to 4. */
uint64_t sd_lane_scratch(uint32_t n_tables);

/* Decode all entries. `out` has room for the sum of all lengths. 1: done; 0: the data are damaged,
 * and `out` holds anything. */
int sd_decode_lanes(const sd_lanes *lanes, void *scratch, uint16_t *out);

#ifdef __cplusplus
}
#endif
#endif
