/* Ticks: the clock of a recording. The time stamp counter where the processor's is the same on all its cores and never
 * stops, else CLOCK_MONOTONIC in ns; or the CPU time of the calling thread, ns, which is a system call each time. */
#ifndef EXECD_TICKS_H
#define EXECD_TICKS_H

#include <stdint.h>
#include <time.h>

#include "tables.h"

static inline uint64_t ticks_of_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static inline uint64_t ticks_now(uint32_t clock)
{
    if (__builtin_expect(clock == CLOCK_TSC, 1))
        return __builtin_ia32_rdtsc();
    return ticks_of_clock(clock == CLOCK_WALL ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID);
}

uint32_t ticks_wall_clock(void);
struct instant ticks_instant(uint32_t clock);

#endif
