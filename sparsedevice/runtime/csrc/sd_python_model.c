/* The type Model: opening, checking and choosing kernels. */
#include "sd_python.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

static PyObject *model_verify(sd_python_model *self, PyObject *ignored) {
    sd_status status;
    (void)ignored;
    Py_BEGIN_ALLOW_THREADS;
    status = sd_verify(&self->model);
    Py_END_ALLOW_THREADS;
    if (status)
        return PyErr_Format(sd_python_state_of(self)->refused, "%s", sd_status_name(status));
    Py_RETURN_NONE;
}

static const char *const kernel_names[] = {"scalar", "avx2",     "avx512",
                                           "neon",   "neon-dot", "wasm-simd"};
enum { N_KERNELS = sizeof kernel_names / sizeof *kernel_names };

static PyObject *model_kernel(sd_python_model *self, void *ignored) {
    (void)ignored;
    return PyUnicode_FromString(kernel_names[self->model.kernel]);
}

static PyObject *model_kernels(sd_python_model *self, void *ignored) {
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

static int set_kernel(sd_python_model *self, PyObject *value, void *ignored) {
    (void)ignored;
    for (int i = 0; value && PyUnicode_Check(value) && i < N_KERNELS; i++)
        if (PyUnicode_CompareWithASCIIString(value, kernel_names[i]) == 0 &&
            !sd_select_kernel(&self->model, (sd_kernel)i))
            return 0;
    PyErr_Format(sd_python_state_of(self)->config_error, "kernel %R does not run on this machine",
                 value ? value : Py_None);
    return -1;
}

static PyObject *model_n_items(sd_python_model *self, void *ignored) {
    (void)ignored;
    return PyLong_FromUnsignedLong(self->model.n_items);
}

static PyObject *model_dim(sd_python_model *self, void *ignored) {
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
    sd_python_model *self = (sd_python_model *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    if (PyObject_GetBuffer(source, &self->view, PyBUF_SIMPLE)) {
        Py_DECREF(self);
        return NULL;
    }
    sd_status status = sd_open(&self->model, self->view.buf, (uint64_t)self->view.len);
    if (status) {
        PyErr_Format(sd_python_state_of(self)->refused, "%s", sd_status_name(status));
        Py_DECREF(self);
        return NULL;
    }
#if defined(__aarch64__) && defined(__linux__)
    if (getauxval(AT_HWCAP) & 1ul << 20) /* HWCAP_ASIMDDP */
        sd_add_kernel(&self->model, SD_KERNEL_NEON_DOT);
#endif
    return (PyObject *)self;
}

static void model_dealloc(sd_python_model *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyBuffer_Release(&self->view);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef model_methods[] = {
    {"recommend", (PyCFunction)(void (*)(void))sd_python_recommend, METH_FASTCALL,
     "recommend(history, user, k, exclude, candidates) -> (items, scores, rows, unknown, titles)"},
    {"recommend_batch", (PyCFunction)(void (*)(void))sd_python_recommend_batch, METH_FASTCALL,
     "recommend_batch(histories, users, k, exclude) -> one answer, as of recommend, for each"},
    {"similar", (PyCFunction)(void (*)(void))sd_python_similar, METH_FASTCALL,
     "similar(item, k) -> (items, scores, rows, unknown, titles)"},
    {"score", (PyCFunction)(void (*)(void))sd_python_score, METH_FASTCALL,
     "score(history, user, items) -> float32 bytes"},
    {"lookup", (PyCFunction)sd_python_lookup, METH_O,
     "lookup(ids) -> (pointers int64, columns int32, values float32) as bytes"},
    {"rows", (PyCFunction)sd_python_row_numbers, METH_O,
     "rows(ids) -> row of each item as int32 bytes, -1 for one that is not in the file"},
    {"user_row", (PyCFunction)sd_python_user_row, METH_O,
     "user_row(id) -> row of a shipped user, -1 for one that is not in the file"},
    {"texts", (PyCFunction)sd_python_texts, METH_O,
     "texts(rows int32 buffer) -> (item ids, titles or None)"},
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

PyType_Spec sd_python_model_spec = {"sparsedevice.runtime._core.Model", sizeof(sd_python_model), 0,
                                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, model_slots};
