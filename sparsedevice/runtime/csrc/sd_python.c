/* The core as a Python extension: one type, Model, that holds a buffer and answers in Python
 * objects, and the decoder of the compact coding. */
#include "sd_python.h"

#include "sd_compact.h"
#include "sd_core.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

typedef struct {
    PyTypeObject *model_type;
    PyObject *refused; /* FormatError(promise) */
    PyObject *config_error;
    PyObject *unknown_id_error;
} core_state;

typedef struct {
    PyObject_HEAD Py_buffer view;
    sd_model model;
} core_model;

static core_state *state_of(core_model *self) { return PyType_GetModuleState(Py_TYPE(self)); }

/* Rows of a list of ids, and the ids that have none. */
typedef struct {
    uint32_t *rows;
    uint32_t count;
} row_list;

static void free_rows(row_list *list) { PyMem_Free(list->rows); }

/* UTF-8 of an id: a string as it is, anything else through str(). *holder keeps it alive. 0: not an
 * id that a file can hold; -1: error. */
static int id_text(PyObject *id, PyObject **holder, const char **text, Py_ssize_t *length) {
    *holder = PyUnicode_Check(id) ? Py_NewRef(id) : PyObject_Str(id);
    if (!*holder)
        return -1;
    *text = PyUnicode_AsUTF8AndSize(*holder, length);
    if (!*text) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
            Py_CLEAR(*holder);
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    return 1;
}

/* Row of an id, SD_NO_ROW if unknown; -1 on error. */
static int find_row(core_model *self, sd_table table, PyObject *id, uint32_t *row) {
    PyObject *holder;
    const char *text;
    Py_ssize_t length;
    int found = id_text(id, &holder, &text, &length);
    if (found < 0)
        return -1;
    *row = found ? sd_find(&self->model, table, text, (uint64_t)length) : SD_NO_ROW;
    Py_DECREF(holder);
    return 0;
}

enum { TOGETHER = 16 };

/* Rows of up to 16 ids; the unknown ones go to `unknown`, or are an error where that is NULL. */
static int read_part(core_model *self, PyObject *const *ids, uint32_t count, PyObject *unknown,
                     row_list *list) {
    PyObject *holders[TOGETHER];
    const char *texts[TOGETHER];
    uint64_t lengths[TOGETHER];
    uint32_t rows[TOGETHER], read = 0;
    int failed = 0, valid[TOGETHER];
    for (; read < count; read++) {
        Py_ssize_t length = 0;
        valid[read] = id_text(ids[read], &holders[read], &texts[read], &length);
        if (valid[read] < 0) {
            failed = -1;
            break;
        }
        if (!valid[read]) {
            texts[read] = "";
            length = 0;
        }
        lengths[read] = (uint64_t)length;
    }
    if (!failed)
        sd_find_all(&self->model, SD_ITEMS, texts, lengths, count, rows);
    for (uint32_t i = 0; i < count && !failed; i++) {
        if (valid[i] && rows[i] != SD_NO_ROW)
            list->rows[list->count++] = rows[i];
        else if (unknown)
            failed = PyList_Append(unknown, holders[i]);
        else {
            PyErr_Format(state_of(self)->unknown_id_error,
                         "unknown item %R: it is not in this file", ids[i]);
            failed = -1;
        }
    }
    while (read)
        Py_DECREF(holders[--read]);
    return failed;
}

static int read_rows(core_model *self, const char *name, PyObject *ids, PyObject *unknown,
                     row_list *list) {
    core_state *state = state_of(self);
    if (PyUnicode_Check(ids) || PyBytes_Check(ids)) {
        PyErr_Format(state->config_error, "%s is %R; give a list of ids", name, ids);
        return -1;
    }
    PyObject *fast = PySequence_Fast(ids, "ids must be a sequence");
    if (!fast)
        return -1;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(fast);
    list->count = 0;
    list->rows = n > INT32_MAX ? NULL : PyMem_Malloc(sizeof(uint32_t) * (size_t)(n ? n : 1));
    if (!list->rows) {
        Py_DECREF(fast);
        PyErr_NoMemory();
        return -1;
    }
    int failed = 0;
    /* str() of an id may run Python code that changes the list, so its size is asked again. */
    for (Py_ssize_t i = 0; i < n && i < PySequence_Fast_GET_SIZE(fast) && !failed; i += TOGETHER) {
        PyObject *ids[TOGETHER];
        Py_ssize_t part = 0;
        for (; part < TOGETHER && i + part < n && i + part < PySequence_Fast_GET_SIZE(fast); part++)
            ids[part] = Py_NewRef(PySequence_Fast_GET_ITEM(fast, i + part));
        failed = read_part(self, ids, (uint32_t)part, unknown, list);
        for (Py_ssize_t j = 0; j < part; j++)
            Py_DECREF(ids[j]);
    }
    Py_DECREF(fast);
    return failed;
}

