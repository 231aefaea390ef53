/* execd_agent._core: records calls natively. One recording a process; see execd_agent/collectors/nativecalls.py. */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "callbacks.h"
#include "calls.h"
#include "pauses.h"
#include "threads.h"
#include "ticks.h"

/* Held where a recording ends, and where a thread tells that it does, which has no GIL then. */
static pthread_mutex_t ending = PTHREAD_MUTEX_INITIALIZER;

/* A thread of the program's ends. Without the GIL. */
static void thread_ends(void *value)
{
    uint32_t generation = (uint32_t)((uint64_t)value >> 32), number = (uint32_t)(uint64_t)value;
    pthread_mutex_lock(&ending);
    threads_stop_running(calls.recording);
    if (generation && generation == calls.recording->generation && number < THREAD_NO_ROOM)
        atomic_store(&calls.recording->tables.threads[number].state, THREAD_ENDED);
    pthread_mutex_unlock(&ending);
}

/* In a child that was forked: the tables are its parent's, and not mapped. */
static void forget(void)
{
    pthread_mutex_init(&ending, NULL);
    memset(calls.recording, 0, sizeof *calls.recording);
}

/* Makes the place of recordings. From Linux 4.14 on it is of zeros in a child that no handler is called in too. */
static bool make_place(void)
{
    void *page = mmap(NULL, sizeof *calls.recording, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return false;
    madvise(page, sizeof *calls.recording, MADV_WIPEONFORK);
    calls.recording = page;
    return true;
}

static PyObject *answered(PyObject *answer)
{
    Py_IncRef(answer);
    return answer;
}

/* callbacks(skipped, may_disable): what is told of events, by name; `skipped` frames of Python lie between an event's and
 * it; `may_disable`: whether it may return DISABLE. */
static PyObject *make_callbacks(PyObject *module, PyObject *arguments)
{
    (void)module;
    long skipped;
    int may_disable;
    if (!PyArg_ParseTuple(arguments, "lp", &skipped, &may_disable))
        return NULL;
    return callbacks_make(skipped, may_disable);
}

/* trampoline(counts_c): the address of what is told of events in a thread's profile slot. */
static PyObject *trampoline(PyObject *module, PyObject *arguments)
{
    (void)module;
    int counts_c;
    if (!PyArg_ParseTuple(arguments, "p", &counts_c))
        return NULL;
    calls.counts_c = counts_c;
    calls_know_frames();
    return PyLong_FromVoidPtr((void *)(uintptr_t)calls_on_event);
}

/* hear(on): have the calling thread's profile slot call us, or nobody. An audit hook may forbid it, and write of that. */
static PyObject *hear(PyObject *module, PyObject *on)
{
    (void)module;
    PyEval_SetProfile(PyObject_IsTrue(on) == 1 ? calls_on_event : NULL, NULL);
    return answered(Py_None);
}

/* open(max_bytes, is_cpu_clock, questions, kinds): make the tables. Returns a descriptor of them, which is the caller's,
 * and for the daemon.
 * questions: code, c_function, thread, stack, is_own; kinds: function, method, missing, disable. */
static PyObject *open_recording(PyObject *module, PyObject *arguments)
{
    (void)module;
    unsigned long long max_bytes;
    int is_cpu_clock;
    struct questions questions = {0};
    struct kinds kinds;
    if (!PyArg_ParseTuple(arguments, "Kp(OOOOO)(OOOO)", &max_bytes, &is_cpu_clock, &questions.code,
                          &questions.c_function, &questions.thread, &questions.stack, &questions.is_own,
                          &kinds.function, &kinds.method, &kinds.missing, &kinds.disable))
        return NULL;
    if (calls.recording->tables.head) {
        PyErr_SetString(PyExc_ValueError, "another recording goes on");
        return NULL;
    }
    uint32_t clock = is_cpu_clock ? CLOCK_CPU : ticks_wall_clock();
    if (!recording_open(calls.recording, &questions, max_bytes, clock)) {
        PyErr_SetString(PyExc_MemoryError, "there is no memory to record in");
        return NULL;
    }
    /* They live as long as the interpreter does. */
    calls.kinds = kinds;
    calls.greenlet = NULL;
    int descriptor = calls.recording->tables.descriptor;
    calls.recording->tables.descriptor = -1;
    return PyLong_FromLong(descriptor);
}

/* select(choice): ask that what is recorded, between open() and begin(). */
static PyObject *select_code(PyObject *module, PyObject *choice)
{
    (void)module;
    if (calls.recording->tables.head && !calls.recording->generation)
        recording_select(calls.recording, choice);
    return answered(Py_None);
}

/* follow(functions): see what greenlets switch to, by greenlet's capsule of its C functions (greenlet.h). */
static PyObject *follow(PyObject *module, PyObject *capsule)
{
    (void)module;
    void **functions = PyCapsule_GetPointer(capsule, "greenlet._C_API");
    if (!functions)
        return NULL;
    /* PyGreenlet_GetCurrent_NUM; it gives a new reference. */
    *(void **)&calls.greenlet = functions[4];
    return answered(Py_None);
}

/* begin(): record from now on; nothing of the calling thread. */
static PyObject *begin(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    if (!calls.recording->tables.head || calls.recording->generation) {
        PyErr_SetString(PyExc_ValueError, "nothing was opened, or it has begun");
        return NULL;
    }
    calls.generations++;
    calls.recording->began_ticks = ticks_now(calls.recording->clock);
    calls.recording->generation = calls.generations;
    threads_ignore(calls.key, calls.recording);
    return answered(Py_None);
}

/* end(): record no more; what was recorded stays. */
static PyObject *end(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    struct tables *tables = &calls.recording->tables;
    if (calls.recording->generation) {
        tables_begin(tables);
        tables->head->latest = ticks_instant(calls.recording->clock);
        tables->head->is_over = 1;
        tables_end(tables);
    }
    pthread_mutex_lock(&ending);
    calls.recording->generation = 0;
    threads_forget_running(calls.recording);
    pthread_mutex_unlock(&ending);
    return answered(Py_None);
}

/* close(): let go of what was recorded, after end(). */
static PyObject *close_recording(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    if (calls.recording->tables.head && !calls.recording->generation)
        recording_close(calls.recording);
    return answered(Py_None);
}

/* beat(timed): take down what time it is by both clocks; time so many handlers of each thread from now on. Returns how
 * many bytes are used, and how many calls were left out for want of room. */
static PyObject *beat(PyObject *module, PyObject *arguments)
{
    (void)module;
    unsigned int timed;
    if (!PyArg_ParseTuple(arguments, "I", &timed))
        return NULL;
    struct tables *tables = &calls.recording->tables;
    if (!tables->head)
        return Py_BuildValue("(ii)", 0, 0);
    if (calls.recording->generation) {
        tables_begin(tables);
        tables->head->latest = ticks_instant(calls.recording->clock);
        for (uint32_t index = 1; timed && index < tables->head->threads; index++)
            tables->threads[index].timing = timed * TIMED_OF;
        tables_end(tables);
    }
    return Py_BuildValue("(KK)", (unsigned long long)calls.recording->used_bytes,
                         (unsigned long long)tables->head->lost_calls);
}

/* enter(said): write down a thread that has had no event, as its question describes one; its first event finds it. */
static PyObject *enter(PyObject *module, PyObject *said)
{
    (void)module;
    if (calls.recording->generation && PyTuple_Check(said) && PyTuple_Size(said) == 6)
        threads_enter(calls.recording, said);
    return answered(Py_None);
}

/* retain(native_ids): of threads that have had no event only those in a dict are there still: by idents the system's
 * numbers, 0 for one that is not known. */
static PyObject *retain(PyObject *module, PyObject *native_ids)
{
    (void)module;
    if (calls.recording->generation)
        threads_retain(calls.recording, native_ids);
    return answered(Py_None);
}

/* resume(ident, codes, now): have a thread go on at a stack that was not heard of for a while; now: what its clock shows,
 * 0 for the clock that all have in common. */
static PyObject *resume(PyObject *module, PyObject *arguments)
{
    (void)module;
    unsigned long long ident, now;
    PyObject *codes;
    if (!PyArg_ParseTuple(arguments, "KOK", &ident, &codes, &now))
        return NULL;
    struct recording *recording = calls.recording;
    if (recording->generation && !threads_resume(recording, ident, codes, now ? now : ticks_now(recording->clock)))
        return NULL;
    return answered(Py_None);
}

/* copy(): the tables as they are now, what is used of them: bytes; None where there are none. */
static PyObject *copy(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    const struct tables *tables = &calls.recording->tables;
    if (!tables->head)
        return answered(Py_None);
    if (calls.recording->generation)
        tables->head->latest = ticks_instant(calls.recording->clock);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)tables_used(tables));
    if (bytes)
        tables_copy(tables, PyBytes_AsString(bytes));
    return bytes;
}

