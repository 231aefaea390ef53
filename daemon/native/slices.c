/* A slice is chosen whole: of one that was stopped here and there short calls would be left out. */
#include "slices.h"

#include "clock.h"

#define SLICE_NS SECOND_NS
/* A slice with more than one unsettled sample in so many is followed by one that stops; one that stops, now and then by
 * one that does not, to see whether that is still needed. */
#define SETTLED_ONES 20
/* One that does not stop, and is found unsettled in more than one of so many of its first samples, is over with these. */
#define PLAIN_ONES 4
#define PLAIN_READS 20
#define STOPPED_SLICES 10
#define MOST_STOPPED_SLICES 80
/* A stop costs a running thread 45 us, and twice that where it has to be woken: this many a second up to a tenth of its
 * time. A slice that would take more does not stop, however unsettled it is. */
#define MOST_STOPS 2000

/* `seed`: they do not all begin at once. */
void slices_open(struct slices *slices, enum stopping stopping, uint64_t seed)
{
    *slices = (struct slices){.stopping = stopping, .offset_ns = seed % SLICE_NS, .stops = stopping == STOP_ALWAYS};
}

/* How many looks at running threads come a second in this slice. */
static uint64_t reads_a_second(const struct slices *slices, uint64_t now)
{
    uint64_t passed = now - slices->began_ns;
    return passed ? slices->read * SECOND_NS / passed : 0;
}

/* Whether a slice that does not stop has shown what it was to show: the rest of it would be lost. */
static bool is_plainly_unsettled(const struct slices *slices)
{
    return slices->stopping == STOP_AS_NEEDED && !slices->stops && slices->read >= PLAIN_READS &&
           slices->unsettled * PLAIN_ONES > slices->read;
}

/* Chooses whether the next slice stops. Of a program that is found unsettled each time it is asked ever more seldom. */
static void choose_stops(struct slices *slices, uint64_t now)
{
    bool may_stop = reads_a_second(slices, now) <= MOST_STOPS;
    bool is_unsettled = slices->unsettled * SETTLED_ONES > slices->read;
    if (slices->stops) {
        slices->stops = --slices->stopped_left > 0 && may_stop;
        return;
    }
    if (!may_stop)
        return;
    if (!is_unsettled) {
        slices->stopped = 0;
        return;
    }
    slices->stopped = slices->stopped ? 2 * slices->stopped : STOPPED_SLICES;
    if (slices->stopped > MOST_STOPPED_SLICES)
        slices->stopped = MOST_STOPPED_SLICES;
    slices->stopped_left = slices->stopped;
    slices->stops = true;
}

/* Begins with a slice where one is due, and chooses whether it stops. */
void slices_begin(struct slices *slices, uint64_t now)
{
    uint64_t slice = (now + slices->offset_ns) / SLICE_NS;
    if (slice == slices->slice && !is_plainly_unsettled(slices))
        return;
    if (slices->stopping == STOP_AS_NEEDED)
        choose_stops(slices, now);
    slices->slice = slice;
    slices->began_ns = now;
    slices->read = slices->unsettled = 0;
}