/* Strings up to this length need no memory of their own. */
enum { SHORT_STRING = 256 };

static PyObject *text_of(core_model *self, sd_text kind, uint32_t row) {
    char room[SHORT_STRING];
    uint32_t length;
    sd_string(&self->model, kind, row, room, SHORT_STRING, &length);
    if (length <= SHORT_STRING)
        return PyUnicode_DecodeUTF8(room, (Py_ssize_t)length, "replace");
    char *string = PyMem_Malloc(length);
    if (!string)
        return PyErr_NoMemory();
    sd_string(&self->model, kind, row, string, length, &length);
    PyObject *text = PyUnicode_DecodeUTF8(string, (Py_ssize_t)length, "replace");
    PyMem_Free(string);
    return text;
}

static PyObject *texts_of(core_model *self, sd_text kind, const uint32_t *rows, uint32_t count) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (uint32_t i = 0; list && i < count; i++) {
        PyObject *text = text_of(self, kind, rows[i]);
        if (!text) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, text);
    }
    return list;
}

/* Fill in who asks: exactly one of history and user. */
static int read_source(core_model *self, PyObject *history, PyObject *user, PyObject *unknown,
                       row_list *rows, sd_request *request) {
    core_state *state = state_of(self);
    if ((history == Py_None) == (user == Py_None)) {
        PyErr_SetString(state->config_error, "give either a history or a user");
        return -1;
    }
    if (history != Py_None) {
        if (read_rows(self, "history", history, unknown, rows))
            return -1;
        request->source = SD_FROM_HISTORY;
        request->history = rows->rows;
        request->n_history = rows->count;
        return 0;
    }
    request->source = SD_FROM_USER;
    if (!self->model.n_users) {
        PyErr_Format(state->unknown_id_error,
                     "unknown user %R: this file ships no users; give a history instead", user);
        return -1;
    }
    if (find_row(self, SD_USERS, user, &request->row))
        return -1;
    if (request->row == SD_NO_ROW) {
        PyErr_Format(state->unknown_id_error,
                     "unknown user %R: the file does not ship this user; give a history instead",
                     user);
        return -1;
    }
    return 0;
}

static int read_exclude(core_model *self, PyObject *exclude, PyObject *unknown, row_list *rows,
                        sd_request *request) {
    if (PyUnicode_Check(exclude)) {
        if (PyUnicode_CompareWithASCIIString(exclude, "seen") == 0)
            request->exclude_seen = 1;
        else if (PyUnicode_CompareWithASCIIString(exclude, "none") != 0) {
            PyErr_Format(state_of(self)->config_error,
                         "exclude is %R; use 'seen', 'none' or a list of ids", exclude);
            return -1;
        }
        return 0;
    }
    request->exclude_seen = 1;
    if (read_rows(self, "exclude", exclude, unknown, rows))
        return -1;
    request->exclude = rows->rows;
    request->n_exclude = rows->count;
    return 0;
}

static int read_k(core_model *self, PyObject *k, uint32_t *result) {
    PyObject *number = PyBool_Check(k) ? NULL : PyNumber_Index(k);
    int overflow = 0;
    long long value = number ? PyLong_AsLongLongAndOverflow(number, &overflow) : 0;
    Py_XDECREF(number);
    PyErr_Clear();
    if (overflow > 0 || value > (long long)UINT32_MAX)
        value = (long long)UINT32_MAX;
    if (overflow < 0 || value < 1) {
        PyErr_Format(state_of(self)->config_error, "k is %R; ask for 1 or more results", k);
        return -1;
    }
    *result = (uint32_t)value;
    return 0;
}

