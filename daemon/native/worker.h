/* Worker: a thread of ours that samples. */
#ifndef EXECD_WORKER_H
#define EXECD_WORKER_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

/* Begins one. False where there can be none. A signal to our process is for one of its other threads. */
static inline bool worker_begin(pthread_t *worker, void *(*run)(void *), void *given)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    bool has_begun = pthread_create(worker, NULL, run, given) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return has_begun;
}

#endif
