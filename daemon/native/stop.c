/* PTRACE_SEIZE, INTERRUPT and DETACH of one thread. If we die at any point the kernel lets it run. */
#define _GNU_SOURCE
#include "stop.h"

#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

/* A running thread stops within microseconds; one that does not is in an uninterruptible system call. */
#define PATIENCE_NS 2000000

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* Lets a stopped thread run; a signal that was on its way comes to it. */
static void let_go(pid_t native_id, int status)
{
    bool is_signal = status >> 16 == 0;
    ptrace(PTRACE_DETACH, native_id, NULL, (void *)(intptr_t)(is_signal ? WSTOPSIG(status) : 0));
}

/* Lets go of a thread that stopped too late, or has ended. False where it has done neither. */
bool stop_settle(struct stops *stops)
{
    int status;
    if (!stops->owed)
        return true;
    pid_t done = waitpid(stops->owed, &status, WNOHANG | __WALL);
    if (done == 0)
        return false;
    if (done == stops->owed && WIFSTOPPED(status))
        let_go(stops->owed, status);
    stops->owed = 0;
    return true;
}

/* Stops a thread. False where it cannot be: it is traced by another one, stopped by a signal, ending, or deep in the
 * kernel; then it runs on. */
bool stop_begin(struct stops *stops, pid_t native_id)
{
    int status = 0;
    if (!stop_settle(stops) || ptrace(PTRACE_SEIZE, native_id, NULL, NULL) < 0) {
        stops->refused++;
        return false;
    }
    ptrace(PTRACE_INTERRUPT, native_id, NULL, NULL);
    uint64_t began = now_ns();
    for (;;) {
        pid_t done = waitpid(native_id, &status, WNOHANG | __WALL);
        if (done == native_id)
            break;
        if (done < 0 || now_ns() - began > PATIENCE_NS) {
            /* One that executes another program goes on under the process's number, and is still to stop. */
            stops->owed = done < 0 ? stops->process : native_id;
            stops->refused++;
            return false;
        }
        sched_yield();
    }
    if (WIFSTOPPED(status) && status >> 16 == PTRACE_EVENT_STOP && WSTOPSIG(status) == SIGTRAP)
        return true;
    /* A signal came first, or it has ended, which this wait has told its parent. */
    if (WIFSTOPPED(status))
        let_go(native_id, status);
    stops->refused++;
    return false;
}

/* Lets a thread run again, and takes down how long it was held. */
void stop_end(struct stops *stops, pid_t native_id, uint64_t held_ns)
{
    /* It may have been killed meanwhile: then it is waited for, or its parent would wait in vain. */
    if (ptrace(PTRACE_DETACH, native_id, NULL, NULL) < 0)
        stops->owed = native_id;
    int bucket = 0;
    while (bucket < STOP_BUCKETS - 1 && held_ns / 1000 * (held_ns / 1000) >= 1ull << bucket)
        bucket++;
    stops->buckets[bucket]++;
    stops->count++;
}