/* Run a request; (items, scores, rows, unknown, titles). Steals nothing. */
static PyObject *answer(core_model *self, const sd_request *request, PyObject *unknown) {
    uint32_t room = request->k < self->model.n_items ? request->k : self->model.n_items, count = 0;
    uint64_t scratch_bytes = sd_scratch_bytes(&self->model, request);
    PyObject *scores = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(4 * (uint64_t)room));
    PyObject *rows = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(4 * (uint64_t)room));
    void *scratch = PyMem_RawMalloc((size_t)scratch_bytes);
    PyObject *items = NULL, *titles = NULL, *result = NULL;
    if (scores && rows && scratch) {
        uint32_t *row_numbers = (uint32_t *)(void *)PyBytes_AS_STRING(rows);
        float *numbers = (float *)(void *)PyBytes_AS_STRING(scores);
        sd_status status;
        Py_BEGIN_ALLOW_THREADS;
        status = sd_recommend(&self->model, request, scratch, scratch_bytes, row_numbers, numbers,
                              &count);
        Py_END_ALLOW_THREADS;
        if (status)
            PyErr_Format(PyExc_SystemError, "the core refused a request: %s",
                         sd_status_name(status));
        else {
            items = texts_of(self, SD_ITEM_ID, row_numbers, count);
            titles = self->model.sections[18] ? texts_of(self, SD_TITLE, row_numbers, count)
                                              : Py_NewRef(Py_None);
        }
        if (count < room && items && titles &&
            (_PyBytes_Resize(&scores, 4 * (Py_ssize_t)count) ||
             _PyBytes_Resize(&rows, 4 * (Py_ssize_t)count)))
            Py_CLEAR(items);
    } else if (!PyErr_Occurred())
        PyErr_NoMemory();
    PyMem_RawFree(scratch);
    if (items && titles)
        result = PyTuple_Pack(5, items, scores, rows, unknown, titles);
    Py_XDECREF(items);
    Py_XDECREF(titles);
    Py_XDECREF(scores);
    Py_XDECREF(rows);
    return result;
}

static int check_count(Py_ssize_t given, Py_ssize_t wanted) {
    if (given == wanted)
        return 0;
    PyErr_Format(PyExc_TypeError, "%zd arguments, not %zd", given, wanted);
    return -1;
}

static PyObject *model_recommend(core_model *self, PyObject *const *args, Py_ssize_t n_args) {
    sd_request request = {0};
    row_list lists[3] = {{0}, {0}, {0}};
    PyObject *result = NULL;
    if (check_count(n_args, 5))
        return NULL;
    PyObject *unknown = PyList_New(0);
    if (unknown && !read_k(self, args[2], &request.k) &&
        !read_source(self, args[0], args[1], unknown, &lists[0], &request) &&
        !read_exclude(self, args[3], unknown, &lists[1], &request)) {
        int failed = 0;
        if (args[4] != Py_None) {
            failed = read_rows(self, "candidates", args[4], unknown, &lists[2]);
            request.candidates = lists[2].rows;
            request.n_candidates = lists[2].count;
        }
        if (!failed)
            result = answer(self, &request, unknown);
    }
    for (int i = 0; i < 3; i++)
        free_rows(&lists[i]);
    Py_XDECREF(unknown);
    return result;
}

/* Requests that are answered together. */
enum { BATCH = 16 };

/* Answer up to BATCH requests; appends (items, scores, rows, unknown, titles) of each to `answers`.
 */
