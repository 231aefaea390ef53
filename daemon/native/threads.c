/* The lists of thread states are compared with what is known by one list of reads, and walked where they have changed.
 * A thread takes its own state out of a list, and puts new ones at its head: so the links are compared that lead to those
 * which have run and from there, and all of them now and then, for C code may do it to others.
 *
 * A walk takes no more than LINKS reads of the target, whatever that says, and opens nothing.
 */
#define _GNU_SOURCE
#include "threads.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cycle.h"
#include "tree.h"

#define LINE_BYTES 256
#define STATUS_BYTES 4096
/* Of all lists together; what lies beyond is not even counted. */
#define LINKS 10000
/* How long the links between threads that have not run are taken for the same, and for how many looks where these are not
 * far apart: they change alone where another thread deletes the state of one that waits. */
#define SAME_LINKS_NS 10000000
#define SAME_LINKS_LOOKS 8
#define MOST_SAME_LINKS_NS 500000000

/* Opens a file of a thread in /proc; -1 where there is none. */
static int proc_open(pid_t pid, pid_t task, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/%s", (int)pid, (int)task, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* Closes the files of a thread. */
static void thread_shut(struct thread *thread)
{
    if (thread->schedstat >= 0)
        close(thread->schedstat);
    if (thread->syscall >= 0)
        close(thread->syscall);
    thread->schedstat = thread->syscall = -1;
    thread->has_stayed = false;
}

static void list_close(struct thread_list *list)
{
    for (size_t index = 0; index < list->count; index++) {
        thread_shut(&list->of[index]);
        places_free(list->of[index].places);
    }
    list->count = list->interpreters_count = 0;
}

void threads_close(struct threads *threads)
{
    list_close(threads->known);
}

/* Opens what is read of a thread in /proc, where that is not open. */
static void thread_open(struct thread *thread, pid_t pid)
{
    if (thread->schedstat < 0)
        thread->schedstat = proc_open(pid, thread->task, "schedstat");
    if (thread->syscall < 0)
        thread->syscall = proc_open(pid, thread->task, "syscall");
}

/* Where the kernel's number of a thread is: in its state, or in what the C library keeps of it. */
static uint64_t native_id_at(const struct layout *layout, uint64_t address, const unsigned char *state)
{
    if (layout->native_id != NONE)
        return address + (uint64_t)layout->native_id;
    return word_at(state, layout->thread_id) + (uint64_t)layout->pthread_tid;
}

/* Returns which of the known threads one is, NULL where it is new. They are in the same order most of the time:
 * `from` is where the search begins. */
static struct thread *find_known(struct thread_list *known, size_t *from, uint64_t address, pid_t native_id)
{
    for (size_t step = 0; step < known->count; step++) {
        size_t index = *from + step < known->count ? *from + step : *from + step - known->count;
        struct thread *old = &known->of[index];
        if (old->address == address && old->native_id == native_id) {
            *from = index + 1 < known->count ? index + 1 : 0;
            return old;
        }
    }
    return NULL;
}

/* A walk of all lists of a target, and what is known of them. `place`: of the thread that was found there last.
 * `numbers`: NULL where the target has ours. */
struct walk {
    struct thread_list *into, *known;
    struct numbers *numbers;
    const struct layout *layout;
    pid_t pid;
    size_t place, links;
};

/* Appends a thread; what was known of one that stood there is kept where it is the same. */
static void add_thread(struct walk *walk, const struct interpreter *interpreter, uint64_t address,
                       const unsigned char *state)
{
    struct thread *thread = &walk->into->of[walk->into->count++];
    uint64_t identity = native_id_at(walk->layout, address, state);
    int32_t native_id;
    if (!remote_read(walk->pid, identity, &native_id, sizeof native_id))
        native_id = 0;
    struct thread *old = find_known(walk->known, &walk->place, address, native_id);
    *thread = old ? *old : (struct thread){.schedstat = -1, .syscall = -1, .node = NO_NODE};
    /* It is taken over: what is left of the known ones is closed. */
    if (old)
        *old = (struct thread){.schedstat = -1, .syscall = -1};
    thread->address = address;
    if (!thread->task || !old)
        thread->task = walk->numbers && native_id > 0 ? numbers_find(walk->numbers, walk->pid, native_id) : native_id;
    thread->native_id = native_id;
    thread->identity = identity;
    thread->next = word_at(state, walk->layout->thread_next);
    thread->thread_id = word_at(state, walk->layout->thread_id);
    thread->gil = interpreter->gil;
}

/* Walks the threads of an interpreter; those for which there is no place are counted. False where they lead nowhere. */
static bool walk_threads(struct walk *walk, const struct interpreter *interpreter, bool has_place)
{
    struct cycle cycle = {0};
    uint64_t address = interpreter->first;
    while (address && walk->links++ < LINKS) {
        unsigned char state[THREAD_BYTES];
        if (cycle_closes(&cycle, address) || !remote_read(walk->pid, address, state, (size_t)walk->layout->thread_size))
            return false;
        if (has_place && walk->into->count < THREADS)
            add_thread(walk, interpreter, address, state);
        else
            walk->into->left_out++;
        address = word_at(state, walk->layout->thread_next);
    }
    return true;
}

/* Reads what is looked at of an interpreter. */
static bool read_interpreter(const struct walk *walk, struct interpreter *interpreter, uint64_t address)
{
    const struct layout *layout = walk->layout;
    *interpreter = (struct interpreter){.address = address, .gil = (uint64_t)layout->gil_address};
    if (layout->gil_is_pointer &&
        !remote_read(walk->pid, address + (uint64_t)layout->gil, &interpreter->gil, sizeof interpreter->gil))
        return false;
    return remote_read(walk->pid, address + (uint64_t)layout->interpreter_next, &interpreter->next, sizeof(uint64_t)) &&
           remote_read(walk->pid, address + (uint64_t)layout->threads_head, &interpreter->first, sizeof(uint64_t));
}

/* Walks all lists anew. False where they lead nowhere. */
static bool walk_all(struct walk *walk)
{
    struct thread_list *into = walk->into;
    struct cycle cycle = {0};
    struct interpreter one;
    uint64_t address;
    into->count = into->interpreters_count = into->left_out = 0;
    if (!remote_read(walk->pid, (uint64_t)walk->layout->interpreters_head, &address, sizeof address))
        return false;
    for (; address && walk->links++ < LINKS; address = one.next) {
        if (cycle_closes(&cycle, address) || !read_interpreter(walk, &one, address))
            return false;
        bool has_place = into->interpreters_count < INTERPRETERS;
        if (has_place)
            into->interpreters[into->interpreters_count++] = one;
        if (!walk_threads(walk, &one, has_place))
            return false;
    }
    return true;
}

/* A part of a thread state. */
struct span {
    int64_t start, end;
};

static void span_over(struct span *span, int64_t offset, int64_t size)
{
    span->start = offset < span->start ? offset : span->start;
    span->end = offset + size > span->end ? offset + size : span->end;
}

/* Returns where the links and numbers of a thread state lie; they do so near each other. */
static struct span links_span(const struct layout *layout)
{
    struct span span = {layout->thread_next, layout->thread_next + 8};
    span_over(&span, layout->thread_id, 8);
    if (layout->native_id != NONE)
        span_over(&span, layout->native_id, 4);
    return span;
}

/* Whether what is known of a thread state's links is held against them: where it has run, or the one after it, or it goes
 * by another thread's number, and what that one does says nothing of it. */
static bool is_compared(const struct threads *threads, size_t index)
{
    const struct thread_list *known = threads->known;
    return threads->compares_all || !known->of[index].has_stayed || known->of[index].is_doubled ||
           (index + 1 < known->count && !known->of[index + 1].has_stayed);
}

/* Returns where the links of an interpreter lie. */
static struct span interpreter_span(const struct layout *layout)
{
    struct span span = {layout->interpreter_next, layout->interpreter_next + 8};
    span_over(&span, layout->threads_head, 8);
    return span;
}

static bool are_near(struct span span)
{
    return span.end - span.start <= INTERPRETER_BYTES;
}

/* Returns where one of the links of an interpreter is in what was read of it. */
static int64_t link_at(const struct layout *layout, int64_t offset)
{
    struct span span = interpreter_span(layout);
    if (are_near(span))
        return offset - span.start;
    return offset == layout->interpreter_next ? 0 : 8;
}

/* Appends the links of an interpreter to a list. */
static void expect_interpreter(const struct layout *layout, uint64_t address, unsigned char *into,
                               struct remote_list *list)
{
    struct span span = interpreter_span(layout);
    if (are_near(span)) {
        remote_add(list, address + (uint64_t)span.start, into, (size_t)(span.end - span.start));
        return;
    }
    remote_add(list, address + (uint64_t)layout->interpreter_next, into, 8);
    remote_add(list, address + (uint64_t)layout->threads_head, into + 8, 8);
}

/* Chooses whether all links are compared at this look. */
static void choose_links(struct threads *threads, uint64_t now_ns)
{
    threads->looks_left -= threads->looks_left > 0;
    uint64_t passed_ns = now_ns - threads->compared_at_ns;
    threads->compares_all = passed_ns >= (threads->looks_left ? MOST_SAME_LINKS_NS : SAME_LINKS_NS);
    if (!threads->compares_all)
        return;
    threads->looks_left = SAME_LINKS_LOOKS;
    threads->compared_at_ns = now_ns;
}

/* Appends all that is compared to a list that is read after each thread was asked whether it has run. `read_whole`: a
 * thread whose state is read by it anyway, and is for threads_accept; NULL for none. */
void threads_expect(struct threads *threads, struct links *links, const struct layout *layout, uint64_t now_ns,
                    const struct thread *read_whole, struct remote_list *list)
{
    struct span span = links_span(layout);
    const struct thread_list *known = threads->known;
    size_t before = list->count;
    choose_links(threads, now_ns);
    remote_add(list, (uint64_t)layout->interpreters_head, &links->head, sizeof links->head);
    for (size_t index = 0; index < known->interpreters_count; index++)
        expect_interpreter(layout, known->interpreters[index].address, links->interpreters[index], list);
    for (size_t index = 0; index < known->count; index++) {
        const struct thread *thread = &known->of[index];
        links->are_compared[index] = is_compared(threads, index);
        if (!links->are_compared[index])
            continue;
        if (thread != read_whole)
            remote_add(list, thread->address + (uint64_t)span.start, links->threads[index] + span.start,
                       (size_t)(span.end - span.start));
        if (layout->native_id == NONE)
            remote_add(list, thread->identity, &links->native_ids[index], 4);
    }
    links->expected = list->count - before;
}

/* Takes the state of a thread that was read whole. */
void threads_accept(const struct threads *threads, struct links *links, const struct thread *thread,
                    const unsigned char *state)
{
    memcpy(links->threads[thread - threads->known->of], state, THREAD_BYTES);
}

/* Whether a thread of the lists is the one that is known, and has the same one after it. */
static bool is_same_thread(const struct thread *known, const struct links *links, const struct layout *layout,
                           size_t index)
{
    const unsigned char *state = links->threads[index];
    int32_t native_id = links->native_ids[index];
    if (layout->native_id != NONE)
        memcpy(&native_id, state + layout->native_id, sizeof native_id);
    /* A thread that has not begun goes by the number of the one that started it (pystate.c, to 3.11). */
    return word_at(state, layout->thread_next) == known->next && word_at(state, layout->thread_id) == known->thread_id &&
           native_id == known->native_id;
}

/* Whether the lists are as they were at the last walk, of which so many ranges were read. */
bool threads_are_known(const struct threads *threads, const struct links *links, const struct layout *layout,
                       size_t whole)
{
    const struct thread_list *known = threads->known;
    int64_t next_at = link_at(layout, layout->interpreter_next), first_at = link_at(layout, layout->threads_head);
    if (!known->interpreters_count || whole < links->expected ||
        links->head != known->interpreters[0].address)
        return false;
    for (size_t index = 0; index < known->interpreters_count; index++)
        if (word_at(links->interpreters[index], next_at) != known->interpreters[index].next ||
            word_at(links->interpreters[index], first_at) != known->interpreters[index].first)
            return false;
    for (size_t index = 0; index < known->count; index++)
        if (links->are_compared[index] && !is_same_thread(&known->of[index], links, layout, index))
            return false;
    return true;
}

/* Finds which thread states are of a thread that has an older one too. */
static void find_doubled(struct thread_list *list)
{
    for (size_t index = 0; index < list->count; index++) {
        struct thread *thread = &list->of[index];
        thread->is_doubled = false;
        for (size_t later = index + 1; later < list->count && !thread->is_doubled; later++)
            thread->is_doubled = list->of[later].native_id == thread->native_id;
    }
}

/* Brings the list up to date. No GIL needed. False where it could not be read: the process has ended, or its lists change
 * faster than we read, or go round. */
bool threads_walk(struct threads *threads, const struct layout *layout, pid_t pid)
{
    struct thread_list *other = &threads->lists[threads->known == &threads->lists[0]];
    struct numbers *numbers = threads->has_numbers ? &threads->numbers : NULL;
    struct walk walk = {.into = other, .known = threads->known, .numbers = numbers, .layout = layout, .pid = pid};
    threads->numbers.are_read = false;
    bool is_whole = walk_all(&walk);
    find_doubled(other);
    /* What could not be reached is begun anew at the next look. */
    list_close(threads->known);
    threads->known = other;
    if (!is_whole)
        other->interpreters_count = 0;
    return is_whole;
}

/* Reads a file of /proc into a line that ends with 0. False where it cannot be read. */
static bool line_of(int descriptor, char *line)
{
    ssize_t size = descriptor < 0 ? -1 : pread(descriptor, line, LINE_BYTES - 1, 0);
    if (size <= 0)
        return false;
    line[size] = 0;
    return true;
}

/* Returns how often a thread was given a processor, from its schedstat: it comes after the times that it ran, and was
 * ready to. 0 where nobody counts. */
static uint64_t arrivals_of(const char *line)
{
    const char *last = strrchr(line, ' ');
    return last ? strtoull(last, NULL, 10) : 0;
}

/* Asks whether a thread has waited ever since its last sample: one that has not is to be looked at. No GIL needed. */
void thread_ask(struct thread *thread, pid_t pid)
{
    char line[LINE_BYTES];
    thread_open(thread, pid);
    uint64_t arrivals = line_of(thread->schedstat, line) ? arrivals_of(line) : 0;
    thread->has_stayed = thread->was_waiting && arrivals && arrivals == thread->arrivals;
    thread->was_waiting = thread->has_stayed;
    thread->arrivals = arrivals;
}

/* Whether a thread waits where it was at its last sample; all stays as it is, for another look at it. No GIL needed. */
bool thread_has_stayed(const struct thread *thread)
{
    char line[LINE_BYTES];
    return thread->was_waiting && thread->arrivals && line_of(thread->schedstat, line) &&
           arrivals_of(line) == thread->arrivals;
}

/* Finds what a thread waits for: a system call's number and its first argument, -1 for something else; or RUNNING.
 * False where nobody says: it has ended, or is not of this process. No GIL needed. */
bool thread_look(struct thread *thread)
{
    char line[LINE_BYTES];
    thread->was_waiting = false;
    thread->system_call = RUNNING;
    if (!line_of(thread->syscall, line)) {
        /* Descriptors may have been short, or the number is of a thread that has taken its place: it is opened anew. */
        thread_shut(thread);
        return false;
    }
    if (strncmp(line, "running", strlen("running")) == 0)
        return true;
    thread->was_waiting = true;
    char *at, *rest;
    thread->system_call = strtoll(line, &at, 10);
    thread->first_argument = strtoull(at, &rest, 16);
    return at != line;
}

/* Whether a thread may be stopped: under a seccomp filter it may not, for a call that a stop interrupts is begun again by
 * restart_syscall, for which a filter may end the process. Looked at once in a slice of time; a filter never comes off.
 * No GIL needed. */
bool thread_may_stop(struct thread *thread, pid_t pid, uint64_t slice)
{
    if (thread->asked_slice == slice)
        return thread->may_stop;
    char text[STATUS_BYTES];
    int status = proc_open(pid, thread->task, "status");
    ssize_t size = status < 0 ? -1 : read(status, text, sizeof text - 1);
    if (status >= 0)
        close(status);
    text[size < 0 ? 0 : size] = 0;
    /* A kernel without seccomp has no such line. */
    const char *found = strstr(text, "\nSeccomp:\t");
    thread->may_stop = size > 0 && (!found || found[strlen("\nSeccomp:\t")] == '0');
    thread->asked_slice = slice;
    return thread->may_stop;
}
