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
        float32x4_t most[8]; /* FMAXNM takes the number where the other is a NaN */
        SD_UNROLL
        for (int i = 0; i < 8; i++)
            most[i] =
                vmaxnmq_f32(vld1q_f32(scores + at + 8 * i), vld1q_f32(scores + at + 8 * i + 4));
        SD_UNROLL
        for (int i = 0; i < 4; i++)
            most[i] = vmaxnmq_f32(most[i], most[i + 4]);
        float32x4_t all = vmaxnmq_f32(vmaxnmq_f32(most[0], most[1]), vmaxnmq_f32(most[2], most[3]));
        if (!(vmaxnmvq_f32(all) >= least))
            continue;
        for (uint32_t i = at; i < at + SD_SLICE_ROWS; i += 4) {
            if (!(vmaxnmvq_f32(vld1q_f32(scores + i)) >= least))
                continue;
            for (uint32_t j = i; j < i + 4; j++)
                if (scores[j] >= least)
                    keys[taken++] = sd_key(scores[j], first + j);
        }
    }
    *done = at;
    return taken;
}
#endif
