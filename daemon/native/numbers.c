/* /proc names a thread by our number, and says how each PID namespace further in calls it. */
#define _GNU_SOURCE
#include "numbers.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_BYTES 4096
#define FIELD "\nNSpid:"

/* Reads the numbers of a thread, the outermost namespace's first. Returns how many there are, and the last. */
static int read_numbers(pid_t pid, pid_t ours, pid_t *last)
{
    char text[STATUS_BYTES];
    snprintf(text, sizeof text, "/proc/%d/task/%d/status", (int)pid, (int)ours);
    int descriptor = open(text, O_RDONLY | O_CLOEXEC);
    ssize_t size = descriptor < 0 ? -1 : read(descriptor, text, sizeof text - 1);
    if (descriptor >= 0)
        close(descriptor);
    text[size < 0 ? 0 : size] = 0;
    const char *at = strstr(text, FIELD);
    int count = 0;
    for (at = at ? at + strlen(FIELD) : ""; *at == '\t'; count++) {
        char *end;
        *last = (pid_t)strtol(at, &end, 10);
        at = end;
    }
    return count;
}

/* Whether a process knows its threads by other numbers. */
bool numbers_differ(pid_t pid)
{
    pid_t theirs;
    return read_numbers(pid, pid, &theirs) > 1;
}

/* Reads the numbers of all threads of a process. */
static void read_all(struct numbers *numbers, pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    const struct dirent *one;
    numbers->are_read = true;
    numbers->count = 0;
    while (tasks && numbers->count < NUMBERS && (one = readdir(tasks))) {
        pid_t ours = atoi(one->d_name), theirs;
        if (ours > 0 && read_numbers(pid, ours, &theirs) > 0) {
            numbers->of[numbers->count].ours = ours;
            numbers->of[numbers->count++].theirs = theirs;
        }
    }
    if (tasks)
        closedir(tasks);
}

/* Returns our number of a thread of a process, 0 where it has none of this number. */
pid_t numbers_find(struct numbers *numbers, pid_t pid, pid_t theirs)
{
    if (!numbers->are_read)
        read_all(numbers, pid);
    for (size_t index = 0; index < numbers->count; index++)
        if (numbers->of[index].theirs == theirs)
            return numbers->of[index].ours;
    return 0;
}
