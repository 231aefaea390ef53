#include "pauses.h"

#include "threads.h"
#include "ticks.h"

/* Stacks that are deeper are asked for. */
#define KNOWN_DEPTH 512
/* CPUCLOCK_PERTHREAD and CPUCLOCK_SCHED: what the clock of a thread is called by its number. */
#define THREAD_CLOCK(native_id) ((clockid_t)(~(unsigned int)(native_id) << 3 | 6))

/* Has all threads hear that hear nobody, but for the calling one; without an object has those hear nobody that hear us. All
 * of it is done at once: nothing here gives the GIL away, where no audit hook is told. */
static void set_all(const struct slots *slots, PyObject *object)
{
    void *own = PyThreadState_Get();
    for (void *state = PyInterpreterState_ThreadHead(PyInterpreterState_Main()); state; state = PyThreadState_Next(state)) {
        profile_function has = *(profile_function *)((char *)state + slots->function_at);
        if (object ? !has && state != own : has == slots->ours)
            slots->set(state, object ? slots->ours : NULL, object);
    }
}

/* Returns what the clock of a thread shows at an instant that is now; what it showed last where the thread is gone. */
static uint64_t clock_of(const struct recording *recording, const struct thread *thread, uint64_t now)
{
    struct timespec shown;
    if (recording->clock != CLOCK_CPU)
        return now;
    if (clock_gettime(THREAD_CLOCK(thread->native_id), &shown) != 0)
        return thread->last_ticks;
    return (uint64_t)shown.tv_sec * 1000000000ull + (uint64_t)shown.tv_nsec;
}

/* Credits what a thread did until now, or takes it down where it is not known where it is. Within a change. */
static void close_thread(struct recording *recording, uint32_t number, uint64_t now)
{
    struct thread *thread = &recording->tables.threads[number];
    uint64_t ticks = clock_of(recording, thread, now);
    if (!thread->is_silent && !pauses_moved(recording, number)) {
        threads_credit(recording, thread, thread->skipped ? thread->over : thread->node, ticks);
        return;
    }
    recording->standings[number].owed = ticks > thread->last_ticks ? ticks - thread->last_ticks : 0;
    thread->last_ticks = ticks;
}

/* Records nothing from now on, until pauses_end(). False where nothing is recorded anyway. */
bool pauses_begin(struct recording *recording, const struct slots *slots)
{
    struct tables *tables = &recording->tables;
    struct head *head = tables->head;
    if (!recording->generation || recording->is_paused)
        return false;
    if (slots->set)
        set_all(slots, NULL);
    struct instant now = ticks_instant(recording->clock);
    tables_begin(tables);
    for (uint32_t index = 1; index < head->threads; index++)
        if (tables->threads[index].state == THREAD_RUNS)
            close_thread(recording, index, now.ticks);
    head->latest = now;
    if (head->sliced_ns)
        head->recorded_ns += now.monotonic_ns - head->slice_began_ns;
    else
        head->sliced_ns = now.monotonic_ns;
    head->is_paused = 1;
    tables_end(tables);
    recording->is_paused = true;
    threads_forget_running(recording);
    return true;
}

/* Records again, with an object in the slots of threads. False where there is no pause. */
bool pauses_end(struct recording *recording, const struct slots *slots, PyObject *object)
{
    struct tables *tables = &recording->tables;
    if (!recording->generation || !recording->is_paused)
        return false;
    struct instant now = ticks_instant(recording->clock);
    recording->slice++;
    recording->began_ticks = now.ticks;
    tables_begin(tables);
    tables->head->slice_began_ns = now.monotonic_ns;
    for (uint32_t index = 1; index < tables->head->threads; index++) {
        struct thread *thread = &tables->threads[index];
        if (thread->state == THREAD_RUNS)
            thread->last_ticks = clock_of(recording, thread, now.ticks);
        recording->standings[index].owed = 0;
    }
    tables->head->is_paused = 0;
    tables_end(tables);
    recording->is_paused = false;
    /* One that began before the pause may be in the midst of its event still. */
    threads_forget_running(recording);
    set_all(slots, object);
    return true;
}

/* Returns the number of a thread, 0 where it is not known. */
static uint32_t number_of(const struct recording *recording, uint64_t ident, int32_t native_id)
{
    const struct tables *tables = &recording->tables;
    for (uint32_t index = 1; index < tables->head->threads; index++)
        if (tables->threads[index].state == THREAD_RUNS && threads_is(&tables->threads[index], ident, native_id))
            return index;
    return 0;
}

/* Where a thread was in a C function, and the code that called it is where it is still, it is taken to be in there. */
static void place(struct recording *recording, struct thread *thread, uint32_t was, uint32_t node)
{
    const struct node *nodes = recording->tables.nodes;
    thread->node = nodes[was].key & KEY_C && nodes[was].parent == node ? was : node;
}

