/* One process_vm_readv takes a thread's state with what that points to, its frames, and both once more where it is not
 * held. */
#include "copies.h"

#include <stdlib.h>
#include <string.h>

/* Frames that are pushed while we read lie above what was in use at the last sample: at first so much is read there, and
 * so much more than was of use once that is known. What is read for nothing comes out of cold caches too. */
#define HEADROOM 1024
#define SPARE_BYTES 256
/* Of samples: how long a place is kept that was of no use. */
#define KEPT_TURNS 64
#define FIRST_LONE 8
#define CHUNK_HEAD_BYTES 24

uint64_t word_at(const unsigned char *bytes, int64_t offset)
{
    uint64_t word;
    memcpy(&word, bytes + offset, sizeof word);
    return word;
}

/* Frees the places of a thread; NULL is none. */
void places_free(struct places *places)
{
    if (places)
        free(places->lone);
    free(places);
}

/* Appends what is in use of a chunk, from `data` to `used`. False where that would be too much of one thread. */
static bool part_add(struct places *places, uint64_t data, uint64_t used)
{
    const struct part *last = places->parts_count ? &places->parts[places->parts_count - 1] : NULL;
    uint32_t at = last ? last->at + last->size : 0;
    /* Frames beyond are read one by one. */
    uint64_t size = used - data > CHUNK_BYTES ? CHUNK_BYTES : used - data;
    if (at + size > PARTS_BYTES)
        return false;
    places->parts[places->parts_count++] = (struct part){.start = data, .size = (uint32_t)size, .at = at};
    return true;
}

/* Finds the chunks of a thread, the newest first, from its newest one and the end of what is used there.
 * The older ones of a deep stack stay as they are most of the time. False where they make no sense. */
static bool follow_chunks(struct places *places, const struct layout *layout, pid_t pid, uint64_t newest, uint64_t top)
{
    uint64_t chunk = newest;
    places->parts_count = places->highest = 0;
    while (chunk && places->parts_count < CHUNKS) {
        unsigned char head[CHUNK_HEAD_BYTES];
        if (!remote_read(pid, chunk, head, sizeof head))
            return false;
        uint64_t size = word_at(head, layout->chunk_size);
        uint64_t data = chunk + (uint64_t)layout->chunk_data, end = chunk + size;
        if (size > (1u << 30) || end < data)
            return false;
        uint64_t used = end;
        if (chunk == newest)
            used = top + HEADROOM < end ? top + HEADROOM : end;
        if (used < data)
            return false;
        if (!part_add(places, data, used))
            break;
        chunk = word_at(head, layout->chunk_previous);
    }
    return true;
}

/* Whether the newest chunk is the one that was read, and what was read reaches to the end of what is used. */
static bool is_covered(const struct copies *copies, const struct layout *layout)
{
    if (layout->chunk == NONE)
        return true;
    uint64_t newest = word_at(copies->thread[FIRST], layout->chunk);
    uint64_t top = word_at(copies->thread[FIRST], layout->chunk_top);
    if (!newest)
        return true;
    const struct part *part = &copies->places->parts[0];
    return copies->places->parts_count && part->start == newest + (uint64_t)layout->chunk_data &&
           (top <= part->start + part->size || part->size == CHUNK_BYTES);
}

/* Reads less of the newest chunk from now on, where a deep stack has become a shallow one. */
static void shrink(struct copies *copies, const struct layout *layout)
{
    struct places *places = copies->places;
    if (layout->chunk == NONE || !places->parts_count)
        return;
    for (int read = FIRST; read <= (copies->is_held ? FIRST : SECOND); read++) {
        uint64_t top = word_at(copies->thread[read], layout->chunk_top);
        places->highest = top > places->highest ? top : places->highest;
    }
    if (places->turn % KEPT_TURNS)
        return;
    struct part *part = &places->parts[0];
    uint64_t size = places->highest - part->start + SPARE_BYTES;
    if (places->highest >= part->start && size < part->size)
        part->size = (uint32_t)size;
    places->highest = 0;
}

static void add_state(struct copies *copies, const struct layout *layout, uint64_t thread, int read)
{
    remote_add(&copies->list, thread, copies->thread[read], (size_t)layout->thread_size);
    if (read == FIRST && copies->gil_at)
        remote_add(&copies->list, copies->gil_at, copies->gil, sizeof copies->gil);
    if (copies->places->cframe)
        remote_add(&copies->list, copies->places->cframe, copies->cframe_words[read],
                   sizeof copies->cframe_words[read]);
}

