/* The C core from ids to ids without any binding: what the Java library is compared with.
 *
 * Usage: core_baseline MODEL HISTORIES K N WARMUP KERNEL, where HISTORIES has one history a line,
 * ids separated by spaces. Prints the nanoseconds of each of N timed queries.
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sd_core.h"

enum { MAX_HISTORIES = 4096, MAX_LENGTH = 256, MAX_K = 1000 };

typedef struct history {
    const char *ids[MAX_LENGTH];
    uint64_t lengths[MAX_LENGTH];
    uint32_t count;
} history;

static history histories[MAX_HISTORIES];
static uint64_t checksum;

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void ask(const sd_model *model, const history *asked, uint32_t k, void *scratch,
                uint64_t scratch_bytes) {
    uint32_t found[MAX_LENGTH], seen[MAX_LENGTH], rows[MAX_K], count;
    float scores[MAX_K];
    static char strings[MAX_K][256];
    sd_request request = {.source = SD_FROM_HISTORY, .history = seen, .k = k, .exclude_seen = 1};
    sd_find_all(model, SD_ITEMS, asked->ids, asked->lengths, asked->count, found);
    for (uint32_t i = 0; i < asked->count; i++)
        if (found[i] != SD_NO_ROW)
            seen[request.n_history++] = found[i];
    if (sd_scratch_bytes(model, &request) > scratch_bytes ||
        sd_recommend(model, &request, scratch, scratch_bytes, rows, scores, &count))
        exit(2);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t length;
        sd_string(model, SD_ITEM_ID, rows[i], strings[i], 255, &length);
        checksum += rows[i];
    }
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: core_baseline MODEL HISTORIES K N WARMUP KERNEL\n");
        return 2;
    }
    int file = open(argv[1], O_RDONLY);
    struct stat about;
    sd_model model;
    if (file < 0 || fstat(file, &about))
        return 2;
    void *bytes = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_SHARED, file, 0);
    if (bytes == MAP_FAILED || sd_open(&model, bytes, (uint64_t)about.st_size) ||
        sd_verify(&model) || sd_select_kernel(&model, (sd_kernel)atoi(argv[6])))
        return 2;
    FILE *lines = fopen(argv[2], "r");
    char *line = NULL;
    size_t room = 0;
    uint32_t n_histories = 0;
    while (lines && n_histories < MAX_HISTORIES && getline(&line, &room, lines) > 0) {
        history *one = &histories[n_histories++];
        for (char *id = strtok(line, " \n"); id && one->count < MAX_LENGTH;
             id = strtok(NULL, " \n")) {
            one->ids[one->count] = strdup(id);
            one->lengths[one->count++] = strlen(id);
        }
    }
    uint32_t k = (uint32_t)atoi(argv[3]);
    long n = atol(argv[4]), warmup = atol(argv[5]);
    if (!n_histories || k < 1 || k > MAX_K || n < 1)
        return 2;
    uint64_t scratch_bytes = 1 << 20;
    void *scratch = malloc(scratch_bytes);
    uint64_t *times = malloc((size_t)n * sizeof *times);
    for (long i = 0; i < warmup; i++)
        ask(&model, &histories[i % n_histories], k, scratch, scratch_bytes);
    for (long i = 0; i < n; i++) {
        uint64_t start = now_ns();
        ask(&model, &histories[i % n_histories], k, scratch, scratch_bytes);
        times[i] = now_ns() - start;
    }
    for (long i = 0; i < n; i++)
        printf("%llu\n", (unsigned long long)times[i]);
    fprintf(stderr, "rows %llu\n", (unsigned long long)checksum);
    return 0;
}
