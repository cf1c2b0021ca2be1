/* What packing asks of C: see sd_write.h. */
#include "sd_python.h"

#include "sd_internal.h"
#include "sd_write.h"

/* Whether ends rise to the length of the bytes that they are of. */
static int ends_fit(const Py_buffer *bytes, const uint64_t *ends, uint64_t n) {
    for (uint64_t i = 0, last = 0; i < n; last = ends[i++])
        if (ends[i] < last || ends[i] > (uint64_t)bytes->len)
            return 0;
    return 1;
}

/* id_index(ids, ends) -> bytes of uint32: the slots. Buffers: uint8, uint64. */
PyObject *sd_python_id_index(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer ids, ends;
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*y*", &ids, &ends))
        return NULL;
    uint64_t n = (uint64_t)ends.len / 8;
    if (n > INT32_MAX || !ends_fit(&ids, ends.buf, n)) {
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit one another");
    } else {
        uint64_t m = sd_index_slots((uint32_t)n), slots = 0;
        uint32_t *scratch = PyMem_RawMalloc((size_t)(4 * (m + 1 + 2 * n)));
        uint32_t *out = PyMem_RawMalloc((size_t)(4 * (m + n)));
        if (!scratch || !out) {
            PyErr_NoMemory();
        } else {
            Py_BEGIN_ALLOW_THREADS;
            slots = sd_build_index(ids.buf, ends.buf, (uint32_t)n, scratch, out);
            Py_END_ALLOW_THREADS;
            answer = PyBytes_FromStringAndSize((const char *)out, (Py_ssize_t)(4 * slots));
        }
        PyMem_RawFree(scratch);
        PyMem_RawFree(out);
    }
    PyBuffer_Release(&ids);
    PyBuffer_Release(&ends);
    return answer;
}

enum { BYTES, ENDS, NUMBERS, COSTS, TEXT, BUFFERS };

/* cut(symbols, ends, numbers, costs, text) -> bytes of uint16, or None. Buffers: uint8, uint32,
 * uint16, uint8, uint8. */
PyObject *sd_python_cut(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer buffers[BUFFERS];
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*", &buffers[BYTES], &buffers[ENDS], &buffers[NUMBERS],
                          &buffers[COSTS], &buffers[TEXT]))
        return NULL;
    sd_cutter cutter = {buffers[BYTES].buf, buffers[ENDS].buf, buffers[NUMBERS].buf,
                        buffers[COSTS].buf, (uint32_t)(buffers[ENDS].len / 4)};
    int fit = buffers[ENDS].len / 4 <= UINT16_MAX && buffers[NUMBERS].len / 2 == cutter.n &&
              buffers[COSTS].len == cutter.n;
    for (uint32_t i = 0, last = 0; fit && i < cutter.n; last = cutter.ends[i++])
        fit = cutter.ends[i] > last && cutter.ends[i] <= (uint64_t)buffers[BYTES].len;
    if (!fit) {
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit one another");
    } else {
        sd_cut_scratch *scratch = PyMem_RawMalloc(sizeof *scratch);
        uint16_t *codes = PyMem_RawMalloc(2 * (size_t)buffers[TEXT].len + 2);
        uint64_t count = 0;
        if (!scratch || !codes) {
            PyErr_NoMemory();
        } else {
            Py_BEGIN_ALLOW_THREADS;
            count = sd_cut(&cutter, buffers[TEXT].buf, (uint64_t)buffers[TEXT].len, scratch, codes);
            Py_END_ALLOW_THREADS;
            answer = count == UINT64_MAX
                         ? Py_NewRef(Py_None)
                         : PyBytes_FromStringAndSize((const char *)codes, (Py_ssize_t)(2 * count));
        }
        PyMem_RawFree(scratch);
        PyMem_RawFree(codes);
    }
    for (int i = 0; i < BUFFERS; i++)
        PyBuffer_Release(&buffers[i]);
    return answer;
}
