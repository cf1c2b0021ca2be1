/* Questions to the core, and its answers as Python objects. */
#include "sd_python.h"

/* Strings up to this length need no memory of their own. */
enum { SHORT_STRING = 256 };

static PyObject *text_of(sd_python_model *self, sd_text kind, uint32_t row) {
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

static PyObject *texts_of(sd_python_model *self, sd_text kind, const uint32_t *rows,
                          uint32_t count) {
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

/* Run a request; (items, scores, rows, unknown, titles). Steals nothing. */
static PyObject *answer(sd_python_model *self, const sd_request *request, PyObject *unknown) {
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

PyObject *sd_python_recommend(sd_python_model *self, PyObject *const *args, Py_ssize_t n_args) {
    sd_request request = {0};
    sd_python_rows lists[3] = {{0}, {0}, {0}};
    PyObject *result = NULL;
    if (check_count(n_args, 5))
        return NULL;
    PyObject *unknown = PyList_New(0);
    if (unknown && !sd_python_read_k(self, args[2], &request.k) &&
        !sd_python_read_source(self, args[0], args[1], unknown, &lists[0], &request) &&
        !sd_python_read_exclude(self, args[3], unknown, &lists[1], &request)) {
        int failed = 0;
        if (args[4] != Py_None) {
            failed = sd_python_read_rows(self, "candidates", args[4], unknown, &lists[2]);
            request.candidates = lists[2].rows;
            request.n_candidates = lists[2].count;
        }
        if (!failed)
            result = answer(self, &request, unknown);
    }
    for (int i = 0; i < 3; i++)
        sd_python_free_rows(&lists[i]);
    Py_XDECREF(unknown);
    return result;
}

/* Requests that are answered together. */
enum { BATCH = 16 };

/* Answer up to BATCH requests; appends (items, scores, rows, unknown, titles) of each to `answers`.
 */
static int answer_batch(sd_python_model *self, const sd_request *requests, uint32_t n, uint32_t k,
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
PyObject *sd_python_recommend_batch(sd_python_model *self, PyObject *const *args,
                                    Py_ssize_t n_args) {
    uint32_t k;
    if (check_count(n_args, 4) || sd_python_read_k(self, args[2], &k))
        return NULL;
    if ((args[0] == Py_None) == (args[1] == Py_None))
        return PyErr_Format(sd_python_state_of(self)->config_error,
                            "give either histories or users");
    int users = args[0] == Py_None;
    PyObject *all = PySequence_Tuple(args[users]);
    PyObject *answers = all ? PyList_New(0) : NULL;
    Py_ssize_t total = all ? PyTuple_GET_SIZE(all) : 0;
    int failed = !answers;
    for (Py_ssize_t done = 0; done < total && !failed; done += BATCH) {
        sd_request requests[BATCH] = {{0}};
        sd_python_rows lists[2 * BATCH] = {{0}};
        PyObject *unknown[BATCH] = {0};
        uint32_t n = 0;
        for (; n < BATCH && done + n < total && !failed; n++) {
            PyObject *one = PyTuple_GET_ITEM(all, done + n);
            requests[n].k = k;
            unknown[n] = PyList_New(0);
            failed =
                !unknown[n] ||
                sd_python_read_source(self, users ? Py_None : one, users ? one : Py_None,
                                      unknown[n], &lists[2 * n], &requests[n]) ||
                sd_python_read_exclude(self, args[3], unknown[n], &lists[2 * n + 1], &requests[n]);
        }
        if (!failed)
            failed = answer_batch(self, requests, n, k, unknown, answers);
        for (uint32_t i = 0; i < n; i++) {
            sd_python_free_rows(&lists[2 * i]);
            sd_python_free_rows(&lists[2 * i + 1]);
            Py_XDECREF(unknown[i]);
        }
    }
    Py_XDECREF(all);
    if (failed)
        Py_CLEAR(answers);
    return answers;
}

PyObject *sd_python_similar(sd_python_model *self, PyObject *const *args, Py_ssize_t n_args) {
    sd_request request = {.source = SD_FROM_ITEM, .exclude_seen = 1};
    if (check_count(n_args, 2) || sd_python_read_k(self, args[1], &request.k) ||
        sd_python_find_row(self, SD_ITEMS, args[0], &request.row))
        return NULL;
    if (request.row == SD_NO_ROW)
        return PyErr_Format(sd_python_state_of(self)->unknown_id_error,
                            "unknown item %R: it is not in this file", args[0]);
    PyObject *unknown = PyList_New(0);
    PyObject *result = unknown ? answer(self, &request, unknown) : NULL;
    Py_XDECREF(unknown);
    return result;
}

PyObject *sd_python_score(sd_python_model *self, PyObject *const *args, Py_ssize_t n_args) {
    sd_request request = {.k = 1};
    sd_python_rows lists[2] = {{0}, {0}};
    PyObject *scores = NULL;
    if (check_count(n_args, 3))
        return NULL;
    PyObject *unknown = PyList_New(0);
    if (unknown && !sd_python_read_source(self, args[0], args[1], unknown, &lists[0], &request) &&
        !sd_python_read_rows(self, "items", args[2], NULL, &lists[1])) {
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
        sd_python_free_rows(&lists[i]);
    Py_XDECREF(unknown);
    return scores;
}

/* (pointers int64, columns int32, values float32) of the rows of some ids. */
PyObject *sd_python_lookup(sd_python_model *self, PyObject *ids) {
    sd_python_rows list = {0};
    PyObject *pointers = NULL, *columns = NULL, *values = NULL, *result = NULL;
    uint64_t dim = self->model.dim, total = 0;
    if (sd_python_read_rows(self, "items", ids, NULL, &list)) {
        sd_python_free_rows(&list);
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
    sd_python_free_rows(&list);
    Py_XDECREF(pointers);
    Py_XDECREF(columns);
    Py_XDECREF(values);
    return result;
}

/* Rows of some ids, int32, -1 for those that the file lacks. */
PyObject *sd_python_row_numbers(sd_python_model *self, PyObject *ids) {
    PyObject *fast = PySequence_Fast(ids, "ids must be a sequence");
    if (!fast)
        return NULL;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(fast);
    PyObject *result = n > INT32_MAX ? PyErr_NoMemory() : PyBytes_FromStringAndSize(NULL, 4 * n);
    for (Py_ssize_t i = 0; result && i < n; i++) {
        uint32_t row = SD_NO_ROW;
        /* str() of an id may run Python code that changes the list. */
        if (i < PySequence_Fast_GET_SIZE(fast)) {
            PyObject *id = Py_NewRef(PySequence_Fast_GET_ITEM(fast, i));
            if (sd_python_find_row(self, SD_ITEMS, id, &row))
                Py_CLEAR(result);
            Py_DECREF(id);
        }
        if (result) {
            int32_t number = row == SD_NO_ROW ? -1 : (int32_t)row;
            memcpy(PyBytes_AS_STRING(result) + 4 * i, &number, 4);
        }
    }
    Py_DECREF(fast);
    return result;
}

PyObject *sd_python_user_row(sd_python_model *self, PyObject *id) {
    uint32_t row;
    if (sd_python_find_row(self, SD_USERS, id, &row))
        return NULL;
    return PyLong_FromLong(row == SD_NO_ROW ? -1 : (long)row);
}

/* (ids, titles or None) of rows, a buffer of int32. */
PyObject *sd_python_texts(sd_python_model *self, PyObject *buffer) {
    Py_buffer view;
    PyObject *items = NULL, *titles = NULL, *result = NULL;
    if (PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE))
        return NULL;
    uint32_t count = (uint32_t)(view.len / 4);
    uint32_t *rows = PyMem_Malloc(4 * ((size_t)count + 1));
    int inside = rows != NULL;
    if (inside)
        memcpy(rows, view.buf, 4 * (size_t)count);
    else
        PyErr_NoMemory();
    PyBuffer_Release(&view);
    for (uint32_t i = 0; inside && i < count; i++)
        if (rows[i] >= self->model.n_items) {
            PyErr_Format(PyExc_IndexError, "row %d of %u items", (int)rows[i], self->model.n_items);
            inside = 0;
        }
    if (inside) {
        items = texts_of(self, SD_ITEM_ID, rows, count);
        titles =
            self->model.sections[18] ? texts_of(self, SD_TITLE, rows, count) : Py_NewRef(Py_None);
    }
    if (items && titles)
        result = PyTuple_Pack(2, items, titles);
    Py_XDECREF(items);
    Py_XDECREF(titles);
    PyMem_Free(rows);
    return result;
}
