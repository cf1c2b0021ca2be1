/* check_kernels FILE: ask the same questions of every kernel of this machine. Prints one line an
 * answer, of the scalar kernel; fails where another kernel answers differently. For a machine that
 * is emulated or has no Python. */
#include "sd_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

enum { K = 40 };

typedef struct answer {
    uint32_t rows[K], count;
    float scores[K];
} answer;

static answer ask(const sd_model *model, const sd_request *request) {
    answer result;
    memset(&result, 0, sizeof result);
    uint64_t bytes = sd_scratch_bytes(model, request);
    void *scratch = malloc(bytes);
    sd_status status =
        sd_recommend(model, request, scratch, bytes, result.rows, result.scores, &result.count);
    free(scratch);
    if (status) {
        fprintf(stderr, "refused: %s\n", sd_status_name(status));
        exit(1);
    }
    return result;
}

static void print(const answer *given) {
    for (uint32_t i = 0; i < given->count; i++) {
        uint32_t bits;
        memcpy(&bits, &given->scores[i], 4);
        printf("%s%u:%08x", i ? " " : "", (unsigned)given->rows[i], (unsigned)bits);
    }
    printf("\n");
}

int main(int n_arguments, char **arguments) {
    FILE *file = n_arguments == 2 ? fopen(arguments[1], "rb") : NULL;
    if (!file)
        return 2;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    void *bytes = malloc((size_t)size);
    if (fread(bytes, 1, (size_t)size, file) != (size_t)size)
        return 2;
    fclose(file);
    sd_model model;
    sd_status status = sd_open(&model, bytes, (uint64_t)size);
    if (!status)
        status = sd_verify(&model);
    if (status) {
        fprintf(stderr, "refused: %s\n", sd_status_name(status));
        return 1;
    }
#if defined(__aarch64__) && defined(__linux__)
    if (getauxval(AT_HWCAP) & 1ul << 20)
        sd_add_kernel(&model, SD_KERNEL_NEON_DOT);
#endif
    fprintf(stderr, "kernels %llx\n", (unsigned long long)model.kernels);
    for (uint32_t question = 0; question < model.n_users + 20; question++) {
        uint32_t history[3] = {question % model.n_items, question * 7 % model.n_items,
                               question * 31 % model.n_items};
        sd_request request = {.source = SD_FROM_HISTORY, .k = K, .exclude_seen = 1};
        request.history = history;
        request.n_history = 3;
        if (question < model.n_users) {
            request.source = SD_FROM_USER;
            request.row = question;
            request.n_history = 0;
        }
        sd_select_kernel(&model, SD_KERNEL_SCALAR);
        answer wanted = ask(&model, &request);
        print(&wanted);
        for (uint32_t kernel = 1; kernel <= SD_KERNEL_WASM_SIMD; kernel++) {
            if (sd_select_kernel(&model, (sd_kernel)kernel))
                continue;
            answer given = ask(&model, &request);
            if (memcmp(&given, &wanted, sizeof given)) {
                fprintf(stderr, "kernel %u answers differently\n", (unsigned)kernel);
                print(&given);
                return 1;
            }
        }
    }
    free(bytes);
    return 0;
}
