#include "threads.h"

#include "ticks.h"

#include <stdlib.h>
#include <string.h>

/* Ended threads whose trees are kept apart: a server may have a thread a request. */
#define ENDED_KEPT 64

static uint64_t unsigned_of(PyObject *tuple, Py_ssize_t index)
{
    return PyLong_AsUnsignedLongLong(PyTuple_GetItem(tuple, index));
}

/* Gives the calling thread a number. */
static void set_number(pthread_key_t key, struct recording *recording, uint32_t number)
{
    pthread_setspecific(key, (void *)((uint64_t)recording->generation << 32 | number));
    threads_forget_running(recording);
}

/* Asks the agent's code where the calling thread is. The question may be let go of meanwhile. */
static PyObject *ask(PyObject *question, long skipped, bool entering)
{
    Py_IncRef(question);
    PyObject *said = PyObject_CallFunction(question, "li", skipped, (int)entering);
    Py_DecRef(question);
    recording_forgive();
    return said;
}

/* Returns the node of a stack below a thread's root, as far as there is room: the rest is skipped. Each of its frames is
 * open so often. NOTHING where the recording or the thread has ended, or with an exception. */
uint32_t threads_descend(struct recording *recording, struct thread *thread, PyObject *codes, uint32_t opened)
{
    uint32_t generation = recording->generation, node = thread->root;
    thread->skipped = 0;
    for (Py_ssize_t index = 0; index < PyTuple_Size(codes); index++) {
        PyObject *code = PyTuple_GetItem(codes, index);
        if (recording_is_off(recording, code))
            continue;
        uint32_t below = recording_child(recording, thread, node, (uint64_t)code, code);
        /* Another thread may have ended while the agent's code was asked. */
        if (recording->generation != generation || recording_has_ended(thread) || (!below && PyErr_Occurred()))
            return NOTHING;
        if (!below) {
            thread->skipped = (uint64_t)(PyTuple_Size(codes) - index);
            recording->tables.nodes[thread->over].opens += opened * (uint32_t)thread->skipped;
            break;
        }
        recording->tables.nodes[below].opens += opened;
        node = below;
    }
    return node;
}

/* Takes a place for a thread: that of a merged one, or a new one. 0 where there is none. Within a change. */
static uint32_t take_place(struct recording *recording)
{
    struct head *head = recording->tables.head;
    uint32_t index = recording->free_thread;
    if (index)
        recording->free_thread = recording->tables.threads[index].node;
    else if (head->threads < head->threads_limit)
        index = head->threads++;
    if (index) {
        recording->greenlets[index] = NULL;
        recording->standings[index] = (struct standing){.slice = recording->slice};
    }
    return index;
}

/* Gives the place of a thread back whose nodes are others' now. Within a change. */
static void give_place(struct recording *recording, uint32_t index)
{
    struct thread *thread = &recording->tables.threads[index];
    *thread = (struct thread){.state = THREAD_MERGED, .node = recording->free_thread};
    recording->free_thread = index;
}

/* Returns what an old thread's clock showed when the recording began, or this slice of it; `now` where nobody knows. */
static uint64_t began(const struct recording *recording, PyObject *said, uint64_t now)
{
    uint64_t known = unsigned_of(said, 3);
    if (recording->clock == CLOCK_CPU)
        return known && !recording->slice ? known : now;
    return recording->began_ticks;
}

