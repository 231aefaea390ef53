/* What is read of a thread, and where it belongs in the tree. No call here needs the GIL. */
#include "sample.h"

#include <stdlib.h>
#include <sys/syscall.h>

#include "clock.h"

/* Whether a thread has the GIL; from 3.13 on its state says so, as it was when the stack was. */
static bool has_gil(const struct sampler *sampler, const struct thread *thread)
{
    const struct layout *layout = &sampler->layout;
    if (layout->holds_gil != NONE) {
        uint32_t flags;
        __builtin_memcpy(&flags, sampler->scratch->copies.thread[FIRST] + layout->holds_gil, sizeof flags);
        return (flags & (uint32_t)layout->holds_gil_mask) != 0;
    }
    int32_t locked;
    __builtin_memcpy(&locked, sampler->scratch->copies.gil + layout->gil_locked, sizeof locked);
    return sampler->scratch->copies.has_gil && locked == 1 &&
           word_at(sampler->scratch->copies.gil, layout->gil_holder) == thread->address;
}

/* Whether a thread may have the GIL now; one that has not cannot change its frames, and need not be held. */
static bool may_have_gil(const struct sampler *sampler, const struct thread *thread)
{
    const struct layout *layout = &sampler->layout;
    if (layout->holds_gil != NONE) {
        uint32_t flags;
        return !remote_read(sampler->pid, thread->address + (uint64_t)layout->holds_gil, &flags, sizeof flags) ||
               (flags & (uint32_t)layout->holds_gil_mask);
    }
    uint64_t holder;
    return !remote_read(sampler->pid, thread->gil + (uint64_t)layout->gil_holder, &holder, sizeof holder) ||
           holder == thread->address;
}

static enum state state_of(const struct sampler *sampler, const struct thread *thread)
{
    if (has_gil(sampler, thread))
        return thread->was_waiting ? WAITING_WITH_GIL : RUNNING_WITH_GIL;
    if (!thread->was_waiting)
        return RUNNING_WITHOUT;
    /* One that was stopped in it, and goes on. */
    bool is_futex = thread->system_call == SYS_futex || thread->system_call == SYS_restart_syscall;
    bool is_for_gil = is_futex &&
                      thread->first_argument - thread->gil < (uint64_t)sampler->layout.gil_size;
    return is_for_gil ? WAITING_FOR_GIL : WAITING_WITHOUT;
}

/* Returns a child of a node, NO_NODE where there is no room. */
static uint32_t add_node(struct sampler *sampler, uint32_t parent, uint32_t code, uint64_t where)
{
    uint32_t node = tree_child(&sampler->tree, &sampler->scratch->path, parent, code, where);
    if (node == NO_NODE)
        sampler->figures.no_room++;
    return node;
}

/* Returns a frame by how far it is from the outermost one. */
static const struct frame *frame_at(const struct sampler *sampler, int position)
{
    return &sampler->scratch->stack.frames[sampler->scratch->stack.depth - 1 - position];
}

/* Returns where a frame's code object is expected in the table. */
static uint32_t guess_of(const struct sampler *sampler, int position)
{
    const struct code_list *expected = &sampler->scratch->copies.places->codes;
    return position < (int)expected->count ? expected->of[position] : NO_CODE;
}

/* Returns the index of a frame's code object, CODES_NONE where it has none, CODES_FULL where there is no room. */
static int64_t code_of(struct sampler *sampler, int position)
{
    const struct frame *frame = frame_at(sampler, position);
    int64_t code = codes_find(&sampler->codes, &sampler->layout, sampler->pid, frame->code, sampler->codes_at,
                              guess_of(sampler, position));
    if (code >= 0 && position < CODES_AT_ONCE)
        sampler->scratch->copies.places->codes.of[position] = (uint32_t)code;
    bool is_within = code < 0 || frame->where < sampler->codes.entries[code].instructions_bytes;
    return is_within ? code : CODES_NONE;
}

/* Appends a frame below a node. NO_NODE where it has no code object, or there is no room. */
static uint32_t add_frame(struct sampler *sampler, uint32_t parent, int position)
{
    int64_t code = code_of(sampler, position);
    if (code >= 0)
        return add_node(sampler, parent, (uint32_t)code, frame_at(sampler, position)->where);
    if (code == CODES_FULL)
        sampler->figures.no_room++;
    else
        sampler->figures.no_code++;
    return NO_NODE;
}

