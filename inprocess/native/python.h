/* Python: one binary for CPython 3.9 to 3.15, so its limited API, and what has not changed since beside it. */
#ifndef EXECD_PYTHON_H
#define EXECD_PYTHON_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x03090000
#include <Python.h>

/* In the limited API from 3.10 on, and the same since 3.7 (Include/methodobject.h). */
#ifndef METH_FASTCALL
#define METH_FASTCALL 0x0080
#endif

/* Exported since 3.9 (Include/cpython/frameobject.h), and in the limited API from 3.10 on. */
#if !defined(Py_LIMITED_API) || Py_LIMITED_API + 0 < 0x030A0000
PyAPI_FUNC(PyCodeObject *) PyFrame_GetCode(PyFrameObject *frame);
#endif
/* Exported by all; no part of the limited API (Include/cpython/ceval.h). */
PyAPI_FUNC(void) PyEval_SetProfile(int (*function)(PyObject *, PyFrameObject *, int, PyObject *), PyObject *object);
/* The events of a Py_tracefunc (Include/cpython/pystate.h). */
#ifndef PyTrace_CALL
#define PyTrace_CALL 0
#define PyTrace_RETURN 3
#define PyTrace_C_CALL 4
#define PyTrace_C_EXCEPTION 5
#define PyTrace_C_RETURN 6
#endif

typedef PyObject *(*fastcall)(PyObject *self, PyObject *const *arguments, Py_ssize_t count);

/* The beginning of a builtin function (Include/cpython/methodobject.h; Include/methodobject.h in 3.9 and 3.10). */
struct builtin_head {
    Py_ssize_t references;
    PyTypeObject *type;
    PyMethodDef *definition;
};

#endif
