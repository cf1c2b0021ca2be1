/* A QEMU plugin that models the data caches of some arm64 cores: every load and store of the
 * emulated program goes through a first and a second level of each, and the misses are counted by
 * function. Single-threaded programs only.
 *
 *     gcc -shared -fPIC -O2 -o libcache.so cache.c
 *     SD_CACHES=a55:32:4:128:4 SD_CACHE_OUT=misses.tsv qemu-aarch64 -plugin ./libcache.so ./program
 *
 * SD_CACHES is a list, separated by commas, of name:KiB:ways:KiB:ways, of the first and the second
 * level. Lines have 64 bytes, the oldest line of a set goes, and a store brings its line in. Not
 * modelled: prefetching, the third level, other programs, translation, instructions. Addresses are
 * virtual. Writes one line a function and core: function, core, accesses, misses of the first
 * level, misses of the second (tab-separated).
 */
#include "functions.h"

/* A function's accesses, then its misses by core and level. */
enum { MAX_CORES = (MAX_COUNTS - 1) / 2, LINE_SHIFT = 6 };

struct level {
    uint64_t *lines; /* sets x ways; a line's number plus one, 0 where there is none */
    uint64_t *used;  /* when each was last asked for */
    uint64_t sets;
    unsigned ways;
};
struct core {
    char name[32];
    struct level levels[2];
};

VISIBLE int qemu_plugin_version = 1;
static struct core cores[MAX_CORES];
static int n_cores;
static uint64_t now;

/* Whether a level has the line; it has it afterwards. */
static int ask(struct level *level, uint64_t line) {
    size_t set = (size_t)(line % level->sets) * level->ways, oldest = set;
    for (size_t way = set; way < set + level->ways; way++) {
        if (level->lines[way] == line + 1) {
            level->used[way] = now;
            return 1;
        }
        if (level->used[way] < level->used[oldest])
            oldest = way;
    }
    level->lines[oldest] = line + 1;
    level->used[oldest] = now;
    return 0;
}

static void on_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data) {
    (void)vcpu;
    uint64_t *counts = ((struct function *)data)->counts;
    uint64_t bytes = UINT64_C(1) << qemu_plugin_mem_size_shift(info);
    uint64_t last = (address + bytes - 1) >> LINE_SHIFT;
    counts[0] += counting;
    for (uint64_t line = address >> LINE_SHIFT; line <= last; line++) {
        now++;
        for (int i = 0; i < n_cores; i++) {
            if (ask(&cores[i].levels[0], line))
                continue;
            counts[1 + 2 * i] += counting;
            if (!ask(&cores[i].levels[1], line))
                counts[2 + 2 * i] += counting;
        }
    }
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    size_t n = qemu_plugin_tb_n_insns(tb);
    watch_marks(tb);
    struct function *function = find(qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(tb, 0)));
    for (size_t i = 0; i < n; i++)
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), on_access,
                                         QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, function);
}

static int make_level(struct level *level, unsigned kib, unsigned ways) {
    level->ways = ways;
    level->sets = ways ? ((uint64_t)kib << 10 >> LINE_SHIFT) / ways : 0;
    if (!level->sets)
        return 0;
    level->lines = calloc(level->sets * ways, sizeof *level->lines);
    level->used = calloc(level->sets * ways, sizeof *level->used);
    return level->lines && level->used;
}

static int read_cores(const char *text) {
    while (text && *text) {
        struct core *core = &cores[n_cores];
        unsigned kib[2], ways[2];
        if (n_cores == MAX_CORES || sscanf(text, "%31[^:,]:%u:%u:%u:%u", core->name, &kib[0],
                                           &ways[0], &kib[1], &ways[1]) != 5)
            return 0;
        if (!make_level(&core->levels[0], kib[0], ways[0]) ||
            !make_level(&core->levels[1], kib[1], ways[1]))
            return 0;
        n_cores++;
        text = strchr(text, ',');
        if (text)
            text++;
    }
    return n_cores;
}

static void on_exit_write(qemu_plugin_id_t id, void *data) {
    (void)id, (void)data;
    FILE *out = open_table("SD_CACHE_OUT");
    for (size_t i = 0; out && i < MAX_FUNCTIONS; i++) {
        const uint64_t *counts = functions[i].counts;
        for (int c = 0; counts[0] && c < n_cores; c++)
            fprintf(out, "%s\t%s\t%llu\t%llu\t%llu\n", functions[i].name, cores[c].name,
                    (unsigned long long)counts[0], (unsigned long long)counts[1 + 2 * c],
                    (unsigned long long)counts[2 + 2 * c]);
    }
    if (out && out != stderr)
        fclose(out);
}

VISIBLE int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    wait_for_marks();
    if (!read_cores(getenv("SD_CACHES"))) {
        fprintf(stderr, "cache: SD_CACHES is not a list of name:KiB:ways:KiB:ways\n");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_exit_write, NULL);
    return 0;
}
