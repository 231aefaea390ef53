/* Stop: one thread held while it is read. Every call must come from one and the same thread of ours, which has started
 * no process: its end lets go of whatever is held still.
 *
 * Where the process is a child of our own one, no other thread of ours may wait for it meanwhile, but for its end after
 * it was killed: a parent is told of the stops of its child where it traces it, and takes them for its end.
 */
#ifndef EXECD_STOP_H
#define EXECD_STOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STOP_BUCKETS 40

/* Times held: bucket n counts those below 2 to the power of n / 2 microseconds; the last one all others. */
struct stops {
    uint64_t count, refused;
    uint64_t buckets[STOP_BUCKETS];
    /* A thread that was asked to stop, and has not yet: it is let go as soon as it has. 0 for none. */
    pid_t owed;
    uint64_t asked_at_ns;
    /* Whose threads they are. */
    pid_t process;
};

bool stop_begin(struct stops *stops, pid_t native_id);
void stop_end(struct stops *stops, pid_t native_id, uint64_t held_ns);
bool stop_settle(struct stops *stops);
uint64_t stop_rest_ns(const struct stops *stops);

#endif