static void add_frames(struct copies *copies, const struct layout *layout, int read)
{
    const struct places *places = copies->places;
    for (size_t index = 0; index < places->parts_count; index++) {
        const struct part *part = &places->parts[index];
        remote_add(&copies->list, part->start, copies->parts[read] + part->at, part->size);
    }
    for (size_t index = 0; index < places->lone_count; index++) {
        copies->has_lone[index][read] = places->lone[index].address != 0;
        if (places->lone[index].address)
            remote_add(&copies->list, places->lone[index].address, copies->lone[index][read],
                       (size_t)layout->frame_size);
    }
}

/* Lets go of frames that have not been of use for long, and of places without one. */
static void forget_lone(struct places *places)
{
    size_t kept = 0;
    for (size_t index = 0; index < places->lone_count; index++)
        if (places->lone[index].address && places->turn - places->lone[index].used_at <= KEPT_TURNS)
            places->lone[kept++] = places->lone[index];
    places->lone_count = kept;
}

/* Whether all that the frames of the first look need was read. */
static bool is_complete(const struct copies *copies, const struct layout *layout)
{
    uint64_t cframe = layout->frame_in_cframe == NONE ? 0 : word_at(copies->thread[FIRST], layout->frame);
    return cframe == copies->places->cframe && is_covered(copies, layout);
}

/* Appends all that is read a second time, to see what has stayed as it was: nothing of a thread that is held. */
static void add_second(struct copies *copies, const struct layout *layout, uint64_t thread)
{
    if (copies->is_held)
        return;
    add_state(copies, layout, thread, SECOND);
    add_frames(copies, layout, SECOND);
}

/* Reads what the first look at a thread state leads to, where that is not what was foreseen: its instant stays. */
static bool take_again(struct copies *copies, const struct layout *layout, pid_t pid, uint64_t thread)
{
    struct places *places = copies->places;
    const unsigned char *state = copies->thread[FIRST];
    copies->list.count = places->lone_count = places->parts_count = 0;
    copies->is_foreseen = false;
    places->cframe = layout->frame_in_cframe == NONE ? 0 : word_at(state, layout->frame);
    if (layout->chunk != NONE && !follow_chunks(places, layout, pid, word_at(state, layout->chunk),
                                                word_at(state, layout->chunk_top)))
        return false;
    if (places->cframe)
        remote_add(&copies->list, places->cframe, copies->cframe_words[FIRST], sizeof copies->cframe_words[FIRST]);
    add_frames(copies, layout, FIRST);
    add_second(copies, layout, thread);
    return remote_read_list(pid, &copies->list) == copies->list.count;
}

/* Appends a thread's state and frames, at its places, to the list. `is_held` and `gil_at` are the caller's to set. */
void copies_expect(struct copies *copies, struct places *places, const struct layout *layout, uint64_t thread)
{
    size_t before = copies->list.count;
    forget_lone(places);
    places->turn++;
    copies->places = places;
    copies->last = 0;
    copies->is_foreseen = true;
    copies->is_late = copies->is_full = false;
    add_state(copies, layout, thread, FIRST);
    add_frames(copies, layout, FIRST);
    add_second(copies, layout, thread);
    copies->expected = copies->list.count - before;
}

/* Takes what was expected, of which so many ranges were read, and reads what has moved elsewhere. No GIL needed. False
 * where that failed: the thread, or the process, may have ended. */
bool copies_accept(struct copies *copies, const struct layout *layout, pid_t pid, uint64_t thread, size_t whole)
{
    struct places *places = copies->places;
    copies->has_gil = copies->gil_at && whole > 1;
    if (whole >= copies->expected && is_complete(copies, layout)) {
        shrink(copies, layout);
        return true;
    }
    if (whole > 0 && take_again(copies, layout, pid, thread))
        return true;
    places->lone_count = places->parts_count = 0;
    places->cframe = 0;
    return false;
}

