/* Keys: which node, or function, a pair of numbers stands for. Open addressing; removal leaves no trace. */
#ifndef EXECD_KEYS_H
#define EXECD_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct key_entry {
    uint64_t key;
    uint32_t owner;
    /* What it stands for; 0 where the place is free. */
    uint32_t index;
};

/* Begins with zeros. */
struct keys {
    struct key_entry *entries;
    size_t places, count;
};

uint32_t keys_find(const struct keys *keys, uint32_t owner, uint64_t key);
bool keys_add(struct keys *keys, uint32_t owner, uint64_t key, uint32_t index);
void keys_remove(struct keys *keys, uint32_t owner, uint64_t key);
void keys_close(struct keys *keys);

#endif
