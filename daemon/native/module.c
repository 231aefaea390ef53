/* The Python module execd._sampler. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <stddef.h>
#include <structmember.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "crowd.h"
#include "sampler.h"

/* `runs`: within turn(), which holds no GIL, or in a crowd; or a crowd's thread has not come back from it. */
typedef struct {
    PyObject_HEAD
    struct sampler *sampler;
    bool runs;
} SamplerObject;

#define TAKE_PATIENCE_S 1

#define FIELD(name) {#name, offsetof(struct layout, name)}
static const struct {
    const char *name;
    size_t offset;
} FIELDS[] = {
    FIELD(thread_size), FIELD(thread_next), FIELD(thread_id), FIELD(native_id), FIELD(pthread_tid), FIELD(frame),
    FIELD(frame_in_cframe), FIELD(chunk), FIELD(chunk_top), FIELD(holds_gil), FIELD(holds_gil_mask),
    FIELD(chunk_previous), FIELD(chunk_size), FIELD(chunk_data), FIELD(frame_size), FIELD(frame_code),
    FIELD(frame_tag_bits), FIELD(frame_previous), FIELD(frame_instruction), FIELD(instruction_is_pointer),
    FIELD(instruction_unit), FIELD(frame_owner), FIELD(hidden_owner), FIELD(frame_executing), FIELD(executing_mark),
    FIELD(code_size), FIELD(code_start),
    FIELD(code_units), FIELD(mark_1), FIELD(mark_1_size), FIELD(mark_2), FIELD(mark_2_size), FIELD(mark_3),
    FIELD(mark_3_size), FIELD(interpreters_head), FIELD(code_type), FIELD(interpreter_next),
    FIELD(threads_head), FIELD(gil), FIELD(gil_is_pointer), FIELD(gil_address), FIELD(gil_holder), FIELD(gil_locked),
    FIELD(gil_size),
};
#define FIELDS_COUNT (sizeof FIELDS / sizeof FIELDS[0])

static bool is_range(int64_t offset, int64_t size, int64_t of)
{
    return offset >= 0 && size >= 0 && size <= of && offset <= of - size;
}

/* Whether a word at an offset lies within what is read of a struct, or there is none. */
static bool may_be_word(int64_t offset, int64_t of)
{
    return offset == NONE || is_range(offset, 8, of);
}

static bool is_sound_state(const struct layout *layout)
{
    int64_t size = layout->thread_size;
    bool has_chunks = layout->chunk != NONE;
    return is_range(0, size, THREAD_BYTES) && is_range(layout->thread_next, 8, size) &&
           is_range(layout->thread_id, 8, size) && is_range(layout->frame, 8, size) &&
           may_be_word(layout->native_id, size) && may_be_word(layout->chunk, size) &&
           has_chunks == (layout->chunk_top != NONE) && may_be_word(layout->chunk_top, size) &&
           may_be_word(layout->holds_gil, size) && may_be_word(layout->frame_in_cframe, 16) &&
           is_range(layout->chunk_previous, 8, 24) && is_range(layout->chunk_size, 8, 24) && layout->chunk_data >= 0;
}

static bool is_sound_frame(const struct layout *layout)
{
    int64_t size = layout->frame_size;
    return is_range(0, size, FRAME_BYTES) && is_range(layout->frame_code, 8, size) &&
           is_range(layout->frame_previous, 8, size) && is_range(layout->frame_instruction, 8, size) &&
           (layout->frame_owner == NONE || is_range(layout->frame_owner, 1, size)) &&
           (layout->frame_executing == NONE || is_range(layout->frame_executing, 1, size)) &&
           (layout->hidden_owner == NONE || layout->frame_owner != NONE);
}

/* Whether what is looked at of a GIL lies in its beginning. */
static bool is_sound_gil(const struct layout *layout)
{
    return layout->holds_gil != NONE || (is_range(layout->gil_holder, 8, GIL_BYTES) &&
                                         is_range(layout->gil_locked, 8, GIL_BYTES));
}