static int answer_batch(core_model *self, const sd_request *requests, uint32_t n, uint32_t k,
                        PyObject *const *unknown, PyObject *answers) {
    uint32_t room = k < self->model.n_items ? k : self->model.n_items, counts[BATCH];
    uint64_t scratch_bytes = sd_batch_scratch_bytes(&self->model, requests, n);
    void *scratch = PyMem_RawMalloc((size_t)scratch_bytes);
    uint32_t *rows = PyMem_Malloc(4 * (size_t)room * n);
    float *scores = PyMem_Malloc(4 * (size_t)room * n);
    sd_status status = SD_OK;
    int failed = !scratch || !rows || !scores;
    if (failed)
        PyErr_NoMemory();
    else {
        Py_BEGIN_ALLOW_THREADS;
        status = sd_recommend_batch(&self->model, requests, n, scratch, scratch_bytes, room, rows,
                                    scores, counts);
        Py_END_ALLOW_THREADS;
    }
    if (status) {
        PyErr_Format(PyExc_SystemError, "the core refused a request: %s", sd_status_name(status));
        failed = 1;
    }
    for (uint32_t i = 0; i < n && !failed; i++) {
        uint32_t *own_rows = rows + (size_t)i * room;
        PyObject *items = texts_of(self, SD_ITEM_ID, own_rows, counts[i]);
        PyObject *titles = self->model.sections[18] ? texts_of(self, SD_TITLE, own_rows, counts[i])
                                                    : Py_NewRef(Py_None);
        PyObject *answered = NULL;
        if (items && titles)
            answered = Py_BuildValue("(Oy#y#OO)", items, (char *)(scores + (size_t)i * room),
                                     4 * (Py_ssize_t)counts[i], (char *)own_rows,
                                     4 * (Py_ssize_t)counts[i], unknown[i], titles);
        failed = !answered || PyList_Append(answers, answered);
        Py_XDECREF(items);
        Py_XDECREF(titles);
        Py_XDECREF(answered);
    }
    PyMem_RawFree(scratch);
    PyMem_Free(rows);
    PyMem_Free(scores);
    return failed ? -1 : 0;
}

/* recommend_batch(histories, users, k, exclude): one of histories and users is None. */
static PyObject *model_recommend_batch(core_model *self, PyObject *const *args, Py_ssize_t n_args) {
    uint32_t k;
    if (check_count(n_args, 4) || read_k(self, args[2], &k))
        return NULL;
    if ((args[0] == Py_None) == (args[1] == Py_None))
        return PyErr_Format(state_of(self)->config_error, "give either histories or users");
    int users = args[0] == Py_None;
    PyObject *all = PySequence_Tuple(args[users]);
    PyObject *answers = all ? PyList_New(0) : NULL;
    Py_ssize_t total = all ? PyTuple_GET_SIZE(all) : 0;
    int failed = !answers;
    for (Py_ssize_t done = 0; done < total && !failed; done += BATCH) {
        sd_request requests[BATCH] = {{0}};
        row_list lists[2 * BATCH] = {{0}};
        PyObject *unknown[BATCH] = {0};
        uint32_t n = 0;
        for (; n < BATCH && done + n < total && !failed; n++) {
            PyObject *one = PyTuple_GET_ITEM(all, done + n);
            requests[n].k = k;
            unknown[n] = PyList_New(0);
            failed = !unknown[n] ||
                     read_source(self, users ? Py_None : one, users ? one : Py_None, unknown[n],
                                 &lists[2 * n], &requests[n]) ||
                     read_exclude(self, args[3], unknown[n], &lists[2 * n + 1], &requests[n]);
        }
        if (!failed)
            failed = answer_batch(self, requests, n, k, unknown, answers);
        for (uint32_t i = 0; i < n; i++) {
            free_rows(&lists[2 * i]);
            free_rows(&lists[2 * i + 1]);
            Py_XDECREF(unknown[i]);
        }
    }
    Py_XDECREF(all);
    if (failed)
        Py_CLEAR(answers);
    return answers;
}

static PyObject *model_similar(core_model *self, PyObject *const *args, Py_ssize_t n_args) {
    sd_request request = {.source = SD_FROM_ITEM, .exclude_seen = 1};
    if (check_count(n_args, 2) || read_k(self, args[1], &request.k) ||
        find_row(self, SD_ITEMS, args[0], &request.row))
        return NULL;
    if (request.row == SD_NO_ROW)
        return PyErr_Format(state_of(self)->unknown_id_error,
                            "unknown item %R: it is not in this file", args[0]);
    PyObject *unknown = PyList_New(0);
    PyObject *result = unknown ? answer(self, &request, unknown) : NULL;
    Py_XDECREF(unknown);
    return result;
}

