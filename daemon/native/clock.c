#define _GNU_SOURCE
#include "clock.h"

#include <time.h>

static uint64_t read_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* Time that passes, whatever becomes of the date. */
uint64_t clock_now_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

/* Time that the calling thread has computed. */
uint64_t clock_own_cpu_ns(void)
{
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}
