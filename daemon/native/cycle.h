/* Cycle: whether a linked list of a target, which may lead round and round, has come back to where it was.
 *
 * Brent 1980: one address is kept in mind, at each power of two a new one. A cycle of n that is entered after m links
 * is found within 3 * max(m, n) links.
 */
#ifndef EXECD_CYCLE_H
#define EXECD_CYCLE_H

#include <stdbool.h>
#include <stdint.h>

/* Begins with zeros. */
struct cycle {
    uint64_t met, links;
};

static inline bool cycle_closes(struct cycle *cycle, uint64_t address)
{
    if (cycle->links && address == cycle->met)
        return true;
    if ((cycle->links & (cycle->links - 1)) == 0)
        cycle->met = address;
    cycle->links++;
    return false;
}

#endif