/* Writes down a thread that was described, with its root. 0 where there is no room for it. */
static uint32_t enter(struct recording *recording, PyObject *said, uint64_t now)
{
    struct tables *tables = &recording->tables;
    struct head *head = tables->head;
    char *name;
    Py_ssize_t bytes;
    if (PyBytes_AsStringAndSize(PyTuple_GetItem(said, 2), &name, &bytes) < 0)
        return 0;
    struct thread thread = {.ident = unsigned_of(said, 0), .native_id = (int32_t)unsigned_of(said, 1)};
    thread.last_ticks = PyObject_IsTrue(PyTuple_GetItem(said, 4)) == 1 ? began(recording, said, now) : now;
    tables_begin(tables);
    uint32_t index = take_place(recording);
    bool is_in = index && recording_root(recording, &thread, index);
    if (is_in) {
        /* Half of the room for texts is the functions'. */
        bool has_room = head->text_bytes < head->text_limit / 2;
        thread.name_at = has_room ? tables_text(tables, name, (size_t)bytes) : NO_INDEX;
        thread.name_bytes = thread.name_at == NO_INDEX ? 0 : (uint32_t)bytes;
        tables->threads[index] = thread;
    } else if (index) {
        give_place(recording, index);
    }
    tables_end(tables);
    return is_in ? index : 0;
}

/* Gives the nodes of an ended thread to one that stands for all of these. Within a change. `last` of a node that has been
 * dealt with is what its children's parent is now: no event comes to either of these threads. */
static void merge(struct recording *recording, const struct thread *source, struct thread *target)
{
    struct node *nodes = recording->tables.nodes;
    nodes[source->root].last = target->root;
    uint32_t left = source->root, next;
    /* Parents were made first. */
    for (uint32_t index = nodes[source->root].next; index; index = next) {
        next = nodes[index].next;
        uint32_t parent = nodes[nodes[index].parent].last;
        nodes[index].last = recording_moved(recording, index, parent, target);
        if (nodes[index].last != index) {
            nodes[left].next = index;
            left = index;
        }
    }
    nodes[left].next = NOTHING;
    recording_give_back(recording, source->root, left);
}

/* Merges the oldest of the threads that have ended, but for some. */
static void merge_ended(struct recording *recording)
{
    struct tables *tables = &recording->tables;
    uint32_t ended = 0;
    for (uint32_t index = 1; index < tables->head->threads; index++)
        ended += tables->threads[index].state == THREAD_ENDED;
    for (uint32_t index = 1; index < tables->head->threads && ended > ENDED_KEPT; index++) {
        struct thread *thread = &tables->threads[index];
        if (thread->state != THREAD_ENDED)
            continue;
        tables_begin(tables);
        merge(recording, thread, &tables->threads[0]);
        give_place(recording, index);
        tables_end(tables);
        ended--;
    }
}

/* Takes a thread that has had no event for ended. Within a change. */
static void end_silent(struct recording *recording, struct thread *thread)
{
    thread->is_silent = 0;
    recording->silent--;
    atomic_store(&thread->state, THREAD_ENDED);
}

/* Returns a thread that was written down before it had an event, 0 where there is none. One that had its number before
 * it has ended. Within a change. */
static uint32_t silent_one(struct recording *recording, uint64_t ident, int32_t native_id)
{
    const struct tables *tables = &recording->tables;
    for (uint32_t index = 1; recording->silent && index < tables->head->threads; index++) {
        struct thread *thread = &tables->threads[index];
        if (!thread->is_silent || thread->ident != ident)
            continue;
        if (threads_is(thread, ident, native_id))
            return index;
        end_silent(recording, thread);
    }
    return 0;
}

/* Has a thread that is heard of for the first time begin: what was seen of it before need not be so any more, but for what
 * was open when the recording began, where slices of it are over. */
static void take_over(struct recording *recording, struct thread *thread, PyObject *said, bool is_old, uint64_t now)
{
    struct node *nodes = recording->tables.nodes;
    for (uint32_t index = thread->node; !recording->slice && index != thread->root; index = nodes[index].parent)
        nodes[index].opens -= nodes[index].opens > 0;
    thread->node = thread->root;
    nodes[thread->over].opens = recording->slice ? nodes[thread->over].opens : 0;
    thread->native_id = (int32_t)unsigned_of(said, 1);
    if (!is_old || !recording->slice)
        thread->last_ticks = is_old ? began(recording, said, now) : now;
    thread->is_silent = 0;
    recording->silent--;
}

