/* The JNI functions of a library for Android, called without a JVM: every jobject is the address of
 * its bytes.
 *
 * Reads one question a line on standard input and answers with one line; numbers only:
 *   recommend SOURCE ROW K EXCLUDE_SEEN N_HISTORY rows... N_EXCLUDE rows... N_CANDIDATES rows...
 * (-1: all) score SOURCE ROW N_HISTORY rows... N_CANDIDATES rows... kernel NUMBER find COUNT ids...
 * (without spaces) Scores are the bits of a float. Usage: emulated LIBRARY MODEL; it prints "open
 * STATUS verify STATUS kernel N".
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <jni.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static void *JNICALL address_of(JNIEnv *env, jobject buffer) {
    (void)env;
    return buffer;
}

static void *library;

static void *find(const char *name) {
    char symbol[128];
    snprintf(symbol, sizeof symbol, "Java_org_sparsedevice_NativeEngine_%s", name);
    void *function = dlsym(library, symbol);
    if (!function) {
        fprintf(stderr, "no %s\n", symbol);
        exit(2);
    }
    return function;
}

static int32_t number(void) {
    int32_t value;
    if (scanf("%d", &value) != 1)
        exit(3);
    return value;
}

static int32_t rows(int32_t **list) {
    int32_t count = number();
    for (int32_t i = 0; i < count; i++)
        *(*list)++ = number();
    return count;
}

int main(int argc, char **argv) {
    struct JNINativeInterface_ functions;
    JNIEnv env = &functions;
    memset(&functions, 0, sizeof functions);
    functions.GetDirectBufferAddress = address_of;
    library = argc == 3 ? dlopen(argv[1], RTLD_NOW) : NULL;
    int file = library ? open(argv[2], O_RDONLY) : -1;
    struct stat about;
    if (file < 0 || fstat(file, &about)) {
        fprintf(stderr, "%s\n", library ? "no model" : dlerror());
        return 2;
    }
    jobject data = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    jint (*model_bytes)(JNIEnv *, jclass) = find("modelBytes");
    jint (*open_model)(JNIEnv *, jclass, jobject, jobject, jlong) = find("open");
    jint (*verify)(JNIEnv *, jclass, jobject, jobject) = find("verify");
    jint (*kernel)(JNIEnv *, jclass, jobject) = find("kernel");
    jint (*select_kernel)(JNIEnv *, jclass, jobject, jint) = find("selectKernel");
    jlong (*memory_bytes)(JNIEnv *, jclass, jobject, jint, jint, jint, jint, jint) =
        find("memoryBytes");
    jint (*recommend)(JNIEnv *, jclass, jobject, jobject, jobject, jint, jint, jint, jint, jint,
                      jint, jboolean) = find("recommend");
    void (*find_ids)(JNIEnv *, jclass, jobject, jobject, jobject, jint) = find("find");
    jint (*score)(JNIEnv *, jclass, jobject, jobject, jobject, jint, jint, jint, jint, jint) =
        find("score");

    jobject model = malloc((size_t)model_bytes(&env, NULL));
    jint status = open_model(&env, NULL, model, data, (jlong)about.st_size);
    jint verified = status ? 0 : verify(&env, NULL, data, model);
    printf("open %d verify %d kernel %d\n", status, verified,
           status ? -1 : kernel(&env, NULL, model));
    fflush(stdout);
    if (status || verified)
        return 0;
    static int32_t lists[1 << 16];
    for (char word[16]; scanf("%15s", word) == 1; fflush(stdout)) {
        int32_t *next = lists, n_exclude = 0, k = 0, exclude_seen = 0;
        if (!strcmp(word, "kernel")) {
            printf("%d\n", select_kernel(&env, NULL, model, number()));
            continue;
        }
        if (!strcmp(word, "find")) {
            int32_t count = number();
            int32_t *memory = malloc((size_t)count * (4 + 64));
            char *next = (char *)(memory + count);
            for (int32_t i = 0; i < count && scanf("%63s", next) == 1; i++) {
                memory[i] = (int32_t)strlen(next);
                next += memory[i];
            }
            find_ids(&env, NULL, data, model, (jobject)memory, count);
            for (int32_t i = 0; i < count; i++)
                printf("%d ", memory[i]);
            printf("\n");
            free(memory);
            continue;
        }
        int32_t source = number(), row = number(), ranking = !strcmp(word, "recommend");
        if (ranking) {
            k = number();
            exclude_seen = number();
        }
        int32_t n_history = rows(&next);
        if (ranking)
            n_exclude = rows(&next);
        int32_t n_candidates = rows(&next), listed = (int32_t)(next - lists),
                room = ranking ? k : n_candidates;
        jlong bytes = memory_bytes(&env, NULL, model, source, n_history, n_exclude,
                                   n_candidates < 0 ? 0 : n_candidates, room);
        int32_t *memory = malloc((size_t)bytes);
        memcpy(memory, lists, 4 * (size_t)listed);
        jint count = ranking
                         ? recommend(&env, NULL, data, model, (jobject)memory, source, row,
                                     n_history, n_exclude, n_candidates, k, (jboolean)exclude_seen)
                         : score(&env, NULL, data, model, (jobject)memory, source, row, n_history,
                                 n_exclude, n_candidates);
        printf("%d", count);
        for (int32_t i = 0; i < (ranking ? count : room); i++)
            printf(" %d %d", memory[listed + i], memory[listed + room + i]);
        printf("\n");
        free(memory);
    }
    return 0;
}