/* switch_off(index): record no more calls of the function of that number. Returns its code object; None where it has none,
 * or is off already. */
static PyObject *switch_off(PyObject *module, PyObject *number)
{
    (void)module;
    unsigned long index = PyLong_AsUnsignedLong(number);
    if (PyErr_Occurred())
        return NULL;
    bool is_done = calls.recording->generation && index < NO_INDEX && threads_switch_off(calls.recording, (uint32_t)index);
    return answered(is_done ? calls.recording->kept[index] : Py_None);
}

/* Takes what the agent tells of the slots of threads: (setter, function_at); None where they stay as they are. */
static bool slots_of(PyObject *told, struct slots *slots)
{
    unsigned long long set, function_at;
    *slots = (struct slots){0};
    if (told == Py_None)
        return true;
    if (!PyTuple_Check(told)) {
        PyErr_SetString(PyExc_TypeError, "slots are told as a tuple");
        return false;
    }
    if (!PyArg_ParseTuple(told, "KK", &set, &function_at))
        return false;
    *slots = (struct slots){.function_at = function_at, .ours = calls_on_event};
    *(unsigned long long *)&slots->set = set;
    return true;
}

/* pause(slots): record nothing until proceed(); our function is out of the slots of all threads. Returns whether that is so
 * by this. */