/* Takes a thread into the tables that was described. 0 where there is no room, the recording has ended, or with an
 * exception: then what there is of it counts as a thread that has ended. */
static uint32_t take_in(struct recording *recording, PyObject *said, uint64_t now)
{
    uint32_t generation = recording->generation;
    bool is_old = PyObject_IsTrue(PyTuple_GetItem(said, 4)) == 1;
    tables_begin(&recording->tables);
    uint32_t index = silent_one(recording, unsigned_of(said, 0), (int32_t)unsigned_of(said, 1));
    if (index)
        take_over(recording, &recording->tables.threads[index], said, is_old, now);
    tables_end(&recording->tables);
    if (!index && !(index = enter(recording, said, now)))
        return 0;
    /* It stays where it is: its place is given to others only when it has ended. */
    struct thread *thread = &recording->tables.threads[index];
    uint32_t node = threads_descend(recording, thread, PyTuple_GetItem(said, 5), is_old && !recording->slice);
    if (recording->generation != generation)
        return 0;
    recording->standings[index].slice = recording->slice;
    thread->node = node ? node : thread->root;
    if (!node)
        atomic_store(&thread->state, THREAD_ENDED);
    return node ? index : 0;
}

/* Begins with the calling thread. Returns it; NULL where there is no room, the recording has ended, or with an exception:
 * then it begins at its next event. */
struct thread *threads_begin(pthread_key_t key, struct recording *recording, long skipped, bool entering, uint64_t now)
{
    uint32_t generation = recording->generation, index = 0;
    if (++recording->begun % ENDED_KEPT == 0)
        merge_ended(recording);
    PyObject *said = ask(recording->questions.thread, skipped, entering);
    if (said && recording->generation == generation)
        index = take_in(recording, said, now);
    Py_DecRef(said);
    if (!said || recording->generation != generation || PyErr_Occurred())
        return NULL;
    set_number(key, recording, index ? index : THREAD_NO_ROOM);
    return index ? &recording->tables.threads[index] : NULL;
}

/* Writes down a thread that has had no event: all its frames are open. */
void threads_enter(struct recording *recording, PyObject *said)
{
    uint32_t generation = recording->generation;
    /* Of another thread's CPU clock nothing is known where nobody says it. */
    uint32_t index = take_in(recording, said, recording->clock == CLOCK_CPU ? UINT64_MAX : ticks_now(recording->clock));
    if (index && recording->generation == generation) {
        recording->tables.threads[index].is_silent = 1;
        recording->silent++;
    }
    PyErr_Clear();
}

/* Takes the threads that have had no event for ended, but for those that run: a dict of the system's numbers by idents. */
void threads_retain(struct recording *recording, PyObject *native_ids)
{
    struct tables *tables = &recording->tables;
    for (uint32_t index = 1; recording->silent && index < tables->head->threads; index++) {
        struct thread *thread = &tables->threads[index];
        if (!thread->is_silent)
            continue;
        PyObject *ident = PyLong_FromUnsignedLongLong(thread->ident);
        PyObject *native_id = ident ? PyDict_GetItemWithError(native_ids, ident) : NULL;
        Py_DecRef(ident);
        bool is_there = native_id && threads_is(thread, thread->ident, (int32_t)PyLong_AsUnsignedLongLong(native_id));
        if (!is_there && !PyErr_Occurred()) {
            tables_begin(tables);
            end_silent(recording, thread);
            tables_end(tables);
        }
    }
    PyErr_Clear();
}

/* Has a thread go on that was not heard of for a while, at a stack and an instant. False with an exception. */
bool threads_resume(struct recording *recording, uint64_t ident, PyObject *codes, uint64_t now)
{
    struct tables *tables = &recording->tables;
    for (uint32_t index = 1; index < tables->head->threads; index++) {
        struct thread *thread = &tables->threads[index];
        if (thread->ident != ident || thread->state != THREAD_RUNS)
            continue;
        thread->last_ticks = now;
        struct thread was = *thread;
        uint32_t generation = recording->generation, node = threads_descend(recording, thread, codes, 0);
        if (node && recording->generation == generation && threads_goes_on(thread, &was))
            thread->node = node;
        break;
    }
    return !PyErr_Occurred();
}

