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

/* Has a known code object looked at again by codes_look_again, where it was not for this value of `now`. */
void codes_expect(struct codes *codes, const struct layout *layout, struct remote_list *list, uint64_t address,
                  uint64_t now)
{
    uint32_t slot = *slot_of(codes, address);
    if (!codes->expected_count)
        list->count = 0;
    if (!slot || codes->entries[slot - 1].looked_at == now || codes->expected_count == CODES_AT_ONCE)
        return;
    codes->entries[slot - 1].looked_at = now;
    codes->expected[codes->expected_count] = slot - 1;
    remote_add(list, address, codes->heads[codes->expected_count++], (size_t)layout->code_size);
}

/* Looks at all that are expected, by one call: those that are not found as they were are for codes_find. No GIL
 * needed. */
void codes_look_again(struct codes *codes, const struct layout *layout, pid_t pid, struct remote_list *list)
{
    size_t whole = codes->expected_count ? remote_read_list(pid, list) : 0;
    for (size_t index = 0; index < codes->expected_count; index++) {
        struct code *known = &codes->entries[codes->expected[index]];
        if (index >= whole || !is_same(layout, known, codes->heads[index]))
            known->looked_at = NEVER;
    }
    codes->expected_count = 0;
}

/* Returns the index of what lies at an address now, CODES_NONE where that is no code object, CODES_FULL where there is
 * no room. It is read once for each value of `now`. No GIL needed. */
int64_t codes_find(struct codes *codes, const struct layout *layout, pid_t pid, uint64_t address, uint64_t now)
{
    uint32_t *slot = slot_of(codes, address);
    struct code *known = *slot ? &codes->entries[*slot - 1] : NULL;
    if (known && known->looked_at == now)
        return *slot - 1;
    unsigned char head[CODE_HEAD_BYTES] = {0};
    uint64_t type;
    if (!remote_read(pid, address, head, (size_t)layout->code_size))
        return CODES_NONE;
    memcpy(&type, head + TYPE, sizeof type);
    if (type != (uint64_t)layout->code_type)
        return CODES_NONE;
    if (known && is_same(layout, known, head)) {
        known->looked_at = now;
        return *slot - 1;
    }
    if (!grow(codes))
        return CODES_FULL;
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
