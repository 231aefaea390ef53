/* calls_floor: hears of calls what execd_agent._core hears, and does nothing. So it costs what the interpreter takes to
 * tell of them, whoever hears it. */
#include "python.h"

#define VERSION_3_12 0x030C0000

static PyObject *hear(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    (void)self, (void)arguments, (void)count;
    Py_IncRef(Py_None);
    return Py_None;
}

/* The same as the core has it from 3.12 on, where None is immortal (inprocess/native/callbacks.c). */
static PyObject *hear_directly(PyObject *callback, PyObject *const *arguments, size_t count, PyObject *names)
{
    (void)callback, (void)arguments, (void)count, (void)names;
    return Py_None;
}

/* In the profile slot of a thread, 3.9 to 3.11 (Py_tracefunc). */
static int on_event(PyObject *self, PyFrameObject *frame, int what, PyObject *argument)
{
    (void)self, (void)frame, (void)what, (void)argument;
    return 0;
}

/* trampoline(): its address. */
static PyObject *trampoline(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromVoidPtr((void *)(uintptr_t)on_event);
}

static PyMethodDef functions[] = {
    {"hear", (PyCFunction)(void (*)(void))(fastcall)hear, METH_FASTCALL, NULL},
    {"trampoline", trampoline, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int prepare(PyObject *module)
{
    PyObject *callback = PyObject_GetAttrString(module, "hear"), *version = PySys_GetObject("hexversion");
    if (callback && version && PyLong_AsLong(version) >= VERSION_3_12)
        ((struct builtin *)callback)->call = hear_directly;
    Py_DecRef(callback);
    return callback ? 0 : -1;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, prepare}, {0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "calls_floor", .m_methods = functions, .m_slots = slots};

PyMODINIT_FUNC PyInit_calls_floor(void)
{
    return PyModuleDef_Init(&definition);
}
