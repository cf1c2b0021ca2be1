/* com.sparsedevice::SparseTopK for onnxruntime: the C core on the bytes of a packed file.
 *
 *   SparseTopK(model uint8[bytes], head uint8[64], history, user, like, excluded, candidates, k
 *              int64[], ...) -> rows int64, scores float
 *
 * The graph has a function of this name, of standard operators; a session that has this library
 * registered runs the core instead. model is the packed file and head what it must begin with; what
 * comes after k are its sections as tensors, for the function. user, like and k have one element.
 * What is out of range is ignored; an empty list of candidates means all rows. */
#include "sd_ort.h"
#include "sd_rows.h"

#include <stdatomic.h>
#include <string.h>

enum { MODEL, HEAD, HISTORY, USER, LIKE, EXCLUDED, CANDIDATES, K, INPUTS };

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

static OrtStatus *answer(const OrtApi *api, OrtContext *context, const sd_model *model,
                         const sd_list *lists, int64_t k) {
    OrtStatus *status = NULL;
    size_t room = k < 0 ? 0 : k < (int64_t)model->n_items ? (size_t)k : model->n_items;
    int64_t *rows = malloc(sizeof *rows * (room + 1));
    float *scores = malloc(sizeof *scores * (room + 1));
    uint32_t found = 0;
    if (!rows || !scores ||
        sd_rows_top(model, lists[HISTORY], lists[USER].rows[0], lists[LIKE].rows[0],
                    lists[EXCLUDED], lists[CANDIDATES], k, rows, scores, &found))
        status = ORT_CREATE_STATUS(api)(ORT_FAIL, "SparseTopK: out of memory");
    else if (!write_output(api, context, 0, rows, found, sizeof *rows) ||
             !write_output(api, context, 1, scores, found, sizeof *scores))
        status =
            ORT_CREATE_STATUS(api)(ORT_FAIL, "SparseTopK: onnxruntime gave no room for results");
    free(scores);
    free(rows);
    return status;
}

static OrtStatus *SD_ORT_CALL compute(void *kernel, OrtContext *context) {
    const OrtApi *api = *(const OrtApi **)kernel;
    void *data[INPUTS];
    size_t count[INPUTS];
    sd_list lists[INPUTS];
    for (size_t i = 0; i < INPUTS; i++) {
        if (!read_input(api, context, i, &data[i], &count[i]))
            return ORT_CREATE_STATUS(api)(ORT_FAIL, "SparseTopK: an input cannot be read");
        lists[i].rows = data[i];
        lists[i].n = count[i];
    }
    if (count[USER] != 1 || count[LIKE] != 1 || count[K] != 1)
        return ORT_CREATE_STATUS(api)(ORT_INVALID_ARGUMENT,
                                      "SparseTopK: user, like and k have one element each");
    sd_model model;
    if (count[MODEL] < count[HEAD] || memcmp(data[MODEL], data[HEAD], count[HEAD]) ||
        sd_rows_open(&model, data[MODEL], count[MODEL]))
        return ORT_CREATE_STATUS(api)(ORT_INVALID_ARGUMENT,
                                      "SparseTopK: model.sd is damaged or not the file of this "
                                      "graph: take both from one export");
    return answer(api, context, &model, lists, lists[K].rows[0]);
}

/* The kernel is the table of entries: what it needs of onnxruntime, and all that it keeps. */
static OrtStatus *SD_ORT_CALL create(const OrtOperator *op, const OrtApi *api, const void *info,
                                     void **made) {
    (void)op;
    (void)info;
    const OrtApi **kernel = malloc(sizeof *kernel);
    if (!kernel)
        return ORT_CREATE_STATUS(api)(ORT_FAIL, "SparseTopK: out of memory");
    *kernel = api;
    *made = kernel;
    return NULL;
}

static void SD_ORT_CALL destroy(void *kernel) { free(kernel); }

static const char *SD_ORT_CALL name(const OrtOperator *op) {
    (void)op;
    return "SparseTopK";
}

static const char *SD_ORT_CALL provider(const OrtOperator *op) {
    (void)op;
    return NULL; /* the CPU */
}

static int SD_ORT_CALL input_type(const OrtOperator *op, size_t index) {
    (void)op;
    return index == MODEL || index == HEAD ? ORT_UINT8 : index < INPUTS ? ORT_INT64 : ORT_ANY;
}

static size_t SD_ORT_CALL input_count(const OrtOperator *op) {
    (void)op;
    return INPUTS + 1; /* the last one stands for all that follow */
}

static int SD_ORT_CALL output_type(const OrtOperator *op, size_t index) {
    (void)op;
    return index == 0 ? ORT_INT64 : ORT_FLOAT;
}

static size_t SD_ORT_CALL output_count(const OrtOperator *op) {
    (void)op;
    return 2;
}

static int SD_ORT_CALL input_kind(const OrtOperator *op, size_t index) {
    (void)op;
    return index < INPUTS ? ORT_REQUIRED : ORT_VARIADIC;
}

static int SD_ORT_CALL output_kind(const OrtOperator *op, size_t index) {
    (void)op;
    (void)index;
    return ORT_REQUIRED;
}

static int SD_ORT_CALL none(const OrtOperator *op) {
    (void)op;
    return 0; /* as few as none may follow, and of any types */
}

static int SD_ORT_CALL memory(const OrtOperator *op, size_t index) {
    (void)op;
    (void)index;
    return 0; /* the provider's own */
}

static const OrtOperator score_topk = {.version = SD_ORT_API_VERSION,
                                       .name = name,
                                       .provider = provider,
                                       .input_type = input_type,
                                       .input_count = input_count,
                                       .output_type = output_type,
                                       .output_count = output_count,
                                       .destroy = destroy,
                                       .input_kind = input_kind,
                                       .output_kind = output_kind,
                                       .input_memory = memory,
                                       .variadic = {none, none, none, none},
                                       .create = create,
                                       .compute = compute};

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
