/* A turn each interval, at a jittered instant: whatever the target does at a steady pace is met at all its places.
 * All samplers of a machine take their turns at the same instants, where these are far apart: the second one finds some
 * of what it needs in the processor's caches (ten processes at 20 Hz take a tenth less, benchmarks/RESULTS.md).
 *
 * What a target says of itself may cost us time. One look at its lists takes LINKS reads at most (threads.c), one at a
 * stack STEPS steps and LONE_FRAMES reads (stack.c), each frame one read of its code object and one node; and when a
 * turn has computed for TURN_CPU_NS the threads that are left come first in the next one.
 */
#define _GNU_SOURCE
#include "sampler.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

/* Of code objects there may be one for so many nodes. */
#define NODES_A_CODE 4
#define SLICE_NS SECOND_NS
/* 1,000 threads take about 10 ms; the clock is looked at after so many. */
#define TURN_CPU_NS 100000000ull
#define CLOCKED_THREADS 8
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
/* Instants of turns that are further apart than this are common to all samplers. */
#define COMMON_NS 1000000
#define SETTLE_NS 50000
/* A code object that was looked at is taken for the same one for so long. */
#define SAME_CODE_NS 50000000ull

/* xorshift64*: Marsaglia 2003, Vigna 2016. */
static uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Dull;
}

static struct hash_key key_next(uint64_t *state)
{
    struct hash_key key = {.first = random_next(state)};
    key.second = random_next(state);
    return key;
}

/* Makes a sampler, in zeros; the request's `pidfd` stays the caller's. False without memory or descriptors. */
bool sampler_open(struct sampler *sampler, const struct request *request, const struct layout *layout)
{
    sampler->pid = request->pid;
    sampler->thread = request->thread;
    sampler->pidfd = request->pidfd;
    sampler->layout = *layout;
    sampler->stopping = request->stopping;
    sampler->stops.process = request->pid;
    sampler->slice_offset_ns = request->seed % SLICE_NS;
    sampler->slice_stops = request->stopping == STOP_ALWAYS;
    sampler->random = request->seed | 1;
    sampler->threads.known = &sampler->threads.lists[0];
    sampler->threads.has_numbers = numbers_differ(request->pid);
    sampler->stopfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sampler->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)request->pid);
    /* It may have ended: then that is seen by the pidfd. */
    sampler->memory = open(path, O_RDONLY | O_CLOEXEC);
    pthread_mutex_init(&sampler->lock, NULL);
    bool has_tree = tree_open(&sampler->tree, request->nodes_limit, key_next(&sampler->random));
    bool has_codes = codes_open(&sampler->codes, request->nodes_limit / NODES_A_CODE, key_next(&sampler->random));
    return has_codes && has_tree && sampler->stopfd >= 0 && sampler->news >= 0;
}

/* Frees all that a sampler has; its run must have ended. */
void sampler_close(struct sampler *sampler)
{
    threads_close(&sampler->threads);
    codes_close(&sampler->codes);
    tree_close(&sampler->tree);
    pthread_mutex_destroy(&sampler->lock);
    const int own[] = {sampler->stopfd, sampler->news, sampler->memory};
    for (size_t index = 0; index < sizeof own / sizeof own[0]; index++)
        if (own[index] >= 0)
            close(own[index]);
}

/* Makes a descriptor readable; one that is so already stays so. */
static void tell(int descriptor)
{
    uint64_t one = 1;
    ssize_t written = write(descriptor, &one, sizeof one);
    (void)written;
}

/* Ends the run, from any thread. */
void sampler_stop(struct sampler *sampler)
{
    tell(sampler->stopfd);
}

/* Whether the program that is sampled has ended: what lies at its addresses now is of another one. */
static bool has_ended(const struct sampler *sampler)
{
    char byte;
    return sampler->memory >= 0 &&
           pread(sampler->memory, &byte, 1, (off_t)sampler->layout.interpreters_head) == 0;
}

