/* The JNI functions of a library for Android, called without a JVM: every jobject is the address of
 * its bytes.
 *
 * Reads one question a line on standard input and answers with one line; numbers only:
 *   recommend SOURCE ROW K EXCLUDE_SEEN N_HISTORY rows... N_EXCLUDE rows... N_CANDIDATES rows...
 * (-1: all) score SOURCE ROW N_HISTORY rows... N_CANDIDATES rows... kernel NUMBER find COUNT ids...
 * (without spaces) Scores are the bits of a float. A recommend's answer goes on with the ids and
 * titles: the bytes of each, -1 for none, and all of them as one hexadecimal number after 0x1.
 * Usage: emulated LIBRARY MODEL; it prints "open STATUS verify STATUS kernel N".
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

/* Strings of an answer. */
enum { TEXT_ROOM = 1 << 17, TOO_SMALL = INT32_MIN };
static jbyte text[TEXT_ROOM];

static void JNICALL set_bytes(JNIEnv *env, jbyteArray array, jsize start, jsize count,
                              const jbyte *bytes) {
    (void)env;
    memcpy((jbyte *)array + start, bytes, (size_t)count);
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
    functions.SetByteArrayRegion = set_bytes;
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
    jlong (*address)(JNIEnv *, jclass, jobject) = find("address");
    jint (*recommend)(JNIEnv *, jclass, jobject, jobject, jobject, jlong, jlong, jint, jint, jint,
                      jint, jint, jint, jint, jboolean, jbyteArray, jint) = find("recommend");
    void (*find_ids)(JNIEnv *, jclass, jobject, jobject, jobject, jlong, jlong, jint) =
        find("find");
    jint (*score)(JNIEnv *, jclass, jobject, jobject, jobject, jlong, jlong, jint, jint, jint, jint,
                  jint, jint) = find("score");

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
            find_ids(&env, NULL, data, model, (jobject)memory, address(&env, NULL, model),
                     address(&env, NULL, (jobject)memory), count);
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
        jint count = TOO_SMALL, bytes = 64, text_room = room > 4 ? 64 * room : 16;
        int32_t *memory = NULL;
        for (int tries = 0; count == TOO_SMALL && tries < 2; tries++) {
            size_t own = 4 * (size_t)(listed + 4 * room) + (size_t)text_room;
            bytes = tries ? memory[0] : (jint)own;
            free(memory);
            memory = malloc((size_t)bytes);
            memcpy(memory, lists, 4 * (size_t)listed);
            jlong model_at = address(&env, NULL, model),
                  memory_at = address(&env, NULL, (jobject)memory);
            count = ranking
                        ? recommend(&env, NULL, data, model, (jobject)memory, model_at, memory_at,
                                    bytes, source, row, n_history, n_exclude, n_candidates, k,
                                    (jboolean)exclude_seen, (jbyteArray)text, text_room)
                        : score(&env, NULL, data, model, (jobject)memory, model_at, memory_at,
                                bytes, source, row, n_history, n_exclude, n_candidates);
        }
        printf("%d", count);
        for (int32_t i = 0; i < (ranking ? count : room); i++)
            printf(" %d %d", memory[listed + i], memory[listed + room + i]);
        const int32_t *lengths = memory + listed + 2 * room;
        int32_t bytes_used = 0;
        for (int32_t i = 0; ranking && i < 2 * count; i++) {
            printf(" %d", lengths[i]);
            bytes_used += lengths[i] < 0 ? 0 : lengths[i];
        }
        static char digits[2 * TEXT_ROOM + 1];
        for (int32_t i = 0; i < 2 * bytes_used; i++)
            digits[i] = "0123456789abcdef"[(unsigned char)text[i / 2] >> (i % 2 ? 0 : 4) & 15];
        digits[2 * bytes_used] = 0;
        printf(ranking ? " 0x1%s" : "%s", digits);
        printf("\n");
        free(memory);
    }
    return 0;
}
