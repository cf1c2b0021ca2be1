/* A packed file, mapped and checked, for the tools of this folder. POSIX. */
#ifndef SD_FILE_H
#define SD_FILE_H

#define _POSIX_C_SOURCE 200809L

#include "sparsedevice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

/* Say what is wrong in one sentence, and stop with the exit code for what the user can mend. */
static void refuse(const char *tool, const char *path, const char *reason) {
    fprintf(stderr, "%s: %s: %s\n", tool, path, reason);
    exit(2);
}

/* Map a file and open it. With check every promise of the format is checked, in time linear in its
 * size. */
static void open_file(const char *tool, const char *path, int check, sd_model *model) {
    struct stat status;
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &status))
        refuse(tool, path, strerror(errno));
    if (!S_ISREG(status.st_mode) || status.st_size == 0)
        refuse(tool, path, "not a packed file");
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, file, 0);
    if (bytes == MAP_FAILED)
        refuse(tool, path, strerror(errno));
    close(file);
    sd_status result = sd_open(model, bytes, (uint64_t)status.st_size);
    if (!result && check)
        result = sd_verify(model);
    if (result) {
        fprintf(stderr, "%s: %s breaks the promise '%s' of the format; copy it again\n", tool, path,
                sd_status_name(result));
        exit(2);
    }
#if defined(__aarch64__) && defined(__linux__)
    if (getauxval(AT_HWCAP) & 1ul << 20) /* HWCAP_ASIMDDP */
        sd_add_kernel(model, SD_KERNEL_NEON_DOT);
#endif
}

static inline void *take_memory(uint64_t bytes) {
    void *memory = bytes > SIZE_MAX ? NULL : malloc(bytes ? (size_t)bytes : 1);
    if (!memory) {
        fprintf(stderr, "not enough memory for %llu bytes\n", (unsigned long long)bytes);
        exit(1);
    }
    return memory;
}

/* A whole number from 1 to 2^31 - 1, or 0. */
static inline uint32_t read_count(const char *text) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    return errno || *end || end == text || value < 1 || value > 0x7FFFFFFF ? 0 : (uint32_t)value;
}

static inline uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

#endif
