/* sd-bench: measure a packed file with the C core, on boards and phones that have no Python.
 *
 *     sd-bench MODEL [TRACE] [--k 20] [--repetitions 200] [--min-seconds 1] [--warmup 20] [--batch
 * 1]
 *              [--kernel NAME] [--cpus 4,5] [--cache warm|dropped]
 *     sd-bench MODEL TRACE --answers       the answers, with the bits of their scores
 *     sd-bench MODEL TRACE --queries N     ask N queries and measure nothing (to be counted from
 * outside)
 *
 * TRACE holds one history a line: item rows of MODEL, separated by spaces. Without one, histories
 * are 256 random ones of 5 to 50 items, the same on every machine.
 *
 * Standard output is JSON, one object a line: raw samples while they are taken, and last the
 * result. What was printed before the device is lost stays with the reader. Exit codes: 0 done, 1
 * the measurement failed, 2 wrong arguments or files.
 */
#include "sd_bench_system.h"
#include "sd_internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_SAMPLES = 1 << 20,
    CHUNK = 2048,
    SHORTLIST = 100,
    PHASE_SAMPLES = 200,
    MOST_PHASE_SAMPLES = 1 << 14
};

struct settings {
    const char *model, *trace, *kernel, *cpus;
    uint32_t k, repetitions, warmup, batch, queries;
    double min_seconds;
    int dropped, answers;
};

/* A history as the device meets it: ids, which the file's own strings stand for, and their rows. */
struct history {
    const char **ids;
    uint32_t *id_bytes, *rows, *found, n;
};

struct bench {
    struct settings settings;
    sd_model model;
    struct history *histories;
    uint32_t n_histories, longest, k;
    void *scratch;
    uint64_t scratch_bytes;
    uint32_t *rows, shortlist[SHORTLIST], n_shortlist;
    float *scores, *row_values;
    uint16_t *row_columns;
    uint64_t checksum; /* of everything computed, so that no work can be optimised away */
};

static void fail(int code, const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    fputs("sd-bench: ", stderr);
    vfprintf(stderr, format, rest);
    fputc('\n', stderr);
    va_end(rest);
    exit(code);
}

static void *take(uint64_t bytes) {
    void *memory = calloc(1, bytes ? bytes : 1);
    if (!memory)
        fail(1, "out of memory");
    return memory;
}

/* ---- what is asked for ---- */

static uint32_t whole(const char *name, const char *text, uint32_t least) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*end || !*text || *text == '-' || value < least || value > 1000000000)
        fail(2, "%s %s is not a whole number of at least %u", name, text, (unsigned)least);
    return (uint32_t)value;
}

static struct settings parse(int argc, char **argv) {
    struct settings s = {.k = 20, .repetitions = 200, .warmup = 20, .batch = 1, .min_seconds = 1};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(name, "--answers")) {
            s.answers = 1;
            continue;
        }
        if (strncmp(name, "--", 2)) {
            const char **place = s.model ? &s.trace : &s.model;
            if (*place)
                fail(2, "%s is one argument too many", name);
            *place = name;
            continue;
        }
        if (!value)
            fail(2, "%s needs a value", name);
        i++;
        if (!strcmp(name, "--k"))
            s.k = whole(name, value, 1);
        else if (!strcmp(name, "--repetitions"))
            s.repetitions = whole(name, value, 1);
        else if (!strcmp(name, "--warmup"))
            s.warmup = whole(name, value, 0);
        else if (!strcmp(name, "--batch"))
            s.batch = whole(name, value, 1);
        else if (!strcmp(name, "--queries"))
            s.queries = whole(name, value, 1);
        else if (!strcmp(name, "--min-seconds"))
            s.min_seconds = strtod(value, NULL);
        else if (!strcmp(name, "--kernel"))
            s.kernel = value;
        else if (!strcmp(name, "--cpus"))
            s.cpus = value;
        else if (!strcmp(name, "--cache"))
            s.dropped = !strcmp(value, "dropped");
        else
            fail(2, "%s is unknown", name);
    }
    if (!s.model)
        fail(
            2,
            "usage: sd-bench MODEL [TRACE] [--k K] [--repetitions N] [--min-seconds S] [--warmup N]"
            " [--batch N] [--kernel NAME] [--cpus LIST] [--cache warm|dropped] [--answers]"
            " [--queries N]");
    return s;
}

