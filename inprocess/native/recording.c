#include "recording.h"

#include <stdlib.h>
#include <string.h>

/* What a node takes: itself and its place in a table that is half full, and five times that where it is read. */
#define NODE_BYTES 512
#define TEXT_WEIGHT 8
#define LEAST_FUNCTION_BYTES (sizeof(struct function) + 256)
/* The function of what is left out for want of room: shown as a C function, as there is no code of that name. */
#define OVER_FUNCTION 1u
#define OVER_NAME "(calls over the memory limit)"

/* Writes down what stands for all that there is no room for. */
static void add_over_function(struct recording *recording)
{
    struct tables *tables = &recording->tables;
    uint32_t bytes = sizeof OVER_NAME - 1, at = tables_text(tables, OVER_NAME, bytes);
    tables->functions[OVER_FUNCTION] =
        (struct function){.kind = FUNCTION_C, .name_at = at, .name_bytes = at == NO_INDEX ? 0 : bytes};
    tables->head->functions = OVER_FUNCTION + 1;
}

/* Begins a recording in zeros; takes over nothing but references of its own. False, without an exception, where there is
 * no memory. */
bool recording_open(struct recording *recording, const struct questions *questions, uint64_t max_bytes, uint32_t clock)
{
    recording->questions = *questions;
    recording->max_bytes = max_bytes;
    recording->clock = clock;
    if (!tables_open(&recording->tables, max_bytes, clock))
        return false;
    recording->kept = calloc(recording->tables.head->functions_limit, sizeof *recording->kept);
    recording->greenlets = calloc(recording->tables.head->threads_limit, sizeof *recording->greenlets);
    recording->standings = calloc(recording->tables.head->threads_limit, sizeof *recording->standings);
    if (!recording->kept || !recording->greenlets || !recording->standings) {
        free(recording->kept);
        free(recording->greenlets);
        free(recording->standings);
        tables_close(&recording->tables);
        return false;
    }
    PyObject *const *asked = (PyObject *const *)&recording->questions;
    for (size_t index = 0; index < sizeof *questions / sizeof *asked; index++)
        Py_IncRef(asked[index]);
    add_over_function(recording);
    /* Thread 0 stands for those that have ended. */
    struct thread *ended = &recording->tables.threads[recording->tables.head->threads++];
    atomic_store(&ended->state, THREAD_ENDED);
    if (recording_root(recording, ended, 0))
        return true;
    recording_close(recording);
    return false;
}

/* Frees all that a recording has. Objects that it kept may run code of the program's as they go: it is over by then. */
void recording_close(struct recording *recording)
{
    PyObject **kept = recording->kept;
    uint32_t functions = recording->tables.head->functions;
    struct questions questions = recording->questions;
    free(recording->greenlets);
    free(recording->standings);
    keys_close(&recording->node_keys);
    keys_close(&recording->function_keys);
    tables_close(&recording->tables);
    memset(recording, 0, sizeof *recording);
    for (uint32_t index = 0; index < functions; index++)
        Py_DecRef(kept[index]);
    free(kept);
    PyObject **asked = (PyObject **)&questions;
    for (size_t index = 0; index < sizeof questions / sizeof *asked; index++)
        Py_DecRef(asked[index]);
}

/* Copies a text of Python's. False where there is no room. Within a change. */
static bool add_text(struct recording *recording, PyObject *bytes, uint32_t *at, uint32_t *size)
{
    char *text;
    Py_ssize_t length;
    if (!bytes || PyBytes_AsStringAndSize(bytes, &text, &length) < 0)
        return false;
    *size = (uint32_t)length;
    *at = tables_text(&recording->tables, text, (size_t)length);
    return *at != NO_INDEX;
}

static PyObject *item(PyObject *tuple, Py_ssize_t index)
{
    return PyTuple_GetItem(tuple, index);
}