static PyObject *model_score(core_model *self, PyObject *const *args, Py_ssize_t n_args) {
    sd_request request = {.k = 1};
    row_list lists[2] = {{0}, {0}};
    PyObject *scores = NULL;
    if (check_count(n_args, 3))
        return NULL;
    PyObject *unknown = PyList_New(0);
    if (unknown && !read_source(self, args[0], args[1], unknown, &lists[0], &request) &&
        !read_rows(self, "items", args[2], NULL, &lists[1])) {
        request.candidates = lists[1].rows;
        request.n_candidates = lists[1].count;
        uint64_t scratch_bytes = sd_scratch_bytes(&self->model, &request);
        void *scratch = PyMem_RawMalloc((size_t)scratch_bytes);
        scores = PyBytes_FromStringAndSize(NULL, 4 * (Py_ssize_t)lists[1].count);
        if (scratch && scores) {
            float *numbers = (float *)(void *)PyBytes_AS_STRING(scores);
            sd_status status;
            Py_BEGIN_ALLOW_THREADS;
            status = sd_score(&self->model, &request, scratch, scratch_bytes, numbers);
            Py_END_ALLOW_THREADS;
            if (status) {
                PyErr_Format(PyExc_SystemError, "the core refused a request: %s",
                             sd_status_name(status));
                Py_CLEAR(scores);
            }
        } else {
            Py_CLEAR(scores);
            PyErr_NoMemory();
        }
        PyMem_RawFree(scratch);
    }
    for (int i = 0; i < 2; i++)
        free_rows(&lists[i]);
    Py_XDECREF(unknown);
    return scores;
}

/* (pointers int64, columns int32, values float32) of the rows of some ids. */
static PyObject *model_lookup(core_model *self, PyObject *ids) {
    row_list list = {0};
    PyObject *pointers = NULL, *columns = NULL, *values = NULL, *result = NULL;
    uint64_t dim = self->model.dim, total = 0;
    if (read_rows(self, "items", ids, NULL, &list)) {
        free_rows(&list);
        return NULL;
    }
    uint16_t row_columns[4096];
    float row_values[4096];
    pointers = PyBytes_FromStringAndSize(NULL, 8 * ((Py_ssize_t)list.count + 1));
    if (!pointers)
        goto done;
    int64_t *ends = (int64_t *)(void *)PyBytes_AS_STRING(pointers);
    ends[0] = 0;
    for (uint32_t i = 0; i < list.count; i++) {
        uint32_t count;
        sd_row(&self->model, SD_ITEMS, list.rows[i], row_columns, row_values, &count);
        total += count;
        ends[i + 1] = (int64_t)total;
    }
    columns = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(4 * total));
    values = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(4 * total));
    if (!columns || !values || dim > 4096)
        goto done;
    int32_t *column = (int32_t *)(void *)PyBytes_AS_STRING(columns);
    float *value = (float *)(void *)PyBytes_AS_STRING(values);
    for (uint32_t i = 0; i < list.count; i++) {
        uint32_t count;
        sd_row(&self->model, SD_ITEMS, list.rows[i], row_columns, row_values, &count);
        for (uint32_t j = 0; j < count && ends[i] + j < ends[i + 1]; j++) {
            column[ends[i] + j] = row_columns[j];
            value[ends[i] + j] = row_values[j];
        }
    }
    result = PyTuple_Pack(3, pointers, columns, values);
done:
    free_rows(&list);
    Py_XDECREF(pointers);
    Py_XDECREF(columns);
    Py_XDECREF(values);
    return result;
}

static PyObject *model_verify(core_model *self, PyObject *ignored) {
    sd_status status;
    (void)ignored;
    Py_BEGIN_ALLOW_THREADS;
    status = sd_verify(&self->model);
    Py_END_ALLOW_THREADS;
    if (status)
        return PyErr_Format(state_of(self)->refused, "%s", sd_status_name(status));
    Py_RETURN_NONE;
}

static const char *const kernel_names[] = {"scalar", "avx2",     "avx512",
                                           "neon",   "neon-dot", "wasm-simd"};
enum { N_KERNELS = sizeof kernel_names / sizeof *kernel_names };

static PyObject *model_kernel(core_model *self, void *ignored) {
    (void)ignored;
    return PyUnicode_FromString(kernel_names[self->model.kernel]);
}

