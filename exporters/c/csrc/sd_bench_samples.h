/* Taking samples, and saying what they say: JSON lines while they are taken, a result at the end.
 */
#ifndef SPARSEDEVICE_SD_BENCH_SAMPLES_H
#define SPARSEDEVICE_SD_BENCH_SAMPLES_H

#include "sd_bench_calls.h"

enum { MAX_SAMPLES = 1 << 20, CHUNK = 2048 };

static uint64_t *samples;
static uint32_t n_samples;

static void print_samples(const char *phase, uint32_t from) {
    printf("{\"event\": \"samples\", \"phase\": \"%s\", \"ns\": [", phase);
    for (uint32_t i = from; i < n_samples; i++)
        printf(i > from ? ",%llu" : "%llu", (unsigned long long)samples[i]);
    printf("]}\n");
    fflush(stdout);
}

/* At least so many calls and at least so long; the timed region is the call alone. Printing happens
 * between two samples, and the call after it is made once untimed, so that it finds the caches as
 * the others do. */
static void sample(struct bench *b, const char *phase, operation *call, uint32_t least,
                   uint32_t most, double seconds) {
    uint64_t started = sys_now_ns(), wanted = (uint64_t)(seconds * 1e9);
    uint32_t printed = 0;
    n_samples = 0;
    while (n_samples < least || sys_now_ns() - started < wanted) {
        if (n_samples == most)
            break;
        uint64_t start = sys_now_ns();
        call(b, n_samples);
        samples[n_samples++] = sys_now_ns() - start;
        if (n_samples - printed == CHUNK) {
            print_samples(phase, printed);
            printed = n_samples;
            call(b, n_samples);
        }
    }
    if (printed < n_samples)
        print_samples(phase, printed);
}

static void op_nothing(struct bench *b, uint32_t number) { b->checksum += number; }

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Linear between the two samples around the place, as numpy does; samples are sorted. */
static double percentile_us(double share) {
    double place = share * (n_samples - 1);
    uint32_t low = (uint32_t)place;
    double below = (double)samples[low];
    double above = (double)samples[low + 1 < n_samples ? low + 1 : low];
    return (below + (above - below) * (place - low)) / 1000;
}

/* The result is written here while samples are printed, and printed last. */
static char result[16384];
static size_t result_bytes;

static void add(const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    int n = vsnprintf(result + result_bytes, sizeof result - result_bytes, format, rest);
    va_end(rest);
    if (n < 0 || (size_t)n >= sizeof result - result_bytes)
        fail(1, "the result is too long");
    result_bytes += (size_t)n;
}

static void add_number(const char *name, int64_t value) {
    if (value < 0)
        add(", \"%s\": null", name);
    else
        add(", \"%s\": %lld", name, (long long)value);
}

static void add_summary(void) {
    double sum = 0, square = 0;
    for (uint32_t i = 0; i < n_samples; i++)
        sum += (double)samples[i] / 1000;
    double mean = sum / n_samples;
    for (uint32_t i = 0; i < n_samples; i++) {
        double apart = (double)samples[i] / 1000 - mean;
        square += apart * apart;
    }
    qsort(samples, n_samples, sizeof *samples, ascending);
    add("\"p50_us\": %.6f, \"p90_us\": %.6f, \"p99_us\": %.6f, \"mean_us\": %.6f,"
        " \"std_us\": %.6f, \"min_us\": %.6f, \"max_us\": %.6f, \"n\": %u",
        percentile_us(.5), percentile_us(.9), percentile_us(.99), mean, sqrt(square / n_samples),
        percentile_us(0), percentile_us(1), (unsigned)n_samples);
}

#endif