static const char *const kernel_names[] = {"scalar", "avx2",     "avx512",
                                           "neon",   "neon-dot", "wasm-simd"};
enum { N_KERNELS = sizeof kernel_names / sizeof *kernel_names };

static void select_kernel(sd_model *model, const char *name) {
    for (uint32_t i = 0; i < N_KERNELS; i++)
        if (!strcmp(name, kernel_names[i])) {
            if (sd_select_kernel(model, (sd_kernel)i))
                fail(2, "this machine has no kernel %s", name);
            return;
        }
    fail(2, "kernel %s is unknown", name);
}

/* ---- the trace ---- */

enum { RANDOM_HISTORIES = 256, LEAST_RANDOM = 5, MOST_RANDOM = 50 };

static uint32_t *read_rows(const sd_model *model, const char *line, unsigned number, uint32_t *n) {
    uint32_t *rows = take(4 * ((uint64_t)strlen(line) / 2 + 1));
    *n = 0;
    for (const char *at = line;;) {
        char *end;
        unsigned long row = strtoul(at, &end, 10);
        if (end == at)
            return rows;
        if (row >= model->n_items)
            fail(2, "line %u of the trace has row %lu; the file has %u items", number, row,
                 (unsigned)model->n_items);
        rows[(*n)++] = (uint32_t)row;
        at = end;
    }
}

static void add_history(struct bench *b, uint32_t *rows, uint32_t n) {
    struct history h = {.rows = rows, .n = n};
    h.ids = take(n * sizeof *h.ids);
    h.id_bytes = take(4 * (uint64_t)n);
    h.found = take(4 * (uint64_t)n);
    for (uint32_t i = 0; i < n; i++) {
        sd_string(&b->model, SD_ITEM_ID, rows[i], NULL, 0, &h.id_bytes[i]);
        char *id = take(h.id_bytes[i]);
        sd_string(&b->model, SD_ITEM_ID, rows[i], id, h.id_bytes[i], &h.id_bytes[i]);
        h.ids[i] = id;
    }
    if (n > b->longest)
        b->longest = n;
    b->histories[b->n_histories++] = h;
}

/* SplitMix64. */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void make_trace(struct bench *b) {
    uint64_t seed = 0;
    b->histories = take(RANDOM_HISTORIES * sizeof *b->histories);
    for (uint32_t i = 0; i < RANDOM_HISTORIES; i++) {
        uint32_t n = LEAST_RANDOM + next_random(&seed) % (MOST_RANDOM - LEAST_RANDOM + 1);
        uint32_t *rows = take(4 * (uint64_t)n);
        for (uint32_t j = 0; j < n; j++)
            rows[j] = (uint32_t)(next_random(&seed) % b->model.n_items);
        add_history(b, rows, n);
    }
}

static void read_trace(struct bench *b) {
    sys_file file;
    if (sys_map(b->settings.trace, &file))
        fail(2, "cannot read %s", b->settings.trace);
    char *text = take(file.size + 1);
    memcpy(text, file.bytes, file.size);
    sys_unmap(&file);
    uint32_t lines = 0;
    for (char *c = text; *c; c++)
        lines += *c == '\n';
    b->histories = take(lines * sizeof *b->histories);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        uint32_t n, *rows = read_rows(&b->model, line, b->n_histories + 1, &n);
        add_history(b, rows, n);
    }
    if (!b->n_histories)
        fail(2, "%s holds no history", b->settings.trace);
    free(text);
}

/* ---- what is timed: one call of each kind ---- */

typedef void operation(struct bench *, uint32_t number);

static sd_request request_of(const struct bench *b, const uint32_t *rows, uint32_t n) {
    sd_request request = {0};
    request.source = SD_FROM_HISTORY;
    request.history = rows;
    request.n_history = n;
    request.k = b->settings.k;
    request.exclude_seen = 1;
    return request;
}

