/* execd._coretables: copies of the tables that a native core keeps in its target, from the memfd that both have open.
 *
 * All that is in there is a target's, who may change it at any instant to anything. Of a mapping only the head is looked
 * at, and judged as it was copied; the rest is read as from a file: a page that is not there ends nobody then.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../inprocess/native/tables.h"
#include "../../inprocess/native/ticks.h"

/* A change takes some 10 ns; one that takes so long is of a thread that has no processor. */
#define QUIET_NS 1000000
/* After so many pauses of the processor a writer that did not see us has begun, and has seen us. */
#define PAUSES 200
#define LOOKS 64
/* What tables may have grown by between two looks. */
#define GROWTH_BYTES (1 << 16)
#define PARTS 4

/* What is used of nodes, threads, functions and texts: where it lies, and how much it is. */
struct part {
    uint64_t at, bytes;
};

struct plan {
    struct part parts[PARTS];
    /* The head of a copy that has nothing else; its size is that of all. */
    struct head head;
};

enum outcome { COPIED, NOT_NOW, NO_TABLES, FAILED };

typedef struct {
    PyObject_HEAD
    int descriptor;
    struct head *head;
    uint32_t readers;
} Tables;

static uint64_t aligned(uint64_t bytes)
{
    return (bytes + 63) & ~63ull;
}

/* Plans a copy of what a head has; false where it is none of ours, or what it tells of lies outside of the file. */
static bool planned(struct plan *plan, const struct head *head, uint64_t file_bytes)
{
    const uint64_t at[PARTS] = {head->nodes_at, head->threads_at, head->functions_at, head->text_at};
    const uint64_t bytes[PARTS] = {head->nodes * sizeof(struct node), head->threads * sizeof(struct thread),
                                   head->functions * sizeof(struct function), head->text_bytes};
    if (head->magic != TABLES_MAGIC || head->version != TABLES_VERSION || head->head_bytes != sizeof *head)
        return false;
    plan->head = *head;
    uint64_t *places[PARTS] = {&plan->head.nodes_at, &plan->head.threads_at, &plan->head.functions_at,
                               &plan->head.text_at};
    uint64_t end = sizeof *head;
    for (int index = 0; index < PARTS; index++) {
        if (at[index] > file_bytes || bytes[index] > file_bytes - at[index])
            return false;
        plan->parts[index] = (struct part){at[index], bytes[index]};
        *places[index] = aligned(end);
        end = *places[index] + bytes[index];
    }
    plan->head.size = aligned(end);
    plan->head.reader = 0;
    return true;
}

static bool read_part(int descriptor, char *place, struct part part)
{
    while (part.bytes) {
        ssize_t count = pread(descriptor, place, part.bytes, (off_t)part.at);
        if (count == 0 || (count < 0 && errno != EINTR))
            return false;
        if (count > 0)
            part = (struct part){part.at + (uint64_t)count, part.bytes - (uint64_t)count}, place += count;
    }
    return true;
}

/* Reads all that was planned to a place that is large enough. */
static bool read_all(int descriptor, const struct plan *plan, char *place)
{
    const uint64_t at[PARTS + 1] = {plan->head.nodes_at, plan->head.threads_at, plan->head.functions_at,
                                    plan->head.text_at, plan->head.size};
    memcpy(place, &plan->head, sizeof plan->head);
    for (int index = 0; index < PARTS; index++) {
        uint64_t end = at[index] + plan->parts[index].bytes;
        if (!read_part(descriptor, place + at[index], plan->parts[index]))
            return false;
        memset(place + end, 0, at[index + 1] - end);
    }
    return true;
}

static bool plan_now(const Tables *self, struct plan *plan)
{
    struct stat facts;
    struct head head;
    memcpy(&head, self->head, sizeof head);
    return fstat(self->descriptor, &facts) == 0 && planned(plan, &head, (uint64_t)facts.st_size);
}

/* Reads what time it is by the clock of a plan that goes on; by that of a thread's CPU time nothing is to be read here. */
static void put_latest(struct plan *plan)
{
    if (!plan->head.is_over && plan->head.clock != CLOCK_CPU)
        plan->head.latest = ticks_instant(plan->head.clock);
}

/* Waits until nothing changes, for an instant at most. */
static bool is_quiet(struct head *head, uint64_t *sequence)
{
    uint64_t began_ns = ticks_of_clock(CLOCK_MONOTONIC);
    for (int pause = 0; pause < PAUSES; pause++)
        __builtin_ia32_pause();
    while ((*sequence = atomic_load_explicit(&head->sequence, memory_order_acquire)) & 1) {
        if (ticks_of_clock(CLOCK_MONOTONIC) - began_ns > QUIET_NS)
            return false;
        for (int look = 0; look < LOOKS; look++)
            __builtin_ia32_pause();
        sched_yield();
    }
    return true;
}

/* Copies while the writer waits. */
static enum outcome copy_held(Tables *self, char *place, uint64_t room, struct plan *plan)
{
    uint64_t sequence;
    if (!is_quiet(self->head, &sequence))
        return NOT_NOW;
    if (!plan_now(self, plan))
        return NO_TABLES;
    if (plan->head.size > room)
        return NOT_NOW;
    put_latest(plan);
    if (!read_all(self->descriptor, plan, place))
        return FAILED;
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&self->head->sequence, memory_order_relaxed) == sequence ? COPIED : NOT_NOW;
}

