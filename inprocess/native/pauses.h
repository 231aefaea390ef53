/* Pauses of a recording: it goes on in time slices where it may not cost what all events do (3.9 to 3.11).
 *
 * In a pause the interpreter tells of nothing: our function is out of the slots of all threads. What was open when it began
 * got its time until then; what is open when it ends gets its time from then on, and neither is a call once more. Where a
 * thread is after a pause it is asked at its first event, or when the next pause begins.
 */
#ifndef EXECD_PAUSES_H
#define EXECD_PAUSES_H

#include "recording.h"

typedef int (*profile_function)(PyObject *, PyFrameObject *, int, PyObject *);

/* How a thread's profile function is looked at and set; see execd_agent/collectors/threadstates.py. */
struct slots {
    /* _PyEval_SetProfile: (thread state, function, object). */
    int (*set)(void *state, profile_function function, PyObject *object);
    /* Where a thread state has the function. */
    uint64_t function_at;
    profile_function ours;
};

bool pauses_begin(struct recording *recording, const struct slots *slots);
bool pauses_end(struct recording *recording, const struct slots *slots, PyObject *object);
PyObject *pauses_unsettled(struct recording *recording, PyObject *native_ids);
bool pauses_settle(struct recording *recording, uint64_t ident, int32_t native_id, PyObject *codes);
bool pauses_place(struct recording *recording, uint32_t number, long skipped, bool entering);

/* Whether nothing is recorded of a thread at the moment; what is rehearsed is always. */
static inline bool pauses_silence(const struct recording *recording, const struct thread *thread)
{
    return recording->is_paused && thread->state != THREAD_REHEARSES;
}

/* Whether a thread was not placed in this slice yet. */
static inline bool pauses_moved(const struct recording *recording, uint32_t number)
{
    return recording->standings[number].slice != recording->slice;
}

#endif
