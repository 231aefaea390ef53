/* The list of thread states is compared with what is known by one read, and walked where it has changed. */
#define _GNU_SOURCE
#include "threads.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "remote.h"

#define LINE_BYTES 256
#define HEAD_BYTES 512

/* Opens a file of a thread in /proc; -1 where there is none. */
static int proc_open(pid_t pid, pid_t native_id, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/%s", (int)pid, (int)native_id, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void thread_close(struct thread *thread)
{
    if (thread->schedstat >= 0)
        close(thread->schedstat);
    if (thread->syscall >= 0)
        close(thread->syscall);
    if (thread->copies)
        copies_free(thread->copies);
    free(thread->copies);
}

void threads_close(struct threads *threads)
{
    for (size_t index = 0; index < threads->count; index++)
        thread_close(&threads->of[index]);
    threads->count = threads->interpreters_count = 0;
}

static void thread_reopen(struct thread *thread, pid_t pid)
{
    if (thread->schedstat >= 0)
        close(thread->schedstat);
    if (thread->syscall >= 0)
        close(thread->syscall);
    thread->schedstat = proc_open(pid, thread->native_id, "schedstat");
    thread->syscall = proc_open(pid, thread->native_id, "syscall");
}

/* Where the kernel's number of a thread is: in its state, or in what the C library keeps of it. */
static uint64_t native_id_at(const struct layout *layout, uint64_t address, const unsigned char *state)
{
    if (layout->native_id != NONE)
        return address + (uint64_t)layout->native_id;
    return word_at(state, layout->thread_id) + (uint64_t)layout->pthread_tid;
}

static pid_t native_id_of(const struct layout *layout, pid_t pid, uint64_t address, const unsigned char *state)
{
    int32_t native_id;
    return remote_read(pid, native_id_at(layout, address, state), &native_id, sizeof native_id) ? native_id : 0;
}

/* Begins with a thread; what was known of one that stood there is kept where it is the same. */
static void thread_begin(struct thread *thread, struct threads *known, const struct layout *layout, pid_t pid,
                         uint64_t address, const unsigned char *state)
{
    pid_t native_id = native_id_of(layout, pid, address, state);
    for (size_t index = 0; index < known->count; index++) {
        struct thread *old = &known->of[index];
        if (old->address == address && old->native_id == native_id) {
            *thread = *old;
            thread->next = word_at(state, layout->thread_next);
            thread->thread_id = word_at(state, layout->thread_id);
            thread->identity = native_id_at(layout, address, state);
            /* It is taken over: what is left of the known ones is closed. */
            *old = (struct thread){.schedstat = -1, .syscall = -1};
            return;
        }
    }
    *thread = (struct thread){
        .address = address,
        .next = word_at(state, layout->thread_next),
        .thread_id = word_at(state, layout->thread_id),
        .identity = native_id_at(layout, address, state),
        .native_id = native_id,
        .schedstat = proc_open(pid, native_id, "schedstat"),
        .syscall = proc_open(pid, native_id, "syscall"),
    };
}

/* Returns where an interpreter's GIL lies. */
static uint64_t gil_of(const struct layout *layout, pid_t pid, uint64_t interpreter)
{
    if (!layout->gil_is_pointer)
        return (uint64_t)layout->gil_address;
    uint64_t gil;
    return remote_read(pid, interpreter + (uint64_t)layout->gil, &gil, sizeof gil) ? gil : 0;
}

/* Walks all lists anew. False where they lead nowhere. */
static bool walk(struct threads *threads, struct threads *known, const struct layout *layout, pid_t pid)
{
    uint64_t interpreter, address;
    threads->count = threads->interpreters_count = 0;
    threads->are_more = false;
    if (!remote_read(pid, (uint64_t)layout->interpreters_head, &interpreter, sizeof interpreter))
        return false;
    while (interpreter && threads->interpreters_count < INTERPRETERS) {
        struct interpreter *one = &threads->interpreters[threads->interpreters_count++];
        *one = (struct interpreter){.address = interpreter, .gil = gil_of(layout, pid, interpreter)};
        if (!remote_read(pid, interpreter + (uint64_t)layout->interpreter_next, &one->next, sizeof one->next) ||
            !remote_read(pid, interpreter + (uint64_t)layout->threads_head, &one->first, sizeof one->first))
            return false;
        for (address = one->first; address; one->threads++) {
            unsigned char state[HEAD_BYTES];
            if (threads->count == THREADS) {
                threads->are_more = true;
                break;
            }
            if (!remote_read(pid, address, state, (size_t)layout->thread_size))
                return false;
            struct thread *thread = &threads->of[threads->count++];
            thread_begin(thread, known, layout, pid, address, state);
            thread->gil = one->gil;
            address = thread->next;
        }
        interpreter = one->next;
    }
    return true;
}

/* Whether the lists are as they were at the last look. */
static bool are_known(const struct threads *threads, const struct layout *layout, pid_t pid)
{
    static _Thread_local struct remote_list list;
    static _Thread_local uint64_t head, links[INTERPRETERS][2], next[THREADS], ids[THREADS];
    static _Thread_local int32_t native_ids[THREADS];
    list.count = 0;
    remote_add(&list, (uint64_t)layout->interpreters_head, &head, sizeof head);
    for (size_t index = 0; index < threads->interpreters_count; index++) {
        uint64_t address = threads->interpreters[index].address;
        remote_add(&list, address + (uint64_t)layout->interpreter_next, &links[index][0], sizeof(uint64_t));
        remote_add(&list, address + (uint64_t)layout->threads_head, &links[index][1], sizeof(uint64_t));
    }
    size_t read = 0;
    for (; read < threads->count && list.count + 3 <= REMOTE_RANGES; read++) {
        uint64_t address = threads->of[read].address;
        remote_add(&list, address + (uint64_t)layout->thread_next, &next[read], sizeof next[read]);
        /* A thread that has not begun goes by the number of the one that started it (pystate.c, to 3.11). */
        remote_add(&list, address + (uint64_t)layout->thread_id, &ids[read], sizeof ids[read]);
        remote_add(&list, threads->of[read].identity, &native_ids[read], sizeof native_ids[read]);
    }
    if (!threads->interpreters_count || remote_read_list(pid, &list) != list.count)
        return false;
    if (head != threads->interpreters[0].address)
        return false;
    for (size_t index = 0; index < threads->interpreters_count; index++)
        if (links[index][0] != threads->interpreters[index].next ||
            links[index][1] != threads->interpreters[index].first)
            return false;
    for (size_t index = 0; index < read; index++)
        if (next[index] != threads->of[index].next || native_ids[index] != threads->of[index].native_id ||
            ids[index] != threads->of[index].thread_id)
            return false;
    return true;
}

/* Brings the list up to date. No GIL needed. False where it could not be read: the process has ended, or its lists
 * change faster than we read. */
bool threads_follow(struct threads *threads, const struct layout *layout, pid_t pid)
{
    if (are_known(threads, layout, pid))
        return true;
    struct threads *now = malloc(sizeof *now);
    if (!now)
        return false;
    bool is_whole = walk(now, threads, layout, pid);
    /* What could not be reached is begun anew at the next look. */
    threads_close(threads);
    memcpy(threads, now, sizeof *now);
    free(now);
    if (!is_whole)
        threads->interpreters_count = 0;
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

/* Whether a thread has waited ever since its last sample. No GIL needed. */
bool thread_is_unchanged(struct thread *thread)
{
    char line[LINE_BYTES];
    uint64_t ran_ns, waited_ns, arrivals;
    if (!line_of(thread->schedstat, line) ||
        sscanf(line, "%" SCNu64 " %" SCNu64 " %" SCNu64, &ran_ns, &waited_ns, &arrivals) != 3)
        return false;
    bool is_unchanged = thread->was_waiting && arrivals && arrivals == thread->arrivals;
    thread->arrivals = arrivals;
    return is_unchanged;
}

/* Finds what a thread waits for: a system call's number and its first argument, -1 for something else; or RUNNING.
 * False where nobody says: it has ended, or is not of this process. No GIL needed. */
bool thread_look(struct thread *thread, pid_t pid)
{
    char line[LINE_BYTES];
    thread->was_waiting = false;
    thread->system_call = RUNNING;
    if (!line_of(thread->syscall, line)) {
        /* Descriptors may have been short, or the number is of a thread that has taken its place. */
        thread_reopen(thread, pid);
        return false;
    }
    if (strncmp(line, "running", strlen("running")) == 0)
        return true;
    thread->was_waiting = true;
    thread->first_argument = 0;
    return sscanf(line, "%" SCNd64 " 0x%" SCNx64, &thread->system_call, &thread->first_argument) >= 1;
}
