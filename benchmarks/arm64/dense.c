/* Runs one of the dense kernels over a made table: dense KERNEL ROWS REPETITIONS. */
#include "dense.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    uint32_t rows = (uint32_t)atoi(argv[2]), repetitions = (uint32_t)atoi(argv[3]);
    int bytes = !strncmp(argv[1], "dense_i8", 8), by_4 = strstr(argv[1], "by_4") != NULL;
    int8_t *i8 = malloc((size_t)rows * DIM), q8[DIM];
    float *f32 = malloc((size_t)rows * DIM * sizeof *f32), q32[DIM],
          *out = malloc(rows * sizeof *out);
    if (!i8 || !f32 || !out)
        return 1;
    uint32_t state = 1;
    for (size_t i = 0; i < (size_t)rows * DIM; i++) {
        state = state * 1664525u + 1013904223u;
        i8[i] = (int8_t)(state >> 24);
        f32[i] = (float)i8[i];
    }
    for (int i = 0; i < DIM; i++) {
        q8[i] = (int8_t)(i * 3 - 90);
        q32[i] = (float)q8[i];
    }
    uint64_t checksum = 0;
    for (uint32_t i = 0; i < repetitions; i++) {
        if (bytes)
            (by_4 ? dense_i8_by_4 : dense_i8)(i8, rows, q8, (int32_t *)out);
        else
            (by_4 ? dense_f32_by_4 : dense_f32)(f32, rows, q32, out);
        checksum += ((uint32_t *)out)[rows - 1];
    }
    printf("%llu\n", (unsigned long long)checksum);
    return 0;
}
