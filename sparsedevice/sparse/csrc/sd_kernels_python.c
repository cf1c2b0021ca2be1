/* Kernels of training as a Python extension: arrays come as buffers, and are
 * checked. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "sd_products.h"
#include "sd_project.h"
#include "sd_softmax.h"

/* Memory for n floats, at a multiple of 64 bytes in *base, which is to be freed. */
static float *new_scratch(size_t n, void **base) {
    *base = PyMem_RawMalloc(4 * n + 64);
    return *base ? (float *)(((uintptr_t)*base + 63) & ~(uintptr_t)63) : NULL;
}

static PyObject *refuse(void) {
    PyErr_SetString(PyExc_ValueError, "the arrays do not fit one another");
    return NULL;
}

/* Pointers int64, columns uint16 and values float32 of rows, if they are. */
static int read_rows(const Py_buffer *buffers, Py_ssize_t dim, sd_rows *rows) {
    if (buffers[0].len < 8 || dim < 1 || dim > SD_WIDEST_ROW ||
        buffers[1].len / 2 != buffers[2].len / 4)
        return 0;
    *rows = (sd_rows){buffers[0].buf, buffers[1].buf, buffers[2].buf,
                      (uint64_t)buffers[0].len / 8 - 1, (uint32_t)dim};
    int64_t n_entries = buffers[2].len / 4;
    int fit = rows->pointers[0] == 0 && rows->pointers[rows->n] == n_entries;
    for (uint64_t row = 0; fit && row < rows->n; row++)
        fit = rows->pointers[row] <= rows->pointers[row + 1];
    for (int64_t e = 0; fit && e < n_entries; e++)
        fit = rows->columns[e] < dim;
    return fit;
}

static uint64_t n_tiles(uint64_t n) { return (n + SD_TILE - 1) / SD_TILE; }

static int part_fits(Py_ssize_t first, Py_ssize_t last, uint64_t n) {
    return first >= 0 && first <= last && (uint64_t)last <= n_tiles(n);
}

static void release(Py_buffer *buffers, int n) {
    for (int i = 0; i < n; i++)
        PyBuffer_Release(&buffers[i]);
}

/* row_products(left rows, right rows, dim, first, last, out); rows are three buffers each. */
static PyObject *row_products(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer b[7];
    Py_ssize_t dim, first, last;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*nnnw*", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &dim,
                          &first, &last, &b[6]))
        return NULL;
    sd_rows left, right;
    PyObject *answer = NULL;
    void *base = NULL;
    float *scratch = NULL;
    if (!read_rows(b, dim, &left) || !read_rows(b + 3, dim, &right) ||
        !part_fits(first, last, right.n) || (uint64_t)b[6].len != 4 * left.n * right.n) {
        refuse();
    } else if (!(scratch = new_scratch(SD_TILE * (size_t)dim, &base))) {
        PyErr_NoMemory();
    } else {
        Py_BEGIN_ALLOW_THREADS;
        sd_row_products(&left, &right, (uint64_t)first, (uint64_t)last, scratch, b[6].buf);
        Py_END_ALLOW_THREADS;
        answer = Py_NewRef(Py_None);
    }
    PyMem_RawFree(base);
    release(b, 7);
    return answer;
}

/* strips(rows, dim, pointers, places, values); buffers of zeros to be written: int64, uint16 and
 * float32. */
static PyObject *strips(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer b[6];
    Py_ssize_t dim;
    if (!PyArg_ParseTuple(args, "y*y*y*nw*w*w*", &b[0], &b[1], &b[2], &dim, &b[3], &b[4], &b[5]))
        return NULL;
    sd_rows rows;
    PyObject *answer = NULL;
    if (!read_rows(b, dim, &rows) || b[4].len != b[1].len || b[5].len != b[2].len ||
        (uint64_t)b[3].len != 8 * ((rows.n + SD_STRIP - 1) / SD_STRIP * (uint64_t)dim + 1)) {
        refuse();
    } else {
        sd_strips out = {b[3].buf, b[4].buf, b[5].buf};
        sd_to_strips(&rows, &out);
        answer = Py_NewRef(Py_None);
    }
    release(b, 6);
    return answer;
}

