/* Threads: those of a target that have a thread state, and what the kernel says of them. */
#ifndef EXECD_THREADS_H
#define EXECD_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "copies.h"
#include "layout.h"

#define THREADS 1000
#define INTERPRETERS 64
#define RUNNING (-2)

/* Of one thread. `arrivals`: how often it was given a processor until the last look. `node`: of its last sample. */
struct thread {
    /* `identity`: where its number is. */
    uint64_t address, next, thread_id, identity, gil;
    pid_t native_id;
    int schedstat, syscall;
    uint64_t arrivals;
    bool was_waiting;
    int64_t system_call;
    uint64_t first_argument;
    uint32_t node;
    int state;
    struct copies *copies;
};

struct interpreter {
    uint64_t address, next, first, gil;
    size_t threads;
};

struct threads {
    struct thread of[THREADS];
    size_t count;
    struct interpreter interpreters[INTERPRETERS];
    size_t interpreters_count;
    bool are_more;
};

bool threads_follow(struct threads *threads, const struct layout *layout, pid_t pid);
void threads_close(struct threads *threads);
bool thread_is_unchanged(struct thread *thread);
bool thread_look(struct thread *thread, pid_t pid);

#endif
