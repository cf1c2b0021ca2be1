/* org.sparsedevice.NativeEngine over the C core.
 *
 * No allocation, no global state, no Java object but direct buffers: the model is a block of the
 * caller's memory, and so are lists, scratch and results. Every buffer that a call touches is an
 * argument of it, so none can be collected while it runs.
 *
 * The memory of a query: history, exclude and candidates (uint32 rows), then room rows (uint32),
 * room scores (float), and the core's scratch.
 */
#include <jni.h>

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

JNIEXPORT jlong CALL(memoryBytes)(JNIEnv *env, jclass type, jobject model, jint source,
                                  jint n_history, jint n_exclude, jint n_candidates, jint room) {
    sd_request request = {0};
    (void)type;
    request.source = (sd_source)source;
    request.k = (uint32_t)room;
    request.n_history = (uint32_t)n_history;
    request.n_exclude = (uint32_t)n_exclude;
    request.n_candidates = (uint32_t)n_candidates;
    return (jlong)(4 * listed(&request) + 8 * (uint64_t)room +
                   sd_scratch_bytes(address(env, model), &request));
}

/* Memory of a search: the length of each id (int32, -1 where it is no text), which its row or -1
 * takes the place of; then the bytes of the ids, one after the other. */
JNIEXPORT void CALL(find)(JNIEnv *env, jclass type, jobject data, jobject model, jobject memory,
                          jint count) {
    enum { AT_ONCE = 64 };
    const sd_model *opened = address(env, model);
    int32_t *answers = address(env, memory);
    const char *next = (const char *)(answers + count), *ids[AT_ONCE];
    uint64_t lengths[AT_ONCE];
    uint32_t rows[AT_ONCE];
    (void)type;
    (void)data;
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

JNIEXPORT jint CALL(recommend)(JNIEnv *env, jclass type, jobject data, jobject model,
                               jobject memory, jint source, jint row, jint n_history,
                               jint n_exclude, jint n_candidates, jint k, jboolean exclude_seen) {
    const sd_model *opened = address(env, model);
    uint32_t *lists = address(env, memory), count = 0;
    sd_request request = request_of(lists, source, row, n_history, n_exclude, n_candidates);
    (void)type;
    (void)data;
    request.k = (uint32_t)k;
    request.exclude_seen = exclude_seen;
    uint32_t *rows = lists + listed(&request);
    float *scores = (float *)(void *)(rows + k);
    sd_status status = sd_recommend(opened, &request, scores + k,
                                    sd_scratch_bytes(opened, &request), rows, scores, &count);
    return status ? -(jint)status : (jint)count;
}

JNIEXPORT jint CALL(score)(JNIEnv *env, jclass type, jobject data, jobject model, jobject memory,
                           jint source, jint row, jint n_history, jint n_exclude,
                           jint n_candidates) {
    const sd_model *opened = address(env, model);
    uint32_t *lists = address(env, memory);
    sd_request request = request_of(lists, source, row, n_history, n_exclude, n_candidates);
    (void)type;
    (void)data;
    /* Room for rows lies between the lists and the scores, as for recommend. */
    float *scores = (float *)(void *)(lists + listed(&request) + n_candidates);
    return (jint)sd_score(opened, &request, scores + n_candidates,
                          sd_scratch_bytes(opened, &request), scores);
}
