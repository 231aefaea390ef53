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
/* The same, and no part of it. */
PyAPI_FUNC(PyFrameObject *) PyFrame_GetBack(PyFrameObject *frame);
/* Exported by all; no part of the limited API (Include/cpython/ceval.h). */
PyAPI_FUNC(void) PyEval_SetProfile(int (*function)(PyObject *, PyFrameObject *, int, PyObject *), PyObject *object);
/* The same; all who call these have the GIL (Include/cpython/pystate.h). */
PyAPI_FUNC(PyInterpreterState *) PyInterpreterState_Main(void);
PyAPI_FUNC(PyThreadState *) PyInterpreterState_ThreadHead(PyInterpreterState *interpreter);
PyAPI_FUNC(PyThreadState *) PyThreadState_Next(PyThreadState *state);
/* The events of a Py_tracefunc (Include/cpython/pystate.h). */
#ifndef PyTrace_CALL
#define PyTrace_CALL 0
#define PyTrace_RETURN 3
#define PyTrace_C_CALL 4
#define PyTrace_C_EXCEPTION 5
#define PyTrace_C_RETURN 6
#endif

typedef PyObject *(*fastcall)(PyObject *self, PyObject *const *arguments, Py_ssize_t count);

/* What calls an object (Include/cpython/object.h); `count` may have a mark (Include/cpython/abstract.h). */
typedef PyObject *(*vectorcall)(PyObject *object, PyObject *const *arguments, size_t count, PyObject *names);
#define VECTORCALL_MARK ((size_t)1 << (8 * sizeof(size_t) - 1))

/* A builtin function, 3.8 to 3.15 (Include/cpython/methodobject.h; Include/methodobject.h up to 3.10). */
struct builtin {
    Py_ssize_t references;
    PyTypeObject *type;
    PyMethodDef *definition;
    PyObject *self, *module, *weak_references;
    vectorcall call;
};

/* The beginning of a frame in 3.9 and 3.10 (Include/cpython/frameobject.h). */
struct flat_frame {
    Py_ssize_t references;
    PyTypeObject *type;
    Py_ssize_t size;
    void *back;
    PyObject *code;
};

/* The same in 3.11 (Include/internal/pycore_frame.h). */
struct outer_frame {
    Py_ssize_t references;
    PyTypeObject *type;
    void *back;
    struct {
        PyObject *function, *globals, *builtins, *locals, *code;
    } *inner;
};

#endif
