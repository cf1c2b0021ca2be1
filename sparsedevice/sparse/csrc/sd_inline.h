/* What the kernels of training are written with. */
#ifndef SD_INLINE_H
#define SD_INLINE_H

#define LANES 16u /* sums side by side, which compilers put into vectors */

/* Into the copy of a kernel for each instruction set, so that it is built with that. */
#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

#endif
