/* A turn each interval, at a jittered instant: whatever the target does at a steady pace is met at all its places. */
#define _GNU_SOURCE
#include "sampler.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CODES_LIMIT (1u << 18)
#define SLICE_NS 1000000000ull
#define SECOND_NS 1000000000ull
/* A slice with more than one unsettled sample in so many is followed by one that stops; one that stops, now and then by
 * one that does not, to see whether that is still needed. */
#define SETTLED_ONES 20
#define STOPPED_SLICES 10
#define SETTLE_NS 50000

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* xorshift64*: Marsaglia 2003, Vigna 2016. */
static uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Dull;
}

/* Makes a sampler of a process; `pidfd` stays the caller's. False without memory or descriptors. */
bool sampler_open(struct sampler *sampler, pid_t pid, int pidfd, const struct layout *layout, uint32_t nodes_limit,
                  enum stopping stopping, uint64_t seed)
{
    sampler->pid = pid;
    sampler->pidfd = pidfd;
    sampler->layout = *layout;
    sampler->stopping = stopping;
    sampler->stops.process = pid;
    sampler->slice_offset_ns = seed % SLICE_NS;
    sampler->slice_stops = stopping == STOP_ALWAYS;
    sampler->random = seed | 1;
    sampler->stopfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&sampler->lock, NULL);
    bool has_tree = tree_open(&sampler->tree, nodes_limit);
    return codes_open(&sampler->codes, CODES_LIMIT) && has_tree && sampler->stopfd >= 0;
}

/* Frees all that a sampler has; its run must have ended. */
void sampler_close(struct sampler *sampler)
{
    threads_close(&sampler->threads);
    codes_close(&sampler->codes);
    tree_close(&sampler->tree);
    pthread_mutex_destroy(&sampler->lock);
    if (sampler->stopfd >= 0)
        close(sampler->stopfd);
}

/* Ends the run, from any thread. */
void sampler_stop(struct sampler *sampler)
{
    uint64_t one = 1;
    ssize_t written = write(sampler->stopfd, &one, sizeof one);
    (void)written; /* A full counter ends the run just as well. */
}

/* Whether a thread has the GIL; from 3.13 on its state says so, as it was when the stack was. */
static bool has_gil(const struct sampler *sampler, const struct thread *thread)
{
    const struct layout *layout = &sampler->layout;
    if (layout->holds_gil != NONE) {
        uint32_t flags;
        __builtin_memcpy(&flags, thread->copies->thread[FIRST] + layout->holds_gil, sizeof flags);
        return (flags & (uint32_t)layout->holds_gil_mask) != 0;
    }
    uint64_t holder;
    int32_t locked;
    return thread->gil && remote_read(sampler->pid, thread->gil + (uint64_t)layout->gil_holder, &holder, 8) &&
           remote_read(sampler->pid, thread->gil + (uint64_t)layout->gil_locked, &locked, 4) && locked == 1 &&
           holder == thread->address;
}

static enum state state_of(const struct sampler *sampler, const struct thread *thread)
{
    if (has_gil(sampler, thread))
        return thread->was_waiting ? WAITING_WITH_GIL : RUNNING_WITH_GIL;
    if (!thread->was_waiting)
        return RUNNING_WITHOUT;
    /* One that was stopped in it, and goes on. */
    bool is_futex = thread->system_call == SYS_futex || thread->system_call == SYS_restart_syscall;
    bool is_for_gil = is_futex &&
                      thread->first_argument - thread->gil < (uint64_t)sampler->layout.gil_size;
    return is_for_gil ? WAITING_FOR_GIL : WAITING_WITHOUT;
}

/* Appends a frame below a node. NO_NODE where it has no code object, or there is no room. */
static uint32_t add_frame(struct sampler *sampler, uint32_t parent, const struct frame *frame)
{
    int64_t code = codes_find(&sampler->codes, &sampler->layout, sampler->pid, frame->code, sampler->slice);
    if (code < 0 || frame->where >= sampler->codes.entries[code].instructions_bytes) {
        sampler->figures.no_code++;
        return NO_NODE;
    }
    uint32_t node = tree_child(&sampler->tree, parent, (uint32_t)code, frame->where);
    if (node == NO_NODE)
        sampler->figures.no_room++;
    return node;
}

/* Appends the frames of a stack below a thread's node: what is sure, and its leaf. Returns the leaf's node. */
static uint32_t add_stack(struct sampler *sampler, uint32_t node)
{
    const struct stack *stack = &sampler->stack;
    bool is_whole = stack->has_leaf && stack->settled == stack->depth;
    if (is_whole)
        sampler->figures.verified++;
    else
        sampler->figures.unsettled++, sampler->slice_unsettled++;
    if (stack->cut)
        node = tree_child(&sampler->tree, node, NODE_TOO_DEEP, 0);
    for (int index = 1; index <= stack->settled && node != NO_NODE; index++)
        node = add_frame(sampler, node, &stack->frames[stack->depth - index]);
    if (!is_whole && node != NO_NODE)
        node = tree_child(&sampler->tree, node, NODE_UNSETTLED, 0);
    if (is_whole || node == NO_NODE || !stack->has_leaf)
        return node;
    uint32_t leaf = add_frame(sampler, node, &stack->frames[0]);
    return leaf == NO_NODE ? node : leaf;
}