/* Returns what a node got, by CLOCK_MONOTONIC: (calls, self_ns, uncounted, timed, timed_ns). */
static PyObject *figures(const struct recording *recording, const struct node *node)
{
    const struct head *head = recording->tables.head;
    struct instant now = ticks_instant(recording->clock);
    double ticks = (double)(now.ticks - head->first.ticks);
    double ns = recording->clock == CLOCK_TSC && ticks > 0 ? (double)(now.monotonic_ns - head->first.monotonic_ns) / ticks : 1;
    return Py_BuildValue("(KdKId)", (unsigned long long)node->calls, (double)node->self_ticks * ns,
                         (unsigned long long)node->uncounted, node->timed, (double)node->timed_ticks * ns);
}

/* Calls a function as the thread that was made for it, whose nodes begin with no figures. NULL with an exception. */
static PyObject *called(struct recording *recording, struct thread *thread, PyObject *function, PyObject *argument,
                        uint32_t timed)
{
    struct node *nodes = recording->tables.nodes;
    for (uint32_t index = thread->root; index; index = nodes[index].next)
        nodes[index].calls = nodes[index].self_ticks = nodes[index].uncounted = nodes[index].timed_ticks = nodes[index].timed = 0;
    thread->timing = timed;
    thread->last_ticks = ticks_now(recording->clock);
    return PyObject_CallFunctionObjArgs(function, argument, NULL);
}

/* Returns a list of what the nodes of a thread got, the eldest first, and takes them back. NULL with an exception. */
static PyObject *harvest(struct recording *recording, uint32_t place)
{
    struct tables *tables = &recording->tables;
    const struct thread *thread = &tables->threads[place];
    uint32_t generation = recording->generation;
    PyObject *found = PyList_New(0);
    /* Objects that are made may have others collected, whose code gives the GIL away: not within a change. */
    for (uint32_t node = tables->nodes[thread->root].next; found && node; node = tables->nodes[node].next) {
        PyObject *one = figures(recording, &tables->nodes[node]);
        if (one)
            PyList_Append(found, one);
        Py_DecRef(one);
        if (recording->generation != generation)
            return found;
    }
    tables_begin(tables);
    for (uint32_t node = tables->nodes[thread->root].next; node; node = tables->nodes[node].next)
        keys_remove(&recording->node_keys, tables->nodes[node].parent, tables->nodes[node].key);
    recording_give_back(recording, thread->root, thread->youngest);
    give_place(recording, place);
    tables_end(tables);
    return found;
}

/* Calls a function in the calling thread, which is not recorded, while that is. Returns a list of what each of its nodes
 * got, the eldest first; NULL with an exception. */
PyObject *threads_rehearsed(pthread_key_t key, struct recording *recording, PyObject *function, PyObject *argument,
                            uint32_t timed)
{
    struct tables *tables = &recording->tables;
    struct thread fresh = {.state = THREAD_REHEARSES};
    uint32_t generation = recording->generation;
    tables_begin(tables);
    uint32_t place = take_place(recording);
    bool is_in = place && recording_root(recording, &fresh, place);
    if (is_in)
        tables->threads[place] = fresh;
    else if (place)
        give_place(recording, place);
    tables_end(tables);
    if (!is_in)
        return PyList_New(0);
    set_number(key, recording, place);
    /* Once to make the nodes. */
    PyObject *said = called(recording, &tables->threads[place], function, argument, 0);
    Py_DecRef(said);
    if (said && recording->generation == generation)
        said = called(recording, &tables->threads[place], function, argument, timed);
    else
        said = NULL;
    /* A child that was forked meanwhile has no tables. */
    if (recording->generation != generation) {
        Py_DecRef(said);
        return PyErr_Occurred() ? NULL : PyList_New(0);
    }
    set_number(key, recording, THREAD_IGNORED);
    PyObject *found = harvest(recording, place);
    if (!said) {
        Py_DecRef(found);
        found = NULL;
    }
    Py_DecRef(said);
    return found;
}

