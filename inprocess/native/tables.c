#define _GNU_SOURCE
#include "tables.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ticks.h"

/* The least that one takes of the budget: see recording.c for what is counted. */
#define FUNCTION_BYTES 256
#define THREAD_SHARE 4096
/* What is rehearsed has its room beside that of the program. */
#define REHEARSED_NODES 512
#define REHEARSED_FUNCTIONS 64
#define REHEARSED_TEXT 4096
/* How long a reader is waited for, and as much more for each node: it needs a fifth of that. */
#define READER_NS 2000000
#define READER_NODE_NS 64
#define LOOKS 64
/* Places in the tables are numbers of 32 bits. */
#define MOST_BYTES (1ull << 32)

static uint64_t aligned(uint64_t bytes)
{
    return (bytes + 63) & ~63ull;
}

static void lay_out(struct head *head, uint64_t max_bytes, uint32_t clock)
{
    if (max_bytes > MOST_BYTES)
        max_bytes = MOST_BYTES;
    head->magic = TABLES_MAGIC;
    head->version = TABLES_VERSION;
    head->head_bytes = sizeof *head;
    head->nodes_limit = (uint32_t)(max_bytes / sizeof(struct node)) + REHEARSED_NODES;
    head->threads_limit = (uint32_t)(max_bytes / THREAD_SHARE) + 64;
    head->functions_limit = (uint32_t)(max_bytes / FUNCTION_BYTES) + REHEARSED_FUNCTIONS;
    head->text_limit = (uint32_t)(max_bytes / 4) + REHEARSED_TEXT;
    head->nodes_at = aligned(sizeof *head);
    head->threads_at = aligned(head->nodes_at + head->nodes_limit * sizeof(struct node));
    head->functions_at = aligned(head->threads_at + head->threads_limit * sizeof(struct thread));
    head->text_at = aligned(head->functions_at + head->functions_limit * sizeof(struct function));
    head->size = aligned(head->text_at + head->text_limit);
    head->clock = clock;
    head->nodes = head->functions = 1;
}

/* Whether the system promises no more memory than it has: pages of a memfd are promised as they are touched, and one that
 * is not to be had then ends the program (SIGBUS, mm/shmem.c). */
static bool is_strict(void)
{
    char mode = 0;
    int descriptor = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return false;
    ssize_t size = read(descriptor, &mode, 1);
    close(descriptor);
    return size == 1 && mode == '2';
}

/* Makes tables; what is not used of them takes no memory. False where the system has none. */
bool tables_open(struct tables *tables, uint64_t max_bytes, uint32_t clock)
{
    if (is_strict())
        return false;
    struct head head = {0};
    lay_out(&head, max_bytes, clock);
    /* glibc has it from 2.27 on. */
    int descriptor = (int)syscall(SYS_memfd_create, "execd_tables", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (descriptor < 0)
        return false;
    void *mapped = MAP_FAILED;
    if (ftruncate(descriptor, (off_t)head.size) == 0 &&
        fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        mapped = mmap(NULL, head.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor, 0);
    /* A forked child would go on with its parent's. */
    if (mapped == MAP_FAILED || madvise(mapped, head.size, MADV_DONTFORK) < 0) {
        if (mapped != MAP_FAILED)
            munmap(mapped, head.size);
        close(descriptor);
        return false;
    }
    char *start = mapped;
    *(struct head *)mapped = head;
    *tables = (struct tables){
        mapped,
        (struct node *)(start + head.nodes_at),
        (struct thread *)(start + head.threads_at),
        (struct function *)(start + head.functions_at),
        start + head.text_at,
        descriptor,
    };
    tables->head->first = tables->head->latest = ticks_instant(clock);
    return true;
}

/* Lets go of them. */
void tables_close(struct tables *tables)
{
    munmap(tables->head, tables->head->size);
    if (tables->descriptor >= 0)
        close(tables->descriptor);
    memset(tables, 0, sizeof *tables);
    tables->descriptor = -1;
}

/* Adds a text. Returns where it is, NO_INDEX where there is no room. Within a change. */
uint32_t tables_text(struct tables *tables, const char *text, size_t bytes)
{
    struct head *head = tables->head;
    if (bytes > head->text_limit - head->text_bytes)
        return NO_INDEX;
    uint32_t at = head->text_bytes;
    memcpy(tables->text + at, text, bytes);
    head->text_bytes += (uint32_t)bytes;
    return at;
}

/* Returns the head of tables that hold no more than what is used of these. */
static struct head compact(const struct head *head)
{
    struct head smaller = *head;
    smaller.threads_at = aligned(head->nodes_at + head->nodes * sizeof(struct node));
    smaller.functions_at = aligned(smaller.threads_at + head->threads * sizeof(struct thread));
    smaller.text_at = aligned(smaller.functions_at + head->functions * sizeof(struct function));
    smaller.size = aligned(smaller.text_at + head->text_bytes);
    return smaller;
}

/* Returns how many bytes `tables_copy` takes. */
size_t tables_used(const struct tables *tables)
{
    return compact(tables->head).size;
}

/* Copies what is used to a place of `tables_used` bytes, as tables of that size. */
void tables_copy(const struct tables *tables, char *place)
{
    struct head head = compact(tables->head);
    memset(place, 0, head.size);
    memcpy(place, &head, sizeof head);
    memcpy(place + head.nodes_at, tables->nodes, head.nodes * sizeof(struct node));
    memcpy(place + head.threads_at, tables->threads, head.threads * sizeof(struct thread));
    memcpy(place + head.functions_at, tables->functions, head.functions * sizeof(struct function));
    memcpy(place + head.text_at, tables->text, head.text_bytes);
}

/* Lets the daemon copy. One that takes longer than it may was stopped, or has died: nobody waits for it again. */
void tables_wait(struct tables *tables)
{
    struct head *head = tables->head;
    uint32_t reader = atomic_load_explicit(&head->reader, memory_order_relaxed);
    uint64_t limit_ns = READER_NS + (uint64_t)head->nodes * READER_NODE_NS, began_ns = ticks_of_clock(CLOCK_MONOTONIC);
    while (atomic_load_explicit(&head->reader, memory_order_relaxed) == reader) {
        if (ticks_of_clock(CLOCK_MONOTONIC) - began_ns > limit_ns) {
            atomic_compare_exchange_strong(&head->reader, &reader, 0);
            return;
        }
        for (int look = 0; look < LOOKS; look++)
            __builtin_ia32_pause();
    }
}
