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

void threads_ignore(pthread_key_t key, const struct recording *recording);
struct thread *threads_begin(pthread_key_t key, struct recording *recording, long skipped, bool entering, uint64_t now);
void threads_enter(struct recording *recording, PyObject *said);
void threads_retain(struct recording *recording, PyObject *idents);
bool threads_resume(struct recording *recording, uint64_t ident, PyObject *codes, uint64_t now);
PyObject *threads_rehearsed(pthread_key_t key, struct recording *recording, PyObject *function, PyObject *argument,
                            uint32_t timed);
bool threads_switch_off(struct recording *recording, uint32_t index);
bool threads_resynchronise(struct recording *recording, struct thread *thread, long skipped, bool entering);

/* Credits the time since a thread's last event to a node. Within a change. */
static inline struct node *threads_credit(struct recording *recording, struct thread *thread, uint32_t index,
                                          uint64_t now)
{
    struct node *node = &recording->tables.nodes[index];
    /* A clock may go back where the machine was moved. */
    int64_t elapsed = (int64_t)(now - thread->last_ticks);
    node->self_ticks += elapsed > 0 ? (uint64_t)elapsed : 0;
    thread->last_ticks = now;
    return node;
}

/* Returns the number under the key of the calling thread, 0 where it has had no event in this recording. */
static inline uint32_t threads_number(pthread_key_t key, const struct recording *recording)
{
    uint64_t value = (uint64_t)pthread_getspecific(key);
    return value >> 32 == recording->generation ? (uint32_t)value : 0;
}

#endif
