/* No call here needs the GIL, and no thread of a crowd ever has it. */
#define _GNU_SOURCE
#include "crowd.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "worker.h"

#define FIRST_ROOM 16
/* A sampler with a shorter interval has a thread of its own. */
#define SLOW_NS 10000000
/* One that looks at more threads has, too: a turn of theirs takes a millisecond. */
#define FEW_THREADS 100
#define JOIN_NS 50000
/* How long the others wait for a thread that was to stop, and comes to it late; and for a read that does not come back,
 * as who removes its sampler does once more. */
#define SETTLE_PATIENCE_NS 20000000
#define TURN_PATIENCE_NS SECOND_NS
#define ENDS 16

bool crowd_open(struct crowd *crowd)
{
    *crowd = (struct crowd){.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = epoll_create1(EPOLL_CLOEXEC)};
    pthread_mutex_init(&crowd->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&crowd->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    struct epoll_event woken = {.events = EPOLLIN, .data.ptr = NULL};
    return crowd->wake >= 0 && crowd->ready >= 0 && epoll_ctl(crowd->ready, EPOLL_CTL_ADD, crowd->wake, &woken) == 0;
}

static struct member *find(const struct crowd *crowd, const struct sampler *sampler)
{
    for (size_t index = 0; index < crowd->count; index++)
        if (crowd->members[index].sampler == sampler)
            return &crowd->members[index];
    return NULL;
}

/* Returns the member whose turn comes next, NULL where none is waited for. */
static struct member *next_member(const struct crowd *crowd)
{
    struct member *next = NULL;
    for (size_t index = 0; index < crowd->count; index++) {
        struct member *one = &crowd->members[index];
        if (one->place == WAITS && (!next || one->next < next->next))
            next = one;
    }
    return next;
}

static void wake(const struct crowd *crowd)
{
    uint64_t one = 1;
    ssize_t written = write(crowd->wake, &one, sizeof one);
    (void)written;
}

static void unwatch(const struct crowd *crowd, const struct sampler *sampler)
{
    epoll_ctl(crowd->ready, EPOLL_CTL_DEL, sampler->pidfd, NULL);
}

static void name_thread(void)
{
    prctl(PR_SET_TIMERSLACK, 1);
    prctl(PR_SET_NAME, "execd-sampler");
}

/* Waits until nothing is owed to a sampler's process, for so long. Returns whether it is so. */
static bool settles(struct sampler *sampler, uint64_t patience_ns)
{
    uint64_t began = clock_now_ns();
    bool is_settled;
    while (!(is_settled = stop_settle(&sampler->stops)) && clock_now_ns() - began < patience_ns)
        nanosleep(&(struct timespec){.tv_nsec = (long)stop_rest_ns(&sampler->stops)}, NULL);
    return is_settled;
}

static struct timespec timespec_of(uint64_t span_ns)
{
    return (struct timespec){(time_t)(span_ns / SECOND_NS), (long)(span_ns % SECOND_NS)};
}

static struct timespec until(uint64_t instant_ns)
{
    uint64_t now = clock_now_ns();
    return timespec_of(instant_ns > now ? instant_ns - now : 0);
}

/* Waits for a turn of one that is alone, or less. Returns whether it goes on, else why it ends. A thread that was to
 * stop, and comes to it late, does not wait for the turn. */
static bool wait_for_turn(struct sampler *sampler, uint64_t next, enum end *why)
{
    struct pollfd waited[2] = {{.fd = sampler->stopfd, .events = POLLIN}, {.fd = sampler->pidfd, .events = POLLIN}};
    do {
        bool is_settled = stop_settle(&sampler->stops);
        uint64_t soon = clock_now_ns() + stop_rest_ns(&sampler->stops);
        struct timespec timeout = until(is_settled || next < soon ? next : soon);
        int ready = ppoll(waited, 2, &timeout, NULL);
        *why = waited[0].revents ? END_STOPPED : END_TARGET;
        if (ready > 0 || (ready < 0 && errno != EINTR))
            return false;
    } while (clock_now_ns() < next);
    return true;
}

/* Samples in this thread, which does nothing else from now on, until the sampler is stopped or the target has ended, and
 * drops it, and frees its scratch. The thread's end lets go of what may be held still. */
static void run_alone(struct sampler *sampler, uint64_t next)
{
    enum end why;
    while (wait_for_turn(sampler, next, &why)) {
        why = sampler_take(sampler);
        if (why != END_NONE)
            break;
        next = sampler_next(sampler, next);
    }
    /* One that ended while it was traced keeps its process from ending. */
    settles(sampler, SECOND_NS);
    if (why != END_STOPPED)
        sampler_end(sampler, why);
    free(sampler->scratch);
    sampler->scratch = NULL;
    sampler_drop(sampler);
}

static void *begin_alone(void *sampler)
{
    name_thread();
    run_alone(sampler, clock_now_ns());
    return NULL;
}

static void *take_turns(void *given);

/* Begins the crowd's thread. False where there can be none, or no memory for it. */
static bool begin_worker(struct crowd *crowd, pthread_t *worker)
{
    crowd->scratch = calloc(1, sizeof *crowd->scratch);
    if (crowd->scratch && worker_begin(worker, take_turns, crowd))
        return true;
    free(crowd->scratch);
    crowd->scratch = NULL;
    return false;
}

/* Lets a member whose turn is being taken have the crowd's thread for itself, and a new one take over the others. False
 * where there can be none: then all stays as it is. */
static bool hand_over(struct crowd *crowd, struct member *member)
{
    pthread_t fresh;
    if (!begin_worker(crowd, &fresh))
        return false;
    unwatch(crowd, member->sampler);
    member->own = crowd->worker;
    member->place = ALONE;
    crowd->worker = fresh;
    crowd->turn_began_ns = 0;
    pthread_cond_broadcast(&crowd->changed);
    return true;
}

static void end_member(struct crowd *crowd, struct member *member, enum end why)
{
    unwatch(crowd, member->sampler);
    member->place = OVER;
    sampler_end(member->sampler, why);
}

/* Takes a member's turn, with the lock let go of meanwhile. Returns the sampler where this thread is to stay with it and
 * drop it. */
static struct sampler *take_turn(struct crowd *crowd, struct member *member, struct scratch *scratch)
{
    struct sampler *sampler = member->sampler;
    uint64_t last = member->next;
    sampler_hold(sampler);
    sampler->scratch = scratch;
    member->place = IN_TURN;
    crowd->turn_began_ns = clock_now_ns();
    pthread_mutex_unlock(&crowd->lock);
    enum end why = sampler_take(sampler);
    bool is_settled = settles(sampler, SETTLE_PATIENCE_NS);
    bool is_large = sampler->threads.known->count > FEW_THREADS;
    uint64_t next = sampler_next(sampler, last);
    pthread_mutex_lock(&crowd->lock);
    /* Others may have come and gone; and this thread may have been left behind with its own. */
    member = find(crowd, sampler);
    if (member)
        member->next = next;
    /* Without a new thread the others have to wait. */
    while (member && member->place == IN_TURN && (!is_settled || is_large) && !hand_over(crowd, member) &&
           !is_settled) {
        pthread_mutex_unlock(&crowd->lock);
        is_settled = settles(sampler, SETTLE_PATIENCE_NS);
        pthread_mutex_lock(&crowd->lock);
        member = find(crowd, sampler);
    }
    if (!member || member->place == ALONE)
        return sampler;
    crowd->turn_began_ns = 0;
    member->place = WAITS;
    if (why != END_NONE)
        end_member(crowd, member, why);
    pthread_cond_broadcast(&crowd->changed);
    sampler_drop(sampler);
    return NULL;
}

/* Ends those whose processes have ended. */
static void look_at_ends(struct crowd *crowd)
{
    struct epoll_event ends[ENDS];
    int count = epoll_wait(crowd->ready, ends, ENDS, 0);
    for (int index = 0; index < count; index++) {
        struct member *member = find(crowd, ends[index].data.ptr);
        uint64_t woken;
        if (member && member->place == WAITS)
            end_member(crowd, member, END_TARGET);
        else if (!ends[index].data.ptr && read(crowd->wake, &woken, sizeof woken) < 0)
            continue; /* somebody else's news */
    }
}

/* Waits until an instant, or less, with the lock let go of meanwhile. */
static void await(struct crowd *crowd, uint64_t instant_ns)
{
    struct pollfd waited = {.fd = crowd->ready, .events = POLLIN};
    struct timespec timeout = until(instant_ns);
    pthread_mutex_unlock(&crowd->lock);
    int ready = ppoll(&waited, 1, &timeout, NULL);
    pthread_mutex_lock(&crowd->lock);
    if (ready > 0)
        look_at_ends(crowd);
}

/* The crowd's thread: as long as there is a turn to wait for. */
static void *take_turns(void *given)
{
    struct crowd *crowd = given;
    struct sampler *alone = NULL;
    uint64_t next = 0;
    name_thread();
    pthread_mutex_lock(&crowd->lock);
    struct scratch *scratch = crowd->scratch;
    crowd->scratch = NULL;
    for (struct member *member; !alone && (member = next_member(crowd));) {
        if (member->next > clock_now_ns())
            await(crowd, member->next);
        else if ((alone = take_turn(crowd, member, scratch)) && (member = find(crowd, alone)))
            next = member->next;
    }
    if (!alone)
        crowd->is_worker_there = false;
    pthread_mutex_unlock(&crowd->lock);
    if (alone)
        run_alone(alone, next);
    else
        free(scratch);
    return NULL;
}

static bool grow(struct crowd *crowd)
{
    if (crowd->count < crowd->room)
        return true;
    size_t room = crowd->room ? 2 * crowd->room : FIRST_ROOM;
    struct member *members = realloc(crowd->members, room * sizeof *members);
    if (!members)
        return false;
    crowd->members = members;
    crowd->room = room;
    return true;
}

/* Has the crowd's thread run, and look at who is there. False where there can be none. */
static bool ensure_worker(struct crowd *crowd)
{
    if (!crowd->is_worker_there) {
        if (crowd->has_worker)
            pthread_join(crowd->worker, NULL);
        crowd->has_worker = crowd->is_worker_there = begin_worker(crowd, &crowd->worker);
    }
    wake(crowd);
    return crowd->is_worker_there;
}

static bool begin_own(struct member *member)
{
    struct scratch *scratch = calloc(1, sizeof *scratch);
    sampler_hold(member->sampler);
    member->sampler->scratch = scratch;
    if (scratch && worker_begin(&member->own, begin_alone, member->sampler))
        return true;
    free(scratch);
    member->sampler->scratch = NULL;
    sampler_drop(member->sampler);
    return false;
}

/* Begins a member's turns, in the crowd's thread or one of its own. */
static bool begin(struct crowd *crowd, struct member *member)
{
    if (member->place == ALONE)
        return begin_own(member);
    struct epoll_event end = {.events = EPOLLIN, .data.ptr = member->sampler};
    if (epoll_ctl(crowd->ready, EPOLL_CTL_ADD, member->sampler->pidfd, &end) < 0)
        return false;
    if (ensure_worker(crowd))
        return true;
    unwatch(crowd, member->sampler);
    return false;
}

/* Lets a sampler take a turn each interval, on average, the first one now. False where there is no memory or thread. */
bool crowd_add(struct crowd *crowd, struct sampler *sampler, uint64_t interval_ns)
{
    sampler->interval_ns = interval_ns;
    pthread_mutex_lock(&crowd->lock);
    bool has_begun = grow(crowd);
    if (has_begun) {
        struct member *member = &crowd->members[crowd->count++];
        enum place place = interval_ns < SLOW_NS ? ALONE : WAITS;
        *member = (struct member){.sampler = sampler, .next = clock_now_ns(), .place = place};
        has_begun = begin(crowd, member);
        crowd->count -= !has_begun;
    }
    pthread_mutex_unlock(&crowd->lock);
    return has_begun;
}

/* Waits until a sampler's turn is over, with the lock let go of meanwhile; one that lasts is handed over, to keep nobody
 * else. Returns its member, NULL where there is none. */
static struct member *await_turn(struct crowd *crowd, const struct sampler *sampler)
{
    struct member *member;
    while ((member = find(crowd, sampler)) && member->place == IN_TURN) {
        uint64_t now = clock_now_ns(), patient_until = crowd->turn_began_ns + TURN_PATIENCE_NS;
        if (now >= patient_until && hand_over(crowd, member))
            continue;
        /* Without a new thread this one has to wait like the others. */
        struct timespec instant = timespec_of(now < patient_until ? patient_until : now + SETTLE_PATIENCE_NS);
        pthread_cond_timedwait(&crowd->changed, &crowd->lock, &instant);
    }
    return member;
}

/* Joins a thread that was told to stop, or leaves it behind where it does not come: it ends by itself then. Returns
 * whether it was joined. */
static bool join_or_leave(pthread_t thread)
{
    const struct timespec rest = {.tv_nsec = JOIN_NS};
    uint64_t began = clock_now_ns();
    while (pthread_tryjoin_np(thread, NULL) != 0) {
        if (clock_now_ns() - began > TURN_PATIENCE_NS) {
            pthread_detach(thread);
            return false;
        }
        nanosleep(&rest, NULL);
    }
    return true;
}

/* Ends a sampler's turns. Returns whether nobody of ours is at its process any more; else a thread that was left behind
 * is, and holds the sampler until its read comes back. One that was not there is no error. */
bool crowd_remove(struct crowd *crowd, struct sampler *sampler)
{
    bool is_over = true;
    pthread_mutex_lock(&crowd->lock);
    struct member *member = await_turn(crowd, sampler);
    if (member && member->place == ALONE) {
        pthread_t own = member->own;
        pthread_mutex_unlock(&crowd->lock);
        sampler_stop(sampler);
        is_over = join_or_leave(own);
        pthread_mutex_lock(&crowd->lock);
        crowd->has_left = crowd->has_left || !is_over;
        member = find(crowd, sampler);
    } else if (member && member->place == WAITS) {
        unwatch(crowd, sampler);
    }
    if (member)
        *member = crowd->members[--crowd->count];
    if (!next_member(crowd))
        wake(crowd);
    pthread_mutex_unlock(&crowd->lock);
    return is_over;
}

/* Lets a new thread take over where the crowd's has been at one process for long; to be called now and then. */
void crowd_relieve(struct crowd *crowd)
{
    pthread_mutex_lock(&crowd->lock);
    uint64_t began = crowd->turn_began_ns;
    for (size_t index = 0; began && index < crowd->count; index++)
        if (crowd->members[index].place == IN_TURN && clock_now_ns() - began > TURN_PATIENCE_NS) {
            hand_over(crowd, &crowd->members[index]);
            break;
        }
    pthread_mutex_unlock(&crowd->lock);
}

/* Ends the turns of all, and frees what the crowd has. Returns whether it may be freed itself: not where a thread that
 * was left behind may still come to it. */
bool crowd_close(struct crowd *crowd)
{
    while (crowd->count)
        crowd_remove(crowd, crowd->members[0].sampler);
    if (crowd->has_worker) {
        wake(crowd);
        pthread_join(crowd->worker, NULL);
    }
    free(crowd->members);
    if (!crowd->has_left) {
        pthread_mutex_destroy(&crowd->lock);
        pthread_cond_destroy(&crowd->changed);
    }
    if (crowd->wake >= 0)
        close(crowd->wake);
    if (crowd->ready >= 0)
        close(crowd->ready);
    return !crowd->has_left;
}
