/* Clock: what time it is, for spans alone. */
#ifndef EXECD_CLOCK_H
#define EXECD_CLOCK_H

#include <stdint.h>

#define SECOND_NS 1000000000ull

uint64_t clock_now_ns(void);
uint64_t clock_own_cpu_ns(void);

#endif
