/* sd-bench: measure a packed file with the C core, on boards and phones that have no Python.
 *
 *     sd-bench MODEL [TRACE] [--k 20] [--repetitions 200] [--min-seconds 1] [--warmup 20] [--batch
 * 1]
 *              [--kernel NAME] [--cpus 4,5] [--cache warm|dropped]
 *     sd-bench MODEL TRACE --answers       the answers, with the bits of their scores
 *     sd-bench MODEL TRACE --queries N     ask N queries and measure nothing (to be counted from
 * outside); --scans N: only score all rows, with a bound that none reaches
 *
 * TRACE holds one history a line: item rows of MODEL, separated by spaces. Without one, histories
 * are 256 random ones of 5 to 50 items, the same on every machine.
 *
 * Standard output is JSON, one object a line: raw samples while they are taken, and last the
 * result. What was printed before the device is lost stays with the reader. Exit codes: 0 done, 1
 * the measurement failed, 2 wrong arguments or files.
 */
#include "sd_bench_calls.h"
#include "sd_bench_samples.h"
#include "sd_bench_trace.h"

enum { PHASE_SAMPLES = 200, MOST_PHASE_SAMPLES = 1 << 14 };

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
        else if (!strcmp(name, "--scans"))
            s.scans = whole(name, value, 1);
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
            " [--queries N | --scans N]");
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
    if (s->queries || s->scans) {
        for (uint32_t i = 0; i < s->queries; i++)
            op_end_to_end(b, i);
        for (uint32_t i = 0; i < s->scans; i++)
            op_scan(b, i);
        printf("{\"event\": \"queries\", \"n\": %u, \"kernel\": \"%s\", \"checksum\": \"%llx\"}\n",
               (unsigned)(s->queries + s->scans), kernel_names[b->model.kernel],
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
