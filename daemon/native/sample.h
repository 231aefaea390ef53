/* Sample: a look at one thread that may have moved. */
#ifndef EXECD_SAMPLE_H
#define EXECD_SAMPLE_H

#include <stdint.h>

#include "sampler.h"
#include "threads.h"

void sample_expect(struct sampler *sampler, const struct thread *thread);
uint32_t sample_take(struct sampler *sampler, struct thread *thread);

#endif
