/* Threads of a recording: how one begins, where it is when its events do not fit, and what becomes of ended ones. */
#ifndef EXECD_THREADS_H
#define EXECD_THREADS_H

#include <pthread.h>

#include "glibc.h"
#include "recording.h"

/* What a thread of the program's has under our key: the recording's generation, and its number in there; this one for a
 * thread of which nothing is recorded. */
#define THREAD_IGNORED 0xFFFFFFFFu
/* For one that there was no room for: its calls are counted as lost. */
#define THREAD_NO_ROOM 0xFFFFFFFEu
/* Some minutes, of a counter that counts some GHz and of one that counts ns. */
#define LONGEST_ASKED_TICKS (1ll << 39)

void threads_ignore(pthread_key_t key, struct recording *recording);
struct thread *threads_begin(pthread_key_t key, struct recording *recording, long skipped, bool entering, uint64_t now);
void threads_enter(struct recording *recording, PyObject *said);
void threads_retain(struct recording *recording, PyObject *native_ids);
bool threads_resume(struct recording *recording, uint64_t ident, PyObject *codes, uint64_t now);
PyObject *threads_rehearsed(pthread_key_t key, struct recording *recording, PyObject *function, PyObject *argument,
                            uint32_t timed);
uint32_t threads_descend(struct recording *recording, struct thread *thread, PyObject *codes, uint32_t opened);
bool threads_switch_off(struct recording *recording, uint32_t index);
bool threads_resynchronise(struct recording *recording, struct thread *thread, long skipped, bool entering);

/* Whether a thread has a number and one of the system's, 0 where that is not known: of those two the first is given to
 * others when it has ended, at once. */
static inline bool threads_is(const struct thread *thread, uint64_t ident, int32_t native_id)
{
    return thread->ident == ident && (!thread->native_id || !native_id || thread->native_id == native_id);
}

/* Whether a thread runs still: it may have ended while the agent's code was asked, and its place be another's by now. */
static inline bool threads_goes_on(const struct thread *thread, const struct thread *was)
{
    return thread->state == THREAD_RUNS && thread->root == was->root && threads_is(thread, was->ident, was->native_id);
}

/* Credits the time since a thread's last event to a node. Within a change. */
static inline struct node *threads_credit(struct recording *recording, struct thread *thread, uint32_t index,
                                          uint64_t now)
{
    struct node *node = &recording->tables.nodes[index];
    int64_t elapsed = (int64_t)(now - thread->last_ticks);
    if (__builtin_expect(elapsed < 0, 0)) {
        /* What a handler read before a pause, in which it asked the agent's code something, is older than the pause's end;
         * a clock goes back further, where the machine was moved. */
        if (elapsed < -LONGEST_ASKED_TICKS)
            thread->last_ticks = now;
        return node;
    }
    node->self_ticks += (uint64_t)elapsed;
    thread->last_ticks = now;
    return node;
}

/* Returns where the calling thread's control block is, which no other has that is there (psABI x86-64, ELF TLS): a
 * thread is known by it sooner than by pthread_getspecific, a call, by 1 ns of an event's 15. */
static inline uintptr_t threads_self(void)
{
    uintptr_t self;
    __asm__("mov %%fs:0, %0" : "=r"(self));
    return self;
}

/* Whether the calling thread is the one that is known to run: what there is under its key need not be looked at. */
static inline bool threads_runs(const struct recording *recording)
{
    return atomic_load_explicit(&recording->runs, memory_order_relaxed) == threads_self();
}

/* Has the calling thread, of that number, be known to run, until another does or it ends. */
static inline struct thread *threads_run(struct recording *recording, uint32_t number)
{
    recording->running = &recording->tables.threads[number];
    atomic_store_explicit(&recording->runs, threads_self(), memory_order_relaxed);
    return recording->running;
}

/* Has nobody be known to run: the recording ends, or there is another number under the key of the calling thread. */
static inline void threads_forget_running(struct recording *recording)
{
    atomic_store_explicit(&recording->runs, 0, memory_order_relaxed);
}

/* The same of the calling thread alone, without the GIL: it ends, and another may get its place in memory. */
static inline void threads_stop_running(struct recording *recording)
{
    uintptr_t self = threads_self();
    atomic_compare_exchange_strong(&recording->runs, &self, 0);
}

/* Returns the number under the key of the calling thread, 0 where it has had no event in this recording. */
static inline uint32_t threads_number(pthread_key_t key, const struct recording *recording)
{
    uint64_t value = (uint64_t)pthread_getspecific(key);
    return value >> 32 == recording->generation ? (uint32_t)value : 0;
}

#endif
