/* What writing a packed file needs and a device does not: the id index, and text cut into symbols.
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
} sd_cut_scratch;

/* Cut strings, each ending in byte 255, into the symbols that take the fewest bits. `codes` has
 * room for as many as there are bytes. Returns how many there are, or UINT64_MAX where symbols do
 * not suffice. */
uint64_t sd_cut(const sd_cutter *cutter, const uint8_t *text, uint64_t length,
                sd_cut_scratch *scratch, uint16_t *codes);

#endif
