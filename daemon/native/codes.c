/* A code object is read when it is met, and again when it is met later: at its address another one may lie then. */
#include "codes.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 256
/* Where the type of an object is. */
#define TYPE 8
/* No value of `now`. */
#define NEVER UINT64_MAX

/* Makes an empty table of at most so many entries. False without memory. */
bool codes_open(struct codes *codes, uint32_t limit, struct hash_key key)
{
    *codes = (struct codes){.room = FIRST_ROOM, .limit = limit, .slots_count = 2 * FIRST_ROOM, .key = key};
    codes->entries = malloc(FIRST_ROOM * sizeof *codes->entries);
    codes->slots = calloc(codes->slots_count, sizeof *codes->slots);
    return codes->entries && codes->slots;
}

void codes_close(struct codes *codes)
{
    free(codes->entries);
    free(codes->slots);
}

/* Returns the slot of an address, or the free one in which it belongs. */
static uint32_t *slot_of(const struct codes *codes, uint64_t address)
{
    uint32_t mask = codes->slots_count - 1;
    uint32_t at = hash_of(&codes->key, address, 0) & mask;
    while (codes->slots[at] && codes->entries[codes->slots[at] - 1].address != address)
        at = (at + 1) & mask;
    return &codes->slots[at];
}

/* Makes room for one more. False at the limit, or without memory. */
static bool grow(struct codes *codes)
{
    if (codes->count < codes->room)
        return true;
    if (codes->room * 2 > codes->limit)
        return false;
    struct code *entries = realloc(codes->entries, 2 * codes->room * sizeof *entries);
    uint32_t *slots = calloc(2 * codes->slots_count, sizeof *slots);
    if (entries)
        codes->entries = entries;
    if (!entries || !slots) {
        free(slots);
        return false;
    }
    free(codes->slots);
    codes->slots = slots;
    codes->slots_count *= 2;
    codes->room *= 2;
    /* Later entries of an address take the place of earlier ones. */
    for (uint32_t index = 0; index < codes->count; index++)
        *slot_of(codes, codes->entries[index].address) = index + 1;
    return true;
}

/* Whether a head is that of a known code object: of its type, and with its marks. */
static bool is_same(const struct layout *layout, const struct code *known, const unsigned char *head)
{
    const int64_t marks[3][2] = {{layout->mark_1, layout->mark_1_size},
                                 {layout->mark_2, layout->mark_2_size},
                                 {layout->mark_3, layout->mark_3_size}};
    if (memcmp(known->head + TYPE, head + TYPE, sizeof(uint64_t)))
        return false;
    for (int index = 0; index < 3; index++)
        if (memcmp(known->head + marks[index][0], head + marks[index][0], (size_t)marks[index][1]))
            return false;
    return true;
}

/* Returns the place of the entry of what was met last at an address, NO_CODE where there is none. `guess`: where it may
 * be, which spares a search, or NO_CODE. */
uint32_t codes_place(const struct codes *codes, uint64_t address, uint32_t guess)
{
    const struct code *guessed = guess < codes->count ? &codes->entries[guess] : NULL;
    bool is_there = guessed && guessed->address == address && !guessed->is_outdated;
    return is_there ? guess : *slot_of(codes, address) - 1;
}

/* Appends a known code object to a list, to be looked at again, where it was not for this value of `now`. What is read
 * of it is for codes_accept. */
void codes_expect(struct codes *codes, struct expected_codes *expected, const struct layout *layout,
                  struct remote_list *list, uint32_t place, uint64_t now)
{
    if (place == NO_CODE || codes->entries[place].looked_at == now || expected->count == CODES_AT_ONCE)
        return;
    codes->entries[place].looked_at = now;
    expected->of[expected->count] = place;
    remote_add(list, codes->entries[place].address, expected->heads[expected->count++], (size_t)layout->code_size);
}

/* Has an entry looked at again, whenever that was done last. */
void codes_doubt(struct codes *codes, uint32_t place)
{
    codes->entries[place].looked_at = NEVER;
}

/* Looks at all that were expected, of which so many were read: those that are not found as they were are for
 * codes_find. */
void codes_accept(struct codes *codes, struct expected_codes *expected, const struct layout *layout, size_t whole)
{
    for (size_t index = 0; index < expected->count; index++) {
        struct code *known = &codes->entries[expected->of[index]];
        if (index >= whole || !is_same(layout, known, expected->heads[index]))
            known->looked_at = NEVER;
    }
    expected->count = 0;
}

/* Returns the index of what lies at an address now, CODES_NONE where that is no code object, CODES_FULL where there is
 * no room. It is read once for each value of `now`; `guess` is as of codes_place. No GIL needed. */
int64_t codes_find(struct codes *codes, const struct layout *layout, pid_t pid, uint64_t address, uint64_t now,
                   uint32_t guess)
{
    uint32_t place = codes_place(codes, address, guess);
    struct code *known = place == NO_CODE ? NULL : &codes->entries[place];
    if (known && known->looked_at == now)
        return place;
    unsigned char head[CODE_HEAD_BYTES] = {0};
    uint64_t type;
    if (!remote_read(pid, address, head, (size_t)layout->code_size))
        return CODES_NONE;
    memcpy(&type, head + TYPE, sizeof type);
    if (type != (uint64_t)layout->code_type)
        return CODES_NONE;
    if (known && is_same(layout, known, head)) {
        known->looked_at = now;
        return place;
    }
    if (!grow(codes))
        return CODES_FULL;
    if (place != NO_CODE)
        codes->entries[place].is_outdated = true;
    struct code *entry = &codes->entries[codes->count];
    *entry = (struct code){.address = address, .looked_at = now, .instructions_bytes = UINT64_MAX};
    memcpy(entry->head, head, sizeof head);
    if (layout->code_units != NONE) {
        uint64_t units;
        memcpy(&units, head + layout->code_units, sizeof units);
        entry->instructions_bytes = 2 * units;
    }
    *slot_of(codes, address) = ++codes->count;
    return codes->count - 1;
}
