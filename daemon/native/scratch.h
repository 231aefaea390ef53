/* Scratch: what a turn needs while it lasts. Each thread that takes turns has one: what the turn of one process has put
 * into the processor's caches serves the next one's. */
#ifndef EXECD_SCRATCH_H
#define EXECD_SCRATCH_H

#include <stddef.h>

#include "codes.h"
#include "copies.h"
#include "stack.h"
#include "threads.h"
#include "tree.h"

/* What one call has read for a turn, with what tells whether the lists are as they were: the stack of `thread`, the first
 * one that is looked at, NULL where there is none; how many ranges of it, and how many of its code objects. */
struct ahead {
    struct thread *thread;
    size_t ranges, codes;
};

/* Begins with zeros. Most of it is never touched, see `struct copies`. */
struct scratch {
    struct ahead ahead;
    struct stack stack, again;
    struct links links;
    struct expected_codes codes;
    struct path path;
    struct copies copies;
};

#endif
