/* PTRACE_SEIZE, INTERRUPT and DETACH of one thread. If we die at any point the kernel lets it run. */
#define _GNU_SOURCE
#include "stop.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

/* A thread that computes stops within microseconds. One that does not is deep in the kernel, or waits for a processor:
 * there it stops before it goes on with anything of its own. To wait for that would take a processor from others. */
#define PATIENCE_NS 50000
/* How long is waited at least, and at most, before it is looked whether one that is late has come to its stop. */
#define REST_NS 50000
#define MOST_REST_NS 1000000
/* Of threads that this thread of ours traces, the ends alone, and without taking them from who waits for them. */
#define ENDS (WEXITED | WNOHANG | __WALL | __WNOTHREAD)

/* What has become of a thread that was asked to stop. GONE: it has ended, or goes on under another number. */
enum found { RUNS, STOPPED, GONE };

/* Whether a process was started by our own one. */
static bool is_our_child(pid_t process)
{
    char text[512];
    snprintf(text, sizeof text, "/proc/%d/stat", (int)process);
    int descriptor = open(text, O_RDONLY | O_CLOEXEC);
    ssize_t size = descriptor < 0 ? -1 : read(descriptor, text, sizeof text - 1);
    if (descriptor >= 0)
        close(descriptor);
    text[size < 0 ? 0 : size] = 0;
    /* Its name may have brackets too. */
    const char *rest = strrchr(text, ')');
    int parent;
    return rest && sscanf(rest, ") %*c %d", &parent) == 1 && parent == getpid();
}

/* A thread that ended while it was traced is waited for, or the parent of its process would wait in vain. The end of a
 * child of our own process is for the thread of ours that started it, which is told of it all the same. */
static void bury(const struct stops *stops, pid_t native_id)
{
    siginfo_t end;
    if (native_id != stops->process || !is_our_child(native_id))
        waitid(P_PID, (id_t)native_id, &end, ENDS);
}

/* Looks at a thread that was asked to stop. No wait says that it has stopped: another thread of ours that waits for a
 * child of ours may take what it says, and the child would be held for good. */
static enum found look(const struct stops *stops, pid_t native_id, siginfo_t *stop)
{
    siginfo_t end = {.si_pid = 0};
    if (ptrace(PTRACE_GETSIGINFO, native_id, NULL, stop) == 0)
        return STOPPED;
    if (waitid(P_PID, (id_t)native_id, &end, ENDS | WNOWAIT) < 0)
        return GONE;
    /* Of one that stopped just now it says that too. */
    if (end.si_pid == 0 || end.si_code == CLD_TRAPPED || end.si_code == CLD_STOPPED)
        return RUNS;
    bury(stops, native_id);
    return GONE;
}

/* Whether it stopped because we asked, and not for a signal. */
static bool is_asked_for(const siginfo_t *stop)
{
    return stop->si_signo == SIGTRAP && stop->si_code >> 8 == PTRACE_EVENT_STOP;
}

/* Lets a stopped thread run; a signal that was on its way comes to it. */
static void let_go(pid_t native_id, const siginfo_t *stop)
{
    int signal = stop->si_code >> 8 == PTRACE_EVENT_STOP ? 0 : stop->si_signo;
    ptrace(PTRACE_DETACH, native_id, NULL, (void *)(intptr_t)signal);
}

/* Lets go of a thread that stopped too late, or has ended. False where it has done neither. */
bool stop_settle(struct stops *stops)
{
    siginfo_t stop;
    while (stops->owed) {
        enum found found = look(stops, stops->owed, &stop);
        if (found == RUNS)
            return false;
        if (found == STOPPED)
            let_go(stops->owed, &stop);
        /* One that executes another program goes on under the process's number, and is still to stop. */
        stops->owed = found == GONE && stops->owed != stops->process ? stops->process : 0;
    }
    return true;
}

/* Returns after how long stop_settle is to be called again: as long again as the thread has taken to come to its stop, and
 * no longer may it be held. */
uint64_t stop_rest_ns(const struct stops *stops)
{
    uint64_t late_ns = clock_now_ns() - stops->asked_at_ns;
    if (late_ns < REST_NS)
        return REST_NS;
    return late_ns < MOST_REST_NS ? late_ns : MOST_REST_NS;
}

/* Stops a thread. False where it cannot be: it is traced by another one, stopped by a signal, ending, or deep in the
 * kernel; then it runs on. */
bool stop_begin(struct stops *stops, pid_t native_id)
{
    if (!stop_settle(stops) || ptrace(PTRACE_SEIZE, native_id, NULL, NULL) < 0) {
        stops->refused++;
        return false;
    }
    ptrace(PTRACE_INTERRUPT, native_id, NULL, NULL);
    stops->owed = native_id;
    stops->asked_at_ns = clock_now_ns();
    siginfo_t stop;
    bool has_stopped;
    while (!(has_stopped = ptrace(PTRACE_GETSIGINFO, native_id, NULL, &stop) == 0) &&
           clock_now_ns() - stops->asked_at_ns < PATIENCE_NS)
        sched_yield();
    if (has_stopped && is_asked_for(&stop)) {
        stops->owed = 0;
        return true;
    }
    /* A signal came first, or it has ended, or executes another program, or is late. */
    stop_settle(stops);
    stops->refused++;
    return false;
}

/* Lets a thread run again, and takes down how long it was held. */
void stop_end(struct stops *stops, pid_t native_id, uint64_t held_ns)
{
    /* It may have been killed meanwhile. */
    if (ptrace(PTRACE_DETACH, native_id, NULL, NULL) < 0)
        stops->owed = native_id;
    int bucket = 0;
    while (bucket < STOP_BUCKETS - 1 && held_ns / 1000 * (held_ns / 1000) >= 1ull << bucket)
        bucket++;
    stops->buckets[bucket]++;
    stops->count++;
}
