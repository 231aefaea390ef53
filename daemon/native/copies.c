/* One process_vm_readv takes a thread's state with what that points to, its frames, and both once more. */
#include "copies.h"

#include <stdlib.h>
#include <string.h>

/* Frames that are pushed while we read lie above what was in use at the last sample. */
#define HEADROOM 1024
#define LONE_TURNS 64
/* Of all chunks of a thread. */
#define PARTS_BYTES (1 << 19)

uint64_t word_at(const unsigned char *bytes, int64_t offset)
{
    uint64_t word;
    memcpy(&word, bytes + offset, sizeof word);
    return word;
}

void copies_free(struct copies *copies)
{
    for (size_t index = 0; index < CHUNKS; index++)
        for (int read = 0; read < READS; read++)
            free(copies->parts[index].bytes[read]);
    copies->parts_count = 0;
}

/* Makes a part so large. False without memory. */
static bool part_resize(struct part *part, size_t size)
{
    if (size > part->room) {
        for (int read = 0; read < READS; read++) {
            unsigned char *bytes = realloc(part->bytes[read], size);
            if (!bytes)
                return false;
            part->bytes[read] = bytes;
        }
        part->room = size;
    }
    part->size = size;
    return true;
}

/* Finds the chunks of a thread, the newest first, from its newest one and the end of what is used there.
 * The older ones of a deep stack stay as they are most of the time. False where they make no sense. */
