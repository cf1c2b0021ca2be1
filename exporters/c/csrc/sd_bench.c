/* sd-bench MODEL [-k N] [-n QUERIES]
 *
 * Times top-k queries from random histories of 5 to 50 items on this machine, one thread, and
 * prints one JSON object. A timed query is sd_recommend from rows to rows: fold-in, scores,
 * exclusion and choice. */
#include "sd_file.h"

static const char TOOL[] = "sd-bench";

static int usage(void) {
    fprintf(stderr, "usage: sd-bench MODEL [-k N] [-n QUERIES]\n");
    return 2;
}

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* SplitMix64: the same histories on every machine. */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

int main(int argc, char **argv) {
    sd_model model;
    uint32_t k = 20, n = 1000, history[50], count = 0;
    if (argc < 2 || argc % 2 || argv[1][0] == '-')
        return usage();
    for (int i = 2; i + 1 < argc; i += 2) {
        uint32_t value = read_count(argv[i + 1]);
        if (!value || (strcmp(argv[i], "-k") && strcmp(argv[i], "-n")))
            return usage();
        if (argv[i][1] == 'k')
            k = value;
        else
            n = value;
    }
    uint64_t started = now_ns();
    open_file(TOOL, argv[1], 0, &model);
    uint64_t load_ns = now_ns() - started, first_ns = 0, seed = 0, total = 0;
    uint32_t room = k < model.n_items ? k : model.n_items;
    uint32_t *rows = take_memory(sizeof(uint32_t) * (uint64_t)room);
    float *scores = take_memory(sizeof(float) * (uint64_t)room);
    uint64_t *samples = take_memory(sizeof(uint64_t) * (uint64_t)n);
    sd_request request = {
        .source = SD_FROM_HISTORY, .history = history, .n_history = 50, .k = k, .exclude_seen = 1};
    uint64_t scratch_bytes = sd_scratch_bytes(&model, &request);
    void *scratch = take_memory(scratch_bytes);
    for (uint32_t i = 0; i <= n; i++) {
        request.n_history = 5 + (uint32_t)(next_random(&seed) % 46);
        for (uint32_t j = 0; j < request.n_history; j++)
            history[j] = (uint32_t)(next_random(&seed) % model.n_items);
        started = now_ns();
        sd_status status =
            sd_recommend(&model, &request, scratch, scratch_bytes, rows, scores, &count);
        uint64_t taken = now_ns() - started;
        if (status)
            refuse(TOOL, argv[1], sd_status_name(status));
        if (i == 0)
            first_ns = taken;
        else {
            samples[i - 1] = taken;
            total += taken;
        }
    }
    qsort(samples, n, sizeof *samples, by_size);
    printf("{\"load_ms\": %.4f, \"first_query_us\": %.3f, \"p50_us\": %.3f, \"p90_us\": %.3f, "
           "\"p99_us\": %.3f, "
           "\"mean_us\": %.3f, \"n\": %u, \"k\": %u, \"n_items\": %u, \"file_bytes\": %llu, "
           "\"scratch_bytes\": %llu, \"kernel\": %d}\n",
           load_ns / 1e6, first_ns / 1e3, samples[n / 2] / 1e3, samples[n - 1 - n / 10] / 1e3,
           samples[n - 1 - n / 100] / 1e3, (double)total / n / 1e3, n, k, model.n_items,
           (unsigned long long)model.size, (unsigned long long)scratch_bytes, (int)model.kernel);
    free(scratch);
    free(samples);
    free(scores);
    free(rows);
    return 0;
}
