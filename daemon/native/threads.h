/* Threads: those of a target that have a thread state, and what the kernel says of them. */
#ifndef EXECD_THREADS_H
#define EXECD_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "copies.h"
#include "layout.h"
#include "numbers.h"
#include "remote.h"

#define THREADS 1000
#define INTERPRETERS 64
/* What is read of an interpreter by one range, where its links lie so near each other. */
#define INTERPRETER_BYTES 128
/* The most of a list of ranges that a look at the lists of threads takes. */
#define LINKS_RANGES (1 + 2 * INTERPRETERS + 2 * THREADS)
#define RUNNING (-2)

/* Of one thread. `arrivals`: how often it was given a processor until the last look. `node`: of its last sample. */
struct thread {
    /* `identity`: where its number is. */
    uint64_t address, next, thread_id, identity, gil;
    /* Its number as the target knows it, and as we do. */
    pid_t native_id, task;
    /* Of files in /proc; -1 where it was not sampled yet, or they could not be opened. */
    int schedstat, syscall;
    uint64_t arrivals;
    /* Whether it waited at its last sample, and has not run since as far as was asked; whether the last one who asked found
     * that. */
    bool was_waiting, has_stayed;
    /* Whether a thread state after it in the list has its number. */
    bool is_doubled;
    int64_t system_call;
    uint64_t first_argument;
    uint32_t node;
    int state;
    /* In which slice of time was looked whether it may be stopped, and whether it may. */
    uint64_t asked_slice;
    bool may_stop;
    struct places *places;
};

struct interpreter {
    uint64_t address, next, first, gil;
};

/* As one walk found them. `left_out`: threads for which there was no place. */
struct thread_list {
    size_t count, interpreters_count;
    uint64_t left_out;
    struct interpreter interpreters[INTERPRETERS];
    struct thread of[THREADS];
};

/* What of the lists is compared with what is known: of a thread state the part that its links and numbers lie in, and
 * whether it is. `expected`: how many ranges of a list they are. */
struct links {
    size_t expected;
    bool are_compared[THREADS];
    uint64_t head;
    unsigned char interpreters[INTERPRETERS][INTERPRETER_BYTES];
    unsigned char threads[THREADS][THREAD_BYTES];
    int32_t native_ids[THREADS];
};

/* Begins with zeros and `known` at the first list; a walk fills the other one. `has_numbers`: those of its own PID
 * namespace. */
struct threads {
    struct thread_list lists[2], *known;
    bool has_numbers;
    /* When all links were compared last, and after how many looks they are again; whether all are now. */
    uint64_t compared_at_ns;
    unsigned looks_left;
    bool compares_all;
    struct numbers numbers;
};

void threads_expect(struct threads *threads, struct links *links, const struct layout *layout, uint64_t now_ns,
                    const struct thread *read_whole, struct remote_list *list);
void threads_accept(const struct threads *threads, struct links *links, const struct thread *thread,
                    const unsigned char *state);
bool threads_are_known(const struct threads *threads, const struct links *links, const struct layout *layout,
                       size_t whole);
bool threads_walk(struct threads *threads, const struct layout *layout, pid_t pid);
void threads_close(struct threads *threads);
void thread_ask(struct thread *thread, pid_t pid);
bool thread_has_stayed(const struct thread *thread);
bool thread_look(struct thread *thread);
bool thread_may_stop(struct thread *thread, pid_t pid, uint64_t slice);

#endif
