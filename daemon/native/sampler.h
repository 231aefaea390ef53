/* Sampler: takes the stacks of one process's threads again and again, from outside. */
#ifndef EXECD_SAMPLER_H
#define EXECD_SAMPLER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "codes.h"
#include "layout.h"
#include "scratch.h"
#include "slices.h"
#include "stop.h"
#include "threads.h"
#include "tree.h"

/* Why there is no more to take: it was asked to stop, its target has ended, or executes another program. */
enum end { END_NONE, END_STOPPED, END_TARGET, END_PROGRAM };

/* Of all samples since the sampler was made; see execd.sampling.recording for their words. Each sample is one of those
 * that are unchanged, verified or unsettled, which are counted in the tree, or unread, torn, no_code or no_room, which
 * are lost. */
struct figures {
    uint64_t turns, missed_turns, samples, unchanged, verified, unsettled;
    uint64_t unread, torn, no_code, no_room;
    /* Turns in which the list of threads could not be read; threads that a turn left to the next one for lack of time;
     * threads for which there was no place at the last look: the only one of these that is no sum. */
    uint64_t unread_lists, put_off, threads_left_out;
};

/* Most of it is never touched. */
struct sampler {
    pid_t pid;
    /* The only one that is sampled, by the kernel's number in the process's own PID namespace; 0 for all. */
    pid_t thread;
    int pidfd, stopfd;
    /* Of the memory of the program that runs now: nothing is there once that has ended. */
    int memory;
    /* Becomes readable when there are new code objects, whose names should be read soon. */
    int news;
    struct layout layout;
    struct threads threads;
    struct codes codes;
    struct tree tree;
    struct figures figures;
    /* Of whoever takes its turns, set by them. */
    struct scratch *scratch;
    struct stops stops;
    struct slices slices;
    /* When code objects are looked at again: see codes_find. */
    uint64_t codes_at;
    uint64_t random;
    /* Which of the threads the next turn begins with. */
    size_t first;
    /* Between turns, on average. */
    uint64_t interval_ns;
    /* Whether all threads waited at the last turn; and what they had computed before it, 0 where that is not known. */
    bool all_waited;
    uint64_t computed_ns;
    /* Turns in a row without a look; and after which they had computed, of those in which that was asked. */
    unsigned still_turns, ran_turns;
    /* When it was asked last whether the program has ended. */
    uint64_t asked_at_ns;
    /* When it was first seen that the program has ended, 0 for not yet. */
    uint64_t gone_at_ns;
    /* When it ended by itself, and why, an enum end: this comes last. */
    uint64_t end_at_ns;
    atomic_int end;
    /* Held while tree, codes and figures change, and while they are taken. */
    pthread_mutex_t lock;
    /* Who made it, and each thread that is at it: the last one frees it. */
    atomic_int users;
};

/* What is asked of one. `seed` is for the jitter and for the keys of the tables: the target must not
 * know it. */
struct request {
    pid_t pid, thread;
    int pidfd;
    uint32_t nodes_limit;
    enum stopping stopping;
    uint64_t seed;
};

bool sampler_open(struct sampler *sampler, const struct request *request, const struct layout *layout);
void sampler_hold(struct sampler *sampler);
void sampler_drop(struct sampler *sampler);
enum end sampler_take(struct sampler *sampler);
bool sampler_turn(struct sampler *sampler);
uint64_t sampler_next(struct sampler *sampler, uint64_t last);
void sampler_end(struct sampler *sampler, enum end why);
void sampler_stop(struct sampler *sampler);

#endif
