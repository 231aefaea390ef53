/* Slices: spans of time in which running threads are stopped while they are read, and others in which they are not. */
#ifndef EXECD_SLICES_H
#define EXECD_SLICES_H

#include <stdbool.h>
#include <stdint.h>

/* Whether running threads are stopped while they are read: where the slice before was unsettled, always, or never. */
enum stopping { STOP_AS_NEEDED, STOP_ALWAYS, STOP_NEVER };

/* Of the slice that goes on, by its second: samples of running threads, and unsettled ones; whether it stops. How many
 * slices in a row stop, and how many of them are left. */
struct slices {
    enum stopping stopping;
    uint64_t slice, read, unsettled, offset_ns, began_ns;
    bool stops;
    unsigned stopped, stopped_left;
};

void slices_open(struct slices *slices, enum stopping stopping, uint64_t seed);
void slices_begin(struct slices *slices, uint64_t now);

#endif
