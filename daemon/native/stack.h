/* Stack: the frames of a thread at one instant. */
#ifndef EXECD_STACK_H
#define EXECD_STACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "copies.h"
#include "layout.h"

#define STACK_DEPTH 1024

struct frame {
    uint64_t address, previous, code, where;
};

/* Innermost first. `settled`: so many from the outermost one on were the same in both reads. `has_leaf`: the innermost
 * one is that of the instant, whatever lies between. `cut`: there are more. `is_rootless`: the outermost one is of a
 * generator, which had a caller. */
struct stack {
    struct frame frames[STACK_DEPTH];
    int depth, settled;
    bool cut, has_leaf, is_rootless;
};

/* Whether all of it is of the instant. */
static inline bool stack_is_whole(const struct stack *stack)
{
    return stack->has_leaf && stack->settled == stack->depth;
}

bool stack_read(struct stack *stack, struct stack *again, struct copies *copies, const struct layout *layout,
                pid_t pid, uint64_t thread);

#endif
