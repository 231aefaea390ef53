/* Clock: what time it is, for spans alone. */
#ifndef EXECD_CLOCK_H
#define EXECD_CLOCK_H

#include <stdint.h>
#include <sys/types.h>

#define SECOND_NS 1000000000ull

uint64_t clock_now_ns(void);
uint64_t clock_own_cpu_ns(void);
uint64_t clock_process_cpu_ns(pid_t pid);

#endif
