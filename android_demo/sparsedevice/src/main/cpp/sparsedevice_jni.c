/* org.sparsedevice.NativeEngine over the C core.
 *
 * No allocation, no global state, no Java object but direct buffers: the model is a block of the
 * caller's memory, and so are lists, scratch and results. Every buffer that a call touches is an
 * argument of it, so none can be collected while it runs; its address, which never changes, is
 * another one, because asking for it costs as much as finding an id.
 *
 * The memory of a query: history, exclude and candidates (uint32 rows), then room rows (uint32),
 * room scores (float), for recommend the strings of the answer, and the core's scratch. The strings
 * are the bytes of an id and of a title (int32, -1 where there is none or no room) for each of room
 * items, then the bytes themselves.
 */
#include <jni.h>
#include <stdint.h>

#include "sd_core.h"

#define CALL(name) JNICALL Java_org_sparsedevice_NativeEngine_##name

#ifdef __aarch64__
/* Of the C library; declared here because a build without the NDK has no headers of Android. */
extern unsigned long getauxval(unsigned long type);
enum { AUX_HWCAP = 16, HWCAP_DOT_PRODUCT = 1 << 20 };
#endif

static void *address(JNIEnv *env, jobject buffer) {
    return (*env)->GetDirectBufferAddress(env, buffer);
}

static void *pointer(jlong at) { return (void *)(intptr_t)at; }

/* One question, its lists at the start of `memory`. */
static sd_request request_of(uint32_t *memory, jint source, jint row, jint n_history,
                             jint n_exclude, jint n_candidates) {
    sd_request request = {0};
    request.source = (sd_source)source;
    request.row = (uint32_t)row;
    request.k = 1;
    request.history = memory;
    request.n_history = (uint32_t)n_history;
    request.exclude = memory + n_history;
    request.n_exclude = (uint32_t)n_exclude;
    request.candidates = n_candidates < 0 ? 0 : memory + n_history + n_exclude;
    request.n_candidates = n_candidates < 0 ? 0 : (uint32_t)n_candidates;
    return request;
}

static uint64_t listed(const sd_request *request) {
    return (uint64_t)request->n_history + request->n_exclude + request->n_candidates;
}

JNIEXPORT jint CALL(modelBytes)(JNIEnv *env, jclass type) {
    (void)env;
    (void)type;
    return (jint)sizeof(sd_model);
}

JNIEXPORT jint CALL(open)(JNIEnv *env, jclass type, jobject model, jobject data, jlong size) {
    sd_model *opened = address(env, model);
    sd_status status = sd_open(opened, address(env, data), (uint64_t)size);
    (void)type;
#ifdef __aarch64__
    if (!status && getauxval(AUX_HWCAP) & HWCAP_DOT_PRODUCT)
        sd_add_kernel(opened, SD_KERNEL_NEON_DOT);
#endif
    return (jint)status;
}

JNIEXPORT jint CALL(verify)(JNIEnv *env, jclass type, jobject data, jobject model) {
    (void)type;
    (void)data;
    return (jint)sd_verify(address(env, model));
}

JNIEXPORT jint CALL(kernel)(JNIEnv *env, jclass type, jobject model) {
    (void)type;
    return (jint)((const sd_model *)address(env, model))->kernel;
}

JNIEXPORT jint CALL(selectKernel)(JNIEnv *env, jclass type, jobject model, jint kernel) {
    (void)type;
    return (jint)sd_select_kernel(address(env, model), (sd_kernel)kernel);
}

JNIEXPORT jlong CALL(address)(JNIEnv *env, jclass type, jobject buffer) {
    (void)type;
    return (jlong)(intptr_t)address(env, buffer);
}

/* Memory of a search: the length of each id (int32, -1 where it is no text), which its row or -1
 * takes the place of; then the bytes of the ids, one after the other. */
JNIEXPORT void CALL(find)(JNIEnv *env, jclass type, jobject data, jobject model, jobject memory,
                          jlong model_at, jlong memory_at, jint count) {
    enum { AT_ONCE = 64 };
    const sd_model *opened = pointer(model_at);
    int32_t *answers = pointer(memory_at);
    const char *next = (const char *)(answers + count), *ids[AT_ONCE];
    uint64_t lengths[AT_ONCE];
    uint32_t rows[AT_ONCE];
    (void)env;
    (void)type;
    (void)data;
    (void)model;
    (void)memory;
    for (jint done = 0; done < count; done += AT_ONCE) {
        jint n = count - done < AT_ONCE ? count - done : AT_ONCE;
        for (jint i = 0; i < n; i++) {
            ids[i] = next;
            lengths[i] = answers[done + i] < 0 ? 0 : (uint64_t)answers[done + i];
            next += lengths[i];
        }
        sd_find_all(opened, SD_ITEMS, ids, lengths, (uint32_t)n, rows);
        for (jint i = 0; i < n; i++)
            answers[done + i] = answers[done + i] < 0 ? -1 : (int32_t)rows[i];
    }
}

