/* com.sparsedevice::ScoreTopK for onnxruntime: the C core on the bytes of a packed file that the
 * graph holds.
 *
 *   ScoreTopK(model uint8[bytes], history, user, like, excluded, candidates, k int64[]) -> rows
 * int64, scores float
 *
 * user, like and k have one element. What is out of range is ignored; an empty list of candidates
 * means all rows. */
#include "sd_ort.h"
#include "sd_rows.h"

#include <stdatomic.h>
#include <string.h>

enum { MODEL, HISTORY, USER, LIKE, EXCLUDED, CANDIDATES, K, INPUTS };

/* One input: its first element and how many there are. Returns 0 where onnxruntime refuses. */
static int read_input(const OrtApi *api, const OrtContext *context, size_t index, void **data,
                      size_t *count) {
    const OrtValue *value = NULL;
    OrtShape *shape = NULL;
    if (ORT_INPUT(api)(context, index, &value) || !value || ORT_SHAPE(api)(value, &shape))
        return 0;
    int done = !ORT_COUNT(api)(shape, count) && !ORT_DATA(api)((OrtValue *)value, data);
    ORT_RELEASE_SHAPE(api)(shape);
    return done;
}

static int write_output(const OrtApi *api, OrtContext *context, size_t index, const void *from,
                        uint32_t count, size_t size) {
    int64_t length = count;
    OrtValue *value = NULL;
    void *data = NULL;
    if (ORT_OUTPUT(api)(context, index, &length, 1, &value) || !value ||
        ORT_DATA(api)(value, &data))
        return 0;
    if (count)
        memcpy(data, from, count * size);
    return 1;
}

static void SD_ORT_CALL compute(void *kernel, OrtContext *context) {
    const OrtApi *api = *(const OrtApi **)kernel;
    void *data[INPUTS];
    size_t count[INPUTS];
    sd_model model;
    int fits = 1;
    for (size_t i = 0; i < INPUTS; i++)
        fits = fits && read_input(api, context, i, &data[i], &count[i]);
    fits = fits && count[USER] == 1 && count[LIKE] == 1 && count[K] == 1;
    uint32_t found = 0;
    int64_t *rows = NULL;
    float *scores = NULL;
    /* A model that is refused answers with no rows; exporting has checked it, so it was damaged
     * since. */
    if (fits && !sd_rows_open(&model, data[MODEL], count[MODEL])) {
        int64_t k = *(const int64_t *)data[K];
        size_t room = k < 0 ? 0 : k < (int64_t)model.n_items ? (size_t)k : model.n_items;
        rows = malloc(sizeof *rows * (room + 1));
        scores = malloc(sizeof *scores * (room + 1));
        if (rows && scores) {
            sd_list lists[INPUTS];
            for (int i = HISTORY; i < K; i++) {
                lists[i].rows = data[i];
                lists[i].n = count[i];
            }
            if (sd_rows_top(&model, lists[HISTORY], lists[USER].rows[0], lists[LIKE].rows[0],
                            lists[EXCLUDED], lists[CANDIDATES], k, rows, scores, &found))
                found = 0;
        }
    }
    write_output(api, context, 0, rows, found, sizeof *rows);
    write_output(api, context, 1, scores, found, sizeof *scores);
    free(scores);
    free(rows);
}

/* The kernel is the table of entries: what it needs of onnxruntime, and all that it keeps. */
static void *SD_ORT_CALL create(const OrtOperator *op, const OrtApi *api, const void *info) {
    (void)op;
    (void)info;
    const OrtApi **kernel = malloc(sizeof *kernel);
    if (kernel)
        *kernel = api;
    return kernel;
}

static void SD_ORT_CALL destroy(void *kernel) { free(kernel); }

static const char *SD_ORT_CALL name(const OrtOperator *op) {
    (void)op;
    return "ScoreTopK";
}

static const char *SD_ORT_CALL provider(const OrtOperator *op) {
    (void)op;
    return NULL; /* the CPU */
}

static int SD_ORT_CALL input_type(const OrtOperator *op, size_t index) {
    (void)op;
    return index == MODEL ? ORT_UINT8 : ORT_INT64;
}

static size_t SD_ORT_CALL input_count(const OrtOperator *op) {
    (void)op;
    return INPUTS;
}

static int SD_ORT_CALL output_type(const OrtOperator *op, size_t index) {
    (void)op;
    return index == 0 ? ORT_INT64 : ORT_FLOAT;
}

static size_t SD_ORT_CALL output_count(const OrtOperator *op) {
    (void)op;
    return 2;
}

static int SD_ORT_CALL kind(const OrtOperator *op, size_t index) {
    (void)op;
    (void)index;
    return ORT_REQUIRED;
}

static const OrtOperator score_topk = {
    SD_ORT_API_VERSION, create,       name,    provider, input_type, input_count,
    output_type,        output_count, compute, destroy,  kind,       kind};

/* What onnxruntime calls for a library of operators. The domain lives as long as the process:
 * sessions keep its address. */
SD_ORT_EXPORT OrtStatus *SD_ORT_CALL RegisterCustomOps(OrtOptions *options,
                                                       const OrtApiBase *base) {
    static _Atomic(OrtDomain *) shared;
    const OrtApi *api = base->get_api(SD_ORT_API_VERSION);
    if (!api)
        return NULL;
    OrtDomain *domain = atomic_load(&shared);
    if (!domain) {
        OrtStatus *status = ORT_CREATE_DOMAIN(api)("com.sparsedevice", &domain);
        if (!status)
            status = ORT_DOMAIN_ADD(api)(domain, &score_topk);
        if (status)
            return status;
        OrtDomain *none = NULL;
        if (!atomic_compare_exchange_strong(&shared, &none, domain)) {
            ORT_RELEASE_DOMAIN(api)(domain);
            domain = none;
        }
    }
    return ORT_ADD_DOMAIN(api)(options, domain);
}
