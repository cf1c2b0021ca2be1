/* Shared by the files of the Python extension. */
#ifndef SD_PYTHON_H
#define SD_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "sd_core.h"

typedef struct {
    PyTypeObject *model_type;
    PyObject *refused; /* FormatError(promise) */
    PyObject *config_error;
    PyObject *unknown_id_error;
} sd_python_state;

/* The type Model: a packed file in a buffer. */
typedef struct {
    PyObject_HEAD Py_buffer view;
    sd_model model;
} sd_python_model;

extern PyType_Spec sd_python_model_spec;

static inline sd_python_state *sd_python_state_of(sd_python_model *self) {
    return PyType_GetModuleState(Py_TYPE(self));
}

/* Rows of a list of ids. */
typedef struct {
    uint32_t *rows;
    uint32_t count;
} sd_python_rows;

static inline void sd_python_free_rows(sd_python_rows *list) { PyMem_Free(list->rows); }

/* What a caller asks for; -1 and an exception where it is nothing that can be asked. Ids that the
 * file lacks go to `unknown`, or are an error where that is NULL. */
int sd_python_find_row(sd_python_model *self, sd_table table, PyObject *id, uint32_t *row);
int sd_python_read_rows(sd_python_model *self, const char *name, PyObject *ids, PyObject *unknown,
                        sd_python_rows *list);
int sd_python_read_source(sd_python_model *self, PyObject *history, PyObject *user,
                          PyObject *unknown, sd_python_rows *rows, sd_request *request);
int sd_python_read_exclude(sd_python_model *self, PyObject *exclude, PyObject *unknown,
                           sd_python_rows *rows, sd_request *request);
int sd_python_read_k(sd_python_model *self, PyObject *k, uint32_t *result);

/* Methods of Model that answer. */
PyObject *sd_python_recommend(sd_python_model *self, PyObject *const *args, Py_ssize_t n_args);
PyObject *sd_python_recommend_batch(sd_python_model *self, PyObject *const *args,
                                    Py_ssize_t n_args);
PyObject *sd_python_similar(sd_python_model *self, PyObject *const *args, Py_ssize_t n_args);
PyObject *sd_python_score(sd_python_model *self, PyObject *const *args, Py_ssize_t n_args);
PyObject *sd_python_lookup(sd_python_model *self, PyObject *ids);
PyObject *sd_python_row_numbers(sd_python_model *self, PyObject *ids);
PyObject *sd_python_user_row(sd_python_model *self, PyObject *id);
PyObject *sd_python_texts(sd_python_model *self, PyObject *buffer);

/* Functions of the module. */
PyObject *sd_python_decode_columns(PyObject *module, PyObject *args);
PyObject *sd_python_decode_bytes(PyObject *module, PyObject *args);
PyObject *sd_python_id_index(PyObject *module, PyObject *args);
PyObject *sd_python_pack_bits(PyObject *module, PyObject *args);
PyObject *sd_python_join_fronts(PyObject *module, PyObject *args);
PyObject *sd_python_cut(PyObject *module, PyObject *args);
PyObject *sd_python_to_slices(PyObject *module, PyObject *args);
PyObject *sd_python_pack_nibbles(PyObject *module, PyObject *args);
PyObject *sd_python_row_squares(PyObject *module, PyObject *args);

#endif
