/* Hash: of a pair of words, by a key that a target does not know: it cannot choose addresses that fall together. */
#ifndef EXECD_HASH_H
#define EXECD_HASH_H

#include <stdint.h>

struct hash_key {
    uint64_t first, second;
};

/* Both halves of one product (Wang Yi's wyhash). The low bits are as good as the high ones. */
static inline uint32_t hash_of(const struct hash_key *key, uint64_t first, uint64_t second)
{
    unsigned __int128 product = (unsigned __int128)(first ^ key->first) * (second ^ key->second);
    uint64_t mixed = (uint64_t)product ^ (uint64_t)(product >> 64);
    return (uint32_t)(mixed ^ mixed >> 32);
}

#endif