/* Whether strips could have been made by sd_to_strips. */
static int strips_fit(const Py_buffer *buffers, uint64_t lists) {
    const int64_t *pointers = buffers[0].buf;
    const uint16_t *rows = buffers[1].buf;
    int64_t n_entries = buffers[2].len / 4;
    if ((uint64_t)buffers[0].len != 8 * (lists + 1) || buffers[1].len / 2 != n_entries)
        return 0;
    int fit = pointers[0] == 0 && pointers[lists] == n_entries;
    for (uint64_t list = 0; fit && list < lists; list++)
        fit = pointers[list] <= pointers[list + 1];
    for (int64_t e = 0; fit && e < n_entries; e++)
        fit = rows[e] < SD_STRIP;
    return fit;
}

/* weighted_sums(strips, n_rows, dim, weights, row_step, step, n, first, last, out); strips are
 * three buffers. */
static PyObject *weighted_sums(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer b[5];
    Py_ssize_t n_rows, dim, row_step, step, n, first, last;
    if (!PyArg_ParseTuple(args, "y*y*y*nny*nnnnnw*", &b[0], &b[1], &b[2], &n_rows, &dim, &b[3],
                          &row_step, &step, &n, &first, &last, &b[4]))
        return NULL;
    PyObject *answer = NULL;
    void *base = NULL;
    float *scratch = NULL;
    int fit = n_rows >= 1 && dim >= 1 && dim <= SD_WIDEST_ROW && n >= 1 && row_step >= 1 &&
              step >= 1 && part_fits(first, last, (uint64_t)n) &&
              (n_rows - 1) * row_step + (n - 1) * step < b[3].len / 4 && b[4].len == 4 * n * dim &&
              strips_fit(b, ((uint64_t)n_rows + SD_STRIP - 1) / SD_STRIP * (uint64_t)dim);
    if (!fit) {
        refuse();
    } else if (!(scratch = new_scratch(SD_TILE * ((size_t)dim + SD_STRIP), &base))) {
        PyErr_NoMemory();
    } else {
        sd_strips own = {b[0].buf, b[1].buf, b[2].buf};
        Py_BEGIN_ALLOW_THREADS;
        sd_weighted_sums(&own, (uint64_t)n_rows, (uint32_t)dim, b[3].buf, (uint64_t)row_step,
                         (uint64_t)step, (uint64_t)n, (uint64_t)first, (uint64_t)last, scratch,
                         b[4].buf);
        Py_END_ALLOW_THREADS;
        answer = Py_NewRef(Py_None);
    }
    PyMem_RawFree(base);
    release(b, 5);
    return answer;
}

/* Whether each of n rows is one of the table, and their columns are. */
static int rows_fit(const sd_table *table, uint64_t n_rows, const int64_t *rows, uint64_t n) {
    int fit = 1;
    for (uint64_t i = 0; fit && i < n; i++) {
        fit = rows[i] >= 0 && (uint64_t)rows[i] < n_rows;
        uint64_t start = fit ? (uint64_t)rows[i] * table->width : 0;
        for (uint64_t e = start; fit && e < start + table->width; e++)
            fit = table->column_bytes == 1   ? ((uint8_t *)table->columns)[e] < table->dim
                  : table->column_bytes == 2 ? ((uint16_t *)table->columns)[e] < table->dim
                                             : ((uint32_t *)table->columns)[e] < table->dim;
    }
    return fit;
}

/* project_rows(columns, values, first, second, dim, n_parts, rows, gradient, bias1, bias2, lr,
 * explore, beta1, beta2). */
static PyObject *project_rows(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer b[8];
    Py_ssize_t dim, n_parts;
    sd_step step;
    if (!PyArg_ParseTuple(args, "w*w*w*w*nny*y*y*y*ffff", &b[0], &b[1], &b[2], &b[3], &dim,
                          &n_parts, &b[4], &b[5], &b[6], &b[7], &step.lr, &step.explore,
                          &step.beta1, &step.beta2))
        return NULL;
    PyObject *answer = NULL;
    void *base = NULL;
    float *scratch = NULL;
    uint64_t n_rows = (uint64_t)b[3].len / 4, n = (uint64_t)b[4].len / 8;
    uint64_t n_entries = (uint64_t)b[1].len / 4;
    int fit = dim >= 1 && (uint64_t)dim <= SD_WIDEST_PROJECTED && n_rows && n_entries &&
              n_entries % n_rows == 0 && n_entries / n_rows <= (uint64_t)dim;
    sd_table table = {.columns = b[0].buf,
                      .column_bytes = fit ? (uint32_t)((uint64_t)b[0].len / n_entries) : 0,
                      .values = b[1].buf,
                      .first = b[2].buf,
                      .second = b[3].buf,
                      .dim = (uint32_t)dim,
                      .width = fit ? (uint32_t)(n_entries / n_rows) : 0,
                      .n_parts = (uint32_t)n_parts};
    fit = fit && n_parts >= 1 && n_parts <= dim && dim % n_parts == 0 &&
          table.width % table.n_parts == 0 && b[2].len == b[1].len &&
          (uint64_t)b[0].len == n_entries * table.column_bytes &&
          (table.column_bytes == 1 || table.column_bytes == 2 || table.column_bytes == 4) &&
          (uint64_t)b[5].len == 4 * n * (uint64_t)dim && (uint64_t)b[6].len == 4 * n &&
          b[7].len == b[6].len && rows_fit(&table, n_rows, b[4].buf, n);
    if (!fit) {
        refuse();
    } else if (!(scratch = new_scratch(SD_PROJECT_SCRATCH(dim), &base))) {
        PyErr_NoMemory();
    } else {
        Py_BEGIN_ALLOW_THREADS;
        sd_project_rows(&table, b[4].buf, n, b[5].buf, b[6].buf, b[7].buf, &step, scratch);
        Py_END_ALLOW_THREADS;
        answer = Py_NewRef(Py_None);
    }
    PyMem_RawFree(base);
    release(b, 8);
    return answer;
}

