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
#include "stack.h"
#include "stop.h"
#include "threads.h"
#include "tree.h"

/* Whether running threads are stopped while they are read: where the slice before was unsettled, always, or never. */
enum stopping { STOP_AS_NEEDED, STOP_ALWAYS, STOP_NEVER };

/* Why a run has ended. */
enum end { END_STOPPED, END_TARGET };

/* Of all samples since the sampler was made; see execd.sampling.recording for their words. */
struct figures {
    uint64_t turns, missed_turns, samples, unchanged, verified, unsettled;
    uint64_t unread_lists, unread, torn, no_code, no_room;
};

struct sampler {
    pid_t pid;
    int pidfd, stopfd;
    struct layout layout;
    struct threads threads;
    struct codes codes;
    struct tree tree;
    struct figures figures;
    struct stack stack, again;
    struct stops stops;
    enum stopping stopping;
    /* Of the slice that goes on, by its second: samples of running threads, and unsettled ones; whether it stops. */
    uint64_t slice, slice_read, slice_unsettled, slice_offset_ns;
    bool slice_stops;
    uint64_t random;
    /* Held while tree, codes and figures change, and while they are taken. */
    pthread_mutex_t lock;
};

bool sampler_open(struct sampler *sampler, pid_t pid, int pidfd, const struct layout *layout, uint32_t nodes_limit,
                  enum stopping stopping, uint64_t seed);
void sampler_close(struct sampler *sampler);
enum end sampler_run(struct sampler *sampler, uint64_t interval_ns);
void sampler_stop(struct sampler *sampler);

#endif
