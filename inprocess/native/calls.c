#include "calls.h"

#include "pauses.h"
#include "threads.h"
#include "ticks.h"

#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)
/* More than that a handler takes only where its thread is held up, whatever the caches have; of a counter that counts
 * some GHz. One of a thousand that was held up for longer would come to more than all the others. */
#define HELD_UP_NS 2000
#define HELD_UP_TICKS (3 * HELD_UP_NS)
#define VERSION_3_11 0x030B0000

struct calls calls;

/* Takes down what a handler took since it read its clock, where it is its turn; it ends here. Of the program's one of
 * some is timed: those that follow on each other after a beat are all dear, for the agent has just run. Where it is
 * rehearsed how dear those are, too: a turn that comes seldom no processor foresees, and half of what it takes may be
 * that. */
static void take_time(struct recording *recording, struct thread *thread, uint32_t index, uint64_t began)
{
    uint32_t left = --thread->timing;
    bool is_rehearsed = thread->state == THREAD_REHEARSES;
    if (is_rehearsed ? left >= TIMED_EACH && left % REHEARSED_OF : left % TIMED_OF)
        return;
    uint64_t spent = ticks_now(recording->clock) - began;
    struct node *node = &recording->tables.nodes[index];
    if (spent < (recording->clock == CLOCK_TSC ? HELD_UP_TICKS : HELD_UP_NS)) {
        node->timed++;
        node->timed_ticks += spent;
    }
}

/* Returns the calling thread where another one had the last event. */
static __attribute__((noinline)) struct thread *other_thread(struct calls *calls, long skipped, bool entering,
                                                             uint64_t now)
{
    struct recording *recording = calls->recording;
    uint32_t number = threads_number(calls->key, recording);
    if (UNLIKELY(number == 0))
        return recording->generation && !recording->is_paused
                   ? threads_begin(calls->key, recording, skipped, entering, now)
                   : NULL;
    if (number >= THREAD_NO_ROOM || pauses_silence(recording, &recording->tables.threads[number]))
        return NULL;
    if (UNLIKELY(pauses_moved(recording, number)) && !pauses_place(recording, number, skipped, entering))
        return NULL;
    return threads_run(recording, number);
}

/* Returns the calling thread, begun where this is its first event; NULL where nothing is recorded of it. */
static inline struct thread *thread_of(struct calls *calls, long skipped, bool entering, uint64_t now)
{
    struct recording *recording = calls->recording;
    return UNLIKELY(!threads_runs(recording)) ? other_thread(calls, skipped, entering, now) : recording->running;
}

/* Returns what a callback returns in a thread of which nothing is recorded: of the agent's code nothing more is told. */
static PyObject *ignored(const struct calls *calls, PyObject *code, bool is_call)
{
    PyObject *none = Py_None;
    if (PyErr_Occurred())
        return NULL;
    if (threads_number(calls->key, calls->recording) == THREAD_NO_ROOM) {
        calls->recording->tables.head->lost_calls += is_call && !calls->recording->is_paused;
        return none;
    }
    if (!calls->recording->generation || calls->kinds.disable == Py_None)
        return none;
    PyObject *said = PyObject_CallFunctionObjArgs(calls->recording->questions.is_own, code, NULL);
    PyObject *answer = said && PyObject_IsTrue(said) == 1 ? calls->kinds.disable : none;
    Py_DecRef(said);
    recording_forgive();
    return PyErr_Occurred() ? NULL : answer;
}

/* Credits the time since a thread's last event to where it was. */
static inline struct node *credit(struct recording *recording, struct thread *thread, uint64_t now)
{
    return threads_credit(recording, thread, thread->node, now);
}

/* Counts a call that the memory limit leaves out, or one within such a call. Within a change. */
static void leave_out(struct recording *recording, struct thread *thread)
{
    thread->skipped++;
    recording->tables.nodes[thread->over].calls++;
    recording->tables.head->lost_calls++;
}

/* Counts a return of what the memory limit left out: after the last the thread is where its node says. */
static void return_to(struct recording *recording, struct thread *thread, uint64_t now)
{
    tables_begin(&recording->tables);
    if (--thread->skipped == 0)
        threads_credit(recording, thread, thread->over, now);
    tables_end(&recording->tables);
}

/* Whether nothing is recorded of code that some event is told of: then `answer` is what a callback returns of it. */
static bool is_left_out(const struct calls *calls, PyObject *code, PyObject **answer)
{
    struct recording *recording = calls->recording;
    if (!recording->selects)
        return false;
    enum choice choice = recording_choice(recording, code);
    *answer = choice == CHOICE_OUT ? calls->kinds.disable : choice == CHOICE_FAILED && PyErr_Occurred() ? NULL : Py_None;
    return choice != CHOICE_IN;
}