/* softmax_rows(scores, log_inclusion, starts, columns, temperature, temperature2, tops, rests,
 * positives). */
static PyObject *softmax_rows(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer b[7];
    sd_softmax softmax = {0};
    if (!PyArg_ParseTuple(args, "w*y*y*y*ffw*w*w*", &b[0], &b[1], &b[2], &b[3],
                          &softmax.temperature, &softmax.temperature2, &b[4], &b[5], &b[6]))
        return NULL;
    PyObject *answer = NULL;
    const int64_t *starts = b[2].buf, *columns = b[3].buf;
    const int64_t n = b[4].len / 4, n_items = b[1].len / 4, n_positives = b[3].len / 8;
    int fit = n_items > 0 && b[0].len == 4 * n * n_items && b[2].len == 8 * (n + 1) &&
              b[5].len == b[4].len && b[6].len == 4 * n_positives && softmax.temperature > 0 &&
              starts[0] == 0 && starts[n] == n_positives;
    for (int64_t i = 0; fit && i < n; i++)
        fit = starts[i] <= starts[i + 1];
    for (int64_t p = 0; fit && p < n_positives; p++)
        fit = columns[p] >= 0 && columns[p] < n_items;
    if (!fit) {
        refuse();
    } else {
        softmax.n_items = (uint64_t)n_items;
        softmax.log_inclusion = b[1].buf;
        softmax.columns = columns;
        Py_BEGIN_ALLOW_THREADS;
        sd_softmax_rows(&softmax, b[0].buf, (uint64_t)n, starts, b[4].buf, b[5].buf, b[6].buf);
        Py_END_ALLOW_THREADS;
        answer = Py_NewRef(Py_None);
    }
    release(b, 7);
    return answer;
}

static PyMethodDef functions[] = {
    {"softmax_rows", softmax_rows, METH_VARARGS,
     "softmax_rows(scores, log_inclusion, starts, columns, temperature, temperature2, tops, rests, "
     "positives)"},
    {"project_rows", project_rows, METH_VARARGS,
     "project_rows(columns, values, first, second, dim, n_parts, rows, gradient, bias1, bias2, lr, "
     "explore, beta1, beta2)"},
    {"row_products", row_products, METH_VARARGS,
     "row_products(pointers, columns, values, pointers, columns, values, dim, first, last, out)"},
    {"strips", strips, METH_VARARGS,
     "strips(pointers, columns, values, dim, out_pointers, out_places, out_values)"},
    {"weighted_sums", weighted_sums, METH_VARARGS,
     "weighted_sums(pointers, places, values, n_rows, dim, weights, row_step, step, n, first, "
     "last, out)"},
    {NULL, NULL, 0, NULL}};

static int exec(PyObject *module) {
    return PyModule_AddIntConstant(module, "TILE", SD_TILE) ||
                   PyModule_AddIntConstant(module, "STRIP", SD_STRIP)
               ? -1
               : 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)exec}, {0, NULL}};

static struct PyModuleDef module = {.m_base = PyModuleDef_HEAD_INIT,
                                    .m_name = "sparsedevice.sparse._kernels",
                                    .m_doc = "Kernels of training.",
                                    .m_methods = functions,
                                    .m_slots = slots};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModuleDef_Init(&module); }