static const struct history *history_of(const struct bench *b, uint32_t number) {
    return &b->histories[number % b->n_histories];
}

static void recommend_rows(struct bench *b, const uint32_t *rows, uint32_t n) {
    sd_request request = request_of(b, rows, n);
    sd_status status =
        sd_recommend(&b->model, &request, b->scratch, b->scratch_bytes, b->rows, b->scores, &b->k);
    if (status)
        fail(1, "recommend failed: %s", sd_status_name(status));
}

static void op_find(struct bench *b, uint32_t number) {
    const struct history *h = history_of(b, number);
    for (uint32_t i = 0; i < h->n; i++)
        b->checksum += h->found[i] = sd_find(&b->model, SD_ITEMS, h->ids[i], h->id_bytes[i]);
}

static void op_end_to_end(struct bench *b, uint32_t number) {
    const struct history *h = history_of(b, number);
    op_find(b, number);
    recommend_rows(b, h->found, h->n);
    for (uint32_t i = 0; i < b->k; i++) {
        char id[256] = {0};
        uint32_t bytes;
        sd_string(&b->model, SD_ITEM_ID, b->rows[i], id, sizeof id, &bytes);
        b->checksum += bytes + (uint8_t)id[0];
    }
}

static void op_batch(struct bench *b, uint32_t number) {
    for (uint32_t i = 0; i < b->settings.batch; i++)
        op_end_to_end(b, number * b->settings.batch + i);
}

static void op_recommend(struct bench *b, uint32_t number) {
    const struct history *h = history_of(b, number);
    recommend_rows(b, h->rows, h->n);
    b->checksum += b->rows[0];
}

static void op_lookup(struct bench *b, uint32_t number) {
    const struct history *h = history_of(b, number);
    for (uint32_t i = 0, n; i < h->n; i++) {
        sd_row(&b->model, SD_ITEMS, h->rows[i], b->row_columns, b->row_values, &n);
        b->checksum += n;
    }
}

static void op_shortlist(struct bench *b, uint32_t number) {
    const struct history *h = history_of(b, number);
    sd_request request = request_of(b, h->rows, h->n);
    request.candidates = b->shortlist;
    request.n_candidates = b->n_shortlist;
    if (sd_score(&b->model, &request, b->scratch, b->scratch_bytes, b->scores))
        fail(1, "score failed");
    b->checksum += sd_float_bits(b->scores[0]);
}

static sd_query build_query(struct bench *b, uint32_t number) {
    const struct history *h = history_of(b, number);
    sd_request request = request_of(b, h->rows, h->n);
    sd_arena arena = {b->scratch, b->scratch_bytes};
    sd_query query;
    if (sd_build_query(&b->model, &request, &arena, &query))
        fail(1, "fold-in failed");
    return query;
}

static void op_fold_in(struct bench *b, uint32_t number) {
    b->checksum += sd_float_bits(build_query(b, number).scale);
}

/* Fold-in, then all scores, none kept: what is left of op_recommend beside it is the choice. */
static void op_scan(struct bench *b, uint32_t number) {
    float scores[SD_CHUNK_ROWS];
    sd_query query = build_query(b, number);
    sd_scan *scan = sd_choose_scan(&b->model);
    for (uint32_t first = 0; first < b->model.n_items; first += SD_CHUNK_ROWS) {
        uint32_t count = sd_min(b->model.n_items - first, SD_CHUNK_ROWS);
        if (b->model.layout == SD_SLICED)
            count = (count + SD_SLICE_ROWS - 1) & ~(SD_SLICE_ROWS - 1);
        /* A bound that no score reaches: what the scan costs where nothing is chosen. */
        b->checksum += scan(&b->model, &query, first, count, INFINITY, scores);
    }
}

/* ---- sampling ---- */

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

/* ---- the ways to run ---- */

