/* Copies: a thread state and the parts of a target in which its frames lie, twice, by one system call. */
#ifndef EXECD_COPIES_H
#define EXECD_COPIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "codes.h"
#include "layout.h"
#include "remote.h"

#define CHUNKS 32
#define CHUNK_BYTES (1 << 16)
/* Of all chunks of a thread. */
#define PARTS_BYTES (1 << 19)
#define LONE_FRAMES 1024
#define FRAME_BYTES 128
#define THREAD_BYTES 512
#define GIL_BYTES 32

/* The first read of the thread state fixes the instant of a sample: to read the frames before it would hold up a target
 * that is about to write to them, and more of it would be seen. The others say what has stayed as it was. */
enum { FIRST, SECOND, READS };
/* The most of a list of ranges that a sample takes. */
#define COPIES_RANGES (1 + READS * (2 + CHUNKS + LONE_FRAMES))

/* A part of a stack chunk that is in use: addresses, and where in `struct copies` its copies lie. */
struct part {
    uint64_t start;
    uint32_t size, at;
};

/* A frame outside of all chunks: of a generator, of the interpreter's C code, of 3.9 and 3.10 any. Address 0: none. */
struct lone_frame {
    uint64_t address, used_at;
};

/* Of one thread: where that lies what its last sample needed. It is read at once for the next one. */
struct places {
    /* `highest`: up to where the newest chunk was in use since it was looked at last how much of it is to be read. */
    uint64_t cframe, turn, highest;
    struct part parts[CHUNKS];
    size_t parts_count, lone_count, lone_room;
    struct lone_frame *lone;
    struct code_list codes;
};

/* What was read of one thread, at its places; the next thread's takes its place. Most of it is never touched. `list`: of
 * this and of what else is read by the same call. */
struct copies {
    struct places *places;
    unsigned char thread[READS][THREAD_BYTES];
    uint64_t cframe_words[READS][2];
    /* Of the GIL, which is read with the first look at the thread state: where it is, 0 where it is not read. */
    uint64_t gil_at;
    bool has_gil;
    unsigned char gil[GIL_BYTES];
    /* Whether the thread is held: then all reads are of one instant, and there is no second one. Whether all that was read
     * lay where it was foreseen; whether a frame had to be read after the second look; whether one had no place any
     * more. */
    bool is_held, is_foreseen, is_late, is_full;
    /* How many ranges of the list are the sample's. */
    size_t expected;
    /* The lone frame that was asked for last, and which copies there are of each. */
    size_t last;
    bool has_lone[LONE_FRAMES][READS];
    unsigned char lone[LONE_FRAMES][READS][FRAME_BYTES];
    unsigned char parts[READS][PARTS_BYTES];
    struct remote_list list;
};

uint64_t word_at(const unsigned char *bytes, int64_t offset);
void copies_expect(struct copies *copies, struct places *places, const struct layout *layout, uint64_t thread);
bool copies_accept(struct copies *copies, const struct layout *layout, pid_t pid, uint64_t thread, size_t whole);
bool copies_look_again(struct copies *copies, const struct layout *layout, pid_t pid, uint64_t thread);
uint64_t copies_frame(const struct copies *copies, const struct layout *layout, int read);
const unsigned char *copies_find(struct copies *copies, const struct layout *layout, pid_t pid, uint64_t address,
                                 int read);
void places_free(struct places *places);

#endif
