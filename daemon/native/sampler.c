/* Turns: a sample of each thread of a process.
 *
 * What a target says of itself may cost us time. One look at its lists takes LINKS reads at most (threads.c), one at a
 * stack STEPS steps and LONE_FRAMES reads (stack.c), each frame one read of its code object and one node; and when a
 * turn has computed for TURN_CPU_NS the threads that are left come first in the next one.
 */
#define _GNU_SOURCE
#include "sampler.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "pace.h"
#include "worker.h"

/* Of code objects there may be one for so many nodes. */
#define NODES_A_CODE 4
/* 1,000 threads take about 10 ms; the clock is looked at after so many. */
#define TURN_CPU_NS 100000000ull
#define CLOCKED_THREADS 8
/* A code object that was looked at is taken for the same one for so long. */
#define SAME_CODE_NS 50000000ull
/* A process that ends lets go of its memory an instant before it has ended; one that executes another program goes on. */
#define ENDING_NS SECOND_NS
#define MOST_STILL_TURNS 20
#define MOST_RAN_TURNS 4

static struct hash_key key_next(uint64_t *state)
{
    struct hash_key key = {.first = random_next(state)};
    key.second = random_next(state);
    return key;
}

/* Opens what tells whether a program has ended: any read of it comes to nothing then. Of its page map less is done for
 * one than of its memory, and an odd one finds nothing else. -1 where it has ended already: the pidfd says so. */
static int memory_open(pid_t pid)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/pagemap", (int)pid);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0)
        return descriptor;
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* Makes a sampler, in zeros, for the caller to drop; the request's `pidfd` stays the caller's. False without memory or
 * descriptors. */
bool sampler_open(struct sampler *sampler, const struct request *request, const struct layout *layout)
{
    atomic_init(&sampler->users, 1);
    sampler->pid = request->pid;
    sampler->thread = request->thread;
    sampler->pidfd = request->pidfd;
    sampler->layout = *layout;
    sampler->stops.process = request->pid;
    slices_open(&sampler->slices, request->stopping, request->seed);
    sampler->random = request->seed | 1;
    sampler->threads.known = &sampler->threads.lists[0];
    sampler->threads.has_numbers = numbers_differ(request->pid);
    sampler->stopfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sampler->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sampler->memory = memory_open(request->pid);
    pthread_mutex_init(&sampler->lock, NULL);
    bool has_tree = tree_open(&sampler->tree, request->nodes_limit, key_next(&sampler->random));
    bool has_codes = codes_open(&sampler->codes, request->nodes_limit / NODES_A_CODE, key_next(&sampler->random));
    return has_codes && has_tree && sampler->stopfd >= 0 && sampler->news >= 0;
}

/* Frees all that a sampler has; its run must have ended. */
static void sampler_close(struct sampler *sampler)
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

/* Keeps a sampler there until it is dropped once more. */
void sampler_hold(struct sampler *sampler)
{
    atomic_fetch_add(&sampler->users, 1);
}

/* Lets go of a sampler, and frees it where nobody else holds it. */
void sampler_drop(struct sampler *sampler)
{
    if (atomic_fetch_sub(&sampler->users, 1) > 1)
        return;
    sampler_close(sampler);
    free(sampler);
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
    int32_t locked;
    __builtin_memcpy(&locked, sampler->copies.gil + layout->gil_locked, sizeof locked);
    return sampler->copies.has_gil && locked == 1 &&
           word_at(sampler->copies.gil, layout->gil_holder) == thread->address;
}

