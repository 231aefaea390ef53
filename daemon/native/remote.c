/* Reads by process_vm_readv: the target is neither stopped nor written to. */
#define _GNU_SOURCE
#include "remote.h"

/* Reads one range. No GIL needed. False where not all of it could be read. */
bool remote_read(pid_t pid, uint64_t address, void *into, size_t size)
{
    struct iovec local = {into, size}, remote = {(void *)(uintptr_t)address, size};
    return process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

/* Appends a range; false where there is no place left. */
bool remote_add(struct remote_list *list, uint64_t address, void *into, size_t size)
{
    if (list->count == REMOTE_RANGES)
        return false;
    list->local[list->count] = (struct iovec){into, size};
    list->remote[list->count] = (struct iovec){(void *)(uintptr_t)address, size};
    list->count++;
    return true;
}

/* Reads the ranges of a list by one call, up to the first that cannot be read. No GIL needed.
 * Returns how many were read whole. */
size_t remote_read_list(pid_t pid, const struct remote_list *list)
{
    ssize_t left = process_vm_readv(pid, list->local, list->count, list->remote, list->count, 0);
    size_t whole = 0;
    while (whole < list->count && left >= (ssize_t)list->local[whole].iov_len)
        left -= (ssize_t)list->local[whole++].iov_len;
    return whole;
}
