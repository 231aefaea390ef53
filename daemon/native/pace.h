/* Pace: at which instants turns are taken. */
#ifndef EXECD_PACE_H
#define EXECD_PACE_H

#include <stdint.h>

uint64_t random_next(uint64_t *state);
uint64_t pace_next(uint64_t last, uint64_t interval_ns, uint64_t *random, uint64_t *missed);

#endif
