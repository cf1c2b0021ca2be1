/* The core as a Python extension: one type, Model, that holds a buffer and answers in Python
 * objects, and what writers and the compact coding need. */
#include "sd_python.h"

static int core_exec(PyObject *module) {
    sd_python_state *state = PyModule_GetState(module);
    PyObject *errors = PyImport_ImportModule("sparsedevice.errors");
    if (!errors)
        return -1;
    state->config_error = PyObject_GetAttrString(errors, "ConfigError");
    state->unknown_id_error = PyObject_GetAttrString(errors, "UnknownIdError");
    Py_DECREF(errors);
    state->refused = PyErr_NewException("sparsedevice.runtime._core.FormatError", NULL, NULL);
    state->model_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &sd_python_model_spec, NULL);
    if (!state->config_error || !state->unknown_id_error || !state->refused || !state->model_type ||
        PyModule_AddObjectRef(module, "FormatError", state->refused) ||
        PyModule_AddType(module, state->model_type))
        return -1;
    return 0;
}

static int core_traverse(PyObject *module, visitproc visit, void *arg) {
    sd_python_state *state = PyModule_GetState(module);
    Py_VISIT(state->model_type);
    Py_VISIT(state->refused);
    Py_VISIT(state->config_error);
    Py_VISIT(state->unknown_id_error);
    return 0;
}

static int core_clear(PyObject *module) {
    sd_python_state *state = PyModule_GetState(module);
    Py_CLEAR(state->model_type);
    Py_CLEAR(state->refused);
    Py_CLEAR(state->config_error);
    Py_CLEAR(state->unknown_id_error);
    return 0;
}

static PyMethodDef core_functions[] = {
    {"decode_columns", sd_python_decode_columns, METH_VARARGS,
     "decode_columns(streams, stream_bytes, code_lengths, out, lengths, n_symbols, dim, shift, "
     "low_bits) -> whether the data are sound"},
    {"decode_bytes", sd_python_decode_bytes, METH_VARARGS,
     "decode_bytes(streams, stream_bytes, code_lengths, out) -> whether the data are sound"},
    {"id_index", sd_python_id_index, METH_VARARGS, "id_index(ids, ends) -> slots, as uint32"},
    {"pack_bits", sd_python_pack_bits, METH_VARARGS, "pack_bits(numbers, widths) -> bytes"},
    {"join_fronts", sd_python_join_fronts, METH_VARARGS,
     "join_fronts(shared, ends, lengths) -> bytes of the strings"},
    {"cut", sd_python_cut, METH_VARARGS,
     "cut(symbols, ends, numbers, costs, text) -> codes, as uint16, or None"},
    {"to_slices", sd_python_to_slices, METH_VARARGS,
     "to_slices(pointers, columns, values, slices, out_columns, out_values)"},
    {"pack_nibbles", sd_python_pack_nibbles, METH_VARARGS, "pack_nibbles(values, slices, out)"},
    {"row_squares", sd_python_row_squares, METH_VARARGS,
     "row_squares(pointers, values) -> sums of squares, as uint32"},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot core_slots[] = {{Py_mod_exec, (void *)core_exec}, {0, NULL}};

static struct PyModuleDef core_module = {PyModuleDef_HEAD_INIT,
                                         "sparsedevice.runtime._core",
                                         "The C core.",
                                         sizeof(sd_python_state),
                                         core_functions,
                                         core_slots,
                                         core_traverse,
                                         core_clear,
                                         NULL};

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&core_module); }
