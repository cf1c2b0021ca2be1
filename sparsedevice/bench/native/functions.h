/* What the plugins share: a table of the emulated program's functions with their counts, and marks
 * in the program between which alone is counted. Single-threaded programs only.
 *
 * With SD_MARKED set nothing counts before the instruction `hint #0x7e` and after `hint #0x7f`,
 * which processors take for no operation; programs may go to and fro between them. A mark takes
 * effect within its block of straight-line code. */
#ifndef SPARSEDEVICE_FUNCTIONS_H
#define SPARSEDEVICE_FUNCTIONS_H

#include "qemu_plugin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VISIBLE __attribute__((visibility("default")))
enum { MAX_FUNCTIONS = 65536, MAX_COUNTS = 17 };

struct function {
    char *name;
    uint64_t counts[MAX_COUNTS];
};

static struct function functions[MAX_FUNCTIONS];
static size_t n_functions;
static int counting = 1;

/* The function with this name; the same for all code without one. */
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
        fprintf(stderr, "plugin: more than %d functions\n", MAX_FUNCTIONS - 1);
        exit(1);
    }
    functions[slot].name = strdup(name);
    return &functions[slot];
}

static void on_mark(unsigned int vcpu, void *data) {
    (void)vcpu;
    counting = data != NULL;
}

/* Looks for marks in code that is about to be run for the first time. */
static void watch_marks(struct qemu_plugin_tb *tb) {
    const uint32_t begin = 0xD5032FDF, end = 0xD5032FFF;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(tb, i);
        uint32_t code;
        memcpy(&code, qemu_plugin_insn_data(instruction), sizeof code);
        if (code == begin || code == end)
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_mark, QEMU_PLUGIN_CB_NO_REGS,
                                                   code == begin ? functions : NULL);
    }
}

/* Call first: whether there are marks to wait for. */
static void wait_for_marks(void) { counting = !getenv("SD_MARKED"); }

/* The file that an environment variable names, or standard error. */
static FILE *open_table(const char *variable) {
    const char *path = getenv(variable);
    return path ? fopen(path, "w") : stderr;
}

#endif
