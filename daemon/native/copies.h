/* Copies: a thread state and the parts of a target in which its frames lie, twice, by one system call. */
#ifndef EXECD_COPIES_H
#define EXECD_COPIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "layout.h"
#include "remote.h"

#define CHUNKS 32
#define CHUNK_BYTES (1 << 16)
#define LONE_FRAMES 470
#define FRAME_BYTES 128
#define THREAD_BYTES 512

/* The first read of the thread state fixes the instant of a sample: to read the frames before it would hold up a target
 * that is about to write to them, and more of it would be seen. The others say what has stayed as it was. */
enum { FIRST, SECOND, READS };

/* A part of a stack chunk that is in use: addresses, and where its copies lie. */
struct part {
    uint64_t start;
    size_t size, room;
    unsigned char *bytes[READS];
};

/* A frame outside of all chunks: of a generator, of the interpreter's C code, of 3.9 and 3.10 any. */
struct lone_frame {
    uint64_t address, used_at;
    unsigned char bytes[READS][FRAME_BYTES];
};

/* What is read of one thread. What was needed for a sample is read at once for the next one. */
struct copies {
    unsigned char thread[READS][THREAD_BYTES];
    uint64_t cframe;
    uint64_t cframe_words[READS][2];
    struct part parts[CHUNKS];
    size_t parts_count;
    struct lone_frame lone[LONE_FRAMES];
    size_t lone_count;
    uint64_t turn;
    /* Whether a frame had to be read after the second look. */
    bool is_late;
};

uint64_t word_at(const unsigned char *bytes, int64_t offset);
bool copies_take(struct copies *copies, const struct layout *layout, pid_t pid, uint64_t thread);
uint64_t copies_frame(const struct copies *copies, const struct layout *layout, int read);
const unsigned char *copies_find(struct copies *copies, const struct layout *layout, pid_t pid, uint64_t address,
                                 int read);
void copies_free(struct copies *copies);

#endif
