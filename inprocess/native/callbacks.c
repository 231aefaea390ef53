#include "callbacks.h"

#include <stdlib.h>

#include "calls.h"

/* Returns how many frames of Python lie between an event's and a callback: `self` is that number, and none for none. */
static long skipped_by(PyObject *self)
{
    return self ? labs(PyLong_AsLong(self)) : 0;
}

static PyObject *answered(PyObject *answer)
{
    Py_IncRef(answer);
    return answer;
}

/* The same, of a callback that must hear of its event again: then `self` is not above 0. */
static PyObject *allowed(PyObject *self, PyObject *answer)
{
    return answered(answer && self && PyLong_AsLong(self) <= 0 ? Py_None : answer);
}

static PyObject *on_enter(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    return allowed(self, count > 0 ? calls_enter(&calls, arguments[0], skipped_by(self)) : Py_None);
}

static PyObject *on_leave(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    return allowed(self, count > 0 ? calls_leave(&calls, arguments[0], skipped_by(self)) : Py_None);
}

static PyObject *on_enter_c(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (count < 4)
        return answered(Py_None);
    return allowed(self, calls_enter_c(&calls, arguments[0], arguments[2], arguments[3], skipped_by(self)));
}

static PyObject *on_leave_c(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (count < 4)
        return answered(Py_None);
    return answered(calls_leave_c(&calls, arguments[0], arguments[2], arguments[3], skipped_by(self)));
}

static PyMethodDef callbacks[CALLBACKS] = {
    [CALLBACK_ENTER] = {"enter", (PyCFunction)(void (*)(void))(fastcall)on_enter, METH_FASTCALL, NULL},
    [CALLBACK_LEAVE] = {"leave", (PyCFunction)(void (*)(void))(fastcall)on_leave, METH_FASTCALL, NULL},
    [CALLBACK_ENTER_C] = {"enter_c", (PyCFunction)(void (*)(void))(fastcall)on_enter_c, METH_FASTCALL, NULL},
    [CALLBACK_LEAVE_C] = {"leave_c", (PyCFunction)(void (*)(void))(fastcall)on_leave_c, METH_FASTCALL, NULL},
};

/* Whether builtin functions are as we know them. */
static bool is_known(const struct builtin *builtin, const PyMethodDef *definition, const PyObject *self)
{
    PyObject *size = PyObject_GetAttrString((PyObject *)&PyCFunction_Type, "__basicsize__");
    bool is_as_large = size && PyLong_AsSize_t(size) == sizeof *builtin;
    Py_DecRef(size);
    PyErr_Clear();
    return is_as_large && builtin->definition == definition && builtin->self == self;
}

/* Returns a callback; `is_direct`: whoever calls it is to come to us at once. What lies between a call of a builtin
 * function and its C function, checks of arguments and of the stack, takes about as long as we do. NULL with an
 * exception. */
static PyObject *callback_of(int which, PyObject *self, bool is_direct)
{
    PyObject *callback = PyCFunction_NewEx(&callbacks[which], self, NULL);
    if (callback && is_direct && is_known((const struct builtin *)callback, &callbacks[which], self))
        ((struct builtin *)callback)->call = calls_direct[which];
    return callback;
}

PyObject *callbacks_make(long skipped, bool may_disable)
{
    bool has_monitoring = calls.kinds.disable && calls.kinds.disable != Py_None;
    PyObject *self = skipped || !may_disable ? PyLong_FromLong(may_disable ? skipped : -skipped) : NULL;
    PyObject *found = PyDict_New();
    for (int which = 0; found && which < CALLBACKS; which++) {
        /* Of a C function's return no more is ever disabled than of its call. */
        bool is_direct = has_monitoring && !skipped && (may_disable || which == CALLBACK_LEAVE_C);
        PyObject *callback = callback_of(which, self, is_direct);
        if (!callback || PyDict_SetItemString(found, callbacks[which].ml_name, callback) < 0) {
            Py_DecRef(found);
            found = NULL;
        }
        Py_DecRef(callback);
    }
    Py_DecRef(self);
    return found;
}
