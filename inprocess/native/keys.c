#define _GNU_SOURCE
#include "keys.h"

#include <stdlib.h>

#define FIRST_PLACES 1024

/* The finalizer of splitmix64 (Steele, Lea, Flood 2014): addresses differ in few of their bits. */
static size_t place_of(const struct keys *keys, uint32_t owner, uint64_t key)
{
    uint64_t mixed = key ^ (uint64_t)owner * 0x9E3779B97F4A7C15ull;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9ull;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBull;
    return (size_t)(mixed ^ mixed >> 31) & (keys->places - 1);
}

static size_t next_place(const struct keys *keys, size_t place)
{
    return (place + 1) & (keys->places - 1);
}

/* Returns where a key is, or the free place where it would be. There is always a free one. */
static size_t lookup(const struct keys *keys, uint32_t owner, uint64_t key)
{
    size_t place = place_of(keys, owner, key);
    while (keys->entries[place].index &&
           (keys->entries[place].key != key || keys->entries[place].owner != owner))
        place = next_place(keys, place);
    return place;
}

static bool grow(struct keys *keys)
{
    struct keys larger = {.places = keys->places ? 2 * keys->places : FIRST_PLACES, .count = keys->count};
    larger.entries = calloc(larger.places, sizeof *larger.entries);
    if (!larger.entries)
        return false;
    for (size_t place = 0; place < keys->places; place++) {
        const struct key_entry *entry = &keys->entries[place];
        if (entry->index)
            larger.entries[lookup(&larger, entry->owner, entry->key)] = *entry;
    }
    free(keys->entries);
    *keys = larger;
    return true;
}

/* Returns what a key stands for, 0 for nothing. */
uint32_t keys_find(const struct keys *keys, uint32_t owner, uint64_t key)
{
    return keys->places ? keys->entries[lookup(keys, owner, key)].index : 0;
}

/* Lets a key that stands for nothing stand for an index that is not 0. False without memory. */
bool keys_add(struct keys *keys, uint32_t owner, uint64_t key, uint32_t index)
{
    if (2 * (keys->count + 1) > keys->places && !grow(keys))
        return false;
    keys->entries[lookup(keys, owner, key)] = (struct key_entry){key, owner, index};
    keys->count++;
    return true;
}

/* Takes a key out. Those behind it move up where they may: Knuth, The Art of Computer Programming 3, 6.4, algorithm R. */
void keys_remove(struct keys *keys, uint32_t owner, uint64_t key)
{
    if (!keys->places)
        return;
    size_t gap = lookup(keys, owner, key);
    if (!keys->entries[gap].index)
        return;
    keys->count--;
    for (size_t place = next_place(keys, gap); keys->entries[place].index; place = next_place(keys, place)) {
        size_t wanted = place_of(keys, keys->entries[place].owner, keys->entries[place].key);
        if (((place - wanted) & (keys->places - 1)) >= ((place - gap) & (keys->places - 1))) {
            keys->entries[gap] = keys->entries[place];
            gap = place;
        }
    }
    keys->entries[gap].index = 0;
}

void keys_close(struct keys *keys)
{
    free(keys->entries);
    *keys = (struct keys){0};
}
