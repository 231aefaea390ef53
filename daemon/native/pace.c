/* A turn each interval, at a jittered instant: whatever the target does at a steady pace is met at all its places.
 * All samplers of a machine take their turns at the same instants, where these are far apart: so one thread takes those
 * of many when it wakes up, and the second one finds some of what it needs in the processor's caches
 * (benchmarks/RESULTS.md).
 */
#include "pace.h"

#include "clock.h"

/* Instants of turns that are further apart than this are common to all samplers. */
#define COMMON_NS 1000000

/* xorshift64*: Marsaglia 2003, Vigna 2016. */
uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Dull;
}

/* splitmix64: Steele, Lea, Flood 2014. */
static uint64_t scattered(uint64_t number)
{
    number = (number + 1) * 0x9E3779B97F4A7C15ull;
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9ull;
    number = (number ^ number >> 27) * 0x94D049BB133111EBull;
    return number ^ number >> 31;
}

/* The instant of a turn, by its number since the machine's start: anywhere in its interval. */
static uint64_t common_instant(uint64_t turn, uint64_t interval_ns)
{
    return turn * interval_ns + scattered(turn) % interval_ns;
}

/* Returns the instant of the turn after that of `last`, and how many could not be in time: to make up for them would show
 * one place of the target too often. Two common ones may follow one another at once: where a turn is no small part of
 * the interval, they are half of it apart at least. */
uint64_t pace_next(uint64_t last, uint64_t interval_ns, uint64_t *random, uint64_t *missed)
{
    uint64_t now = clock_now_ns();
    if (interval_ns < COMMON_NS) {
        uint64_t next = last + interval_ns / 2 + random_next(random) % (interval_ns + 1);
        *missed = next < now ? (now - next + interval_ns - 1) / interval_ns : 0;
        return next + *missed * interval_ns;
    }
    uint64_t turn = last / interval_ns + 1, first = now / interval_ns;
    first += common_instant(first, interval_ns) < now;
    *missed = first > turn ? first - turn : 0;
    return common_instant(first > turn ? first : turn, interval_ns);
}
