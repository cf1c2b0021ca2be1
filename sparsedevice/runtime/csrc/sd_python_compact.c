/* The decoder of the compact coding, on buffers. */
#include "sd_python.h"

#include "sd_compact.h"

enum { STREAMS, STREAM_BYTES, CODE_LENGTHS, OUT, LENGTHS, BUFFERS };

/* What both decoders take; 0 with an exception where arrays do not fit one another. */
static int coded_of(const Py_buffer *buffers, unsigned n_symbols, sd_coded *coded) {
    uint64_t tables = n_symbols ? (uint64_t)buffers[CODE_LENGTHS].len / n_symbols : 0;
    if ((uint64_t)buffers[STREAM_BYTES].len != 4 * SD_STREAMS || tables < 1 ||
        tables > SD_MAX_TABLES || n_symbols > 256) {
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit one another");
        return 0;
    }
    *coded = (sd_coded){
        .streams = buffers[STREAMS].buf,
        .n_bytes = (uint64_t)buffers[STREAMS].len,
        .stream_bytes = buffers[STREAM_BYTES].buf,
        .code_lengths = buffers[CODE_LENGTHS].buf,
        .n_tables = (uint32_t)tables,
        .n_symbols = n_symbols,
    };
    return 1;
}

static void *scratch_of(const sd_coded *coded, uint32_t dim) {
    void *scratch = PyMem_Malloc((size_t)sd_coded_scratch(coded->n_tables, dim));
    if (!scratch)
        PyErr_NoMemory();
    return scratch;
}

/* decode_columns(streams, stream_bytes, code_lengths, out, lengths, n_symbols, dim, shift,
 * low_bits)
 * -> bool. Buffers: uint8, uint32, uint8, uint8 or uint16 to be written, uint16. */
PyObject *sd_python_decode_columns(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer buffers[BUFFERS];
    unsigned n_symbols;
    sd_coded_rows rows = {0};
    sd_coded coded;
    PyObject *answer = NULL;
    void *scratch = NULL;
    if (!PyArg_ParseTuple(args, "y*y*y*w*y*IIII", &buffers[STREAMS], &buffers[STREAM_BYTES],
                          &buffers[CODE_LENGTHS], &buffers[OUT], &buffers[LENGTHS], &n_symbols,
                          &rows.dim, &rows.shift, &rows.low_bits))
        return NULL;
    rows.lengths = buffers[LENGTHS].buf;
    rows.n_rows = (uint64_t)buffers[LENGTHS].len / 2;
    uint64_t entries = 0;
    for (uint64_t i = 0; i < rows.n_rows; i++)
        entries += rows.lengths[i];
    if (entries * (rows.dim > 256 ? 2 : 1) > (uint64_t)buffers[OUT].len) {
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit one another");
    } else if (coded_of(buffers, n_symbols, &coded) &&
               (scratch = scratch_of(&coded, rows.dim)) != NULL) {
        int good;
        Py_BEGIN_ALLOW_THREADS;
        good = sd_decode_columns(&coded, &rows, scratch, buffers[OUT].buf);
        Py_END_ALLOW_THREADS;
        answer = PyBool_FromLong(good);
    }
    PyMem_Free(scratch);
    for (int i = 0; i < BUFFERS; i++)
        PyBuffer_Release(&buffers[i]);
    return answer;
}

/* decode_bytes(streams, stream_bytes, code_lengths, out) -> bool. Buffers: uint8, uint32,
 * uint8[256], uint8 to be written. */
PyObject *sd_python_decode_bytes(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer buffers[LENGTHS];
    sd_coded coded;
    PyObject *answer = NULL;
    void *scratch = NULL;
    if (!PyArg_ParseTuple(args, "y*y*y*w*", &buffers[STREAMS], &buffers[STREAM_BYTES],
                          &buffers[CODE_LENGTHS], &buffers[OUT]))
        return NULL;
    if (coded_of(buffers, 256, &coded) && (scratch = scratch_of(&coded, 1)) != NULL) {
        int good;
        Py_BEGIN_ALLOW_THREADS;
        good = sd_decode_bytes(&coded, (uint64_t)buffers[OUT].len, scratch, buffers[OUT].buf);
        Py_END_ALLOW_THREADS;
        answer = PyBool_FromLong(good);
    }
    PyMem_Free(scratch);
    for (int i = 0; i < LENGTHS; i++)
        PyBuffer_Release(&buffers[i]);
    return answer;
}