/* Goes down to a child of where a thread is. Returns what a callback returns: NULL with an exception, and nothing done. */
static PyObject *descend(const struct calls *calls, struct thread *thread, uint64_t key, PyObject *what, uint64_t now)
{
    struct recording *recording = calls->recording;
    struct node *nodes = recording->tables.nodes;
    uint32_t below = nodes[thread->node].last;
    if (UNLIKELY(nodes[below].key != key)) {
        uint32_t generation = recording->generation;
        PyObject *answer;
        if (!(key & KEY_C) && is_left_out(calls, what, &answer))
            return answer;
        uint32_t at;
        do {
            below = recording_child(recording, thread, at = thread->node, key, what);
            if (!below && PyErr_Occurred())
                return NULL;
            if (recording->generation != generation)
                return Py_None;
            /* While the agent's code was asked, the thread may have been placed elsewhere. */
        } while (UNLIKELY(thread->node != at));
    }
    tables_begin(&recording->tables);
    struct node *node = credit(recording, thread, now);
    if (UNLIKELY(!below)) {
        leave_out(recording, thread);
    } else {
        node->last = below;
        nodes[below].calls++;
        thread->node = below;
    }
    tables_end(&recording->tables);
    if (UNLIKELY(thread->timing) && below)
        take_time(recording, thread, below, now);
    return Py_None;
}

/* Goes up to the parent of where a thread is. */
static void ascend(struct recording *recording, struct thread *thread, uint64_t now)
{
    tables_begin(&recording->tables);
    const struct node *node = credit(recording, thread, now);
    if (node->parent != NO_INDEX)
        thread->node = node->parent;
    tables_end(&recording->tables);
    if (UNLIKELY(thread->timing))
        take_time(recording, thread, thread->node, now);
}

/* Has a thread be where it really is; the time until now is that of where it seemed to be. False where the recording has
 * ended, or with an exception. */
static bool place_anew(struct recording *recording, struct thread *thread, long skipped, bool entering, uint64_t now)
{
    tables_begin(&recording->tables);
    credit(recording, thread, now);
    tables_end(&recording->tables);
    return threads_resynchronise(recording, thread, skipped, entering);
}

/* Whether another greenlet runs in the calling thread than at its last event: then its stack is another one. */
static bool has_switched(const struct calls *calls, const struct thread *thread)
{
    struct recording *recording = calls->recording;
    void **known = &recording->greenlets[thread - recording->tables.threads], *running = calls->greenlet();
    Py_DecRef(running);
    bool is_other = *known && running != *known;
    *known = running;
    return is_other;
}

/* Has a thread be where it really is after a switch. False where the recording has ended, or with an exception. */
static inline bool follow(const struct calls *calls, struct thread *thread, long skipped, bool entering, uint64_t now)
{
    if (!UNLIKELY(calls->greenlet != NULL) || !has_switched(calls, thread))
        return true;
    return place_anew(calls->recording, thread, skipped, entering, now);
}

/* Counts a call within what the memory limit left out, of code or by it. */
static PyObject *skip(const struct calls *calls, struct thread *thread, PyObject *code)
{
    struct recording *recording = calls->recording;
    PyObject *answer;
    if (is_left_out(calls, code, &answer))
        return answer;
    tables_begin(&recording->tables);
    leave_out(recording, thread);
    tables_end(&recording->tables);
    return Py_None;
}

PyObject *calls_enter(struct calls *calls, PyObject *code, long skipped)
{
    struct recording *recording = calls->recording;
    uint64_t now = ticks_now(recording->clock);
    struct thread *thread = thread_of(calls, skipped, true, now);
    if (UNLIKELY(!thread))
        return ignored(calls, code, true);
    if (UNLIKELY(!follow(calls, thread, skipped, true, now)))
        return PyErr_Occurred() ? NULL : Py_None;
    if (UNLIKELY(thread->skipped))
        return skip(calls, thread, code);
    return descend(calls, thread, (uint64_t)code, code, now);
}

/* Whether a thread is in a C function that some code has called. */
static inline bool is_called_by(const struct recording *recording, const struct thread *thread, PyObject *code)
{
    const struct node *nodes = recording->tables.nodes, *node = &nodes[thread->node];
    return node->key & KEY_C && nodes[node->parent].key == (uint64_t)code && !thread->skipped;
}