static enum outcome copy_consistent(Tables *self, char *place, uint64_t room, struct plan *plan)
{
    /* Once without order: what is slow about pages that are touched first is over then. */
    if (!read_all(self->descriptor, plan, place))
        return FAILED;
    uint32_t number = ++self->readers ? self->readers : ++self->readers;
    atomic_store(&self->head->reader, number);
    enum outcome outcome = copy_held(self, place, room, plan);
    atomic_compare_exchange_strong(&self->head->reader, &number, 0);
    return outcome;
}

static enum outcome copy_as_it_is(Tables *self, char *place, uint64_t room, struct plan *plan)
{
    (void)room;
    put_latest(plan);
    return read_all(self->descriptor, plan, place) ? COPIED : FAILED;
}

static bool is_open(const Tables *self)
{
    if (!self->head)
        PyErr_SetString(PyExc_ValueError, "the tables are closed");
    return self->head != NULL;
}

/* Returns what the outcome of a copy comes to; takes the bytes over. */
static PyObject *result(enum outcome outcome, PyObject *bytes, const struct plan *plan)
{
    if (outcome == COPIED) {
        _PyBytes_Resize(&bytes, (Py_ssize_t)plan->head.size);
        return bytes;
    }
    Py_DECREF(bytes);
    if (outcome == NOT_NOW)
        Py_RETURN_NONE;
    if (outcome == NO_TABLES)
        PyErr_SetString(PyExc_ValueError, "these are no tables of a core");
    else
        PyErr_SetString(PyExc_OSError, "the tables end too soon");
    return NULL;
}

static PyObject *copied(Tables *self, PyObject *argument, enum outcome (*copy)(Tables *, char *, uint64_t, struct plan *))
{
    unsigned long long limit = PyLong_AsUnsignedLongLong(argument);
    struct plan plan;
    if (PyErr_Occurred() || !is_open(self))
        return NULL;
    if (!plan_now(self, &plan)) {
        PyErr_SetString(PyExc_ValueError, "these are no tables of a core");
        return NULL;
    }
    uint64_t room = plan.head.size + plan.head.size / 8 + GROWTH_BYTES;
    if (plan.head.size > limit)
        return PyErr_Format(PyExc_ValueError, "tables of a core of %llu bytes, where %llu are allowed",
                            (unsigned long long)plan.head.size, limit);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
    if (!bytes)
        return NULL;
    char *place = PyBytes_AS_STRING(bytes);
    enum outcome outcome;
    Py_BEGIN_ALLOW_THREADS
    outcome = copy(self, place, room, &plan);
    Py_END_ALLOW_THREADS
    return result(outcome, bytes, &plan);
}

static PyObject *tables_copy_consistent(PyObject *self, PyObject *limit_bytes)
{
    return copied((Tables *)self, limit_bytes, copy_consistent);
}

static PyObject *tables_copy_as_it_is(PyObject *self, PyObject *limit_bytes)
{
    return copied((Tables *)self, limit_bytes, copy_as_it_is);
}

static PyObject *tables_sequence(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (!is_open((Tables *)self))
        return NULL;
    return PyLong_FromUnsignedLongLong(atomic_load(&((Tables *)self)->head->sequence));
}

static void let_go(Tables *self)
{
    if (self->head)
        munmap(self->head, sizeof *self->head);
    if (self->descriptor >= 0)
        close(self->descriptor);
    self->head = NULL;
    self->descriptor = -1;
}

static PyObject *tables_let_go(PyObject *self, PyObject *unused)
{
    (void)unused;
    let_go((Tables *)self);
    Py_RETURN_NONE;
}

static PyObject *tables_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"", NULL};
    int descriptor;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "i", names, &descriptor))
        return NULL;
    Tables *self = (Tables *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->descriptor = -1;
    void *mapped = mmap(NULL, sizeof *self->head, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (mapped == MAP_FAILED) {
        Py_DECREF(self);
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    self->descriptor = descriptor;
    self->head = mapped;
    return (PyObject *)self;
}

static void tables_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    let_go((Tables *)self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"copy", tables_copy_consistent, METH_O, NULL},
    {"copy_as_it_is", tables_copy_as_it_is, METH_O, NULL},
    {"sequence", tables_sequence, METH_NOARGS, NULL},
    {"close", tables_let_go, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, tables_new}, {Py_tp_dealloc, tables_dealloc}, {Py_tp_methods, methods}, {0, NULL}};
static PyType_Spec spec = {"execd._coretables.Tables", sizeof(Tables), 0, Py_TPFLAGS_DEFAULT, slots};

static int prepare(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&spec);
    int failed = !type || PyModule_AddObjectRef(module, "Tables", type) < 0;
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, prepare}, {0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "execd._coretables", .m_slots = module_slots};

PyMODINIT_FUNC PyInit__coretables(void)
{
    return PyModuleDef_Init(&definition);
}