/* Whether a thread may have the GIL now; one that has not cannot change its frames, and need not be held. */
static bool may_have_gil(const struct sampler *sampler, const struct thread *thread)
{
    const struct layout *layout = &sampler->layout;
    if (layout->holds_gil != NONE) {
        uint32_t flags;
        return !remote_read(sampler->pid, thread->address + (uint64_t)layout->holds_gil, &flags, sizeof flags) ||
               (flags & (uint32_t)layout->holds_gil_mask);
    }
    uint64_t holder;
    return !remote_read(sampler->pid, thread->gil + (uint64_t)layout->gil_holder, &holder, sizeof holder) ||
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

/* Looks again, by one call, at the code objects of the stack that was read. */
static void look_at_codes(struct sampler *sampler)
{
    const struct stack *stack = &sampler->stack;
    struct remote_list *list = &sampler->threads.list;
    for (int index = 0; index < stack->depth; index++)
        codes_expect(&sampler->codes, &sampler->layout, list, stack->frames[index].code, sampler->codes_at);
    codes_look_again(&sampler->codes, &sampler->layout, sampler->pid, list);
}

/* Appends the frames of a stack below a thread's node: what is sure, and its leaf. Returns the leaf's node. */
static uint32_t add_stack(struct sampler *sampler, uint32_t node)
{
    const struct stack *stack = &sampler->stack;
    look_at_codes(sampler);
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
    bool stops = sampler->slices.stops && !thread->was_waiting && may_have_gil(sampler, thread);
    if (stops && !thread_may_stop(thread, sampler->pid, sampler->slices.slice)) {
        sampler->stops.refused++;
        stops = false;
    }
    stops = stops && stop_begin(&sampler->stops, thread->task);
    sampler->copies.is_held = stops;
    sampler->copies.gil_at = layout->holds_gil == NONE ? thread->gil : 0;
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
    sampler->slices.unsettled += is_read && !is_sound && !stops;
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
    sampler->slices.read += !thread->was_waiting;
    if (!read_stack(sampler, thread))
        return NO_NODE;
    /* Up to 3.11 one that has not begun goes by the number of the thread that started it, and an interpreter in which
     * nothing runs by that of who made it: that is no sample of a thread. */
    if (!sampler->stack.depth && thread->is_doubled) {
        sampler->figures.samples--;
        return NO_NODE;
    }
    bool is_whole = stack_is_whole(&sampler->stack);
    sampler->slices.unsettled += !is_whole;
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
    /* One that is new, or could not be asked. */
    if (thread->schedstat < 0)
        thread_ask(thread, sampler->pid);
    uint32_t node = thread->node;
    bool was_for_gil = thread->state == WAITING_FOR_GIL;
    if (thread->has_stayed && node != NO_NODE)
        sampler->figures.unchanged++;
    else
        thread->node = look_at(sampler, thread);
    /* One that waits for the GIL wakes up every 5 ms (ceval_gil.c, take_gil) and then waits for a processor too, where
     * there is none free: it has come no further. */
    if (was_for_gil && thread->node == node && thread->state == RUNNING_WITHOUT)
        thread->state = WAITING_FOR_GIL;
    sampler->all_waited = sampler->all_waited && thread->was_waiting && thread->node != NO_NODE;
    if (thread->node != NO_NODE)
        sampler->tree.counts[thread->node][thread->state]++;
}

/* Whether a thread is one of those that are asked for. From 3.12 on one that has not begun has no number. */
static bool is_sampled(const struct sampler *sampler, const struct thread *thread)
{
    return thread->native_id > 0 && (!sampler->thread || thread->native_id == sampler->thread);
}

/* Asks each of the threads that were looked at whether it has run. */
static void ask_all(struct sampler *sampler)
{
    struct thread_list *list = sampler->threads.known;
    for (size_t index = 0; index < list->count; index++)
        if (list->of[index].schedstat >= 0)
            thread_ask(&list->of[index], sampler->pid);
}

/* Takes a sample of each thread of the list, as long as there is time. */
static void take_list(struct sampler *sampler, struct thread_list *list)
{
    uint64_t began = list->count < CLOCKED_THREADS ? 0 : clock_own_cpu_ns();
    size_t first = sampler->first < list->count ? sampler->first : 0;
    sampler->first = 0;
    for (size_t taken = 0; taken < list->count; taken++) {
        size_t index = first + taken < list->count ? first + taken : first + taken - list->count;
        if (taken % CLOCKED_THREADS == CLOCKED_THREADS - 1 && clock_own_cpu_ns() - began > TURN_CPU_NS) {
            sampler->figures.put_off += list->count - taken;
            sampler->all_waited = false;
            sampler->first = index;
            return;
        }
        if (is_sampled(sampler, &list->of[index]))
            take_one(sampler, &list->of[index]);
    }
}

/* Takes a sample of every thread that is asked for. */
static void take_all(struct sampler *sampler)
{
    uint64_t now = clock_now_ns();
    slices_begin(&sampler->slices, now);
    sampler->codes_at = now / SAME_CODE_NS;
    stop_settle(&sampler->stops);
    ask_all(sampler);
    bool is_known = threads_follow(&sampler->threads, &sampler->layout, sampler->pid, now);
    pthread_mutex_lock(&sampler->lock);
    uint32_t codes_before = sampler->codes.count;
    sampler->figures.turns++;
    sampler->all_waited = is_known;
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

/* Whether all threads that are sampled wait where they did at the last turn. */
static bool have_stayed(const struct sampler *sampler)
{
    const struct thread_list *list = sampler->threads.known;
    for (size_t index = 0; index < list->count; index++)
        if (is_sampled(sampler, &list->of[index]) && !thread_has_stayed(&list->of[index]))
            return false;
    return true;
}

/* Whether no thread has run since the last turn, in which all of them waited: then all is as it was. What a process has
 * computed does not tell of a thread that has run since less than a tick of the kernel's (thread_group_cputime): so each
 * is asked, where that says that none has run for longer. Now and then nobody asks: threads that are not Python's may
 * have come to the lists. */
static bool is_still(struct sampler *sampler)
{
    uint64_t before = sampler->computed_ns;
    /* One that was found to run in between each time is asked less often. */
    bool is_asked = sampler->all_waited && (sampler->ran_turns < MOST_RAN_TURNS || sampler->figures.turns % 16 < 2);
    sampler->computed_ns = is_asked ? clock_process_cpu_ns(sampler->pid) : 0;
    bool is_same = before && sampler->computed_ns == before && sampler->still_turns < MOST_STILL_TURNS &&
                   have_stayed(sampler);
    sampler->still_turns = is_same ? sampler->still_turns + 1 : 0;
    if (before && is_asked)
        sampler->ran_turns = sampler->computed_ns == before ? 0 : sampler->ran_turns + 1;
    return is_same;
}

/* Counts each thread once more where it was at the last turn. */
static void take_still(struct sampler *sampler)
{
    pthread_mutex_lock(&sampler->lock);
    const struct thread_list *list = sampler->threads.known;
    sampler->figures.turns++;
    for (size_t index = 0; index < list->count; index++) {
        if (!is_sampled(sampler, &list->of[index]))
            continue;
        sampler->figures.samples++;
        sampler->figures.unchanged++;
        sampler->tree.counts[list->of[index].node][list->of[index].state]++;
    }
    pthread_mutex_unlock(&sampler->lock);
}

/* Takes a turn, or finds that there is nothing more to take. No GIL needed. */
enum end sampler_take(struct sampler *sampler)
{
    if (is_still(sampler)) {
        take_still(sampler);
        return END_NONE;
    }
    if (!has_ended(sampler)) {
        take_all(sampler);
        return END_NONE;
    }
    uint64_t now = clock_now_ns();
    sampler->gone_at_ns = sampler->gone_at_ns ? sampler->gone_at_ns : now;
    return now - sampler->gone_at_ns > ENDING_NS ? END_PROGRAM : END_NONE;
}

/* Returns the instant of the turn after that of `last`. */
uint64_t sampler_next(struct sampler *sampler, uint64_t last)
{
    uint64_t missed, next = pace_next(last, sampler->interval_ns, &sampler->random, &missed);
    if (missed) {
        pthread_mutex_lock(&sampler->lock);
        sampler->figures.missed_turns += missed;
        pthread_mutex_unlock(&sampler->lock);
    }
    return next;
}

/* Takes down why there is no more to take, and tells who waits for news. */
void sampler_end(struct sampler *sampler, enum end why)
{
    sampler->end_at_ns = sampler->gone_at_ns ? sampler->gone_at_ns : clock_now_ns();
    atomic_store(&sampler->end, why);
    tell(sampler->news);
}

static void *one_turn(void *sampler)
{
    take_all(sampler);
    return NULL;
}

/* Takes one turn, in a thread of its own. False where there can be none. No GIL needed. */
bool sampler_turn(struct sampler *sampler)
{
    pthread_t worker;
    return worker_begin(&worker, one_turn, sampler) && pthread_join(worker, NULL) == 0;
}
