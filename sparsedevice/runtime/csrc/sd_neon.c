/* NEON kernel for every arm64. */
#include "sd_neon_scan.h"

#ifdef SD_NEON
uint32_t sd_scan_slices_neon(const sd_model *model, const sd_query *query, uint32_t first,
                             uint32_t count, float least, float *scores) {
    return scan_any(model, query, first, count, least, scores);
}

/* Every fourth bit for each of 16 scores: set where it is `least` or more. */
SD_INLINE uint64_t enter_of(const float *scores, float32x4_t least) {
    uint32x4_t a = vcgeq_f32(vld1q_f32(scores), least), b = vcgeq_f32(vld1q_f32(scores + 4), least);
    uint32x4_t c = vcgeq_f32(vld1q_f32(scores + 8), least),
               d = vcgeq_f32(vld1q_f32(scores + 12), least);
    uint16x8_t low = vuzp1q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
    uint16x8_t high = vuzp1q_u16(vreinterpretq_u16_u32(c), vreinterpretq_u16_u32(d));
    uint8x16_t all = vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));
    uint8x8_t nibbles = vshrn_n_u16(vreinterpretq_u16_u8(all), 4);
    return vget_lane_u64(vreinterpret_u64_u8(nibbles), 0) & 0x1111111111111111u;
}

uint32_t sd_collect_neon(const float *scores, float least, uint32_t first, uint64_t *keys) {
    uint32_t taken = 0;
    for (uint32_t i = 0; i < SD_SLICE_ROWS; i += 16) {
        uint64_t enter = enter_of(scores + i, vdupq_n_f32(least));
        for (; enter; enter &= enter - 1) {
            uint32_t j = i + sd_trailing_zeros(enter) / 4;
            keys[taken++] = sd_key(scores[j], first + j);
        }
    }
    return taken;
}
#endif
