/* What writing a packed file needs and a device does not: the id index, packed bits, strings joined
 * from their ends, text cut into symbols, and rows laid out in slices.
 *
 * No libc, no allocation, no state; memory belongs to the caller. */
#ifndef SD_WRITE_H
#define SD_WRITE_H

#include <stdint.h>

/* Slots of an id index, with the rows of n ids that lie behind one another, id i from ends[i - 1]
 * to ends[i]. `scratch` has room for sd_index_slots(n) + 1 + 2 n numbers, `slots` for
 * sd_index_slots(n) + n. Returns how many slots there are; empty ones hold UINT32_MAX. */
uint64_t sd_build_index(const uint8_t *ids, const uint64_t *ends, uint32_t n, uint32_t *scratch,
                        uint32_t *slots);

/* Bytes that numbers of so many bits each take, and eight zero bytes; UINT64_MAX where a width is
 * not 0 to 56. */
uint64_t sd_bits_bytes(const int64_t *widths, uint64_t n);

/* Write the numbers behind one another, the lowest bit of the first byte first. */
void sd_pack_bits(const int64_t *numbers, const int64_t *widths, uint64_t n, uint8_t *packed);

/* Of n strings, each of the first `shared` bytes of the string before, or all of it where that has
 * fewer, and what stands in `ends` up to the next byte 255: their lengths. Returns the bytes of
 * all, or UINT64_MAX where `ends` does not have n of them. */
uint64_t sd_front_lengths(const uint8_t *shared, uint64_t n, const uint8_t *ends,
                          uint64_t end_bytes, int64_t *lengths);

/* Write these strings behind one another. */
void sd_join_fronts(const int64_t *lengths, uint64_t n, const uint8_t *ends, uint8_t *strings);

/* Symbols in the order of their bytes, symbol i from ends[i - 1] to ends[i]. */
typedef struct sd_cutter {
    const uint8_t *bytes;
    const uint32_t *ends;
    const uint16_t *numbers; /* what each is called */
    const uint8_t *costs;    /* bits of each one's code */
    uint32_t n;
} sd_cutter;

#define SD_MAX_CUT 65536u /* bytes of a string, its end included */

typedef struct sd_cut_scratch {
    uint32_t cost[SD_MAX_CUT + 1]; /* bits that the string takes up to here */
    uint16_t last[SD_MAX_CUT + 1]; /* the last of them, in the order of bytes */
    uint16_t pairs[65537];         /* how many symbols come before each two bytes */
    uint16_t singles[256];         /* the symbol that is one byte; SD_NO_SYMBOL if none */
} sd_cut_scratch;

#define SD_NO_SYMBOL 0xFFFFu

/* Cut strings, each ending in byte 255, into the symbols that take the fewest bits. `codes` has
 * room for as many as there are bytes. Returns how many there are, or UINT64_MAX where symbols do
 * not suffice. */
uint64_t sd_cut(const sd_cutter *cutter, const uint8_t *text, uint64_t length,
                sd_cut_scratch *scratch, uint16_t *codes);

/* Rows of up to 256 columns. */
typedef struct sd_plain_rows {
    const int64_t *pointers; /* n_rows + 1 */
    uint64_t n_rows;
    const void *columns; /* of `column_bytes` bytes each: 1 or 4 */
    uint32_t column_bytes;
    const int8_t *values;
} sd_plain_rows;

/* Lay rows out in slices, the first steps of which `slices` says: n_rows / 64, rounded up, + 1
 * numbers. No row may have more entries than its slice has steps. `columns` and `values` have room
 * for 64 bytes a step, and are zero. */
void sd_to_slices(const sd_plain_rows *rows, const uint32_t *slices, uint8_t *columns,
                  int8_t *values);

/* Sums of squares of the values of each row, which has at most 65,535. */
void sd_row_squares(const int64_t *pointers, uint64_t n_rows, const int8_t *values,
                    uint32_t *squares);

/* int4 values of slices, two in a byte: 32 bytes a step. */
void sd_pack_nibbles(const int8_t *values, const uint32_t *slices, uint64_t n_slices,
                     uint8_t *packed);

#endif
