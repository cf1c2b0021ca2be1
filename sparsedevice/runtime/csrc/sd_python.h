/* Shared by the files of the Python extension. */
#ifndef SD_PYTHON_H
#define SD_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

PyObject *sd_python_id_index(PyObject *module, PyObject *args);
PyObject *sd_python_cut(PyObject *module, PyObject *args);

#endif
