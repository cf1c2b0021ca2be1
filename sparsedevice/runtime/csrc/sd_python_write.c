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

/* pack_bits(numbers, widths) -> bytes. Buffers: int64. */
PyObject *sd_python_pack_bits(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer numbers, widths;
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*y*", &numbers, &widths))
        return NULL;
    uint64_t n = (uint64_t)widths.len / 8, size = sd_bits_bytes(widths.buf, n);
    if (numbers.len != widths.len || size == UINT64_MAX)
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit one another");
    else if ((answer = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size)) != NULL)
        sd_pack_bits(numbers.buf, widths.buf, n, (uint8_t *)PyBytes_AS_STRING(answer));
    PyBuffer_Release(&numbers);
    PyBuffer_Release(&widths);
    return answer;
}

/* join_fronts(shared, ends, lengths) -> bytes of the strings. Buffers: uint8, uint8, and int64 to
 * be written. */
PyObject *sd_python_join_fronts(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer shared, ends, lengths;
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*y*w*", &shared, &ends, &lengths))
        return NULL;
    uint64_t n = (uint64_t)shared.len, size = UINT64_MAX;
    if (lengths.len == 8 * shared.len)
        size = sd_front_lengths(shared.buf, n, ends.buf, (uint64_t)ends.len, lengths.buf);
    if (size == UINT64_MAX)
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit one another");
    else if ((answer = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size)) != NULL)
        sd_join_fronts(lengths.buf, n, ends.buf, (uint8_t *)PyBytes_AS_STRING(answer));
    PyBuffer_Release(&shared);
    PyBuffer_Release(&ends);
    PyBuffer_Release(&lengths);
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

/* Whether slices begin with 0 and end with the last step, and no row is longer than its slice. */
static int slices_fit(const sd_plain_rows *rows, uint64_t entries, const uint32_t *slices,
                      uint64_t n_slices, uint64_t room) {
    if (n_slices != (rows->n_rows + SD_SLICE_ROWS - 1) / SD_SLICE_ROWS || slices[0] ||
        rows->pointers[0] || SD_SLICE_ROWS * (uint64_t)slices[n_slices] > room)
        return 0;
    for (uint64_t slice = 0; slice < n_slices; slice++)
        if (slices[slice + 1] < slices[slice])
            return 0;
    for (uint64_t row = 0; row < rows->n_rows; row++) {
        int64_t count = rows->pointers[row + 1] - rows->pointers[row];
        uint64_t slice = row / SD_SLICE_ROWS;
        if (count < 0 || count > (int64_t)(slices[slice + 1] - slices[slice]))
            return 0;
    }
    return (uint64_t)rows->pointers[rows->n_rows] == entries;
}

enum { ROW_POINTERS, ROW_COLUMNS, ROW_VALUES, SLICES, SLICE_COLUMNS, SLICE_VALUES, SLICE_BUFFERS };

/* to_slices(pointers, columns, values, slices, out_columns, out_values). Buffers: int64, uint8 or
 * int32, int8, uint32, and two of bytes that are zero, to be written. */
PyObject *sd_python_to_slices(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer buffers[SLICE_BUFFERS];
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*y*y*y*w*w*", &buffers[ROW_POINTERS], &buffers[ROW_COLUMNS],
                          &buffers[ROW_VALUES], &buffers[SLICES], &buffers[SLICE_COLUMNS],
                          &buffers[SLICE_VALUES]))
        return NULL;
    uint64_t entries = (uint64_t)buffers[ROW_VALUES].len;
    uint64_t column_bytes = entries ? (uint64_t)buffers[ROW_COLUMNS].len / entries : 1;
    sd_plain_rows rows = {buffers[ROW_POINTERS].buf, (uint64_t)buffers[ROW_POINTERS].len / 8 - 1,
                          buffers[ROW_COLUMNS].buf, (uint32_t)column_bytes,
                          buffers[ROW_VALUES].buf};
    if (buffers[ROW_POINTERS].len < 8 || buffers[SLICES].len < 4 ||
        (column_bytes != 1 && column_bytes != 4) ||
        buffers[SLICE_COLUMNS].len != buffers[SLICE_VALUES].len ||
        !slices_fit(&rows, entries, buffers[SLICES].buf, (uint64_t)buffers[SLICES].len / 4 - 1,
                    (uint64_t)buffers[SLICE_VALUES].len)) {
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit one another");
    } else {
        Py_BEGIN_ALLOW_THREADS;
        sd_to_slices(&rows, buffers[SLICES].buf, buffers[SLICE_COLUMNS].buf,
                     buffers[SLICE_VALUES].buf);
        Py_END_ALLOW_THREADS;
        answer = Py_NewRef(Py_None);
    }
    for (int i = 0; i < SLICE_BUFFERS; i++)
        PyBuffer_Release(&buffers[i]);
    return answer;
}

/* pack_nibbles(values, slices, out). Buffers: int8, uint32, and bytes to be written. */
PyObject *sd_python_pack_nibbles(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer values, slices, out;
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*y*w*", &values, &slices, &out))
        return NULL;
    const uint32_t *pointers = slices.buf;
    uint64_t n_slices = (uint64_t)slices.len / 4 - 1;
    int fit = slices.len >= 4 && !pointers[0];
    for (uint64_t slice = 0; fit && slice < n_slices; slice++)
        fit = pointers[slice] <= pointers[slice + 1];
    if (!fit || 64 * (uint64_t)pointers[n_slices] != (uint64_t)values.len ||
        2 * out.len != values.len) {
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit one another");
    } else {
        sd_pack_nibbles(values.buf, pointers, n_slices, out.buf);
        answer = Py_NewRef(Py_None);
    }
    PyBuffer_Release(&values);
    PyBuffer_Release(&slices);
    PyBuffer_Release(&out);
    return answer;
}

/* row_squares(pointers, values) -> bytes of uint32. Buffers: int64, int8. */
PyObject *sd_python_row_squares(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer pointers, values;
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*y*", &pointers, &values))
        return NULL;
    const int64_t *own = pointers.buf;
    Py_ssize_t n_rows = pointers.len / 8 - 1;
    int fit = n_rows >= 0 && own[0] == 0 && own[n_rows] == values.len;
    for (Py_ssize_t row = 0; fit && row < n_rows; row++)
        fit = own[row] <= own[row + 1] && own[row + 1] - own[row] <= UINT16_MAX;
    if (!fit)
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit one another");
    else if ((answer = PyBytes_FromStringAndSize(NULL, 4 * n_rows)) != NULL)
        sd_row_squares(own, (uint64_t)n_rows, values.buf,
                       (uint32_t *)(void *)PyBytes_AS_STRING(answer));
    PyBuffer_Release(&pointers);
    PyBuffer_Release(&values);
    return answer;
}