static bool follow_chunks(struct copies *copies, const struct layout *layout, pid_t pid, uint64_t newest, uint64_t top)
{
    copies->parts_count = 0;
    uint64_t chunk = newest, all = 0;
    while (chunk && copies->parts_count < CHUNKS) {
        unsigned char head[24];
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
        /* Frames beyond are read one by one. */
        if (used - data > CHUNK_BYTES)
            used = data + CHUNK_BYTES;
        if ((all += used - data) > PARTS_BYTES)
            break;
        struct part *part = &copies->parts[copies->parts_count++];
        part->start = data;
        if (!part_resize(part, used - data))
            return false;
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
    const struct part *part = &copies->parts[0];
    return copies->parts_count && part->start == newest + (uint64_t)layout->chunk_data &&
           (top <= part->start + part->size || part->size == CHUNK_BYTES);
}

static void add_state(struct copies *copies, const struct layout *layout, struct remote_list *list, uint64_t thread,
                      int read)
{
    remote_add(list, thread, copies->thread[read], (size_t)layout->thread_size);
    if (copies->cframe)
        remote_add(list, copies->cframe, copies->cframe_words[read], sizeof copies->cframe_words[read]);
}

static void add_frames(struct copies *copies, const struct layout *layout, struct remote_list *list, int read)
{
    for (size_t index = 0; index < copies->parts_count; index++)
        remote_add(list, copies->parts[index].start, copies->parts[index].bytes[read], copies->parts[index].size);
    for (size_t index = 0; index < copies->lone_count; index++)
        remote_add(list, copies->lone[index].address, copies->lone[index].bytes[read], (size_t)layout->frame_size);
}

/* Lets go of frames that have not been of use for long, and of places without one. */
static void forget_lone(struct copies *copies)
{
    size_t kept = 0;
    for (size_t index = 0; index < copies->lone_count; index++) {
        if (!copies->lone[index].address || copies->turn - copies->lone[index].used_at > LONE_TURNS)
            continue;
        if (kept != index)
            copies->lone[kept] = copies->lone[index];
        kept++;
    }
    copies->lone_count = kept;
}

/* Whether all that the frames of the first look need was read. */
static bool is_complete(const struct copies *copies, const struct layout *layout)
{
    uint64_t cframe = layout->frame_in_cframe == NONE ? 0 : word_at(copies->thread[FIRST], layout->frame);
    return cframe == copies->cframe && is_covered(copies, layout);
}

/* Reads what the first look at a thread state leads to, where that is not what was foreseen: its instant stays. */
static bool take_again(struct copies *copies, const struct layout *layout, pid_t pid, uint64_t thread)
{
    struct remote_list list = {.count = 0};
    const unsigned char *state = copies->thread[FIRST];
    copies->lone_count = copies->parts_count = 0;
    copies->cframe = layout->frame_in_cframe == NONE ? 0 : word_at(state, layout->frame);
    if (layout->chunk != NONE && !follow_chunks(copies, layout, pid, word_at(state, layout->chunk),
                                                word_at(state, layout->chunk_top)))
        return false;
    if (copies->cframe)
        remote_add(&list, copies->cframe, copies->cframe_words[FIRST], sizeof copies->cframe_words[FIRST]);
    add_frames(copies, layout, &list, FIRST);
    add_state(copies, layout, &list, thread, SECOND);
    add_frames(copies, layout, &list, SECOND);
    return remote_read_list(pid, &list) == list.count;
}

/* Reads a thread's state and frames. No GIL needed. False where that failed: the thread, or the process, may have
 * ended. */
bool copies_take(struct copies *copies, const struct layout *layout, pid_t pid, uint64_t thread)
{
    struct remote_list list = {.count = 0};
    forget_lone(copies);
    copies->turn++;
    copies->is_late = false;
    add_state(copies, layout, &list, thread, FIRST);
    add_frames(copies, layout, &list, FIRST);
    add_state(copies, layout, &list, thread, SECOND);
    add_frames(copies, layout, &list, SECOND);
    size_t whole = remote_read_list(pid, &list);
    if (whole == list.count && is_complete(copies, layout))
        return true;
    if (whole > 0 && take_again(copies, layout, pid, thread))
        return true;
    copies->lone_count = copies->parts_count = 0;
    copies->cframe = 0;
    return false;
}

/* Returns the address of the innermost frame, 0 where there is none. */
uint64_t copies_frame(const struct copies *copies, const struct layout *layout, int read)
{
    if (layout->frame_in_cframe == NONE)
        return word_at(copies->thread[read], layout->frame);
    /* By the second look it may be in another one, which was not read: then no frame is known. */
    bool is_known = copies->cframe && word_at(copies->thread[read], layout->frame) == copies->cframe;
    return is_known ? copies->cframe_words[read][layout->frame_in_cframe / 8] : 0;
}

/* Returns the place for one more lone frame: of those not of use in this sample the one that was not for longest.
 * NULL where all are. */
static struct lone_frame *place_for(struct copies *copies)
{
    if (copies->lone_count < LONE_FRAMES)
        return &copies->lone[copies->lone_count++];
    struct lone_frame *oldest = &copies->lone[0];
    for (size_t index = 1; index < LONE_FRAMES; index++)
        if (copies->lone[index].used_at < oldest->used_at)
            oldest = &copies->lone[index];
    return oldest->used_at == copies->turn ? NULL : oldest;
}

/* Returns the bytes of a frame in one of the reads; one that was not read with the rest is read now, for both.
 * NULL where it cannot be read. */
const unsigned char *copies_find(struct copies *copies, const struct layout *layout, pid_t pid, uint64_t address,
                                 int read)
{
    for (size_t index = 0; index < copies->parts_count; index++) {
        const struct part *part = &copies->parts[index];
        if (address - part->start < part->size && address - part->start + (size_t)layout->frame_size <= part->size)
            return part->bytes[read] + (address - part->start);
    }
    for (size_t index = 0; index < copies->lone_count; index++)
        if (copies->lone[index].address == address) {
            copies->lone[index].used_at = copies->turn;
            return copies->lone[index].bytes[read];
        }
    struct lone_frame *lone = address && address % 8 == 0 ? place_for(copies) : NULL;
    if (!lone || !remote_read(pid, address, lone->bytes[FIRST], (size_t)layout->frame_size)) {
        if (lone)
            lone->address = 0;
        return NULL;
    }
    memcpy(lone->bytes[SECOND], lone->bytes[FIRST], (size_t)layout->frame_size);
    lone->address = address;
    lone->used_at = copies->turn;
    copies->is_late = true;
    return lone->bytes[read];
}