/* Makes the second read anew, now that it is known which frames there are. False where that failed. */
bool copies_look_again(struct copies *copies, const struct layout *layout, pid_t pid, uint64_t thread)
{
    copies->is_late = copies->is_foreseen = false;
    copies->list.count = 0;
    add_state(copies, layout, thread, SECOND);
    add_frames(copies, layout, SECOND);
    return remote_read_list(pid, &copies->list) == copies->list.count;
}

/* Returns the address of the innermost frame, 0 where there is none. */
uint64_t copies_frame(const struct copies *copies, const struct layout *layout, int read)
{
    if (layout->frame_in_cframe == NONE)
        return word_at(copies->thread[read], layout->frame);
    /* By the second look it may be in another one, which was not read: then no frame is known. */
    uint64_t cframe = copies->places->cframe;
    bool is_known = cframe && word_at(copies->thread[read], layout->frame) == cframe;
    return is_known ? copies->cframe_words[read][layout->frame_in_cframe / 8] : 0;
}

/* Returns the index of a lone frame, LONE_FRAMES where it is not known. Callers lie beside each other: the search goes
 * both ways from the last one. */
static size_t find_lone(struct copies *copies, uint64_t address)
{
    const struct places *places = copies->places;
    size_t count = places->lone_count;
    size_t ahead = copies->last, behind = copies->last;
    for (size_t distance = 0; distance <= count / 2 && count; distance++) {
        if (places->lone[ahead].address == address)
            return copies->last = ahead;
        if (places->lone[behind].address == address)
            return copies->last = behind;
        ahead = ahead + 1 == count ? 0 : ahead + 1;
        behind = behind ? behind - 1 : count - 1;
    }
    return LONE_FRAMES;
}

/* Makes room for one more lone frame. False at the limit, or without memory. */
static bool grow_lone(struct places *places)
{
    if (places->lone_count < places->lone_room)
        return true;
    size_t room = places->lone_room ? 2 * places->lone_room : FIRST_LONE;
    struct lone_frame *lone = room > LONE_FRAMES ? NULL : realloc(places->lone, room * sizeof *lone);
    if (!lone)
        return false;
    places->lone = lone;
    places->lone_room = room;
    return true;
}

/* Returns the place for one more lone frame: of those not of use in this sample the one that was not for longest.
 * LONE_FRAMES where all are. */
static size_t place_for(struct places *places)
{
    if (grow_lone(places))
        return places->lone_count++;
    size_t oldest = 0;
    for (size_t index = 1; index < places->lone_count; index++)
        if (places->lone[index].used_at < places->lone[oldest].used_at)
            oldest = index;
    return places->lone_count && places->lone[oldest].used_at != places->turn ? oldest : LONE_FRAMES;
}

/* Reads a lone frame that was not foreseen, for one of the reads: of the other one nothing is known. */
static const unsigned char *read_late(struct copies *copies, const struct layout *layout, pid_t pid, uint64_t address,
                                      int read)
{
    struct places *places = copies->places;
    size_t index = address && address % 8 == 0 ? place_for(places) : LONE_FRAMES;
    copies->is_full = address && address % 8 == 0 && index == LONE_FRAMES;
    if (index == LONE_FRAMES)
        return NULL;
    bool is_read = remote_read(pid, address, copies->lone[index][read], (size_t)layout->frame_size);
    places->lone[index] = (struct lone_frame){is_read ? address : 0, places->turn};
    copies->has_lone[index][read] = is_read;
    copies->has_lone[index][!read] = false;
    copies->is_late = copies->is_late || is_read;
    copies->last = index;
    return is_read ? copies->lone[index][read] : NULL;
}

/* Returns the bytes of a frame in one of the reads; one that was not read with the rest is read now. NULL where it
 * cannot be, or was not there in this one. */
const unsigned char *copies_find(struct copies *copies, const struct layout *layout, pid_t pid, uint64_t address,
                                 int read)
{
    struct places *places = copies->places;
    copies->is_full = false;
    for (size_t index = 0; index < places->parts_count; index++) {
        const struct part *part = &places->parts[index];
        uint64_t offset = address - part->start;
        if (offset < part->size && offset + (uint64_t)layout->frame_size <= part->size)
            return copies->parts[read] + part->at + offset;
    }
    size_t index = find_lone(copies, address);
    if (index == LONE_FRAMES)
        return read_late(copies, layout, pid, address, read);
    places->lone[index].used_at = places->turn;
    return copies->has_lone[index][read] ? copies->lone[index][read] : NULL;
}
