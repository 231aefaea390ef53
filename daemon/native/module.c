/* The Python module execd._sampler. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <structmember.h>
#include <unistd.h>

#include "sampler.h"

/* `runs`: within run() or turn(), which hold no GIL. */
typedef struct {
    PyObject_HEAD
    struct sampler *sampler;
    bool runs;
} SamplerObject;

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

/* Whether no offset leads beyond our own buffers. */
static bool is_sound(const struct layout *layout)
{
    int64_t size = layout->code_size;
    return is_sound_state(layout) && is_sound_frame(layout) && is_range(16, size - 16, CODE_HEAD_BYTES) &&
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

/* Nothing runs any more: run() holds a reference. */
static void sampler_dealloc(SamplerObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->sampler)
        sampler_close(self->sampler);
    free(self->sampler);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Gives the GIL away until the run has ended. */
static PyObject *sampler_run_method(SamplerObject *self, PyObject *argument)
{
    unsigned long long interval_ns = PyLong_AsUnsignedLongLong(argument);
    if (PyErr_Occurred())
        return NULL;
    if (self->runs || interval_ns < 1000 || interval_ns > 60000000000ull) {
        PyErr_SetString(PyExc_ValueError, self->runs ? "it runs already" : "an interval is 1 us to 60 s");
        return NULL;
    }
    enum end why;
    self->runs = true;
    Py_BEGIN_ALLOW_THREADS
    why = sampler_run(self->sampler, interval_ns);
    Py_END_ALLOW_THREADS
    self->runs = false;
    static const char *const ends[] = {[END_STOPPED] = "stopped", [END_TARGET] = "ended", [END_PROGRAM] = "replaced"};
    return PyUnicode_FromString(ends[why]);
}

/* Returns a descriptor that is readable while there are code objects that take() has not handed on. */
static PyObject *sampler_news_method(SamplerObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(self->sampler->news);
}

static PyObject *sampler_stop_method(SamplerObject *self, PyObject *Py_UNUSED(ignored))
{
    sampler_stop(self->sampler);
    Py_RETURN_NONE;
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

/* Takes what is new: nodes and code objects beyond so many, and all counts since the last time. The run goes on. */
static PyObject *sampler_take_method(SamplerObject *self, PyObject *arguments)
{
    unsigned int nodes, codes;
    if (!PyArg_ParseTuple(arguments, "II", &nodes, &codes))
        return NULL;
    struct sampler *sampler = self->sampler;
    struct taken taken = {0};
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&sampler->lock);
    Py_END_ALLOW_THREADS
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
    {"run", (PyCFunction)sampler_run_method, METH_O, "Sample with an interval in ns until it ends; says why."},
    {"turn", (PyCFunction)sampler_turn_method, METH_NOARGS, "Take one sample of each thread, now."},
    {"news", (PyCFunction)sampler_news_method, METH_NOARGS, "Return what is readable while code objects are new."},
    {"stop", (PyCFunction)sampler_stop_method, METH_NOARGS, "End the run."},
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

static int module_exec(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&sampler_spec);
    if (!type || PyModule_AddObjectRef(module, "Sampler", type) < 0) {
        Py_XDECREF(type);
        return -1;
    }
    Py_DECREF(type);
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

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "execd._sampler", "Stacks of another process, taken without stopping it.", 0, NULL,
    module_slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__sampler(void)
{
    return PyModuleDef_Init(&module_definition);
}
