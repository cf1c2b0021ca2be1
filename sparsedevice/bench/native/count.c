/* A QEMU plugin that counts, for each function of the emulated program, the instructions it
 * executes and the loads, stores and bytes of both. Single-threaded programs only.
 *
 *     gcc -shared -fPIC -O2 -o libcount.so count.c
 *     SD_COUNT_OUT=counts.tsv qemu-aarch64 -plugin ./libcount.so ./program
 *
 * Writes one line a function: name, instructions, loads, load bytes, stores, store bytes
 * (tab-separated). With SD_TRACE_OUT and SD_TRACE_PREFIX it also writes the code of every
 * instruction, in the order of execution, of the functions whose names begin with the prefix.
 */
#include "qemu_plugin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VISIBLE __attribute__((visibility("default")))
enum { MAX_FUNCTIONS = 65536 };

struct function {
    char *name;
    uint64_t instructions, loads, load_bytes, stores, store_bytes;
};
struct block {
    struct function *function;
    uint64_t instructions;
    int traced;
    uint8_t code[]; /* four bytes an instruction */
};

VISIBLE int qemu_plugin_version = 1;
static struct function functions[MAX_FUNCTIONS];
static size_t n_functions;
static FILE *trace;

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
        fprintf(stderr, "count: more than %d functions\n", MAX_FUNCTIONS - 1);
        exit(1);
    }
    functions[slot].name = strdup(name);
    return &functions[slot];
}

static void on_block(unsigned int vcpu, void *data) {
    (void)vcpu;
    struct block *block = data;
    block->function->instructions += block->instructions;
    if (block->traced)
        fwrite(block->code, 4, block->instructions, trace);
}

static void on_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data) {
    (void)vcpu, (void)address;
    struct function *function = data;
    uint64_t bytes = UINT64_C(1) << qemu_plugin_mem_size_shift(info);
    if (qemu_plugin_mem_is_store(info))
        function->stores++, function->store_bytes += bytes;
    else
        function->loads++, function->load_bytes += bytes;
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    size_t n = qemu_plugin_tb_n_insns(tb);
    struct block *block = calloc(1, sizeof *block + 4 * n); /* as long as the translated code */
    if (!block)
        exit(1);
    block->function = find(qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(tb, 0)));
    block->instructions = n;
    const char *prefix = getenv("SD_TRACE_PREFIX");
    block->traced = trace && prefix && !strncmp(block->function->name, prefix, strlen(prefix));
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, block);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(tb, i);
        memcpy(block->code + 4 * i, qemu_plugin_insn_data(instruction), 4);
        qemu_plugin_register_vcpu_mem_cb(instruction, on_access, QEMU_PLUGIN_CB_NO_REGS,
                                         QEMU_PLUGIN_MEM_RW, block->function);
    }
}

static void write_functions(FILE *out) {
    for (size_t i = 0; i < MAX_FUNCTIONS; i++) {
        const struct function *f = &functions[i];
        if (f->name && f->instructions)
            fprintf(out, "%s\t%llu\t%llu\t%llu\t%llu\t%llu\n", f->name,
                    (unsigned long long)f->instructions, (unsigned long long)f->loads,
                    (unsigned long long)f->load_bytes, (unsigned long long)f->stores,
                    (unsigned long long)f->store_bytes);
    }
}

static void on_exit_write(qemu_plugin_id_t id, void *data) {
    (void)id, (void)data;
    const char *path = getenv("SD_COUNT_OUT");
    FILE *out = path ? fopen(path, "w") : stderr;
    if (out)
        write_functions(out);
    if (out && path)
        fclose(out);
    if (trace)
        fclose(trace);
}

VISIBLE int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    const char *path = getenv("SD_TRACE_OUT");
    trace = path ? fopen(path, "wb") : NULL;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_exit_write, NULL);
    return 0;
}
