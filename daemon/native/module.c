/* The Python module execd._sampler. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <structmember.h>

#include "sampler.h"

/* `runs`: within run(), which holds no GIL. */
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
    FIELD(instruction_unit), FIELD(frame_owner), FIELD(hidden_owner), FIELD(code_size), FIELD(code_start),
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
           (layout->hidden_owner == NONE || is_range(layout->frame_owner, 1, size));
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
    static char *names[] = {"pid", "pidfd", "layout", "nodes_limit", "stopping", "seed", NULL};
    int pid, pidfd;
    PyObject *given;
    unsigned int nodes_limit;
    int stopping;
    unsigned long long seed;
    struct layout layout;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "iiO!IiK", names, &pid, &pidfd, &PyDict_Type, &given,
                                     &nodes_limit, &stopping, &seed) ||
        !layout_from(&layout, given))
        return NULL;
    SamplerObject *self = (SamplerObject *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->sampler = calloc(1, sizeof *self->sampler);
    if (!self->sampler ||
        !sampler_open(self->sampler, pid, pidfd, &layout, nodes_limit, (enum stopping)stopping, seed)) {
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
    return PyUnicode_FromString(why == END_STOPPED ? "stopped" : "ended");
}

static PyObject *sampler_stop_method(SamplerObject *self, PyObject *Py_UNUSED(ignored))
{
    sampler_stop(self->sampler);
    Py_RETURN_NONE;
}

/* Returns the counts of a tree that are not 0 as bytes, and sets them to 0: node, and a count for each state, 32 bits
 * each. */
static PyObject *counts_taken(struct tree *tree)
{
    uint32_t rows = 0;
    for (uint32_t index = 0; index < tree->count; index++)
        for (int state = 0; state < STATES; state++)
            if (tree->counts[index][state]) {
                rows++;
                break;
            }
    PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)rows * (1 + STATES) * 4);
    if (!result)
        return NULL;
    uint32_t *into = (uint32_t *)PyBytes_AS_STRING(result);
    for (uint32_t index = 0; index < tree->count && rows; index++) {
        uint32_t any = 0;
        for (int state = 0; state < STATES; state++)
            any |= tree->counts[index][state];
        if (!any)
            continue;
        *into++ = index;
        memcpy(into, tree->counts[index], sizeof tree->counts[index]);
        into += STATES;
        memset(tree->counts[index], 0, sizeof tree->counts[index]);
        rows--;
    }
    return result;
}

/* Takes what is new: nodes and code objects beyond so many, and all counts since the last time. The run goes on. */
static PyObject *sampler_take_method(SamplerObject *self, PyObject *arguments)
{
    unsigned int nodes, codes;
    if (!PyArg_ParseTuple(arguments, "II", &nodes, &codes))
        return NULL;
    struct sampler *sampler = self->sampler;
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&sampler->lock);
    Py_END_ALLOW_THREADS
    struct figures figures = sampler->figures;
    PyObject *counts = NULL, *result = NULL;
    if (nodes > sampler->tree.count || codes > sampler->codes.count)
        PyErr_SetString(PyExc_ValueError, "there are not so many");
    else
        counts = counts_taken(&sampler->tree);
    if (counts)
        result = Py_BuildValue(
            "{s:y#,s:y#,s:y#,s:N,s:{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K}}", "nodes",
            sampler->tree.nodes + nodes,
            (Py_ssize_t)((sampler->tree.count - nodes) * sizeof(struct node)), "codes", sampler->codes.entries + codes,
            (Py_ssize_t)((sampler->codes.count - codes) * sizeof(struct code)), "held", sampler->stops.buckets,
            (Py_ssize_t)sizeof sampler->stops.buckets, "counts", counts, "figures", "turns",
            figures.turns, "missed_turns", figures.missed_turns, "samples", figures.samples, "unchanged",
            figures.unchanged, "verified", figures.verified, "unsettled",
            figures.unsettled, "unread_lists", figures.unread_lists, "unread", figures.unread, "torn", figures.torn,
            "no_code", figures.no_code, "no_room", figures.no_room, "stopped", sampler->stops.count,
            "stop_refused", sampler->stops.refused);
    pthread_mutex_unlock(&sampler->lock);
    return result;
}

static PyMethodDef sampler_methods[] = {
    {"run", (PyCFunction)sampler_run_method, METH_O, "Sample with an interval in ns until it ends; says why."},
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
