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
#include "functions.h"

enum { INSTRUCTIONS, LOADS, LOAD_BYTES, STORES, STORE_BYTES, N_COUNTS };

struct block {
    struct function *function;
    uint64_t instructions;
    int traced;
    uint8_t code[]; /* four bytes an instruction */
};

VISIBLE int qemu_plugin_version = 1;
static FILE *trace;

static void on_block(unsigned int vcpu, void *data) {
    (void)vcpu;
    struct block *block = data;
    if (!counting)
        return;
    block->function->counts[INSTRUCTIONS] += block->instructions;
    if (block->traced)
        fwrite(block->code, 4, block->instructions, trace);
}

static void on_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data) {
    (void)vcpu, (void)address;
    uint64_t *counts = ((struct function *)data)->counts;
    int first = qemu_plugin_mem_is_store(info) ? STORES : LOADS;
    if (!counting)
        return;
    counts[first]++;
    counts[first + 1] += UINT64_C(1) << qemu_plugin_mem_size_shift(info);
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    size_t n = qemu_plugin_tb_n_insns(tb);
    watch_marks(tb);
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

static void on_exit_write(qemu_plugin_id_t id, void *data) {
    (void)id, (void)data;
    FILE *out = open_table("SD_COUNT_OUT");
    for (size_t i = 0; out && i < MAX_FUNCTIONS; i++) {
        const struct function *f = &functions[i];
        if (!f->name || !f->counts[INSTRUCTIONS])
            continue;
        fputs(f->name, out);
        for (int c = 0; c < N_COUNTS; c++)
            fprintf(out, "\t%llu", (unsigned long long)f->counts[c]);
        fputc('\n', out);
    }
    if (out && out != stderr)
        fclose(out);
    if (trace)
        fclose(trace);
}

VISIBLE int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    const char *path = getenv("SD_TRACE_OUT");
    wait_for_marks();
    trace = path ? fopen(path, "wb") : NULL;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_exit_write, NULL);
    return 0;
}