/* Gives a thread, which is at a node, what it is owed. */
static void pay(struct recording *recording, uint32_t number, uint32_t was, uint32_t node)
{
    struct thread *thread = &recording->tables.threads[number];
    tables_begin(&recording->tables);
    if (!thread->skipped)
        place(recording, thread, was, node);
    recording->tables.nodes[thread->skipped ? thread->over : thread->node].self_ticks += recording->standings[number].owed;
    recording->standings[number].owed = 0;
    tables_end(&recording->tables);
}

/* Returns the node of a stack below a node, as far as all of its functions are known there; NOTHING else, and of one that
 * is deeper than that. On 3.11 a frame may be made for it, and garbage collected by that: nothing of ours is open then. */
static uint32_t known_node(const struct recording *recording, uint32_t node, PyFrameObject *innermost)
{
    uint64_t keys[KNOWN_DEPTH];
    int depth = 0;
    PyFrameObject *frame = innermost;
    Py_IncRef((PyObject *)frame);
    while (frame && depth < KNOWN_DEPTH) {
        PyObject *code = (PyObject *)PyFrame_GetCode(frame);
        PyFrameObject *back = PyFrame_GetBack(frame);
        keys[depth++] = (uint64_t)code;
        /* The frame has one of its own. */
        Py_DecRef(code);
        Py_DecRef((PyObject *)frame);
        frame = back;
    }
    if (frame)
        node = NOTHING;
    Py_DecRef((PyObject *)frame);
    while (node && depth)
        node = keys_find(&recording->node_keys, node, keys[--depth]);
    return node;
}

/* Settles one thread where that takes no question; false where it does, or nobody knows of it. */
static bool settle_known(struct recording *recording, uint64_t ident, PyObject *frame)
{
    /* Those of threads that have ended are ended. */
    uint32_t number = number_of(recording, ident, 0);
    if (!number)
        return false;
    if (!recording->standings[number].owed)
        return true;
    struct thread *thread = &recording->tables.threads[number];
    uint32_t node = thread->skipped ? NOTHING : known_node(recording, thread->root, (PyFrameObject *)frame);
    if (node)
        pay(recording, number, thread->node, node);
    return node != NOTHING;
}

/* Gives the threads that had no event in the slice that is over their time of it: they are where they were in it. Returns a
 * list of the numbers of those of which that is to be told, for pauses_settle(); NULL with an exception. `native_ids`: of
 * those that run, see threads_retain. */
PyObject *pauses_unsettled(struct recording *recording, PyObject *native_ids)
{
    if (recording->generation)
        threads_retain(recording, native_ids);
    PyObject *left = PyList_New(0), *frames = NULL, *function = PySys_GetObject("_current_frames");
    PyObject *ident, *frame, *own = NULL;
    Py_ssize_t position = 0;
    if (left && function && recording->generation && recording->is_paused)
        frames = PyObject_CallObject(function, NULL);
    own = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    while (own && frames && PyDict_Check(frames) && PyDict_Next(frames, &position, &ident, &frame))
        if (!PyObject_RichCompareBool(ident, own, Py_EQ) &&
            !settle_known(recording, PyLong_AsUnsignedLongLong(ident), frame))
            PyList_Append(left, ident);
    Py_DecRef(own);
    Py_DecRef(frames);
    if (!PyErr_Occurred())
        return left;
    Py_DecRef(left);
    return NULL;
}

/* Gives a thread's time of the slice that is over to where it is: it had no event in it. False where nobody knows of that
 * thread. */
bool pauses_settle(struct recording *recording, uint64_t ident, int32_t native_id, PyObject *codes)
{
    uint32_t generation = recording->generation, number = number_of(recording, ident, native_id);
    if (!generation || !number)
        return !generation;
    struct thread *thread = &recording->tables.threads[number];
    struct thread was = *thread;
    uint32_t node = threads_descend(recording, thread, codes, 0);
    if (node && recording->generation == generation && threads_goes_on(thread, &was))
        pay(recording, number, was.node, node);
    return true;
}

/* Has the calling thread be where it really is, at its first event of a slice. False where the recording has ended, or with
 * an exception. */
bool pauses_place(struct recording *recording, uint32_t number, long skipped, bool entering)
{
    struct thread *thread = &recording->tables.threads[number];
    uint32_t was = thread->node;
    if (!threads_resynchronise(recording, thread, skipped, entering))
        return false;
    /* What calls Python code now need not be what it was in. */
    if (!entering && !thread->skipped)
        place(recording, thread, was, thread->node);
    recording->standings[number].slice = recording->slice;
    return true;
}