/* Writes down a function that was described: (name, qualname, file, first_line, bytes, is_resumed), or a C function's name. */
static uint32_t add_function(struct recording *recording, uint64_t key, PyObject *what, PyObject *said)
{
    struct head *head = recording->tables.head;
    uint32_t index = head->functions;
    struct function function = {.kind = key & KEY_C ? FUNCTION_C : FUNCTION_CODE};
    bool is_code = function.kind == FUNCTION_CODE;
    uint32_t text_before = head->text_bytes;
    bool is_whole = add_text(recording, is_code ? item(said, 0) : said, &function.name_at, &function.name_bytes);
    if (is_code) {
        is_whole = is_whole && add_text(recording, item(said, 1), &function.qualname_at, &function.qualname_bytes) &&
                   add_text(recording, item(said, 2), &function.file_at, &function.file_bytes);
        function.first_line = is_whole ? (uint32_t)PyLong_AsUnsignedLong(item(said, 3)) : 0;
        function.kind |= PyObject_IsTrue(item(said, 5)) == 1 ? FUNCTION_RESUMED : 0;
    }
    if (!is_whole || !keys_add(&recording->function_keys, 0, key, index)) {
        head->text_bytes = text_before;
        return NOTHING;
    }
    recording->used_bytes += TEXT_WEIGHT * (head->text_bytes - text_before);
    /* What the key has the address of must not become another one's. */
    recording->kept[index] = key & KEY_BOUND ? (PyObject *)Py_TYPE(PyCFunction_GetSelf(what)) : what;
    Py_IncRef(recording->kept[index]);
    recording->tables.functions[index] = function;
    head->functions++;
    return index;
}

/* Whether a thread may have so many bytes more. What is rehearsed is little, and must not be found full. */
static bool has_room(const struct recording *recording, const struct thread *thread, uint64_t bytes)
{
    return recording->used_bytes + bytes <= recording->max_bytes || thread->state == THREAD_REHEARSES;
}

/* Takes an attribute in place of its object; takes that over. */
static PyObject *attribute(PyObject *object, const char *name)
{
    PyObject *found = object ? PyObject_GetAttrString(object, name) : NULL;
    Py_DecRef(object);
    return found;
}

/* Whether what was raised came from code of the agent's, or from before any ran; takes a traceback over. */
static bool is_of_agent(PyObject *traceback)
{
    PyObject *next;
    if (!traceback)
        return true;
    while ((next = PyObject_GetAttrString(traceback, "tb_next")) && next != Py_None) {
        Py_DecRef(traceback);
        traceback = next;
    }
    Py_DecRef(next);
    PyObject *file = attribute(attribute(attribute(traceback, "tb_frame"), "f_code"), "co_filename");
    PyObject *ours = PyUnicode_FromString("execd_agent");
    bool is_ours = file && ours && PyUnicode_Find(file, ours, 0, PY_SSIZE_T_MAX, 1) >= 0;
    Py_DecRef(file);
    Py_DecRef(ours);
    PyErr_Clear();
    return is_ours;
}

/* Takes back an exception for want of stack or memory, of which there would have been enough without us: what was asked is
 * not told then. Any other is of a signal handler of the program's, and so is one of these that its code has raised. */
void recording_forgive(void)
{
    PyObject *type, *value, *traceback;
    if (!PyErr_Occurred() ||
        !(PyErr_ExceptionMatches(PyExc_RecursionError) || PyErr_ExceptionMatches(PyExc_MemoryError)))
        return;
    PyErr_Fetch(&type, &value, &traceback);
    Py_IncRef(traceback);
    if (!is_of_agent(traceback)) {
        PyErr_Restore(type, value, traceback);
        return;
    }
    Py_DecRef(type);
    Py_DecRef(value);
    Py_DecRef(traceback);
}

/* Returns the function of a key, made where there is none; NOTHING over the limit, where the recording has ended, or with
 * an exception. */
