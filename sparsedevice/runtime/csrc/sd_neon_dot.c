/* NEON kernel for arm64 with dot-product instructions. The file asks for them itself, so that the
 * rest of a build stays fit for every arm64. */
#include "sd_internal.h"

#ifdef SD_NEON
#define SD_DOT 1
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#ifndef __ARM_FEATURE_DOTPROD
#define __ARM_FEATURE_DOTPROD 1 /* for arm_neon.h before clang 16 */
#endif
#else
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif
#include "sd_neon_scan.h"

uint32_t sd_scan_slices_neon_dot(const sd_model *model, const sd_query *query, uint32_t first,
                                 uint32_t count, float least, float *scores) {
    return scan_any(model, query, first, count, least, scores);
}

#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
