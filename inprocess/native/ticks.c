#define _GNU_SOURCE
#include "ticks.h"

#include <cpuid.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define TRIES 5
/* Of leaf 0x80000007, EDX: the counter goes on at one rate in all states of the processor (Intel SDM 3B, 18.17.1). */
#define INVARIANT_TSC (1u << 8)

static bool is_invariant(void)
{
    unsigned int eax, ebx, ecx, edx = 0;
    return __get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) && (edx & INVARIANT_TSC);
}

/* Whether the kernel has found the counter unfit: processors whose counters differ, a machine that may move to another.
 * Where nobody says so, in a root without /sys, it is taken for fit. */
static bool is_refused(void)
{
    char text[32];
    int descriptor = open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return false;
    ssize_t size = read(descriptor, text, sizeof text - 1);
    close(descriptor);
    text[size < 0 ? 0 : size] = 0;
    return size > 0 && strncmp(text, "tsc", 3) != 0;
}

/* Returns CLOCK_TSC where that can be relied on, else CLOCK_WALL. */
uint32_t ticks_wall_clock(void)
{
    return is_invariant() && !is_refused() ? CLOCK_TSC : CLOCK_WALL;
}

/* Returns an instant by both clocks: of some tries that in which both were read soonest after each other. */
struct instant ticks_instant(uint32_t clock)
{
    struct instant best = {0, 0};
    uint64_t least = UINT64_MAX;
    for (int index = 0; index < TRIES; index++) {
        uint64_t before = ticks_now(clock), now_ns = ticks_of_clock(CLOCK_MONOTONIC), after = ticks_now(clock);
        if (after - before < least) {
            least = after - before;
            best = (struct instant){before + (after - before) / 2, now_ns};
        }
    }
    return best;
}