/* Whether a thread has the GIL; from 3.13 on its state says so, as it was when the stack was. */
static bool has_gil(const struct sampler *sampler, const struct thread *thread)
{
    const struct layout *layout = &sampler->layout;
    if (layout->holds_gil != NONE) {
        uint32_t flags;
        __builtin_memcpy(&flags, sampler->copies.thread[FIRST] + layout->holds_gil, sizeof flags);
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

/* Returns a child of a node, NO_NODE where there is no room. */
static uint32_t add_node(struct sampler *sampler, uint32_t parent, uint32_t code, uint64_t where)
{
    uint32_t node = tree_child(&sampler->tree, parent, code, where);
    if (node == NO_NODE)
        sampler->figures.no_room++;
    return node;
}

/* Returns the index of a frame's code object, CODES_NONE where it has none, CODES_FULL where there is no room. */
static int64_t code_of(struct sampler *sampler, const struct frame *frame)
{
    int64_t code = codes_find(&sampler->codes, &sampler->layout, sampler->pid, frame->code, sampler->codes_at);
    bool is_within = code < 0 || frame->where < sampler->codes.entries[code].instructions_bytes;
    return is_within ? code : CODES_NONE;
}

/* Appends a frame below a node. NO_NODE where it has no code object, or there is no room. */
static uint32_t add_frame(struct sampler *sampler, uint32_t parent, const struct frame *frame)
{
    int64_t code = code_of(sampler, frame);
    if (code >= 0)
        return add_node(sampler, parent, (uint32_t)code, frame->where);
    if (code == CODES_FULL)
        sampler->figures.no_room++;
    else
        sampler->figures.no_code++;
    return NO_NODE;
}

/* Appends the frames of a stack below a thread's node: what is sure, and its leaf. Returns the leaf's node. */
static uint32_t add_stack(struct sampler *sampler, uint32_t node)
{
    const struct stack *stack = &sampler->stack;
    if (stack->cut)
        node = add_node(sampler, node, NODE_TOO_DEEP, 0);
    for (int index = 1; index <= stack->settled && node != NO_NODE; index++)
        node = add_frame(sampler, node, &stack->frames[stack->depth - index]);
    if (stack_is_whole(stack) || node == NO_NODE)
        return node;
    node = add_node(sampler, node, NODE_UNSETTLED, 0);
    if (node == NO_NODE || !stack->has_leaf)
        return node;
    int64_t leaf = code_of(sampler, &stack->frames[0]);
    return leaf < 0 ? node : add_node(sampler, node, (uint32_t)leaf, stack->frames[0].where);
}

/* Reads a thread's stack, held for it where this slice wants that. */
static bool read_stack(struct sampler *sampler, struct thread *thread)
{
    const struct layout *layout = &sampler->layout;
    uint64_t began = clock_now_ns();
    /* One that waits is not stopped: that would end some system calls. */
    bool stops = sampler->slice_stops && !thread->was_waiting;
    if (stops && !thread_may_stop(thread, sampler->pid, sampler->slice)) {
        sampler->stops.refused++;
        stops = false;
    }
    stops = stops && stop_begin(&sampler->stops, thread->task);
    bool is_read = copies_take(&sampler->copies, thread->places, layout, sampler->pid, thread->address);
    if (is_read)
        thread->state = (int)state_of(sampler, thread);
    /* Frames that were not foreseen are read one by one, and it is to stand still for that too. */
    bool is_sound = is_read && stack_read(&sampler->stack, &sampler->again, &sampler->copies, layout, sampler->pid,
                                          thread->address);
    if (stops)
        stop_end(&sampler->stops, thread->task, clock_now_ns() - began);
    sampler->figures.unread += !is_read;
    sampler->figures.torn += is_read && !is_sound;
    /* What is held is not torn for having moved. */
    sampler->slice_unsettled += is_read && !is_sound && !stops;
    return is_sound;
}

/* Returns the node of what a thread is at, from its stack. NO_NODE where the sample is lost. */
static uint32_t add_sample(struct sampler *sampler, const struct thread *thread)
{
    uint32_t node = add_node(sampler, NO_NODE, NODE_THREAD, (uint64_t)thread->native_id);
    if (node != NO_NODE)
        node = add_stack(sampler, node);
    if (node != NO_NODE && thread->system_call >= 0 && thread->state != WAITING_FOR_GIL)
        node = add_node(sampler, node, NODE_SYSTEM_CALL, (uint64_t)thread->system_call);
    return node;
}

/* Takes a sample of a thread that may have moved. Returns its node, NO_NODE where it is lost. */
static uint32_t look_at(struct sampler *sampler, struct thread *thread)
{
    if (!thread->places)
        thread->places = calloc(1, sizeof *thread->places);
    if (!thread->places || !thread_look(thread)) {
        sampler->figures.unread++;
        return NO_NODE;
    }
    sampler->slice_read += !thread->was_waiting;
    if (!read_stack(sampler, thread))
        return NO_NODE;
    /* Up to 3.11 one that has not begun goes by the number of the thread that started it, and an interpreter in which
     * nothing runs by that of who made it: that is no sample of a thread. */
    if (!sampler->stack.depth && thread->is_doubled) {
        sampler->figures.samples--;
        return NO_NODE;
    }
    bool is_whole = stack_is_whole(&sampler->stack);
    sampler->slice_unsettled += !is_whole;
    uint32_t node = add_sample(sampler, thread);
    if (node != NO_NODE && is_whole)
        sampler->figures.verified++;
    else if (node != NO_NODE)
        sampler->figures.unsettled++;
    return node;
}

/* Takes one sample of a thread. */
static void take_one(struct sampler *sampler, struct thread *thread)
{
    sampler->figures.samples++;
    thread_open(thread, sampler->pid);
    uint32_t node = thread->node;
    bool was_for_gil = thread->state == WAITING_FOR_GIL;
    if (thread_is_unchanged(thread) && node != NO_NODE)
        sampler->figures.unchanged++;
    else
        thread->node = look_at(sampler, thread);
    /* One that waits for the GIL wakes up every 5 ms (ceval_gil.c, take_gil) and then waits for a processor too, where
     * there is none free: it has come no further. */
    if (was_for_gil && thread->node == node && thread->state == RUNNING_WITHOUT)
        thread->state = WAITING_FOR_GIL;
    if (thread->node != NO_NODE)
        sampler->tree.counts[thread->node][thread->state]++;
}

/* How many looks at running threads come a second in this slice. */
static uint64_t reads_a_second(const struct sampler *sampler, uint64_t now)
{
    uint64_t passed = now - sampler->slice_began_ns;
    return passed ? sampler->slice_read * SECOND_NS / passed : 0;
}

/* Whether a slice that does not stop has shown what it was to show: the rest of it would be lost. */
static bool is_plainly_unsettled(const struct sampler *sampler)
{
    return sampler->stopping == STOP_AS_NEEDED && !sampler->slice_stops && sampler->slice_read >= PLAIN_READS &&
           sampler->slice_unsettled * PLAIN_ONES > sampler->slice_read;
}

/* Chooses whether the next slice stops. Of a program that is found unsettled each time it is asked ever more seldom. */
static void choose_stops(struct sampler *sampler, uint64_t now)
{
    bool may_stop = reads_a_second(sampler, now) <= MOST_STOPS;
    bool is_unsettled = sampler->slice_unsettled * SETTLED_ONES > sampler->slice_read;
    if (sampler->slice_stops) {
        sampler->slice_stops = --sampler->stopped_left > 0 && may_stop;
        return;
    }
    if (!may_stop)
        return;
    if (!is_unsettled) {
        sampler->stopped_slices = 0;
        return;
    }
    sampler->stopped_slices = sampler->stopped_slices ? 2 * sampler->stopped_slices : STOPPED_SLICES;
    if (sampler->stopped_slices > MOST_STOPPED_SLICES)
        sampler->stopped_slices = MOST_STOPPED_SLICES;
    sampler->stopped_left = sampler->stopped_slices;
    sampler->slice_stops = true;
}

/* Begins with a slice, and chooses whether it stops: for all of its samples, or short calls would be left out. */
static void begin_slice(struct sampler *sampler, uint64_t now)
{
    uint64_t slice = (now + sampler->slice_offset_ns) / SLICE_NS;
    if (slice == sampler->slice && !is_plainly_unsettled(sampler))
        return;
    if (sampler->stopping == STOP_AS_NEEDED)
        choose_stops(sampler, now);
    sampler->slice = slice;
    sampler->slice_began_ns = now;
    sampler->slice_read = sampler->slice_unsettled = 0;
}

/* Takes a sample of each thread of the list, as long as there is time. */
static void take_list(struct sampler *sampler, struct thread_list *list)
{
    uint64_t began = clock_own_cpu_ns();
    size_t first = sampler->first < list->count ? sampler->first : 0;
    sampler->first = 0;
    for (size_t taken = 0; taken < list->count; taken++) {
        size_t index = first + taken < list->count ? first + taken : first + taken - list->count;
        if (taken % CLOCKED_THREADS == CLOCKED_THREADS - 1 && clock_own_cpu_ns() - began > TURN_CPU_NS) {
            sampler->figures.put_off += list->count - taken;
            sampler->first = index;
            return;
        }
        /* From 3.12 on one that has not begun has no number. */
        pid_t native_id = list->of[index].native_id;
        if (native_id > 0 && (!sampler->thread || native_id == sampler->thread))
            take_one(sampler, &list->of[index]);
    }
}

/* Takes a sample of every thread that is asked for. */
static void take_all(struct sampler *sampler)
{
    uint64_t now = clock_now_ns();
    begin_slice(sampler, now);
    sampler->codes_at = now / SAME_CODE_NS;
    stop_settle(&sampler->stops);
    bool is_known = threads_follow(&sampler->threads, &sampler->layout, sampler->pid);
    pthread_mutex_lock(&sampler->lock);
    uint32_t codes_before = sampler->codes.count;
    sampler->figures.turns++;
    if (is_known) {
        sampler->figures.threads_left_out = sampler->threads.known->left_out;
        take_list(sampler, sampler->threads.known);
    } else {
        sampler->figures.unread_lists++;
    }
    if (sampler->codes.count != codes_before)
        tell(sampler->news);
    pthread_mutex_unlock(&sampler->lock);
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

/* Takes turns that could not be in time as missed: to make up for them would show one place of the target too often. */
static void miss(struct sampler *sampler, uint64_t missed)
{
    if (!missed)
        return;
    pthread_mutex_lock(&sampler->lock);
    sampler->figures.missed_turns += missed;
    pthread_mutex_unlock(&sampler->lock);
}

/* Returns the instant of the turn after that of `last`. Two common ones may follow one another at once: where a turn is
 * no small part of the interval, they are half of it apart at least. */
static uint64_t next_turn(struct sampler *sampler, uint64_t last, uint64_t interval_ns)
{
    uint64_t now = clock_now_ns();
    if (interval_ns < COMMON_NS) {
        uint64_t next = last + interval_ns / 2 + random_next(&sampler->random) % (interval_ns + 1);
        uint64_t missed = next < now ? (now - next + interval_ns - 1) / interval_ns : 0;
        miss(sampler, missed);
        return next + missed * interval_ns;
    }
    uint64_t turn = last / interval_ns + 1, first = now / interval_ns;
    first += common_instant(first, interval_ns) < now;
    miss(sampler, first > turn ? first - turn : 0);
    return common_instant(first > turn ? first : turn, interval_ns);
}

/* Waits until an instant, or less. Returns whether the run goes on, else why it ends. */
static bool wait_until(const struct sampler *sampler, uint64_t instant_ns, enum end *why)
{
    struct pollfd waited[2] = {{.fd = sampler->stopfd, .events = POLLIN}, {.fd = sampler->pidfd, .events = POLLIN}};
    uint64_t now = clock_now_ns(), left = instant_ns > now ? instant_ns - now : 0;
    struct timespec timeout = {(time_t)(left / SECOND_NS), (long)(left % SECOND_NS)};
    int ready = ppoll(waited, 2, &timeout, NULL);
    *why = waited[0].revents ? END_STOPPED : END_TARGET;
    return ready == 0 || (ready < 0 && errno == EINTR);
}

/* Waits for the next turn. A thread that was to stop, and comes to it late, does not wait for that. */
static bool wait_for_turn(struct sampler *sampler, uint64_t next, enum end *why)
{
    do {
        uint64_t soon = clock_now_ns() + SETTLE_NS;
        bool is_settled = stop_settle(&sampler->stops);
        if (!wait_until(sampler, is_settled || next < soon ? next : soon, why))
            return false;
    } while (clock_now_ns() < next);
    return true;
}

/* Waits until no thread is owed anything: one that ended while it was traced keeps its process from ending, and one that
 * stops now would stand until this thread of ours has ended too. */
static void settle_all(struct sampler *sampler)
{
    const struct timespec rest = {.tv_nsec = SETTLE_NS};
    uint64_t until = clock_now_ns() + SECOND_NS;
    while (!stop_settle(&sampler->stops) && clock_now_ns() < until)
        nanosleep(&rest, NULL);
}

/* Samples until it is stopped or the target has ended. Without the GIL, in a thread that does nothing else: its end lets
 * go of what may be held still (stop.h). */
enum end sampler_run(struct sampler *sampler, uint64_t interval_ns)
{
    enum end why;
    prctl(PR_SET_TIMERSLACK, 1);
    uint64_t next = clock_now_ns();
    while (wait_for_turn(sampler, next, &why)) {
        if (has_ended(sampler)) {
            why = END_PROGRAM;
            break;
        }
        take_all(sampler);
        next = next_turn(sampler, next, interval_ns);
    }
    settle_all(sampler);
    return why;
}

static void *one_turn(void *sampler)
{
    take_all(sampler);
    return NULL;
}

/* Takes one turn, in a thread of its own. False where there can be none. No GIL needed. */
bool sampler_turn(struct sampler *sampler)
{
    sigset_t all, before;
    pthread_t thread;
    /* A signal to our process is for one of its other threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    bool has_begun = pthread_create(&thread, NULL, one_turn, sampler) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return has_begun && pthread_join(thread, NULL) == 0;
}
