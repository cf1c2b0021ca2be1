/* What sd-bench asks of the operating system: Linux and Android. */
#ifndef SD_BENCH_SYSTEM_H
#define SD_BENCH_SYSTEM_H

#define _GNU_SOURCE

#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#ifdef __aarch64__
#include <sys/auxv.h>
#endif
#include <unistd.h>

typedef struct sys_file {
    void *bytes;
    uint64_t size;
} sys_file;

/* Bytes; -1 where the kernel does not tell. */
typedef struct sys_memory {
    int64_t anonymous, resident, pss, peak;
} sys_memory;

static inline uint64_t sys_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Whether this is an arm64 processor with dot-product instructions (HWCAP_ASIMDDP). */
static inline int sys_has_dot_product(void) {
#ifdef __aarch64__
    return getauxval(AT_HWCAP) >> 20 & 1;
#else
    return 0;
#endif
}

static inline long sys_page_bytes(void) { return sysconf(_SC_PAGESIZE); }

/* Map a file for reading; non-zero where it is missing or empty. */
static inline int sys_map(const char *path, sys_file *file) {
    struct stat about;
    int handle = open(path, O_RDONLY | O_CLOEXEC);
    if (handle < 0)
        return 1;
    int bad = fstat(handle, &about) || !about.st_size;
    file->size = bad ? 0 : (uint64_t)about.st_size;
    file->bytes =
        bad ? MAP_FAILED : mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_SHARED, handle, 0);
    close(handle);
    return file->bytes == MAP_FAILED;
}

static inline void sys_unmap(sys_file *file) { munmap(file->bytes, (size_t)file->size); }

/* Read the file through once, or ask the kernel to forget its pages. */
static inline int sys_set_cached(const char *path, int wanted) {
    char block[65536];
    int handle = open(path, O_RDONLY | O_CLOEXEC);
    if (handle < 0)
        return 1;
    ssize_t got = 0;
    if (wanted)
        while ((got = read(handle, block, sizeof block)) > 0)
            ;
    else {
        fsync(handle);
        got = posix_fadvise(handle, 0, 0, POSIX_FADV_DONTNEED) ? -1 : 0;
    }
    close(handle);
    return got < 0;
}

/* Bytes of the file that are in the page cache. */
static inline uint64_t sys_cached(const char *path) {
    sys_file file;
    uint64_t page = (uint64_t)sys_page_bytes(), count = 0;
    if (sys_map(path, &file))
        return 0;
    uint64_t pages = (file.size + page - 1) / page;
    unsigned char *in_core = calloc(pages, 1);
    if (in_core && !mincore(file.bytes, (size_t)file.size, in_core))
        for (uint64_t i = 0; i < pages; i++)
            count += in_core[i] & 1;
    free(in_core);
    sys_unmap(&file);
    return count * page < file.size ? count * page : file.size;
}

/* A "Name:   123 kB" line of a file of /proc, in bytes; -1 where there is none. */
static inline int64_t sys_field(const char *path, const char *name) {
    char line[512];
    int64_t found = -1;
    FILE *file = fopen(path, "r");
    while (file && found < 0 && fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
            found = strtoll(line + strlen(name) + 1, NULL, 10) * 1024;
    if (file)
        fclose(file);
    return found;
}

static inline sys_memory sys_memory_now(void) {
    static const char *const rollup = "/proc/self/smaps_rollup";
    int64_t anonymous = sys_field(rollup, "Anonymous"), swap = sys_field(rollup, "Swap");
    sys_memory memory = {anonymous < 0 || swap < 0 ? anonymous : anonymous + swap,
                         sys_field(rollup, "Rss"), sys_field(rollup, "Pss"),
                         sys_field("/proc/self/status", "VmHWM")};
    return memory;
}

/* Resident bytes of the mappings of one file; -1 where the kernel does not tell. */
static inline int64_t sys_resident(const char *path) {
    char line[1024], full[4096];
    int64_t total = 0;
    int inside = 0;
    FILE *file = fopen("/proc/self/smaps", "r");
    if (!file || !realpath(path, full)) {
        if (file)
            fclose(file);
        return -1;
    }
    size_t length = strlen(full);
    while (fgets(line, sizeof line, file)) {
        size_t end = strcspn(line, "\n");
        if (strncmp(line, "Rss:", 4) == 0)
            total += inside ? strtoll(line + 4, NULL, 10) * 1024 : 0;
        else if (strchr(line, '-') && strchr(line, '-') < strchr(line, ' '))
            inside = end > length && !strncmp(line + end - length, full, length) &&
                     line[end - length - 1] == ' ';
    }
    fclose(file);
    return total;
}

/* Run on these cpus only: numbers separated by commas. Non-zero where that is refused. */
static inline int sys_pin(const char *list) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const char *at = list; *at;) {
        char *end;
        unsigned long cpu = strtoul(at, &end, 10);
        if (end == at || cpu >= CPU_SETSIZE)
            return 1;
        CPU_SET(cpu, &set);
        at = *end == ',' ? end + 1 : end;
        if (*end && *end != ',')
            return 1;
    }
    return sched_setaffinity(0, sizeof set, &set);
}

#endif