static void print_answers(struct bench *b) {
    for (uint32_t i = 0; i < b->n_histories; i++) {
        op_recommend(b, i);
        printf("{\"event\": \"answer\", \"rows\": [");
        for (uint32_t j = 0; j < b->k; j++)
            printf(j ? ", %u" : "%u", (unsigned)b->rows[j]);
        printf("], \"score_bits\": [");
        for (uint32_t j = 0; j < b->k; j++)
            printf(j ? ", %u" : "%u", (unsigned)sd_float_bits(b->scores[j]));
        printf("]}\n");
    }
}

struct reading {
    uint64_t load_ns, first_ns, warmup_ns, cached_bytes, file_bytes;
    sys_memory before, after;
};

static const struct {
    const char *name;
    operation *call;
} phases[] = {{"find", op_find},
              {"lookup", op_lookup},
              {"fold_in", op_fold_in},
              {"fold_in_and_scan", op_scan},
              {"recommend_rows", op_recommend},
              {"shortlist", op_shortlist}};
enum { N_PHASES = sizeof phases / sizeof *phases };

static void add_memory(const struct settings *s, const struct reading *r, sys_file *file) {
    int64_t mapped = sys_resident(s->model);
    sys_memory all = sys_memory_now();
    sys_unmap(file);
    sys_memory left = sys_memory_now();
    int known = r->before.anonymous >= 0 && r->after.anonymous >= 0;
    if (known)
        add(", \"anonymous_bytes\": %lld", (long long)(r->after.anonymous - r->before.anonymous));
    else
        add(", \"anonymous_bytes\": null");
    add_number("resident_file_bytes", mapped);
    add_number("pss_bytes", all.pss);
    add_number("resident_bytes", all.resident);
    add_number("peak_resident_bytes", all.peak);
    add_number("resident_after_close_bytes", left.resident);
}

static void measure(struct bench *b, const struct reading *r, sys_file *file) {
    const struct settings *s = &b->settings;
    sample(b, "clock", op_nothing, 1000, 1000, 0);
    qsort(samples, n_samples, sizeof *samples, ascending);
    double clock_ns = percentile_us(.5) * 1000;
    add("{\"event\": \"result\", \"harness\": \"sd-bench\", \"backend\": \"core\", \"kernel\":"
        " \"%s\", \"k\": %u, \"load_ms\": %.6f, \"first_query_us\": %.3f, \"warmup_us\": %.3f, ",
        kernel_names[b->model.kernel], (unsigned)s->k, (double)r->load_ns / 1e6,
        (double)r->first_ns / 1000, (double)r->warmup_ns / 1000);
    sample(b, "end_to_end", op_end_to_end, s->repetitions, MAX_SAMPLES, s->min_seconds);
    add_summary();
    add(", \"phases\": {");
    for (uint32_t i = 0; i < N_PHASES; i++) {
        sample(b, phases[i].name, phases[i].call, PHASE_SAMPLES, MOST_PHASE_SAMPLES,
               s->min_seconds / 4);
        add(i ? ", \"%s\": {" : "\"%s\": {", phases[i].name);
        add_summary();
        add("}");
    }
    add("}, \"batch\": {\"size\": %u, ", (unsigned)s->batch);
    sample(b, "batch", op_batch, PHASE_SAMPLES / s->batch + 1, MOST_PHASE_SAMPLES,
           s->min_seconds / 2);
    double total = 0;
    for (uint32_t i = 0; i < n_samples; i++)
        total += (double)samples[i];
    double queries_per_second = 1e9 * n_samples * s->batch / total;
    add_summary();
    uint64_t started = sys_now_ns();
    sd_status promises = sd_verify(&b->model);
    double verify_ms = (double)(sys_now_ns() - started) / 1e6;
    if (promises)
        fail(2, "the file breaks the promise %s", sd_status_name(promises));
    add("}, \"queries_per_second\": %.3f, \"verify_ms\": %.6f", queries_per_second, verify_ms);
    add(", \"clock_overhead_ns\": %.1f, \"threads\": 1, \"page_cache\": \"%s\"", clock_ns,
        s->dropped ? "dropped" : "warm");
    add(", \"cached_at_load_bytes\": %llu, \"file_bytes\": %llu, \"page_bytes\": %ld",
        (unsigned long long)r->cached_bytes, (unsigned long long)r->file_bytes, sys_page_bytes());
    add(", \"kernels\": [");
    const char *comma = "";
    for (uint32_t i = 0; i < N_KERNELS; i++)
        if (b->model.kernels >> i & 1) {
            add("%s\"%s\"", comma, kernel_names[i]);
            comma = ", ";
        }
    add("]");
    add_memory(s, r, file); /* unmaps the file: last */
    printf("%s, \"checksum\": \"%llx\"}\n", result, (unsigned long long)b->checksum);
}