static PyObject *model_kernels(core_model *self, void *ignored) {
    (void)ignored;
    PyObject *names = PyList_New(0);
    for (int i = 0; names && i < N_KERNELS; i++) {
        if (!(self->model.kernels >> i & 1))
            continue;
        PyObject *name = PyUnicode_FromString(kernel_names[i]);
        if (!name || PyList_Append(names, name))
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static int set_kernel(core_model *self, PyObject *value, void *ignored) {
    (void)ignored;
    for (int i = 0; value && PyUnicode_Check(value) && i < N_KERNELS; i++)
        if (PyUnicode_CompareWithASCIIString(value, kernel_names[i]) == 0 &&
            !sd_select_kernel(&self->model, (sd_kernel)i))
            return 0;
    PyErr_Format(state_of(self)->config_error, "kernel %R does not run on this machine",
                 value ? value : Py_None);
    return -1;
}

static PyObject *model_n_items(core_model *self, void *ignored) {
    (void)ignored;
    return PyLong_FromUnsignedLong(self->model.n_items);
}

static PyObject *model_dim(core_model *self, void *ignored) {
    (void)ignored;
    return PyLong_FromUnsignedLong(self->model.dim);
}

static PyObject *model_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *source;
    if (kwargs && PyDict_GET_SIZE(kwargs)) {
        PyErr_SetString(PyExc_TypeError, "Model takes one buffer");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O", &source))
        return NULL;
    core_model *self = (core_model *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    if (PyObject_GetBuffer(source, &self->view, PyBUF_SIMPLE)) {
        Py_DECREF(self);
        return NULL;
    }
    sd_status status = sd_open(&self->model, self->view.buf, (uint64_t)self->view.len);
    if (status) {
        PyErr_Format(state_of(self)->refused, "%s", sd_status_name(status));
        Py_DECREF(self);
        return NULL;
    }
#if defined(__aarch64__) && defined(__linux__)
    if (getauxval(AT_HWCAP) & 1ul << 20) /* HWCAP_ASIMDDP */
        sd_add_kernel(&self->model, SD_KERNEL_NEON_DOT);
#endif
    return (PyObject *)self;
}

static void model_dealloc(core_model *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyBuffer_Release(&self->view);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef model_methods[] = {
    {"recommend", (PyCFunction)(void (*)(void))model_recommend, METH_FASTCALL,
     "recommend(history, user, k, exclude, candidates) -> (items, scores, rows, unknown, titles)"},
    {"recommend_batch", (PyCFunction)(void (*)(void))model_recommend_batch, METH_FASTCALL,
     "recommend_batch(histories, users, k, exclude) -> one answer, as of recommend, for each"},
    {"similar", (PyCFunction)(void (*)(void))model_similar, METH_FASTCALL,
     "similar(item, k) -> (items, scores, rows, unknown, titles)"},
    {"score", (PyCFunction)(void (*)(void))model_score, METH_FASTCALL,
     "score(history, user, items) -> float32 bytes"},
    {"lookup", (PyCFunction)model_lookup, METH_O,
     "lookup(ids) -> (pointers int64, columns int32, values float32) as bytes"},
    {"verify", (PyCFunction)model_verify, METH_NOARGS, "Check every promise of the format."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef model_fields[] = {
    {"kernel", (getter)model_kernel, (setter)set_kernel, "Name of the kernel in use.", NULL},
    {"kernels", (getter)model_kernels, NULL, "Kernels that run on this machine.", NULL},
    {"n_items", (getter)model_n_items, NULL, "Rows of the item table.", NULL},
    {"dim", (getter)model_dim, NULL, "Columns of the table.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot model_slots[] = {{Py_tp_new, (void *)model_new},
                                    {Py_tp_dealloc, (void *)model_dealloc},
                                    {Py_tp_methods, model_methods},
                                    {Py_tp_getset, model_fields},
                                    {Py_tp_doc, "A packed file in a buffer."},
                                    {0, NULL}};

static PyType_Spec model_spec = {"sparsedevice.runtime._core.Model", sizeof(core_model), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, model_slots};

static int core_exec(PyObject *module) {
    core_state *state = PyModule_GetState(module);
    PyObject *errors = PyImport_ImportModule("sparsedevice.errors");
    if (!errors)
        return -1;
    state->config_error = PyObject_GetAttrString(errors, "ConfigError");
    state->unknown_id_error = PyObject_GetAttrString(errors, "UnknownIdError");
    Py_DECREF(errors);
    state->refused = PyErr_NewException("sparsedevice.runtime._core.FormatError", NULL, NULL);
    state->model_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &model_spec, NULL);
    if (!state->config_error || !state->unknown_id_error || !state->refused || !state->model_type ||
        PyModule_AddObjectRef(module, "FormatError", state->refused) ||
        PyModule_AddType(module, state->model_type))
        return -1;
    return 0;
}

static int core_traverse(PyObject *module, visitproc visit, void *arg) {
    core_state *state = PyModule_GetState(module);
    Py_VISIT(state->model_type);
    Py_VISIT(state->refused);
    Py_VISIT(state->config_error);
    Py_VISIT(state->unknown_id_error);
    return 0;
}

static int core_clear(PyObject *module) {
    core_state *state = PyModule_GetState(module);
    Py_CLEAR(state->model_type);
    Py_CLEAR(state->refused);
    Py_CLEAR(state->config_error);
    Py_CLEAR(state->unknown_id_error);
    return 0;
}

enum { WORDS, LANE_WORDS, LENGTHS, FREQUENCIES, LOW, OUT, BUFFERS };

/* decode_lanes(words, lane_words, lengths, frequencies, low, out, n_symbols, limit, gaps, shift,
 * low_bits) -> bool. Buffers: uint16, uint32, uint16, uint16, uint8, and uint16 to be written. */
static PyObject *decode_lanes(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer buffers[BUFFERS];
    unsigned n_symbols, limit, shift, low_bits;
    int gaps;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*w*IIpII", &buffers[WORDS], &buffers[LANE_WORDS],
                          &buffers[LENGTHS], &buffers[FREQUENCIES], &buffers[LOW], &buffers[OUT],
                          &n_symbols, &limit, &gaps, &shift, &low_bits))
        return NULL;
    sd_lanes lanes = {
        .words = buffers[WORDS].buf,
        .n_words = (uint64_t)buffers[WORDS].len / 2,
        .lane_words = buffers[LANE_WORDS].buf,
        .lengths = buffers[LENGTHS].buf,
        .n_rows = (uint64_t)buffers[LENGTHS].len / 2,
        .frequencies = buffers[FREQUENCIES].buf,
        .n_symbols = n_symbols,
        .limit = limit,
        .gaps = gaps,
        .shift = shift,
        .low_bits = low_bits,
        .low = buffers[LOW].buf,
    };
    uint64_t entries = 0;
    for (uint64_t i = 0; i < lanes.n_rows; i++)
        entries += lanes.lengths[i];
    uint64_t tables = n_symbols ? (uint64_t)buffers[FREQUENCIES].len / 2 / n_symbols : 0;
    PyObject *answer = NULL;
    if ((uint64_t)buffers[LANE_WORDS].len / 4 != sd_lane_count(entries) ||
        (uint64_t)buffers[OUT].len / 2 < entries || tables > SD_MAX_TABLES ||
        (low_bits && (uint64_t)buffers[LOW].len < entries)) {
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit one another");
    } else {
        lanes.n_tables = (uint32_t)tables;
        void *scratch = PyMem_Malloc((size_t)sd_lane_scratch(lanes.n_tables));
        if (!scratch) {
            PyErr_NoMemory();
        } else {
            int good;
            Py_BEGIN_ALLOW_THREADS;
            good = sd_decode_lanes(&lanes, scratch, buffers[OUT].buf);
            Py_END_ALLOW_THREADS;
            PyMem_Free(scratch);
            answer = PyBool_FromLong(good);
        }
    }
    for (int i = 0; i < BUFFERS; i++)
        PyBuffer_Release(&buffers[i]);
    return answer;
}

static PyMethodDef core_functions[] = {
    {"decode_lanes", decode_lanes, METH_VARARGS,
     "decode_lanes(words, lane_words, lengths, frequencies, low, "
     "out, n_symbols, limit, gaps, shift, "
     "low_bits) -> whether the data are sound"},
    {"id_index", sd_python_id_index, METH_VARARGS, "id_index(ids, ends) -> slots, as uint32"},
    {"cut", sd_python_cut, METH_VARARGS,
     "cut(symbols, ends, numbers, costs, text) -> codes, as uint16, or None"},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot core_slots[] = {{Py_mod_exec, (void *)core_exec}, {0, NULL}};

static struct PyModuleDef core_module = {PyModuleDef_HEAD_INIT,
                                         "sparsedevice.runtime._core",
                                         "The C core.",
                                         sizeof(core_state),
                                         core_functions,
                                         core_slots,
                                         core_traverse,
                                         core_clear,
                                         NULL};

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&core_module); }