/* Has a known code object looked at again. */
static void expect_code(struct sampler *sampler, uint32_t place)
{
    struct scratch *scratch = sampler->scratch;
    codes_expect(&sampler->codes, &scratch->codes, &sampler->layout, &scratch->copies.list, place, sampler->codes_at);
}

/* Looks again, by one call, at those code objects of the stack at which was not looked yet; the next stack is expected to
 * have the same ones. */
static void look_at_codes(struct sampler *sampler)
{
    struct scratch *scratch = sampler->scratch;
    struct code_list *next = &scratch->copies.places->codes;
    int depth = scratch->stack.depth;
    scratch->copies.list.count = 0;
    for (int position = 0; position < depth; position++) {
        uint32_t place = codes_place(&sampler->codes, frame_at(sampler, position)->code, guess_of(sampler, position));
        expect_code(sampler, place);
        if (position < CODES_AT_ONCE)
            next->of[position] = place;
    }
    next->count = depth < CODES_AT_ONCE ? (size_t)depth : CODES_AT_ONCE;
    size_t whole = scratch->codes.count ? remote_read_list(sampler->pid, &scratch->copies.list) : 0;
    codes_accept(&sampler->codes, &scratch->codes, &sampler->layout, whole);
}

/* Appends the frames of a stack below a thread's node: what is sure, and its leaf. Returns the leaf's node. */
static uint32_t add_stack(struct sampler *sampler, uint32_t node)
{
    const struct stack *stack = &sampler->scratch->stack;
    look_at_codes(sampler);
    if (stack->cut)
        node = add_node(sampler, node, NODE_TOO_DEEP, 0);
    for (int position = 0; position < stack->settled && node != NO_NODE; position++)
        node = add_frame(sampler, node, position);
    if (stack_is_whole(stack) || node == NO_NODE)
        return node;
    node = add_node(sampler, node, NODE_UNSETTLED, 0);
    if (node == NO_NODE || !stack->has_leaf)
        return node;
    int64_t leaf = code_of(sampler, stack->depth - 1);
    return leaf < 0 ? node : add_node(sampler, node, (uint32_t)leaf, stack->frames[0].where);
}

/* Stops a thread for the time in which its stack is read, where this slice wants that. False where it runs on. */
static bool hold(struct sampler *sampler, struct thread *thread)
{
    /* One that waits is not stopped: that would end some system calls. */
    if (!sampler->slices.stops || thread->was_waiting || !may_have_gil(sampler, thread))
        return false;
    if (!thread_may_stop(thread, sampler->pid, sampler->slices.slice)) {
        sampler->stops.refused++;
        return false;
    }
    return stop_begin(&sampler->stops, thread->task);
}

static void expect_stack(struct sampler *sampler, const struct thread *thread, bool is_held)
{
    struct copies *copies = &sampler->scratch->copies;
    copies->is_held = is_held;
    copies->gil_at = sampler->layout.holds_gil == NONE ? thread->gil : 0;
    copies_expect(copies, thread->places, &sampler->layout, thread->address);
}

/* Has a thread's stack, and after it the code objects that it is expected to have, read with what is on the list. */
void sample_expect(struct sampler *sampler, const struct thread *thread)
{
    expect_stack(sampler, thread, false);
    for (size_t position = 0; position < thread->places->codes.count; position++)
        expect_code(sampler, thread->places->codes.of[position]);
}

/* Reads what was not read ahead of a thread. Returns how many ranges were read. */
static size_t read_now(struct sampler *sampler, const struct thread *thread, bool is_held)
{
    sampler->scratch->copies.list.count = 0;
    expect_stack(sampler, thread, is_held);
    return remote_read_list(sampler->pid, &sampler->scratch->copies.list);
}