enum { TOO_SMALL = INT32_MIN };

/* Whether memory up to `scratch` and the core's scratch there fit; where not, the bytes that would
 * do take the place of the first two rows. */
static int fits(const sd_model *model, const sd_request *request, uint32_t *memory,
                const void *scratch, jint bytes) {
    uint64_t needed =
        (uint64_t)((const char *)scratch - (const char *)memory) + sd_scratch_bytes(model, request);
    if (needed <= (uint64_t)bytes)
        return 1;
    memory[0] = (uint32_t)needed;
    memory[1] = (uint32_t)(needed >> 32);
    return 0;
}

/* Ids and titles of the answer, as far as there is room; how many bytes. */
static jint write_strings(const sd_model *model, const uint32_t *rows, uint32_t count,
                          int32_t *lengths, char *text, uint32_t room) {
    static const sd_text texts[] = {SD_ITEM_ID, SD_TITLE};
    uint32_t used = 0;
    for (uint32_t i = 0; i < 2 * count; i++) {
        uint32_t length;
        sd_status status =
            sd_string(model, texts[i % 2], rows[i / 2], text + used, room - used, &length);
        int there = !status && length <= room - used;
        lengths[i] = there ? (int32_t)length : -1;
        used += there ? length : 0;
    }
    return (jint)used;
}

/* Count of results, a status of the core below 0, or TOO_SMALL. */
JNIEXPORT jint CALL(recommend)(JNIEnv *env, jclass type, jobject data, jobject model,
                               jobject memory, jlong model_at, jlong memory_at, jint memory_bytes,
                               jint source, jint row, jint n_history, jint n_exclude,
                               jint n_candidates, jint k, jboolean exclude_seen, jbyteArray text,
                               jint text_bytes) {
    const sd_model *opened = pointer(model_at);
    uint32_t *lists = pointer(memory_at), count = 0;
    sd_request request = request_of(lists, source, row, n_history, n_exclude, n_candidates);
    (void)type;
    (void)data;
    (void)model;
    (void)memory;
    request.k = (uint32_t)k;
    request.exclude_seen = exclude_seen;
    uint32_t *rows = lists + listed(&request);
    float *scores = (float *)(void *)(rows + k);
    int32_t *lengths = (int32_t *)(void *)(scores + k);
    char *strings = (char *)(lengths + 2 * (uint64_t)k), *scratch = strings + text_bytes;
    if (!fits(opened, &request, lists, scratch, memory_bytes))
        return TOO_SMALL;
    sd_status status = sd_recommend(opened, &request, scratch, sd_scratch_bytes(opened, &request),
                                    rows, scores, &count);
    if (status)
        return -(jint)status;
    jint used = write_strings(opened, rows, count, lengths, strings, (uint32_t)text_bytes);
    (*env)->SetByteArrayRegion(env, text, 0, used, (const jbyte *)strings);
    return (jint)count;
}

/* A status of the core, or TOO_SMALL. */
JNIEXPORT jint CALL(score)(JNIEnv *env, jclass type, jobject data, jobject model, jobject memory,
                           jlong model_at, jlong memory_at, jint memory_bytes, jint source,
                           jint row, jint n_history, jint n_exclude, jint n_candidates) {
    const sd_model *opened = pointer(model_at);
    uint32_t *lists = pointer(memory_at);
    sd_request request = request_of(lists, source, row, n_history, n_exclude, n_candidates);
    (void)env;
    (void)type;
    (void)data;
    (void)model;
    (void)memory;
    /* Room for rows lies between the lists and the scores, as for recommend. */
    float *scores = (float *)(void *)(lists + listed(&request) + n_candidates);
    void *scratch = scores + n_candidates;
    if (!fits(opened, &request, lists, scratch, memory_bytes))
        return TOO_SMALL;
    return (jint)sd_score(opened, &request, scratch, sd_scratch_bytes(opened, &request), scores);
}
