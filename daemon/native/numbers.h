/* Numbers: a target in a PID namespace of its own knows its threads by other numbers than we do. */
#ifndef EXECD_NUMBERS_H
#define EXECD_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Threads of a process beyond these are not found. */
#define NUMBERS 4096

/* Begins with zeros, and is read at the first question. */
struct numbers {
    bool are_read;
    size_t count;
    struct {
        pid_t ours, theirs;
    } of[NUMBERS];
};

bool numbers_differ(pid_t pid);
pid_t numbers_find(struct numbers *numbers, pid_t pid, pid_t theirs);

#endif
