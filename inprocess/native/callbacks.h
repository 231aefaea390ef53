/* Callbacks: the objects that the interpreter or a callback of execd_agent/collectors/fanout.py calls for events. */
#ifndef EXECD_CALLBACKS_H
#define EXECD_CALLBACKS_H

#include <stdbool.h>

#include "python.h"

/* Returns a dict of them by name; NULL with an exception. `skipped` frames of Python lie between an event's and them;
 * `may_disable`: whether they may return DISABLE. */
PyObject *callbacks_make(long skipped, bool may_disable);

#endif
