/* Tables: what the core records, in a memfd of shapes that the daemon reads (execd/attach/coretables.py).
 *
 * One writer at a time: all of this is written under the GIL of the main interpreter. `sequence` is odd while something
 * changes: what was copied has been so at one instant where it was even, and the same after. The daemon maps it, and tells
 * with `reader` that it copies: then the writer waits before its next change, for a while at most. What makes a copy right
 * is the sequence alone.
 */
#ifndef EXECD_TABLES_H
#define EXECD_TABLES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLES_MAGIC 0x65726f6364637865ull
#define TABLES_VERSION 1
#define NO_INDEX 0xFFFFFFFFu
/* Index 0 of nodes and of functions is nobody's. */
#define NOTHING 0u

/* What a function is, with FUNCTION_OFF where it was switched off: its figures stay as they were then. FUNCTION_RESUMED
 * is a generator's or coroutine's code, of which each resumption is a call. */
enum { FUNCTION_CODE, FUNCTION_C, FUNCTION_OFF, FUNCTION_RESUMED = 4 };
/* What has become of a thread; the nodes of a merged one are others' now. One that rehearses is none of the program's. */
enum { THREAD_RUNS, THREAD_ENDED, THREAD_MERGED, THREAD_REHEARSES };
enum { CLOCK_TSC, CLOCK_WALL, CLOCK_CPU };

/* Called along one path. Roots of threads have the key 0, no parent, and the thread as `function`. */
struct node {
    /* Of the function: see keys in recording.h. */
    uint64_t key;
    uint64_t calls, self_ticks;
    /* Events that were told while it was the innermost, and are none of a counted call. */
    uint64_t uncounted;
    /* What `timed` handlers took that were timed in its time. */
    uint64_t timed_ticks;
    uint32_t parent;
    /* The child that was called last. */
    uint32_t last;
    uint32_t function;
    uint32_t opens;
    /* The node of the same thread that was made after it. */
    uint32_t next;
    uint32_t timed;
};

struct thread {
    uint64_t ident;
    /* What its clock showed at its last event, and how many calls deep it is in what the memory limit left out: then its
     * time is that of the node `over`, of no place in the tree, whose calls are those that were left out. */
    uint64_t last_ticks, skipped;
    /* Of a merged one `node` is the next place that is free. */
    uint32_t root, node;
    /* The youngest of its nodes. */
    uint32_t youngest;
    /* Until how many handlers from now on some are to be timed: see take_time. */
    uint32_t timing;
    uint32_t name_at, name_bytes;
    int32_t native_id;
    _Atomic uint32_t state;
    /* Whether it has had no event yet. */
    uint32_t is_silent, over;
};

struct function {
    uint32_t kind, first_line;
    uint32_t name_at, name_bytes;
    uint32_t qualname_at, qualname_bytes;
    uint32_t file_at, file_bytes;
};

/* An instant by our clock and by CLOCK_MONOTONIC, ns. */
struct instant {
    uint64_t ticks, monotonic_ns;
};

struct head {
    uint64_t magic;
    uint32_t version, head_bytes;
    uint64_t size;
    uint64_t nodes_at, threads_at, functions_at, text_at;
    uint32_t nodes_limit, threads_limit, functions_limit, text_limit;
    uint32_t clock;
    /* Whether nothing is recorded any more: `latest` is the end then. */
    _Atomic uint32_t is_over;
    struct instant first, latest;
    /* Of one in time slices when the first pause began, by CLOCK_MONOTONIC, and how long all slices since were, ns. */
    uint64_t sliced_ns, recorded_ns;
    /* What every event writes has a line of its own. */
    _Alignas(64) _Atomic uint64_t sequence;
    /* The number of who copies, in the daemon; 0 for nobody. */
    _Atomic uint32_t reader;
    uint32_t nodes, threads, functions, text_bytes;
    uint64_t lost_calls;
    /* Whether nothing is recorded just now: all that is open has its time. */
    uint32_t is_paused;
    /* When this slice began, by CLOCK_MONOTONIC; 0 before the first pause. */
    uint64_t slice_began_ns;
};

_Static_assert(sizeof(struct node) == 64 && sizeof(struct thread) == 64, "a line of the processor's caches each");
_Static_assert(sizeof(struct function) == 32 && sizeof(struct head) == 192, "as the daemon reads them");

/* The tables of one recording, mapped. */
struct tables {
    struct head *head;
    struct node *nodes;
    struct thread *threads;
    struct function *functions;
    char *text;
    int descriptor;
};

bool tables_open(struct tables *tables, uint64_t max_bytes, uint32_t clock);
void tables_close(struct tables *tables);
uint32_t tables_text(struct tables *tables, const char *text, size_t bytes);
size_t tables_used(const struct tables *tables);
void tables_copy(const struct tables *tables, char *place);
void tables_wait(struct tables *tables);

/* Begins with a change. */
static inline void tables_begin(struct tables *tables)
{
    struct head *head = tables->head;
    if (__builtin_expect(atomic_load_explicit(&head->reader, memory_order_relaxed) != 0, 0))
        tables_wait(tables);
    uint64_t sequence = atomic_load_explicit(&head->sequence, memory_order_relaxed);
    atomic_store_explicit(&head->sequence, sequence + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

/* Ends it. */
static inline void tables_end(struct tables *tables)
{
    struct head *head = tables->head;
    uint64_t sequence = atomic_load_explicit(&head->sequence, memory_order_relaxed);
    atomic_store_explicit(&head->sequence, sequence + 1, memory_order_release);
}

#endif