static PyObject *pause_recording(PyObject *module, PyObject *told)
{
    (void)module;
    struct slots slots;
    if (!slots_of(told, &slots))
        return NULL;
    return PyBool_FromLong(pauses_begin(calls.recording, &slots));
}

/* proceed(slots, object): record again, with our function and an object in the slots that have none. */
static PyObject *proceed(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *told, *object;
    struct slots slots;
    if (!PyArg_ParseTuple(arguments, "O!O", &PyTuple_Type, &told, &object) || !slots_of(told, &slots))
        return NULL;
    return PyBool_FromLong(pauses_end(calls.recording, &slots, object));
}

/* unsettled(native_ids): the threads of which it is to be told where they are, in a pause: a list of their idents. What it
 * is given is as for retain(). */
static PyObject *unsettled(PyObject *module, PyObject *native_ids)
{
    (void)module;
    return pauses_unsettled(calls.recording, native_ids);
}

/* settle(ident, native_id, codes): where a thread is that is owed its time of the slice that is over. Returns whether it is known. */
static PyObject *settle(PyObject *module, PyObject *arguments)
{
    (void)module;
    unsigned long long ident;
    int native_id;
    PyObject *codes;
    if (!PyArg_ParseTuple(arguments, "KiO!", &ident, &native_id, &PyTuple_Type, &codes))
        return NULL;
    bool is_known = pauses_settle(calls.recording, ident, native_id, codes);
    return PyErr_Occurred() ? NULL : PyBool_FromLong(is_known);
}

/* wait(descriptor, timeout_us): until there is something to read, for so long at most. Returns whether there is. */
static PyObject *wait_for(PyObject *module, PyObject *arguments)
{
    (void)module;
    int descriptor;
    unsigned int timeout_us;
    if (!PyArg_ParseTuple(arguments, "iI", &descriptor, &timeout_us))
        return NULL;
    struct pollfd polled = {.fd = descriptor, .events = POLLIN};
    struct timespec limit = {.tv_sec = timeout_us / 1000000, .tv_nsec = timeout_us % 1000000 * 1000};
    PyThreadState *state = PyEval_SaveThread();
    int ready = ppoll(&polled, 1, &limit, NULL);
    PyEval_RestoreThread(state);
    return PyBool_FromLong(ready > 0);
}

/* rehearse(function, argument, timed): call a function with an argument while the calling thread, which is not recorded,
 * is; `timed` of its handlers are timed. Returns what each of its nodes got, the eldest first:
 * (calls, self_ns, uncounted, timed, timed_ns). */
static PyObject *rehearse(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *function, *argument;
    unsigned int timed;
    if (!PyArg_ParseTuple(arguments, "OOI", &function, &argument, &timed))
        return NULL;
    if (!calls.recording->generation) {
        PyErr_SetString(PyExc_ValueError, "nothing is recorded");
        return NULL;
    }
    return threads_rehearsed(calls.key, calls.recording, function, argument, timed);
}

static PyMethodDef functions[] = {
    {"callbacks", make_callbacks, METH_VARARGS, NULL},
    {"trampoline", trampoline, METH_VARARGS, NULL},
    {"hear", hear, METH_O, NULL},
    {"open", open_recording, METH_VARARGS, NULL},
    {"select", select_code, METH_O, NULL},
    {"follow", follow, METH_O, NULL},
    {"begin", begin, METH_NOARGS, NULL},
    {"end", end, METH_NOARGS, NULL},
    {"close", close_recording, METH_NOARGS, NULL},
    {"beat", beat, METH_VARARGS, NULL},
    {"enter", enter, METH_O, NULL},
    {"retain", retain, METH_O, NULL},
    {"resume", resume, METH_VARARGS, NULL},
    {"switch_off", switch_off, METH_O, NULL},
    {"pause", pause_recording, METH_O, NULL},
    {"proceed", proceed, METH_VARARGS, NULL},
    {"unsettled", unsettled, METH_O, NULL},
    {"settle", settle, METH_VARARGS, NULL},
    {"wait", wait_for, METH_VARARGS, NULL},
    {"copy", copy, METH_NOARGS, NULL},
    {"rehearse", rehearse, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int prepare(PyObject *module)
{
    (void)module;
    /* One for all loads of one copy. */
    if (calls.recording || (pthread_key_create(&calls.key, thread_ends) == 0 &&
                            pthread_atfork(NULL, NULL, forget) == 0 && make_place()))
        return 0;
    PyErr_SetString(PyExc_ImportError, "the process has no more keys for threads, or no memory");
    return -1;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, prepare}, {0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "_core", .m_methods = functions, .m_slots = slots};

/* In phases: so nobody enters it into sys.modules. */
PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
