/* Crowd: samplers at work. One thread takes the turns of all slow ones; those that hold it up have threads of their own,
 * as fast ones have.
 *
 * A thread that is held may be let go of by the one that holds it alone (stop.h), and a read may last for ever
 * (remote.c): so the thread of the crowd never goes on to another process while it owes anything to one, and stays with
 * one that keeps it for long, while a new thread takes the others over. Nor does who removes a sampler wait for ever: a
 * thread that does not come back is left behind, and ends when it does.
 */
#ifndef EXECD_CROWD_H
#define EXECD_CROWD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sampler.h"

/* Where a sampler is: its next turn is awaited, or being taken, by the crowd's thread; it has a thread of its own; or
 * there is nothing more to take. */
enum place { WAITS, IN_TURN, ALONE, OVER };

struct member {
    struct sampler *sampler;
    uint64_t next;
    enum place place;
    pthread_t own;
};

/* `changed`: a turn that somebody may wait for is over. `wake`: the thread is to look at the members again; `ready`:
 * watches that, and the ends of their processes. `worker`: the thread, to be joined where there was one; it may have seen
 * that no turn is to wait for. `scratch`: for the one that is about to begin. `turn_began_ns`: of the turn that it takes,
 * 0 for none. `has_left`: threads were left behind, which may come for the lock once more. */
struct crowd {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct member *members;
    size_t count, room;
    int wake, ready;
    pthread_t worker;
    struct scratch *scratch;
    bool has_worker, is_worker_there, has_left;
    uint64_t turn_began_ns;
};

bool crowd_open(struct crowd *crowd);
bool crowd_close(struct crowd *crowd);
bool crowd_add(struct crowd *crowd, struct sampler *sampler, uint64_t interval_ns);
bool crowd_remove(struct crowd *crowd, struct sampler *sampler);
void crowd_relieve(struct crowd *crowd);

#endif
