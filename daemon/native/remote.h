/* Remote: reads of another process's memory. */
#ifndef EXECD_REMOTE_H
#define EXECD_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* The kernel takes no more ranges in one call (UIO_MAXIOV). */
#define REMOTE_RANGES 1024

/* Ranges to be read by one system call, in their order. */
struct remote_list {
    struct iovec local[REMOTE_RANGES], remote[REMOTE_RANGES];
    size_t count;
};

bool remote_read(pid_t pid, uint64_t address, void *into, size_t size);
bool remote_add(struct remote_list *list, uint64_t address, void *into, size_t size);
size_t remote_read_list(pid_t pid, const struct remote_list *list);

#endif