/* Whether no offset leads beyond our own buffers. */
static bool is_sound(const struct layout *layout)
{
    int64_t size = layout->code_size;
    return is_sound_state(layout) && is_sound_frame(layout) && is_sound_gil(layout) &&
           is_range(16, size - 16, CODE_HEAD_BYTES) &&
           may_be_word(layout->code_units, size) && is_range(layout->mark_1, layout->mark_1_size, size) &&
           is_range(layout->mark_2, layout->mark_2_size, size) && is_range(layout->mark_3, layout->mark_3_size, size);
}

/* Fills a layout from a dict of its fields. False with an exception set. */
static bool layout_from(struct layout *layout, PyObject *given)
{
    for (size_t index = 0; index < FIELDS_COUNT; index++) {
        PyObject *value = PyDict_GetItemString(given, FIELDS[index].name);
        if (!value) {
            PyErr_Format(PyExc_KeyError, "%s", FIELDS[index].name);
            return false;
        }
        long long number = PyLong_AsLongLong(value);
        if (number == -1 && PyErr_Occurred())
            return false;
        memcpy((char *)layout + FIELDS[index].offset, &(int64_t){number}, sizeof(int64_t));
    }
    if (!is_sound(layout))
        PyErr_SetString(PyExc_ValueError, "an offset lies outside of its struct");
    return is_sound(layout);
}