static uint32_t function_of(struct recording *recording, const struct thread *thread, uint64_t key, PyObject *what)
{
    uint32_t generation = recording->generation, index = keys_find(&recording->function_keys, 0, key);
    if (index)
        return index;
    const struct questions *questions = &recording->questions;
    PyObject *question = key & KEY_C ? questions->c_function : questions->code;
    if (!has_room(recording, thread, LEAST_FUNCTION_BYTES))
        return NOTHING;
    /* It may be let go of meanwhile. */
    Py_IncRef(question);
    PyObject *said = PyObject_CallFunctionObjArgs(question, what, NULL);
    Py_DecRef(question);
    recording_forgive();
    if (said && recording->generation == generation) {
        struct head *head = recording->tables.head;
        /* Another thread may have come first. */
        index = keys_find(&recording->function_keys, 0, key);
        bool is_code = !(key & KEY_C);
        uint64_t bytes = sizeof(struct function) + (is_code ? PyLong_AsUnsignedLongLong(item(said, 4)) : 256);
        if (!index && head->functions < head->functions_limit && has_room(recording, thread, bytes)) {
            tables_begin(&recording->tables);
            index = add_function(recording, key, what, said);
            tables_end(&recording->tables);
            recording->used_bytes += index ? bytes : 0;
        }
    }
    Py_DecRef(said);
    return index;
}

/* Takes a node, of those that were given back or a new one; NOTHING over the limit. */
static uint32_t take_node(struct recording *recording, const struct thread *thread)
{
    struct head *head = recording->tables.head;
    uint32_t index = recording->free_node;
    if (index)
        recording->free_node = recording->tables.nodes[index].next;
    else if (!has_room(recording, thread, NODE_BYTES) || head->nodes == head->nodes_limit)
        return NOTHING;
    else
        index = head->nodes++;
    recording->used_bytes += NODE_BYTES;
    return index;
}

static uint32_t add_node(struct recording *recording, struct thread *thread, uint32_t parent, uint64_t key,
                         uint32_t function)
{
    struct node *nodes = recording->tables.nodes;
    uint32_t index = take_node(recording, thread);
    if (!index)
        return NOTHING;
    if (parent != NO_INDEX && !keys_add(&recording->node_keys, parent, key, index)) {
        nodes[index].next = recording->free_node;
        recording->free_node = index;
        recording->used_bytes -= NODE_BYTES;
        return NOTHING;
    }
    nodes[index] = (struct node){.key = key, .parent = parent, .function = function};
    if (thread->youngest)
        nodes[thread->youngest].next = index;
    thread->youngest = index;
    return index;
}

/* Returns the child of a node, made where there is none; NOTHING over the limit, where recording or thread have ended, or with
 * an exception: the program's signal handlers may raise one while the agent's code is asked. */
uint32_t recording_child(struct recording *recording, struct thread *thread, uint32_t parent, uint64_t key,
                         PyObject *what)
{
    uint32_t child = keys_find(&recording->node_keys, parent, key);
    if (child)
        return child;
    uint32_t generation = recording->generation, function = function_of(recording, thread, key, what);
    if (!function || recording->generation != generation || recording_has_ended(thread))
        return NOTHING;
    /* While that was asked, somebody may have made it. */
    if ((child = keys_find(&recording->node_keys, parent, key)))
        return child;
    tables_begin(&recording->tables);
    child = add_node(recording, thread, parent, key, function);
    tables_end(&recording->tables);
    return child;
}

/* Gives a thread its root, where it is then, and the node of what there will be no room for. False over the limit. Within
 * a change. */
bool recording_root(struct recording *recording, struct thread *thread, uint32_t number)
{
    thread->node = thread->root = add_node(recording, thread, NO_INDEX, 0, number);
    if (!thread->root || thread->state == THREAD_REHEARSES)
        return thread->root != NOTHING;
    thread->over = add_node(recording, thread, thread->root, KEY_OVER, OVER_FUNCTION);
    if (!thread->over)
        recording_give_back(recording, thread->root, thread->root);
    return thread->over != NOTHING;
}

/* Gives a node another parent, in another thread. Returns it, or the one that is there already and gets its figures.
 * Within a change. */
