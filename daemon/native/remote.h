/* Remote: reads of another process's memory. */
#ifndef EXECD_REMOTE_H
#define EXECD_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Room for the most that one look takes: at the lists of threads, a thread, and code objects of its stack. */
#define REMOTE_RANGES 4352

/* Ranges to be read at once, in their order. Only `count` needs a value at first. */
struct remote_list {
    size_t count;
    struct iovec local[REMOTE_RANGES], remote[REMOTE_RANGES];
};

bool remote_read(pid_t pid, uint64_t address, void *into, size_t size);
void remote_add(struct remote_list *list, uint64_t address, void *into, size_t size);
size_t remote_read_list(pid_t pid, const struct remote_list *list);

#endif
