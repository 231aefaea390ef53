/* Codes: the code objects that were met, by address. */
#ifndef EXECD_CODES_H
#define EXECD_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hash.h"
#include "layout.h"
#include "remote.h"

#define CODE_HEAD_BYTES 224
/* Looked at again by one call. */
#define CODES_AT_ONCE 32
/* What is returned in place of an index. */
#define CODES_NONE (-1)
#define CODES_FULL (-2)
/* No place of an entry. */
#define NO_CODE 0xFFFFFFFFu

/* Places of entries: those of a stack's code objects, the outermost one's first. */
struct code_list {
    uint32_t of[CODES_AT_ONCE];
    size_t count;
};

/* What lay at an address when it was met: `head` is its struct up to its instructions. `is_outdated`: another one was met
 * there since. */
struct code {
    uint64_t address;
    bool is_outdated;
    uint64_t instructions_bytes;
    uint64_t looked_at;
    unsigned char head[CODE_HEAD_BYTES];
};

/* Entries that are about to be looked at again, and what is read there. */
struct expected_codes {
    size_t count;
    uint32_t of[CODES_AT_ONCE];
    unsigned char heads[CODES_AT_ONCE][CODE_HEAD_BYTES];
};

/* A table that only grows; `slots` has indexes of the newest entry of an address, plus one. */
struct codes {
    struct code *entries;
    uint32_t count, room, limit;
    uint32_t *slots;
    uint32_t slots_count;
    struct hash_key key;
};

bool codes_open(struct codes *codes, uint32_t limit, struct hash_key key);
void codes_close(struct codes *codes);
uint32_t codes_place(const struct codes *codes, uint64_t address, uint32_t guess);
void codes_expect(struct codes *codes, struct expected_codes *expected, const struct layout *layout,
                  struct remote_list *list, uint32_t place, uint64_t now);
void codes_doubt(struct codes *codes, uint32_t place);
void codes_accept(struct codes *codes, struct expected_codes *expected, const struct layout *layout, size_t whole);
int64_t codes_find(struct codes *codes, const struct layout *layout, pid_t pid, uint64_t address, uint64_t now,
                   uint32_t guess);

#endif
