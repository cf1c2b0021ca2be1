/* The softmax over a sampled catalogue, for whole users at a time, and its gradient.
 *
 * The formulas are those of `softmax_loss_` in training/softmax.py; e^x is a polynomial. Every
 * number is computed in a fixed order, products and sums rounded by themselves: the bits are those
 * of any processor and of any split of the users.
 *
 * No allocation, no state; memory belongs to the caller. */
#ifndef SD_SOFTMAX_H
#define SD_SOFTMAX_H

#include <stdint.h>

typedef struct sd_softmax {
    uint64_t n_items;
    const float *log_inclusion; /* n_items */
    const int64_t *columns;     /* of each positive */
    float temperature;
    float temperature2; /* the bilateral softmax's; 0 for the plain one */
} sd_softmax;

/* Scores of n users, `scores` n x n_items, become their gradient.
 *
 * User i has the positives from `starts[i]` to before `starts[i + 1]`. Written are the largest
 * score of each user over the temperature in `tops`, the sum over the items that are no positives
 * in `rests`, and the score of each positive over the temperature in `positives`. */
void sd_softmax_rows(const sd_softmax *softmax, float *scores, uint64_t n, const int64_t *starts,
                     float *tops, float *rests, float *positives);

#endif
