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
#include <unistd.h>

#include "clock.h"
#include "pace.h"
#include "sample.h"
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
/* How often it is asked whether the program has ended though its lists are as they were: those of another one are where
 * both are laid out alike, to the byte. */
#define ASKED_NS 300000000
#define MOST_STILL_TURNS 20
#define MOST_RAN_TURNS 4

_Static_assert(LINKS_RANGES + COPIES_RANGES + CODES_AT_ONCE <= REMOTE_RANGES, "what a turn begins with is one list");

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

/* Whether a thread has to be looked at: it has run, or its last sample was lost. */
static bool may_have_moved(const struct thread *thread)
{
    return !thread->has_stayed || thread->node == NO_NODE;
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
    if (may_have_moved(thread))
        thread->node = sample_take(sampler, thread);
    else
        sampler->figures.unchanged++;
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

/* Returns which thread of a list comes in a turn after so many others. */
static size_t index_of(const struct sampler *sampler, const struct thread_list *list, size_t taken)
{
    return ((sampler->first < list->count ? sampler->first : 0) + taken) % list->count;
}

/* Returns the thread that is looked at first in this turn; NULL where there is none, or nothing is known of it. */
static struct thread *first_moved(const struct sampler *sampler)
{
    struct thread_list *list = sampler->threads.known;
    for (size_t taken = 0; taken < list->count; taken++) {
        struct thread *thread = &list->of[index_of(sampler, list, taken)];
        if (is_sampled(sampler, thread) && may_have_moved(thread))
            return thread->schedstat >= 0 && thread->places ? thread : NULL;
    }
    return NULL;
}

/* Returns the first thread that is looked at, where it is read ahead. One that may be held is not: it is read while it
 * is. */
static struct thread *thread_ahead(struct sampler *sampler)
{
    struct thread *thread = first_moved(sampler);
    bool is_read = thread && thread_look(thread) && (thread->was_waiting || !sampler->slices.stops);
    return is_read ? thread : NULL;
}

/* Forgets what was read ahead, where nobody took it: the thread is at no place that is known. */
static void drop_ahead(struct sampler *sampler)
{
    struct ahead *ahead = &sampler->scratch->ahead;
    if (ahead->thread)
        ahead->thread->was_waiting = false;
    ahead->thread = NULL;
    codes_accept(&sampler->codes, &sampler->scratch->codes, &sampler->layout, 0);
}

/* Reads what the list of threads is held against, and the first stack by the same call: where most of a target's memory is
 * cold, calls are dear. Returns whether the list is as it was. */
static bool look_at_list(struct sampler *sampler, uint64_t now)
{
    struct scratch *scratch = sampler->scratch;
    struct ahead *ahead = &scratch->ahead;
    scratch->copies.list.count = 0;
    ahead->thread = thread_ahead(sampler);
    threads_expect(&sampler->threads, &scratch->links, &sampler->layout, now, ahead->thread, &scratch->copies.list);
    if (ahead->thread)
        sample_expect(sampler, ahead->thread);
    size_t whole = remote_read_list(sampler->pid, &scratch->copies.list);
    ahead->ranges = whole > scratch->links.expected ? whole - scratch->links.expected : 0;
    ahead->codes = ahead->ranges > scratch->copies.expected ? ahead->ranges - scratch->copies.expected : 0;
    if (ahead->thread)
        threads_accept(&sampler->threads, &scratch->links, ahead->thread, scratch->copies.thread[FIRST]);
    bool is_read = !ahead->thread || ahead->ranges > 0;
    if (is_read && threads_are_known(&sampler->threads, &scratch->links, &sampler->layout, whole))
        return true;
    drop_ahead(sampler);
    return false;
}

/* Takes a sample of each thread of the list, as long as there is time. */
static void take_list(struct sampler *sampler, struct thread_list *list)
{
    uint64_t began = list->count < CLOCKED_THREADS ? 0 : clock_own_cpu_ns();
    size_t next = 0;
    for (size_t taken = 0; taken < list->count; taken++) {
        size_t index = index_of(sampler, list, taken);
        if (taken % CLOCKED_THREADS == CLOCKED_THREADS - 1 && clock_own_cpu_ns() - began > TURN_CPU_NS) {
            sampler->figures.put_off += list->count - taken;
            sampler->all_waited = false;
            next = index;
            break;
        }
        if (is_sampled(sampler, &list->of[index]))
            take_one(sampler, &list->of[index]);
    }
    sampler->first = next;
}

/* Takes a sample of every thread that is asked for. False where the program has ended. */
static bool take_all(struct sampler *sampler)
{
    uint64_t now = clock_now_ns();
    slices_begin(&sampler->slices, now);
    sampler->codes_at = now / SAME_CODE_NS;
    stop_settle(&sampler->stops);
    ask_all(sampler);
    pthread_mutex_lock(&sampler->lock);
    bool is_known = look_at_list(sampler, now);
    pthread_mutex_unlock(&sampler->lock);
    if (!is_known && has_ended(sampler))
        return false;
    is_known = is_known || threads_walk(&sampler->threads, &sampler->layout, sampler->pid);
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
    drop_ahead(sampler);
    pthread_mutex_unlock(&sampler->lock);
    return true;
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

/* Whether it is seen in this turn that the program has ended; it is not looked for at each. */
static bool is_seen_gone(struct sampler *sampler, uint64_t now)
{
    if (!sampler->gone_at_ns && now - sampler->asked_at_ns < ASKED_NS)
        return false;
    sampler->asked_at_ns = now;
    return has_ended(sampler);
}

/* Takes a turn, or finds that there is nothing more to take. No GIL needed. */
enum end sampler_take(struct sampler *sampler)
{
    uint64_t now = clock_now_ns();
    if (!is_seen_gone(sampler, now)) {
        if (is_still(sampler)) {
            take_still(sampler);
            return END_NONE;
        }
        if (take_all(sampler))
            return END_NONE;
    }
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

/* Takes one turn, in a thread of its own. False where there can be none, or no memory. No GIL needed. */
bool sampler_turn(struct sampler *sampler)
{
    pthread_t worker;
    sampler->scratch = calloc(1, sizeof *sampler->scratch);
    bool is_taken = sampler->scratch && worker_begin(&worker, one_turn, sampler) && pthread_join(worker, NULL) == 0;
    free(sampler->scratch);
    sampler->scratch = NULL;
    return is_taken;
}