static void prepare(struct bench *b) {
    sd_request request = request_of(b, NULL, b->longest);
    request.n_candidates = SHORTLIST;
    b->scratch_bytes = sd_scratch_bytes(&b->model, &request);
    b->scratch = take(b->scratch_bytes);
    uint32_t k = sd_min(b->settings.k, b->model.n_items);
    b->rows = take(4 * (uint64_t)k);
    b->scores = take(4 * (uint64_t)(k > SHORTLIST ? k : SHORTLIST));
    b->row_columns = take(2 * (uint64_t)b->model.dim);
    b->row_values = take(4 * (uint64_t)b->model.dim);
    b->n_shortlist = sd_min(SHORTLIST, b->model.n_items);
    for (uint32_t i = 0; i < b->n_shortlist; i++)
        b->shortlist[i] = (uint32_t)((uint64_t)i * b->model.n_items / b->n_shortlist);
}

int main(int argc, char **argv) {
    static struct bench bench;
    struct bench *b = &bench;
    struct reading r = {0};
    sys_file file;
    b->settings = parse(argc, argv);
    const struct settings *s = &b->settings;
    if (s->cpus && sys_pin(s->cpus))
        fail(2, "cannot pin this process to the cpus %s", s->cpus);
    samples = take(MAX_SAMPLES * sizeof *samples);
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);

    /* The trace is read through the file itself, then the file is closed, so that loading starts
     * afresh. */
    if (sys_map(s->model, &file))
        fail(2, "cannot read %s", s->model);
    sd_status status = sd_open(&b->model, file.bytes, file.size);
    if (status)
        fail(2, "%s breaks the promise %s of a packed file", s->model, sd_status_name(status));
    if (s->trace)
        read_trace(b);
    else
        make_trace(b);
    prepare(b);
    sys_unmap(&file);
    if (sys_set_cached(s->model, !s->dropped))
        fail(1, "cannot read %s", s->model);

    r.cached_bytes = sys_cached(s->model);
    r.before = sys_memory_now();
    uint64_t started = sys_now_ns();
    int missing = sys_map(s->model, &file);
    status = missing ? SD_TRUNCATED : sd_open(&b->model, file.bytes, file.size);
    r.load_ns = sys_now_ns() - started;
    if (status)
        fail(2, "%s changed while it was measured", s->model);
    r.file_bytes = file.size;
    if (sys_has_dot_product())
        sd_add_kernel(&b->model, SD_KERNEL_NEON_DOT);
    if (s->kernel)
        select_kernel(&b->model, s->kernel);

    if (s->answers) {
        print_answers(b);
        return 0;
    }
    if (s->queries) {
        for (uint32_t i = 0; i < s->queries; i++)
            op_end_to_end(b, i);
        printf("{\"event\": \"queries\", \"n\": %u, \"kernel\": \"%s\", \"checksum\": \"%llx\"}\n",
               (unsigned)s->queries, kernel_names[b->model.kernel],
               (unsigned long long)b->checksum);
        return 0;
    }
    started = sys_now_ns();
    op_end_to_end(b, 0);
    r.first_ns = sys_now_ns() - started;
    started = sys_now_ns();
    for (uint32_t i = 0; i < s->warmup; i++)
        op_end_to_end(b, i);
    if (s->warmup)
        r.warmup_ns = (sys_now_ns() - started) / s->warmup;
    r.after = sys_memory_now();
    measure(b, &r, &file);
    return fflush(stdout) ? 1 : 0;
}