/* Finds the frames in what was read of a thread, of which so many ranges are. False where it is no stack. */
static bool read_frames(struct sampler *sampler, struct thread *thread, size_t whole)
{
    struct scratch *scratch = sampler->scratch;
    const struct layout *layout = &sampler->layout;
    if (!copies_accept(&scratch->copies, layout, sampler->pid, thread->address, whole)) {
        sampler->figures.unread++;
        return false;
    }
    thread->state = (int)state_of(sampler, thread);
    bool is_sound = stack_read(&scratch->stack, &scratch->again, &scratch->copies, layout, sampler->pid,
                               thread->address);
    sampler->figures.torn += !is_sound;
    /* What is held is not torn for having moved. */
    sampler->slices.unsettled += !is_sound && !scratch->copies.is_held;
    return is_sound;
}

/* Has a code object that was expected looked at once more where the stack has another one there: of one that nobody runs
 * the memory may be as it was, and be another one's in an instant. */
static void doubt_code(struct sampler *sampler, int position)
{
    uint32_t place = guess_of(sampler, position);
    bool is_there = place != NO_CODE && position < sampler->scratch->stack.depth &&
                    sampler->codes.entries[place].address == frame_at(sampler, position)->code;
    if (place != NO_CODE && !is_there)
        codes_doubt(&sampler->codes, place);
}

/* Takes the stack that was read ahead of a thread. */
static bool take_ahead(struct sampler *sampler, struct thread *thread)
{
    struct scratch *scratch = sampler->scratch;
    bool is_sound = read_frames(sampler, thread, scratch->ahead.ranges);
    /* Code objects are to be read after the frames. */
    size_t whole = is_sound && scratch->copies.is_foreseen ? scratch->ahead.codes : 0;
    codes_accept(&sampler->codes, &scratch->codes, &sampler->layout, whole);
    for (int position = 0; is_sound && position < (int)scratch->copies.places->codes.count; position++)
        doubt_code(sampler, position);
    return is_sound;
}

/* Reads a thread's stack, held for it where this slice wants that. */
static bool read_stack(struct sampler *sampler, struct thread *thread)
{
    uint64_t began = clock_now_ns();
    bool is_held = hold(sampler, thread);
    /* Frames that were not foreseen are read one by one, and it is to stand still for that too. */
    bool is_sound = read_frames(sampler, thread, read_now(sampler, thread, is_held));
    if (is_held)
        stop_end(&sampler->stops, thread->task, clock_now_ns() - began);
    return is_sound;
}

/* Returns the node of what a thread is at, from its stack. NO_NODE where the sample is lost. */
static uint32_t add_sample(struct sampler *sampler, const struct thread *thread)
{
    tree_path(&sampler->tree, thread->node, &sampler->scratch->path);
    uint32_t node = add_node(sampler, NO_NODE, NODE_THREAD, (uint64_t)thread->native_id);
    if (node != NO_NODE)
        node = add_stack(sampler, node);
    if (node != NO_NODE && thread->system_call >= 0 && thread->state != WAITING_FOR_GIL)
        node = add_node(sampler, node, NODE_SYSTEM_CALL, (uint64_t)thread->system_call);
    return node;
}

/* Takes a sample of a thread that may have moved. Returns its node, NO_NODE where it is lost. */
uint32_t sample_take(struct sampler *sampler, struct thread *thread)
{
    if (!thread->places)
        thread->places = calloc(1, sizeof *thread->places);
    bool is_ahead = thread == sampler->scratch->ahead.thread;
    if (is_ahead)
        sampler->scratch->ahead.thread = NULL;
    if (!thread->places || !(is_ahead || thread_look(thread))) {
        sampler->figures.unread++;
        return NO_NODE;
    }
    sampler->slices.read += !thread->was_waiting;
    if (!(is_ahead ? take_ahead(sampler, thread) : read_stack(sampler, thread)))
        return NO_NODE;
    /* Up to 3.11 one that has not begun goes by the number of the thread that started it, and an interpreter in which
     * nothing runs by that of who made it: that is no sample of a thread. */
    if (!sampler->scratch->stack.depth && thread->is_doubled) {
        sampler->figures.samples--;
        return NO_NODE;
    }
    bool is_whole = stack_is_whole(&sampler->scratch->stack);
    sampler->slices.unsettled += !is_whole;
    uint32_t node = add_sample(sampler, thread);
    if (node != NO_NODE && is_whole)
        sampler->figures.verified++;
    else if (node != NO_NODE)
        sampler->figures.unsettled++;
    return node;
}
