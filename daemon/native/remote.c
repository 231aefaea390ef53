/* Reads by process_vm_readv: the target is neither stopped nor written to.
 *
 * Each call is bounded by the bytes that it asks for. What no reader can bound is a page that the target serves itself,
 * from its userfaultfd or a file system of its own: such a read lasts until the page comes or the target ends.
 */
#define _GNU_SOURCE
#include "remote.h"

/* The kernel takes no more ranges in one call (UIO_MAXIOV). */
#define CALL_RANGES 1024

/* Reads one range. No GIL needed. False where not all of it could be read. */
bool remote_read(pid_t pid, uint64_t address, void *into, size_t size)
{
    struct iovec local = {into, size}, remote = {(void *)(uintptr_t)address, size};
    return process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

/* Appends a range. There must be room: who adds has a limit of his own. */
void remote_add(struct remote_list *list, uint64_t address, void *into, size_t size)
{
    list->local[list->count] = (struct iovec){into, size};
    list->remote[list->count] = (struct iovec){(void *)(uintptr_t)address, size};
    list->count++;
}

/* Reads so many ranges by one call. Returns how many were read whole. */
static size_t read_call(pid_t pid, const struct iovec *local, const struct iovec *remote, size_t count)
{
    ssize_t left = process_vm_readv(pid, local, count, remote, count, 0);
    size_t whole = 0;
    while (whole < count && left >= (ssize_t)local[whole].iov_len)
        left -= (ssize_t)local[whole++].iov_len;
    return whole;
}

/* Reads the ranges of a list up to the first that cannot be read: by one call, where they are not very many. No GIL
 * needed. Returns how many were read whole. */
size_t remote_read_list(pid_t pid, const struct remote_list *list)
{
    size_t whole = 0;
    while (whole < list->count) {
        size_t count = list->count - whole < CALL_RANGES ? list->count - whole : CALL_RANGES;
        size_t read = read_call(pid, list->local + whole, list->remote + whole, count);
        whole += read;
        if (read < count)
            break;
    }
    return whole;
}
