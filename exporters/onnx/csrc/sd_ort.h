/* The few entries of onnxruntime's C interface that the operator calls, by their place in its
 * table.
 *
 * onnxruntime keeps the places of published entries for ever (its own sources assert them), so this
 * works with every release from 1.16 on and needs none of its headers. */
#ifndef SD_ORT_H
#define SD_ORT_H

#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#define SD_ORT_CALL __stdcall
#define SD_ORT_EXPORT __declspec(dllexport)
#else
#define SD_ORT_CALL
#define SD_ORT_EXPORT __attribute__((visibility("default")))
#endif

/* Objects of onnxruntime; only their addresses are handled here. */
typedef struct OrtStatus OrtStatus;
typedef struct OrtValue OrtValue;
typedef struct OrtShape OrtShape;
typedef struct OrtContext OrtContext;
typedef struct OrtDomain OrtDomain;
typedef struct OrtOptions OrtOptions;

typedef void(SD_ORT_CALL *OrtEntry)(void);
typedef OrtEntry OrtApi; /* a table of entries */

typedef struct OrtApiBase {
    const OrtApi *(SD_ORT_CALL *get_api)(uint32_t version);
    const char *(SD_ORT_CALL *version)(void);
} OrtApiBase;

/* Version of the table that is asked for, and of the operator's description below. */
#define SD_ORT_API_VERSION 16u

#define SD_ORT(api, place, type) ((type)(void *)(api)[place])
#define ORT_CREATE_STATUS(api) SD_ORT(api, 0, OrtStatus *(SD_ORT_CALL *)(int, const char *))
#define ORT_CREATE_DOMAIN(api)                                                                     \
    SD_ORT(api, 26, OrtStatus *(SD_ORT_CALL *)(const char *, OrtDomain **))
#define ORT_DOMAIN_ADD(api)                                                                        \
    SD_ORT(api, 27, OrtStatus *(SD_ORT_CALL *)(OrtDomain *, const OrtOperator *))
#define ORT_ADD_DOMAIN(api) SD_ORT(api, 28, OrtStatus *(SD_ORT_CALL *)(OrtOptions *, OrtDomain *))
#define ORT_DATA(api) SD_ORT(api, 51, OrtStatus *(SD_ORT_CALL *)(OrtValue *, void **))
#define ORT_COUNT(api) SD_ORT(api, 64, OrtStatus *(SD_ORT_CALL *)(const OrtShape *, size_t *))
#define ORT_SHAPE(api) SD_ORT(api, 65, OrtStatus *(SD_ORT_CALL *)(const OrtValue *, OrtShape **))
#define ORT_INPUT(api)                                                                             \
    SD_ORT(api, 90, OrtStatus *(SD_ORT_CALL *)(const OrtContext *, size_t, const OrtValue **))
#define ORT_OUTPUT(api)                                                                            \
    SD_ORT(api, 91,                                                                                \
           OrtStatus *(SD_ORT_CALL *)(OrtContext *, size_t, const int64_t *, size_t, OrtValue **))
#define ORT_RELEASE_SHAPE(api) SD_ORT(api, 99, void(SD_ORT_CALL *)(OrtShape *))
#define ORT_RELEASE_DOMAIN(api) SD_ORT(api, 101, void(SD_ORT_CALL *)(OrtDomain *))

enum { ORT_ANY = 0, ORT_FLOAT = 1, ORT_UINT8 = 2, ORT_INT64 = 7 };
enum { ORT_REQUIRED = 0, ORT_VARIADIC = 2 };
/* Kinds of errors. */
enum { ORT_FAIL = 1, ORT_INVALID_ARGUMENT = 2 };

/* An operator's description, as version 16 has it. Entries that are NULL are not called. */
typedef struct OrtOperator {
    uint32_t version;
    void *(SD_ORT_CALL *old_create)(const struct OrtOperator *, const OrtApi *, const void *);
    const char *(SD_ORT_CALL *name)(const struct OrtOperator *);
    const char *(SD_ORT_CALL *provider)(const struct OrtOperator *);
    int(SD_ORT_CALL *input_type)(const struct OrtOperator *, size_t);
    size_t(SD_ORT_CALL *input_count)(const struct OrtOperator *);
    int(SD_ORT_CALL *output_type)(const struct OrtOperator *, size_t);
    size_t(SD_ORT_CALL *output_count)(const struct OrtOperator *);
    void(SD_ORT_CALL *old_compute)(void *, OrtContext *);
    void(SD_ORT_CALL *destroy)(void *);
    int(SD_ORT_CALL *input_kind)(const struct OrtOperator *, size_t);
    int(SD_ORT_CALL *output_kind)(const struct OrtOperator *, size_t);
    int(SD_ORT_CALL *input_memory)(const struct OrtOperator *, size_t);
    /* Least number of variadic inputs, whether they are of one type; the same of outputs. */
    int(SD_ORT_CALL *variadic[4])(const struct OrtOperator *);
    OrtStatus *(SD_ORT_CALL *create)(const struct OrtOperator *, const OrtApi *, const void *,
                                     void **);
    OrtStatus *(SD_ORT_CALL *compute)(void *, OrtContext *);
} OrtOperator;

#endif
