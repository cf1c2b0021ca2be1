/* Products of sparse rows, for training: what their active entries need, not what their width is.
 *
 * Every number is a sum in the order of its entries, each product and sum rounded by itself: the
 * bits are those of any processor, whatever its vectors, and of any split of the tiles.
 *
 * No libc but memset, no allocation, no state; memory belongs to the caller. */
#ifndef SD_PRODUCTS_H
#define SD_PRODUCTS_H

#include <stdint.h>

#define SD_TILE 64u          /* columns that are worked on at a time */
#define SD_STRIP 256u        /* rows that are summed over at a time */
#define SD_WIDEST_ROW 65535u /* columns */

/* Rows of few entries, by row. */
typedef struct sd_rows {
    const int64_t *pointers; /* n + 1 */
    const uint16_t *columns;
    const float *values;
    uint64_t n;
    uint32_t dim;
} sd_rows;

/* The same entries by strip of SD_STRIP rows, by column within it, and by row within that. */
typedef struct sd_strips {
    int64_t *pointers; /* strips x dim + 1 */
    uint16_t *rows;    /* place in the strip */
    float *values;
} sd_strips;

/* Sorts rows into strips, whose memory is zero. */
void sd_to_strips(const sd_rows *rows, sd_strips *strips);

/* out[i, j] = left_i . right_j for all i, and for the j of the tiles from `first` to before `last`.
 * `out` has right->n columns. `scratch` has room for dim x SD_TILE floats, and lies at
 * a multiple of 64 bytes. */
void sd_row_products(const sd_rows *left, const sd_rows *right, uint64_t first, uint64_t last,
                     float *scratch, float *out);

/* out[j] = sum over i of weights[i, j] rows_i, for the j of the tiles from `first` to before
 * `last`, of n. Weight (i, j) is at i * row_step + j * step. `out` is n x dim. `scratch` has room
 * for (dim + SD_STRIP) x SD_TILE floats, and lies at a multiple of 64 bytes. */
void sd_weighted_sums(const sd_strips *strips, uint64_t n_rows, uint32_t dim, const float *weights,
                      uint64_t row_step, uint64_t step, uint64_t n, uint64_t first, uint64_t last,
                      float *scratch, float *out);

#endif
