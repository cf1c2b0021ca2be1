/* One optimiser step on whole rows, which are then cut back to their largest entries.
 *
 * The arithmetic is that of `project_rows` in training/projection.py. Every number is computed in a
 * fixed order, products and sums rounded by themselves: the bits are those of any processor and of
 * any split of the rows. Of equal entries the one in the lower column stays.
 *
 * No allocation, no state; memory belongs to the caller. */
#ifndef SD_PROJECT_H
#define SD_PROJECT_H

#include <stdint.h>

#define SD_WIDEST_PROJECTED 1048576u /* columns */

/* A table whose rows all have `width` entries, with the optimiser's moments. */
typedef struct sd_table {
    void *columns;         /* ascending in each row */
    uint32_t column_bytes; /* 1, 2 or 4 */
    float *values;
    float *first;     /* first moment of each entry */
    float *second;    /* second moment of each row */
    uint32_t dim;     /* columns */
    uint32_t width;   /* entries a row, 1 to dim */
    uint32_t n_parts; /* equal ranges of columns, in which a row keeps equally many entries */
} sd_table;

typedef struct sd_step {
    float lr;
    float explore; /* weight of inactive entries' gradient */
    float beta1, beta2;
} sd_step;

/* Floats of scratch memory for a table of `dim` columns. */
#define SD_PROJECT_SCRATCH(dim) (3 * (((uint64_t)(dim) + 15) / 16 * 16))

/* Updates the rows of the table that `rows` names, n of them, none twice.
 *
 * `gradient` is n x dim. `bias1` and `bias2` are 1 - beta1^t and 1 - beta2^t for the t-th update of
 * each. `scratch` lies at a multiple of 64 bytes. */
void sd_project_rows(const sd_table *table, const int64_t *rows, uint64_t n, const float *gradient,
                     const float *bias1, const float *bias2, const sd_step *step, float *scratch);

#endif
