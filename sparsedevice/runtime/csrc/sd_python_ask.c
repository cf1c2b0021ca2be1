/* From Python objects to a request of the core: ids, and what they stand for. */
#include "sd_python.h"

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
int sd_python_find_row(sd_python_model *self, sd_table table, PyObject *id, uint32_t *row) {
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
static int read_part(sd_python_model *self, PyObject *const *ids, uint32_t count, PyObject *unknown,
                     sd_python_rows *list) {
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
            PyErr_Format(sd_python_state_of(self)->unknown_id_error,
                         "unknown item %R: it is not in this file", ids[i]);
            failed = -1;
        }
    }
    while (read)
        Py_DECREF(holders[--read]);
    return failed;
}

int sd_python_read_rows(sd_python_model *self, const char *name, PyObject *ids, PyObject *unknown,
                        sd_python_rows *list) {
    sd_python_state *state = sd_python_state_of(self);
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

/* Fill in who asks: exactly one of history and user. */
int sd_python_read_source(sd_python_model *self, PyObject *history, PyObject *user,
                          PyObject *unknown, sd_python_rows *rows, sd_request *request) {
    sd_python_state *state = sd_python_state_of(self);
    if ((history == Py_None) == (user == Py_None)) {
        PyErr_SetString(state->config_error, "give either a history or a user");
        return -1;
    }
    if (history != Py_None) {
        if (sd_python_read_rows(self, "history", history, unknown, rows))
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
    if (sd_python_find_row(self, SD_USERS, user, &request->row))
        return -1;
    if (request->row == SD_NO_ROW) {
        PyErr_Format(state->unknown_id_error,
                     "unknown user %R: the file does not ship this user; give a history instead",
                     user);
        return -1;
    }
    return 0;
}

int sd_python_read_exclude(sd_python_model *self, PyObject *exclude, PyObject *unknown,
                           sd_python_rows *rows, sd_request *request) {
    if (PyUnicode_Check(exclude)) {
        if (PyUnicode_CompareWithASCIIString(exclude, "seen") == 0)
            request->exclude_seen = 1;
        else if (PyUnicode_CompareWithASCIIString(exclude, "none") != 0) {
            PyErr_Format(sd_python_state_of(self)->config_error,
                         "exclude is %R; use 'seen', 'none' or a list of ids", exclude);
            return -1;
        }
        return 0;
    }
    request->exclude_seen = 1;
    if (sd_python_read_rows(self, "exclude", exclude, unknown, rows))
        return -1;
    request->exclude = rows->rows;
    request->n_exclude = rows->count;
    return 0;
}

int sd_python_read_k(sd_python_model *self, PyObject *k, uint32_t *result) {
    PyObject *number = PyBool_Check(k) ? NULL : PyNumber_Index(k);
    int overflow = 0;
    long long value = number ? PyLong_AsLongLongAndOverflow(number, &overflow) : 0;
    Py_XDECREF(number);
    PyErr_Clear();
    if (overflow > 0 || value > (long long)UINT32_MAX)
        value = (long long)UINT32_MAX;
    if (overflow < 0 || value < 1) {
        PyErr_Format(sd_python_state_of(self)->config_error, "k is %R; ask for 1 or more results",
                     k);
        return -1;
    }
    *result = (uint32_t)value;
    return 0;
}
