/* NEON kernel for every arm64. */
#include "sd_neon_scan.h"

#ifdef SD_NEON
uint32_t sd_scan_slices_neon(const sd_model *model, const sd_query *query, uint32_t first,
                             uint32_t count, float least, float *scores) {
    return scan_any(model, query, first, count, least, scores);
}

uint32_t sd_collect_neon(const float *scores, float least, uint32_t first, uint64_t *keys) {
    uint32_t taken = 0;
    for (uint32_t i = 0; i < SD_SLICE_ROWS; i += 4) {
        if (!(vmaxnmvq_f32(vld1q_f32(scores + i)) >= least)) /* takes numbers before NaNs */
            continue;
        for (uint32_t j = i; j < i + 4; j++)
            if (scores[j] >= least)
                keys[taken++] = sd_key(scores[j], first + j);
    }
    return taken;
}
#endif
