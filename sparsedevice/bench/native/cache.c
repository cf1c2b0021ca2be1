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
#include "qemu_plugin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VISIBLE __attribute__((visibility("default")))
enum { MAX_FUNCTIONS = 65536, MAX_CORES = 8, LINE_SHIFT = 6 };

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
struct function {
    char *name;
    uint64_t accesses, misses[MAX_CORES][2];
};

VISIBLE int qemu_plugin_version = 1;
static struct core cores[MAX_CORES];
static int n_cores;
static struct function functions[MAX_FUNCTIONS];
static size_t n_functions;
static uint64_t now;

static struct function *find(const char *name) {
    if (!name)
        name = "?";
    size_t slot = 5381;
    for (const char *c = name; *c; c++)
        slot = slot * 33 + (unsigned char)*c;
    for (slot %= MAX_FUNCTIONS; functions[slot].name; slot = (slot + 1) % MAX_FUNCTIONS)
        if (!strcmp(functions[slot].name, name))
            return &functions[slot];
    if (++n_functions == MAX_FUNCTIONS) {
        fprintf(stderr, "cache: more than %d functions\n", MAX_FUNCTIONS - 1);
        exit(1);
    }
    functions[slot].name = strdup(name);
    return &functions[slot];
}

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
    struct function *function = data;
    uint64_t bytes = UINT64_C(1) << qemu_plugin_mem_size_shift(info);
    uint64_t last = (address + bytes - 1) >> LINE_SHIFT;
    function->accesses++;
    for (uint64_t line = address >> LINE_SHIFT; line <= last; line++) {
        now++;
        for (int i = 0; i < n_cores; i++) {
            if (ask(&cores[i].levels[0], line))
                continue;
            function->misses[i][0]++;
            if (!ask(&cores[i].levels[1], line))
                function->misses[i][1]++;
        }
    }
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    size_t n = qemu_plugin_tb_n_insns(tb);
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
    const char *path = getenv("SD_CACHE_OUT");
    FILE *out = path ? fopen(path, "w") : stderr;
    if (!out)
        return;
    for (size_t i = 0; i < MAX_FUNCTIONS; i++)
        for (int c = 0; functions[i].accesses && c < n_cores; c++)
            fprintf(out, "%s\t%s\t%llu\t%llu\t%llu\n", functions[i].name, cores[c].name,
                    (unsigned long long)functions[i].accesses,
                    (unsigned long long)functions[i].misses[c][0],
                    (unsigned long long)functions[i].misses[c][1]);
    if (path)
        fclose(out);
}

VISIBLE int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    if (!read_cores(getenv("SD_CACHES"))) {
        fprintf(stderr, "cache: SD_CACHES is not a list of name:KiB:ways:KiB:ways\n");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_exit_write, NULL);
    return 0;
}