PyObject *calls_leave(struct calls *calls, PyObject *code, long skipped)
{
    struct recording *recording = calls->recording;
    uint64_t now = ticks_now(recording->clock);
    struct thread *thread = thread_of(calls, skipped, false, now);
    if (UNLIKELY(!thread))
        return ignored(calls, code, false);
    PyObject *answer;
    if (UNLIKELY(!follow(calls, thread, skipped, false, now)))
        return PyErr_Occurred() ? NULL : Py_None;
    bool is_here = recording->tables.nodes[thread->node].key == (uint64_t)code && !thread->skipped;
    /* A C function has ended unheard, in a pause: its caller returns. */
    if (UNLIKELY(!is_here) && is_called_by(recording, thread, code)) {
        thread->node = recording->tables.nodes[thread->node].parent;
        is_here = true;
    }
    if (UNLIKELY(!is_here) && is_left_out(calls, code, &answer))
        return answer;
    if (UNLIKELY(thread->skipped)) {
        return_to(recording, thread, now);
        return Py_None;
    }
    if (UNLIKELY(!is_here) && !place_anew(recording, thread, skipped, false, now))
        return PyErr_Occurred() ? NULL : Py_None;
    ascend(recording, thread, now);
    return Py_None;
}

/* Returns the key of a C function that counts as one, 0 for any other callable: see execd_agent/collectors/cfunctions.py.
 * A method that is bound to an object is a new object at every use: its class and definition stand for it. */
static uint64_t key_of(PyObject *function)
{
    PyObject *owner = PyCFunction_GetSelf(function);
    if (!owner || Py_TYPE(owner) == &PyModule_Type)
        return (uint64_t)function | KEY_KEPT;
    uint64_t definition = (uint64_t)((const struct builtin *)function)->definition;
    return (((uint64_t)Py_TYPE(owner) * 0x9E3779B97F4A7C15ull) ^ definition << 2) << 2 | KEY_BOUND;
}

static bool is_builtin(PyTypeObject *type)
{
    return type == &PyCFunction_Type || PyType_IsSubtype(type, &PyCFunction_Type);
}

/* Whether a call is one of a C function. */
static bool is_counted(const struct calls *calls, PyObject *function, PyObject *first)
{
    PyTypeObject *type = Py_TYPE(function);
    return type == &PyMethodDescr_Type ? first != calls->kinds.missing : is_builtin(type);
}

PyObject *calls_enter_c(struct calls *calls, PyObject *code, PyObject *function, PyObject *first, long skipped)
{
    struct recording *recording = calls->recording;
    uint64_t now = ticks_now(recording->clock);
    struct thread *thread = thread_of(calls, skipped, false, now);
    if (UNLIKELY(!thread))
        return ignored(calls, code, is_counted(calls, function, first));
    const struct node *nodes = recording->tables.nodes;
    PyObject *answer;
    if (UNLIKELY(!follow(calls, thread, skipped, false, now)))
        return PyErr_Occurred() ? NULL : Py_None;
    if (UNLIKELY(nodes[thread->node].key != (uint64_t)code) && is_left_out(calls, code, &answer))
        return answer;
    /* Python code makes this call: a C function on top has ended, its return lost to an exception in a handler. */
    while (nodes[thread->node].key & KEY_C && !thread->skipped)
        thread->node = nodes[thread->node].parent;
    /* It runs on another stack than before: a greenlet has switched. */
    if (UNLIKELY(nodes[thread->node].key != (uint64_t)code) && !thread->skipped &&
        !place_anew(recording, thread, skipped, false, now))
        return PyErr_Occurred() ? NULL : Py_None;
    PyTypeObject *type = Py_TYPE(function);
    uint64_t key;
    if (type == &PyMethodDescr_Type && first != calls->kinds.missing) {
        key = (uint64_t)function | KEY_KEPT;
    } else if (is_builtin(type)) {
        key = key_of(function);
    } else {
        /* From 3.12 on each call is told: after those of C code that does not count a return follows. */
        bool is_python = (PyObject *)type == calls->kinds.function || (PyObject *)type == calls->kinds.method;
        tables_begin(&recording->tables);
        recording->tables.nodes[thread->skipped ? thread->over : thread->node].uncounted += is_python ? 1 : 2;
        tables_end(&recording->tables);
        return Py_None;
    }
    if (UNLIKELY(thread->skipped))
        return skip(calls, thread, code);
    return descend(calls, thread, key, function, now);
}

