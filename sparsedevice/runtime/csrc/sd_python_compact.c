/* The decoder of the compact coding, on buffers. */
#include "sd_python.h"

#include "sd_compact.h"

enum { WORDS, LANE_WORDS, LENGTHS, FREQUENCIES, LOW, OUT, BUFFERS };

/* decode_lanes(words, lane_words, lengths, frequencies, low, out, n_symbols, limit, gaps, shift,
 * low_bits) -> bool. Buffers: uint16, uint32, uint16, uint16, uint8, and uint16 to be written. */
PyObject *sd_python_decode_lanes(PyObject *Py_UNUSED(module), PyObject *args) {
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