static PyObject *sampler_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"pid", "pidfd", "layout", "nodes_limit", "stopping", "seed", "thread", NULL};
    struct request request = {0};
    PyObject *given;
    int stopping;
    unsigned long long seed;
    struct layout layout;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "iiO!IiK|i", names, &request.pid, &request.pidfd,
                                     &PyDict_Type, &given, &request.nodes_limit, &stopping, &seed, &request.thread) ||
        !layout_from(&layout, given))
        return NULL;
    if (stopping < STOP_AS_NEEDED || stopping > STOP_NEVER || request.pid <= 0 || request.thread < 0) {
        PyErr_SetString(PyExc_ValueError, "there is no such process, thread or way to stop");
        return NULL;
    }
    request.stopping = (enum stopping)stopping;
    request.seed = seed;
    SamplerObject *self = (SamplerObject *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->sampler = calloc(1, sizeof *self->sampler);
    if (!self->sampler || !sampler_open(self->sampler, &request, &layout)) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

/* No turn begins any more: turn() and crowds hold references. A thread that a crowd has left behind may be at one. */
static void sampler_dealloc(SamplerObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->sampler)
        sampler_drop(self->sampler);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Returns a descriptor that is readable while there are code objects that take() has not handed on. */
static PyObject *sampler_news_method(SamplerObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(self->sampler->news);
}

/* Returns why there is no more to take, and when that was seen, by time.monotonic(). */
static PyObject *sampler_end_method(SamplerObject *self, PyObject *Py_UNUSED(ignored))
{
    static const char *const words[] = {[END_TARGET] = "ended", [END_PROGRAM] = "replaced"};
    int end = atomic_load(&self->sampler->end);
    if (end == END_NONE)
        Py_RETURN_NONE;
    return Py_BuildValue("sd", words[end], (double)self->sampler->end_at_ns / SECOND_NS);
}

/* Takes one turn, now. */
static PyObject *sampler_turn_method(SamplerObject *self, PyObject *Py_UNUSED(ignored))
{
    if (self->runs) {
        PyErr_SetString(PyExc_ValueError, "it runs already");
        return NULL;
    }
    bool is_taken;
    self->runs = true;
    Py_BEGIN_ALLOW_THREADS
    is_taken = sampler_turn(self->sampler);
    Py_END_ALLOW_THREADS
    self->runs = false;
    if (!is_taken) {
        PyErr_SetString(PyExc_RuntimeError, "can't start new thread");
        return NULL;
    }
    Py_RETURN_NONE;
}

#define FIGURE(name) {#name, offsetof(struct figures, name)}
static const struct {
    const char *name;
    size_t offset;
} FIGURES[] = {
    FIGURE(turns), FIGURE(missed_turns), FIGURE(samples), FIGURE(unchanged), FIGURE(verified), FIGURE(unsettled),
    FIGURE(unread), FIGURE(torn), FIGURE(no_code), FIGURE(no_room), FIGURE(unread_lists), FIGURE(put_off),
    FIGURE(threads_left_out),
};

/* What take() hands on: bytes, which no collection looks at, so that none runs while the sampler waits for the lock. */
struct taken {
    PyObject *nodes, *codes, *held, *counts;
    struct figures figures;
    struct stops stops;
};

static void taken_free(struct taken *taken)
{
    Py_XDECREF(taken->nodes);
    Py_XDECREF(taken->codes);
    Py_XDECREF(taken->held);
    Py_XDECREF(taken->counts);
}

static PyObject *bytes_of(const void *first, uint32_t count, size_t size)
{
    return PyBytes_FromStringAndSize(first, (Py_ssize_t)(count * size));
}

/* Takes all counts, and nodes and code objects beyond so many. False with an exception set; then nothing is taken. */
static bool take(struct sampler *sampler, struct taken *taken, uint32_t nodes, uint32_t codes)
{
    const struct tree *tree = &sampler->tree;
    if (nodes > tree->count || codes > sampler->codes.count) {
        PyErr_SetString(PyExc_ValueError, "there are not so many");
        return false;
    }
    taken->figures = sampler->figures;
    taken->stops = sampler->stops;
    taken->nodes = bytes_of(tree->nodes + nodes, tree->count - nodes, sizeof *tree->nodes);
    taken->codes = bytes_of(sampler->codes.entries + codes, sampler->codes.count - codes, sizeof(struct code));
    taken->held = bytes_of(sampler->stops.buckets, 1, sizeof sampler->stops.buckets);
    taken->counts = bytes_of(NULL, tree_counted(tree, NULL), sizeof(struct counted));
    if (!taken->nodes || !taken->codes || !taken->held || !taken->counts)
        return false;
    tree_counted(tree, (struct counted *)PyBytes_AS_STRING(taken->counts));
    tree_clear(&sampler->tree);
    uint64_t told;
    ssize_t size = read(sampler->news, &told, sizeof told);
    (void)size; /* There may have been none. */
    return true;
}

/* Sets a number of a dict. False with an exception set. */
static bool set_number(PyObject *into, const char *name, uint64_t value)
{
    PyObject *number = PyLong_FromUnsignedLongLong(value);
    bool is_set = number && PyDict_SetItemString(into, name, number) == 0;
    Py_XDECREF(number);
    return is_set;
}

static PyObject *figures_of(const struct taken *taken)
{
    PyObject *into = PyDict_New();
    bool are_set = into != NULL;
    for (size_t index = 0; index < sizeof FIGURES / sizeof FIGURES[0] && are_set; index++) {
        uint64_t value;
        memcpy(&value, (const char *)&taken->figures + FIGURES[index].offset, sizeof value);
        are_set = set_number(into, FIGURES[index].name, value);
    }
    are_set = are_set && set_number(into, "stopped", taken->stops.count) &&
              set_number(into, "stop_refused", taken->stops.refused);
    if (!are_set)
        Py_CLEAR(into);
    return into;
}

/* Waits for what a turn changes, but not for one that is at a read which does not come back. */
static bool lock_for_taking(struct sampler *sampler)
{
    struct timespec patience;
    clock_gettime(CLOCK_REALTIME, &patience);
    patience.tv_sec += TAKE_PATIENCE_S;
    return pthread_mutex_timedlock(&sampler->lock, &patience) == 0;
}

/* Takes what is new: nodes and code objects beyond so many, and all counts since the last time; None where a turn goes on
 * for very long. Turns go on. */
static PyObject *sampler_take_method(SamplerObject *self, PyObject *arguments)
{
    unsigned int nodes, codes;
    if (!PyArg_ParseTuple(arguments, "II", &nodes, &codes))
        return NULL;
    struct sampler *sampler = self->sampler;
    struct taken taken = {0};
    bool is_locked;
    Py_BEGIN_ALLOW_THREADS
    is_locked = lock_for_taking(sampler);
    Py_END_ALLOW_THREADS
    if (!is_locked)
        Py_RETURN_NONE;
    bool is_taken = take(sampler, &taken, nodes, codes);
    pthread_mutex_unlock(&sampler->lock);
    PyObject *figures = is_taken ? figures_of(&taken) : NULL, *result = NULL;
    if (figures)
        result = Py_BuildValue("{s:O,s:O,s:O,s:O,s:O}", "nodes", taken.nodes, "codes", taken.codes, "held", taken.held,
                               "counts", taken.counts, "figures", figures);
    Py_XDECREF(figures);
    if (is_taken && !result) {
        /* Without memory for the rest; they are for the next time. */
        size_t rows = (size_t)PyBytes_GET_SIZE(taken.counts) / sizeof(struct counted);
        pthread_mutex_lock(&sampler->lock);
        tree_give_back(&sampler->tree, (const struct counted *)PyBytes_AS_STRING(taken.counts), (uint32_t)rows);
        pthread_mutex_unlock(&sampler->lock);
    }
    taken_free(&taken);
    return result;
}

static PyMethodDef sampler_methods[] = {
    {"turn", (PyCFunction)sampler_turn_method, METH_NOARGS, "Take one sample of each thread, now."},
    {"news", (PyCFunction)sampler_news_method, METH_NOARGS, "Return what is readable while code objects are new."},
    {"end", (PyCFunction)sampler_end_method, METH_NOARGS, "Return why it has ended by itself, and when; None before."},
    {"take", (PyCFunction)sampler_take_method, METH_VARARGS, "Take what is new since so many nodes and code objects."},
    {NULL},
};

static PyType_Slot sampler_slots[] = {
    {Py_tp_new, sampler_new},
    {Py_tp_dealloc, sampler_dealloc},
    {Py_tp_methods, sampler_methods},
    {Py_tp_doc, "Samples one process from outside."},
    {0},
};

static PyType_Spec sampler_spec = {
    "execd._sampler.Sampler", sizeof(SamplerObject), 0, Py_TPFLAGS_DEFAULT, sampler_slots,
};

/* `samplers`: those that are in it, which stay for as long. */
typedef struct {
    PyObject_HEAD
    struct crowd crowd;
    bool is_open;
    PyObject *samplers;
} CrowdObject;

/* The type of samplers: the state of the module. */
typedef struct {
    PyTypeObject *sampler;
} ModuleState;

static PyObject *crowd_new(PyTypeObject *type, PyObject *Py_UNUSED(arguments), PyObject *Py_UNUSED(keywords))
{
    CrowdObject *self = (CrowdObject *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->samplers = PySet_New(NULL);
    self->is_open = true;
    if (!crowd_open(&self->crowd)) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_CLEAR(self);
    } else if (!self->samplers) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static void crowd_dealloc(CrowdObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    bool is_free = !self->is_open || crowd_close(&self->crowd);
    Py_XDECREF(self->samplers);
    if (is_free)
        type->tp_free(self);
    Py_DECREF(type);
}

/* Lets a sampler take turns with an interval in ns. */
static PyObject *crowd_add_method(CrowdObject *self, PyObject *arguments)
{
    ModuleState *state = PyType_GetModuleState(Py_TYPE(self));
    SamplerObject *sampler;
    unsigned long long interval_ns;
    if (!PyArg_ParseTuple(arguments, "O!K", state->sampler, &sampler, &interval_ns))
        return NULL;
    if (sampler->runs || interval_ns < 1000 || interval_ns > 60000000000ull) {
        PyErr_SetString(PyExc_ValueError, sampler->runs ? "it runs already" : "an interval is 1 us to 60 s");
        return NULL;
    }
    if (PySet_Add(self->samplers, (PyObject *)sampler) < 0)
        return NULL;
    bool is_added;
    sampler->runs = true;
    Py_BEGIN_ALLOW_THREADS
    is_added = crowd_add(&self->crowd, sampler->sampler, interval_ns);
    Py_END_ALLOW_THREADS
    if (is_added)
        Py_RETURN_NONE;
    sampler->runs = false;
    if (PySet_Discard(self->samplers, (PyObject *)sampler) >= 0)
        PyErr_SetString(PyExc_RuntimeError, "can't start new thread");
    return NULL;
}

/* Ends a sampler's turns; one that is not in the crowd is left alone. */
static PyObject *crowd_remove_method(CrowdObject *self, PyObject *given)
{
    int is_there = PySet_Contains(self->samplers, given);
    if (is_there < 0)
        return NULL;
    if (is_there) {
        SamplerObject *sampler = (SamplerObject *)given;
        bool is_left;
        Py_BEGIN_ALLOW_THREADS
        is_left = !crowd_remove(&self->crowd, sampler->sampler);
        Py_END_ALLOW_THREADS
        sampler->runs = is_left;
        if (PySet_Discard(self->samplers, given) < 0)
            return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *crowd_relieve_method(CrowdObject *self, PyObject *Py_UNUSED(ignored))
{
    Py_BEGIN_ALLOW_THREADS
    crowd_relieve(&self->crowd);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyMethodDef crowd_methods[] = {
    {"add", (PyCFunction)crowd_add_method, METH_VARARGS, "Let a sampler take turns with an interval in ns."},
    {"remove", (PyCFunction)crowd_remove_method, METH_O, "End a sampler's turns."},
    {"relieve", (PyCFunction)crowd_relieve_method, METH_NOARGS, "Let no process keep the turns of others waiting."},
    {NULL},
};

static PyType_Slot crowd_slots[] = {
    {Py_tp_new, crowd_new},
    {Py_tp_dealloc, crowd_dealloc},
    {Py_tp_methods, crowd_methods},
    {Py_tp_doc, "Samplers at work."},
    {0},
};

static PyType_Spec crowd_spec = {
    "execd._sampler.Crowd", sizeof(CrowdObject), 0, Py_TPFLAGS_DEFAULT, crowd_slots,
};

/* Makes a type of the module. NULL with an exception set. */
static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    if (type && PyModule_AddType(module, type) < 0)
        Py_CLEAR(type);
    return type;
}

static int module_exec(PyObject *module)
{
    ModuleState *state = PyModule_GetState(module);
    state->sampler = add_type(module, &sampler_spec);
    PyTypeObject *crowd = state->sampler ? add_type(module, &crowd_spec) : NULL;
    if (!crowd)
        return -1;
    Py_DECREF(crowd);
    static const struct {
        const char *name;
        long value;
    } constants[] = {
        {"CODE_BYTES", sizeof(struct code)}, {"CODE_HEAD", offsetof(struct code, head)},
        {"STOP_AS_NEEDED", STOP_AS_NEEDED}, {"STOP_ALWAYS", STOP_ALWAYS}, {"STOP_NEVER", STOP_NEVER},
    };
    for (size_t index = 0; index < sizeof constants / sizeof constants[0]; index++)
        if (PyModule_AddIntConstant(module, constants[index].name, constants[index].value) < 0)
            return -1;
    return 0;
}

static int module_clear(PyObject *module)
{
    ModuleState *state = PyModule_GetState(module);
    Py_CLEAR(state->sampler);
    return 0;
}

static void module_free(void *module)
{
    module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "execd._sampler", "Stacks of another process, taken without stopping it.",
    sizeof(ModuleState), NULL, module_slots, NULL, module_clear, module_free,
};

PyMODINIT_FUNC PyInit__sampler(void)
{
    return PyModuleDef_Init(&module_definition);
}