/* Reads a thread's stack, held for it where this slice wants that. */
static bool read_stack(struct sampler *sampler, struct thread *thread)
{
    const struct layout *layout = &sampler->layout;
    uint64_t began = now_ns();
    /* One that waits is not stopped: that would end some system calls. */
    bool stops = sampler->slice_stops && !thread->was_waiting && stop_begin(&sampler->stops, thread->native_id);
    bool is_read = copies_take(thread->copies, layout, sampler->pid, thread->address);
    if (is_read)
        thread->state = (int)state_of(sampler, thread);
    if (stops)
        stop_end(&sampler->stops, thread->native_id, now_ns() - began);
    bool is_sound = is_read && stack_read(&sampler->stack, &sampler->again, thread->copies, layout, sampler->pid,
                                          thread->address);
    if (!is_read)
        sampler->figures.unread++;
    else if (!is_sound)
        sampler->figures.torn++;
    return is_sound;
}

/* Takes one sample of a thread. */
static void take_one(struct sampler *sampler, struct thread *thread)
{
    sampler->figures.samples++;
    if (thread_is_unchanged(thread) && thread->node != NO_NODE) {
        sampler->figures.unchanged++;
        sampler->tree.counts[thread->node][thread->state]++;
        return;
    }
    thread->node = NO_NODE;
    if (!thread->copies)
        thread->copies = calloc(1, sizeof *thread->copies);
    if (!thread_look(thread, sampler->pid)) {
        sampler->figures.unread++;
        return;
    }
    sampler->slice_read += !thread->was_waiting;
    if (!thread->copies || !read_stack(sampler, thread))
        return;
    uint32_t node = tree_child(&sampler->tree, NO_NODE, NODE_THREAD, (uint64_t)thread->native_id);
    if (node != NO_NODE)
        node = add_stack(sampler, node);
    if (node != NO_NODE && thread->system_call >= 0 && thread->state != WAITING_FOR_GIL)
        node = tree_child(&sampler->tree, node, NODE_SYSTEM_CALL, (uint64_t)thread->system_call);
    if (node == NO_NODE)
        return;
    sampler->tree.counts[node][thread->state]++;
    thread->node = node;
}

/* Begins with a slice, and chooses whether it stops: for all of its samples, or short calls would be left out. */
static void begin_slice(struct sampler *sampler, uint64_t slice)
{
    if (slice == sampler->slice)
        return;
    bool is_unsettled = sampler->slice_unsettled * SETTLED_ONES > sampler->slice_read;
    if (sampler->stopping == STOP_AS_NEEDED)
        sampler->slice_stops = sampler->slice_stops ? slice % STOPPED_SLICES != 0 : is_unsettled;
    sampler->slice = slice;
    sampler->slice_read = sampler->slice_unsettled = 0;
}

/* Takes a sample of every thread. */
static void take_all(struct sampler *sampler)
{
    begin_slice(sampler, (now_ns() + sampler->slice_offset_ns) / SLICE_NS);
    stop_settle(&sampler->stops);
    bool is_known = threads_follow(&sampler->threads, &sampler->layout, sampler->pid);
    pthread_mutex_lock(&sampler->lock);
    sampler->figures.turns++;
    if (!is_known)
        sampler->figures.unread_lists++;
    for (size_t index = 0; is_known && index < sampler->threads.count; index++)
        take_one(sampler, &sampler->threads.of[index]);
    pthread_mutex_unlock(&sampler->lock);
}

/* Waits until an instant. Returns whether the run goes on, else why it ends. */
static bool wait_until(const struct sampler *sampler, uint64_t instant_ns, enum end *why)
{
    struct pollfd waited[2] = {{.fd = sampler->stopfd, .events = POLLIN}, {.fd = sampler->pidfd, .events = POLLIN}};
    uint64_t now = now_ns(), left = instant_ns > now ? instant_ns - now : 0;
    struct timespec timeout = {(time_t)(left / SECOND_NS), (long)(left % SECOND_NS)};
    int ready = ppoll(waited, 2, &timeout, NULL);
    *why = waited[0].revents ? END_STOPPED : END_TARGET;
    return ready == 0 || (ready < 0 && errno == EINTR);
}

/* Samples until it is stopped or the target has ended. Without the GIL, in a thread of its own. */
enum end sampler_run(struct sampler *sampler, uint64_t interval_ns)
{
    enum end why;
    prctl(PR_SET_TIMERSLACK, 1);
    uint64_t next = now_ns();
    while (wait_until(sampler, next, &why)) {
        take_all(sampler);
        /* One that was to stop, and comes to it late, must not wait for the next turn. */
        while (!stop_settle(&sampler->stops))
            if (!wait_until(sampler, now_ns() + SETTLE_NS, &why))
                return why;
        uint64_t now = now_ns();
        next += interval_ns / 2 + random_next(&sampler->random) % (interval_ns + 1);
        /* What could not be in time is left out: to make up for it would show one place of the target too often. */
        while (next < now) {
            next += interval_ns;
            sampler->figures.missed_turns++;
        }
    }
    return why;
}