/* Goes on where the thread really is: events can be missing, of generators that are closed early (gh-140373), and where
 * greenlets switch. False where the recording has ended, or with an exception. */
bool threads_resynchronise(struct recording *recording, struct thread *thread, long skipped, bool entering)
{
    uint32_t generation = recording->generation;
    PyObject *codes = ask(recording->questions.stack, skipped, entering);
    if (codes && recording->generation == generation) {
        uint32_t node = threads_descend(recording, thread, codes, 0);
        if (node)
            thread->node = node;
    }
    Py_DecRef(codes);
    return recording->generation == generation && !PyErr_Occurred();
}

/* Returns how deep a thread is below its root; `is_within`: whether in a function. */
static uint32_t depth_of(const struct recording *recording, const struct thread *thread, uint32_t function,
                         bool *is_within)
{
    const struct node *nodes = recording->tables.nodes;
    uint32_t depth = 0;
    for (uint32_t index = thread->node; index != thread->root; index = nodes[index].parent, depth++)
        *is_within = *is_within || nodes[index].function == function;
    return depth;
}

/* Returns the node where a thread is without a function, and without the C functions that this one calls: their returns are
 * not heard of any more. `skipped` is how many frames of what is left there is no room for. */
static uint32_t node_without(struct recording *recording, struct thread *thread, uint32_t function, uint32_t depth,
                             uint64_t *skipped)
{
    const struct node *nodes = recording->tables.nodes;
    uint32_t *path = malloc((depth + 1) * sizeof *path), index = thread->node, node = thread->root;
    for (uint32_t left = depth; path && left; index = nodes[index].parent)
        path[--left] = index;
    bool is_out = false;
    for (uint32_t step = 0; path && step < depth; step++) {
        index = path[step];
        is_out = nodes[index].function == function || (is_out && nodes[index].key & KEY_C);
        /* All its functions are known: nobody is asked. */
        uint32_t below = is_out || *skipped ? NOTHING : recording_child(recording, thread, node, nodes[index].key, NULL);
        node = below ? below : node;
        *skipped += !is_out && !below;
    }
    free(path);
    return node;
}

/* Has a thread go on where it is without a function. Where there was no room for all frames it is not known which these
 * are: that shows as soon as a return does not fit. */
static void leave_function(struct recording *recording, struct thread *thread, uint32_t function)
{
    bool is_within = false;
    uint32_t depth = depth_of(recording, thread, function, &is_within), node = thread->node;
    if (!is_within && !thread->skipped)
        return;
    uint64_t now = recording->clock == CLOCK_CPU ? thread->last_ticks : ticks_now(recording->clock), skipped = 0;
    if (is_within)
        node = node_without(recording, thread, function, depth, &skipped);
    tables_begin(&recording->tables);
    threads_credit(recording, thread, thread->skipped ? thread->over : thread->node, now);
    thread->skipped = skipped;
    thread->node = node;
    tables_end(&recording->tables);
}

/* Records no more calls of a function, and takes it out of where threads are. False where that cannot be. */
bool threads_switch_off(struct recording *recording, uint32_t index)
{
    struct tables *tables = &recording->tables;
    tables_begin(tables);
    bool is_done = recording_switch_off(recording, index);
    tables_end(tables);
    for (uint32_t thread = 1; is_done && thread < tables->head->threads; thread++)
        /* One that has had no event is placed at its first. */
        if (tables->threads[thread].state == THREAD_RUNS && !tables->threads[thread].is_silent)
            leave_function(recording, &tables->threads[thread], index);
    return is_done;
}

/* Records nothing of the calling thread. */
void threads_ignore(pthread_key_t key, struct recording *recording)
{
    set_number(key, recording, THREAD_IGNORED);
}
