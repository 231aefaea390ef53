/* Calls: what a call, a return, a C call and a C return do to the tree of the calling thread.
 *
 * The same as execd_agent/collectors/events.py, which is the oracle. With the GIL, and no exception set.
 */
#ifndef EXECD_CALLS_H
#define EXECD_CALLS_H

#include <pthread.h>

#include "recording.h"

/* What of the interpreter's is compared with. */
struct kinds {
    PyObject *function, *method;
    /* sys.monitoring.MISSING and DISABLE; None below 3.12. */
    PyObject *missing, *disable;
};

/* How a frame holds its code object: unknown, so that the interpreter is asked; as a flat or as an outer frame. */
enum frames { FRAMES_ASKED, FRAMES_FLAT, FRAMES_OUTER };

/* Of how many handlers of a thread one is timed. A prime: what a program does over and over has seldom so many events. So
 * many that some ms of a program are looked at: for the first one after a beat all is dearer, the agent has just run. */
#define TIMED_OF 131
/* Of one that rehearses, which has but some hundred. */
#define REHEARSED_OF 13
/* Of a thread that rehearses the last so many are timed each. */
#define TIMED_EACH 4096

struct calls {
    /* In a page of its own, of zeros in every child: no event of a child finds the tables of its parent. */
    struct recording *recording;
    struct kinds kinds;
    /* greenlet's own, that tells which one runs in the calling thread; NULL where the program has none. */
    PyObject *(*greenlet)(void);
    pthread_key_t key;
    /* Whether C functions are recorded, where one function is told of all. */
    bool counts_c;
    enum frames frames;
    /* How many recordings there have been. */
    uint32_t generations;
};

/* Callbacks find it here, for the interpreter hands them nothing of ours that is fast to look at. */
extern struct calls calls;

/* `skipped` is how many frames of Python lie between the event's and us. They return what a callback returns, a reference
 * that is not the caller's own; NULL with an exception that is the program's: a signal handler of its may run while the
 * agent's code is asked. */
PyObject *calls_enter(struct calls *calls, PyObject *code, long skipped);
PyObject *calls_leave(struct calls *calls, PyObject *code, long skipped);
PyObject *calls_enter_c(struct calls *calls, PyObject *code, PyObject *function, PyObject *first, long skipped);
PyObject *calls_leave_c(struct calls *calls, PyObject *code, PyObject *function, PyObject *first, long skipped);

/* The same for the interpreter, 3.12 and newer, with no frame between. They return what a callback does. */
enum { CALLBACK_ENTER, CALLBACK_LEAVE, CALLBACK_ENTER_C, CALLBACK_LEAVE_C, CALLBACKS };
extern const vectorcall calls_direct[CALLBACKS];

/* Finds out how frames hold their code, up to 3.11. */
void calls_know_frames(void);

/* In the profile slot of a thread, 3.9 to 3.11, in place of what would call a Python function (Py_tracefunc). */
int calls_on_event(PyObject *self, PyFrameObject *frame, int what, PyObject *argument);

#endif
