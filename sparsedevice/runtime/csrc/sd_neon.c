/* NEON kernel for every arm64. */
#include "sd_neon_scan.h"

#ifdef SD_NEON
void sd_scan_slices_neon(const sd_model *model, const sd_query *query, uint32_t first,
                         uint32_t count, float *scores) {
    scan_any(model, query, first, count, scores);
}

uint32_t sd_collect_neon(const float *scores, uint32_t count, float least, uint32_t first,
                         uint64_t *keys, uint32_t room, uint32_t *done) {
    uint32_t taken = 0, at = *done;
    for (; at < count && taken + SD_SLICE_ROWS <= room; at += SD_SLICE_ROWS) {
        float32x4_t most[16]; /* FMAXNM takes the number where the other is a NaN */
        for (int i = 0; i < 16; i++)
            most[i] = vld1q_f32(scores + at + 4 * i);
        for (int step = 8; step; step /= 2)
            for (int i = 0; i < step; i++)
                most[i] = vmaxnmq_f32(most[i], most[i + step]);
        if (!(vmaxnmvq_f32(most[0]) >= least))
            continue;
        for (uint32_t i = at; i < at + SD_SLICE_ROWS; i++)
            if (scores[i] >= least)
                keys[taken++] = sd_key(scores[i], first + i);
    }
    *done = at;
    return taken;
}
#endif