uint32_t recording_moved(struct recording *recording, uint32_t index, uint32_t parent, struct thread *target)
{
    struct node *nodes = recording->tables.nodes, *node = &nodes[index];
    /* Where its parent was moved itself it is there under its own key. */
    keys_remove(&recording->node_keys, node->parent, node->key);
    uint32_t there = keys_find(&recording->node_keys, parent, node->key);
    if (there) {
        nodes[there].calls += node->calls;
        nodes[there].self_ticks += node->self_ticks;
        nodes[there].uncounted += node->uncounted;
        nodes[there].timed_ticks += node->timed_ticks;
        nodes[there].opens += node->opens;
        nodes[there].timed += node->timed;
        return there;
    }
    /* One was just taken out: there is room. */
    keys_add(&recording->node_keys, parent, node->key, index);
    node->parent = parent;
    node->next = NOTHING;
    nodes[target->youngest].next = index;
    target->youngest = index;
    return index;
}

/* Takes nodes back that nobody has any more, a chain by `next`, and tells a reader that they are none. Within a change. */
void recording_give_back(struct recording *recording, uint32_t first, uint32_t last)
{
    struct node *nodes = recording->tables.nodes;
    for (uint32_t index = first; index; index = nodes[index].next) {
        nodes[index] = (struct node){.next = nodes[index].next, .parent = NO_INDEX, .function = NO_INDEX};
        recording->used_bytes -= NODE_BYTES;
    }
    nodes[last].next = recording->free_node;
    recording->free_node = first;
}

static uint64_t *left_out_place(struct recording *recording, PyObject *code)
{
    return &recording->left_out[((uint64_t)code >> 4) % LEFT_OUT_PLACES];
}

/* Has a question decide what is recorded; before the recording begins. */
void recording_select(struct recording *recording, PyObject *choice)
{
    Py_IncRef(choice);
    Py_DecRef(recording->questions.choice);
    recording->questions.choice = choice;
    recording->selects = true;
}

/* Asks what is done with calls of a code object; whoever answers keeps what is left out for good. */
static enum choice asked_choice(struct recording *recording, PyObject *code)
{
    uint32_t generation = recording->generation;
    PyObject *question = recording->questions.choice;
    /* It may be let go of meanwhile. */
    Py_IncRef(question);
    PyObject *said = PyObject_CallFunctionObjArgs(question, code, NULL);
    Py_DecRef(question);
    recording_forgive();
    long choice = said ? PyLong_AsLong(said) : CHOICE_FAILED;
    Py_DecRef(said);
    if (!said || recording->generation != generation)
        return CHOICE_FAILED;
    /* Another thread may have come first. */
    if (choice == CHOICE_OUT && !keys_find(&recording->function_keys, 0, (uint64_t)code))
        keys_add(&recording->function_keys, 0, (uint64_t)code, LEFT_OUT);
    return (enum choice)choice;
}

/* Tells whether calls of a code object are recorded, where some are not. */
enum choice recording_choice(struct recording *recording, PyObject *code)
{
    uint64_t *place = left_out_place(recording, code);
    if (*place == (uint64_t)code)
        return CHOICE_OUT;
    enum choice choice = CHOICE_IN;
    if (recording_is_off(recording, code))
        choice = CHOICE_OUT;
    else if (recording->questions.choice && !keys_find(&recording->function_keys, 0, (uint64_t)code))
        choice = asked_choice(recording, code);
    if (choice == CHOICE_OUT && recording->generation)
        *place = (uint64_t)code;
    return choice;
}

/* Records no more calls of a function; what was recorded of it stays. False where it is no code, or is off already. Some
 * threads may be within it: see threads_switch_off. Within a change. */
bool recording_switch_off(struct recording *recording, uint32_t index)
{
    struct tables *tables = &recording->tables;
    if (index <= OVER_FUNCTION || index >= tables->head->functions || (tables->functions[index].kind & ~FUNCTION_RESUMED) != FUNCTION_CODE)
        return false;
    tables->functions[index].kind |= FUNCTION_OFF;
    recording->selects = true;
    /* It is to be asked about at each call. */
    for (uint32_t node = 1; node < tables->head->nodes; node++)
        if (tables->nodes[tables->nodes[node].last].function == index)
            tables->nodes[node].last = NOTHING;
    return true;
}
