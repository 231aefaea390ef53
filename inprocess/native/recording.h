/* Recording: the call trees of all threads of one session, in tables. All of it is called with the GIL.
 *
 * What a name or a frame says is asked of the agent's Python code, the first time that it is met: that may give the GIL
 * away, and a recording may end meanwhile. So whoever calls looks at `generation` afterwards.
 */
#ifndef EXECD_RECORDING_H
#define EXECD_RECORDING_H

#include <stdatomic.h>

#include "keys.h"
#include "python.h"
#include "tables.h"

/* Keys: the address of a code object; of a C function that is kept, its address with KEY_KEPT; of one that is bound to
 * an object, its class and definition mixed, with KEY_BOUND. */
#define KEY_KEPT 2ull
#define KEY_BOUND 1ull
#define KEY_C (KEY_KEPT | KEY_BOUND)
/* Of what stands for all that the memory limit left out in a thread: both marks, as no C function's. */
#define KEY_OVER 3ull

/* What of the agent's is called: see execd_agent/collectors/nativecalls.py. */
struct questions {
    /* (code) -> (name, qualname, file, first_line, bytes that it takes, whether it is resumed), texts as bytes. */
    PyObject *code;
    /* (function) -> its name, bytes. */
    PyObject *c_function;
    /* (skipped frames, entering) -> (ident, native_id, name, began_ticks, is_old, codes), outermost first. */
    PyObject *thread;
    /* (skipped frames, entering) -> codes. */
    PyObject *stack;
    /* (code) -> whether it is the agent's. */
    PyObject *is_own;
    /* (code) -> what is done with its calls, see execd_agent/collectors/filters.py; NULL where all are recorded. */
    PyObject *choice;
};

/* Whether calls of a code object are recorded. CHOICE_OUT_NOW: they are not, and it is asked again the next time;
 * CHOICE_FAILED: nobody knows, for the recording has ended, or there is an exception. */
enum choice { CHOICE_IN, CHOICE_OUT, CHOICE_OUT_NOW, CHOICE_FAILED };

/* In place of a function's number: what is left out from the beginning. */
#define LEFT_OUT 0xFFFFFFFEu

/* How many of the codes that are left out are found at once. */
#define LEFT_OUT_PLACES 512

/* Of a thread: the slice in which it was placed, and the ticks of the one that is over which nobody got; see pauses.h. */
struct standing {
    uint64_t owed;
    uint32_t slice;
};

struct recording {
    /* What is recorded of the thread that had the last event, and which that is: see threads_run. */
    struct thread *running;
    _Atomic uintptr_t runs;
    struct tables tables;
    struct keys node_keys, function_keys;
    /* Of each function the object that its key is the address of. */
    PyObject **kept;
    /* Of each thread the greenlet that ran at its last event, where greenlets are followed. Addresses alone. */
    void **greenlets;
    struct standing *standings;
    struct questions questions;
    uint64_t max_bytes, used_bytes, began_ticks;
    /* The number of this recording, 0 while there is none. */
    uint32_t generation;
    uint32_t clock;
    /* The last of the nodes that merged threads have given back, by `next`; of their places, by `node`. */
    uint32_t free_node, free_thread;
    /* How many threads have begun, and how many are there that have had no event. */
    uint32_t begun, silent;
    /* The number of this slice, 0 before the first pause. */
    uint32_t slice;
    bool is_paused;
    /* Whether some code is left out; the latest of it that was met, by its address. */
    bool selects;
    uint64_t left_out[LEFT_OUT_PLACES];
};

void recording_forgive(void);
bool recording_open(struct recording *recording, const struct questions *questions, uint64_t max_bytes, uint32_t clock);
void recording_close(struct recording *recording);
uint32_t recording_child(struct recording *recording, struct thread *thread, uint32_t parent, uint64_t key,
                         PyObject *what);
bool recording_root(struct recording *recording, struct thread *thread, uint32_t number);
uint32_t recording_moved(struct recording *recording, uint32_t index, uint32_t parent, struct thread *target);
void recording_give_back(struct recording *recording, uint32_t first, uint32_t last);
void recording_select(struct recording *recording, PyObject *choice);
enum choice recording_choice(struct recording *recording, PyObject *code);
bool recording_switch_off(struct recording *recording, uint32_t index);

/* Whether a thread has ended, and there may be nothing in its place. */
static inline bool recording_has_ended(const struct thread *thread)
{
    return thread->state == THREAD_ENDED || thread->state == THREAD_MERGED;
}

/* Whether a code object is one that was switched off. */
static inline bool recording_is_off(const struct recording *recording, PyObject *code)
{
    if (!recording->selects)
        return false;
    uint32_t index = keys_find(&recording->function_keys, 0, (uint64_t)code);
    return index && (index == LEFT_OUT || recording->tables.functions[index].kind & FUNCTION_OFF);
}

#endif