PyObject *calls_leave_c(struct calls *calls, PyObject *code, PyObject *function, PyObject *first, long skipped)
{
    struct recording *recording = calls->recording;
    if (!is_counted(calls, function, first))
        return Py_None;
    uint64_t now = ticks_now(recording->clock);
    struct thread *thread = thread_of(calls, skipped, false, now);
    if (UNLIKELY(!thread))
        return PyErr_Occurred() ? NULL : Py_None;
    PyObject *answer;
    if (UNLIKELY(!follow(calls, thread, skipped, false, now)))
        return PyErr_Occurred() ? NULL : Py_None;
    if (is_called_by(recording, thread, code)) {
        ascend(recording, thread, now);
        return Py_None;
    }
    /* Such a return goes with its call, and is not switched off by itself. */
    if (is_left_out(calls, code, &answer))
        return answer ? Py_None : NULL;
    if (thread->skipped) {
        return_to(recording, thread, now);
        return Py_None;
    }
    /* A C function that was running when the session began has no node: its time stays with its caller. Else it runs on
     * another stack than before. */
    if (recording->tables.nodes[thread->node].key != (uint64_t)code)
        return place_anew(recording, thread, skipped, false, now) || !PyErr_Occurred() ? Py_None : NULL;
    tables_begin(&recording->tables);
    credit(recording, thread, now);
    tables_end(&recording->tables);
    return Py_None;
}

/* From 3.12 on None is immortal. */
static inline PyObject *answered(PyObject *answer)
{
    if (UNLIKELY(answer != Py_None))
        Py_IncRef(answer);
    return answer;
}

/* `count` is of a vectorcall. */
static inline bool has(size_t count, size_t least)
{
    return (count & ~VECTORCALL_MARK) >= least;
}

static PyObject *enter_directly(PyObject *callback, PyObject *const *arguments, size_t count, PyObject *names)
{
    (void)callback, (void)names;
    return answered(has(count, 1) ? calls_enter(&calls, arguments[0], 0) : Py_None);
}

static PyObject *leave_directly(PyObject *callback, PyObject *const *arguments, size_t count, PyObject *names)
{
    (void)callback, (void)names;
    return answered(has(count, 1) ? calls_leave(&calls, arguments[0], 0) : Py_None);
}

static PyObject *enter_c_directly(PyObject *callback, PyObject *const *arguments, size_t count, PyObject *names)
{
    (void)callback, (void)names;
    return answered(has(count, 4) ? calls_enter_c(&calls, arguments[0], arguments[2], arguments[3], 0) : Py_None);
}

static PyObject *leave_c_directly(PyObject *callback, PyObject *const *arguments, size_t count, PyObject *names)
{
    (void)callback, (void)names;
    return answered(has(count, 4) ? calls_leave_c(&calls, arguments[0], arguments[2], arguments[3], 0) : Py_None);
}

const vectorcall calls_direct[CALLBACKS] = {
    [CALLBACK_ENTER] = enter_directly,
    [CALLBACK_LEAVE] = leave_directly,
    [CALLBACK_ENTER_C] = enter_c_directly,
    [CALLBACK_LEAVE_C] = leave_c_directly,
};

/* Returns the code object of a frame: a new reference where that is asked for, else the frame's own. */
static inline PyObject *code_of(PyFrameObject *frame, enum frames frames)
{
    if (frames == FRAMES_FLAT)
        return ((const struct flat_frame *)frame)->code;
    if (frames == FRAMES_OUTER)
        return ((const struct outer_frame *)frame)->inner->code;
    return (PyObject *)PyFrame_GetCode(frame);
}

/* By the version, and by whether it is true of the frame that calls. */
void calls_know_frames(void)
{
    PyFrameObject *frame = PyEval_GetFrame();
    PyObject *version = PySys_GetObject("hexversion");
    calls.frames = FRAMES_ASKED;
    if (!frame || !version)
        return;
    enum frames frames = PyLong_AsLong(version) < VERSION_3_11 ? FRAMES_FLAT : FRAMES_OUTER;
    PyObject *code = code_of(frame, FRAMES_ASKED);
    if (code_of(frame, frames) == code)
        calls.frames = frames;
    Py_DecRef(code);
}

int calls_on_event(PyObject *self, PyFrameObject *frame, int what, PyObject *argument)
{
    (void)self;
    bool is_c = what == PyTrace_C_CALL || what == PyTrace_C_RETURN || what == PyTrace_C_EXCEPTION;
    if (is_c && !calls.counts_c)
        return 0;
    enum frames frames = calls.frames;
    PyObject *code = code_of(frame, frames), *answer = Py_None;
    if (what == PyTrace_CALL)
        answer = calls_enter(&calls, code, 0);
    else if (what == PyTrace_RETURN)
        answer = calls_leave(&calls, code, 0);
    else if (what == PyTrace_C_CALL)
        answer = calls_enter_c(&calls, code, argument, argument, 0);
    else if (is_c)
        answer = calls_leave_c(&calls, code, argument, argument, 0);
    if (UNLIKELY(frames == FRAMES_ASKED))
        Py_DecRef(code);
    return answer ? 0 : -1;
}
