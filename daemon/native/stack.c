/* The first look at the thread state fixes the instant, and what the innermost frame is. All that is read after it may
 * be of later: a frame counts as sure where it is the same in both reads, and what it has called was still there. Of a
 * thread that is held all is of one instant, and read once. */
#include "stack.h"

#include <string.h>

#include "cycle.h"

/* Hidden frames, of the interpreter's C code, come between others; more than these in all make no sense. They bound a
 * look at one stack: so many steps, each with a search among LONE_FRAMES, and as many reads as there are of those. */
#define STEPS (4 * STACK_DEPTH)

/* FRAME_OWNED_BY_GENERATOR (pycore_frame.h, 3.11 to 3.15). */
#define OWNED_BY_GENERATOR 1

/* Reads one frame; false where its bytes are no frame's. */
static bool frame_of(struct frame *frame, const struct layout *layout, const unsigned char *bytes)
{
    frame->previous = word_at(bytes, layout->frame_previous);
    frame->code = word_at(bytes, layout->frame_code) & ~(uint64_t)layout->frame_tag_bits;
    if (layout->instruction_is_pointer) {
        uint64_t start = frame->code + (uint64_t)layout->code_start;
        int64_t where = (int64_t)(word_at(bytes, layout->frame_instruction) - start);
        /* 3.11 and 3.12 name the instruction before; there is none yet where a call begins. */
        frame->where = where == -2 ? 0 : (uint64_t)where;
    } else {
        int32_t index;
        memcpy(&index, bytes + layout->frame_instruction, sizeof index);
        /* -1: before its first instruction. */
        frame->where = index < 0 ? 0 : (uint64_t)index * (uint64_t)layout->instruction_unit;
    }
    return frame->code != 0 && frame->code % 8 == 0;
}

/* Whether a frame without a caller is a generator's, which had one. Up to 3.10 it is one where it is not executed. */
static bool is_suspended(const struct layout *layout, const unsigned char *bytes)
{
    if (layout->frame_executing != NONE)
        return bytes[layout->frame_executing] != layout->executing_mark;
    return layout->frame_owner != NONE && bytes[layout->frame_owner] == OWNED_BY_GENERATOR;
}

/* Follows the frames of one of the reads from the innermost one. False where they lead nowhere. */
static bool follow(struct stack *stack, struct copies *copies, const struct layout *layout, pid_t pid, int read)
{
    uint64_t address = copies_frame(copies, layout, read);
    struct cycle cycle = {0};
    stack->depth = 0;
    stack->cut = stack->is_rootless = false;
    for (int step = 0; address; step++) {
        if (stack->depth == STACK_DEPTH || step == STEPS) {
            stack->cut = true;
            return step < STEPS;
        }
        /* Frames of the dead may form a circle. */
        if (cycle_closes(&cycle, address))
            return false;
        const unsigned char *bytes = copies_find(copies, layout, pid, address, read);
        if (!bytes) {
            stack->cut = copies->is_full;
            return copies->is_full;
        }
        if (layout->hidden_owner != NONE && bytes[layout->frame_owner] >= layout->hidden_owner) {
            address = word_at(bytes, layout->frame_previous);
            continue;
        }
        struct frame *frame = &stack->frames[stack->depth++];
        frame->address = address;
        if (!frame_of(frame, layout, bytes))
            return false;
        stack->is_rootless = is_suspended(layout, bytes);
        address = frame->previous;
    }
    return true;
}

/* Returns how many frames of a stack, from the outermost one on, are the same in the other read. */
static int settled(const struct stack *stack, struct copies *copies, const struct layout *layout, pid_t pid, int other)
{
    int count = 0;
    for (; count < stack->depth; count++) {
        const struct frame *frame = &stack->frames[stack->depth - 1 - count];
        const unsigned char *bytes = copies_find(copies, layout, pid, frame->address, other);
        struct frame theirs;
        if (!bytes || !frame_of(&theirs, layout, bytes) || theirs.code != frame->code ||
            theirs.previous != frame->previous)
            break;
    }
    return count;
}

/* Whether a frame is among those of a stack. */
static bool has(const struct stack *stack, const struct frame *frame)
{
    for (int index = 0; index < stack->depth; index++)
        if (stack->frames[index].address == frame->address)
            return stack->frames[index].code == frame->code;
    return false;
}

/* Copies what there is of a stack: most of the room for frames is never touched. */
static void copy(struct stack *into, const struct stack *from)
{
    memcpy(into->frames, from->frames, (size_t)from->depth * sizeof *from->frames);
    into->depth = from->depth;
    into->settled = from->settled;
    into->cut = from->cut;
    into->has_leaf = from->has_leaf;
    into->is_rootless = from->is_rootless;
}

/* Puts the callers of the second read below a generator that was suspended between the look at the thread state, of which
 * it is the innermost frame, and that at itself, which says no more who called it. They are not sure to be its own. */
static void find_callers(struct stack *stack, const struct stack *again, struct copies *copies,
                         const struct layout *layout, pid_t pid)
{
    struct frame leaf = stack->frames[0];
    stack->settled = 0;
    if (!again->depth || again->cut || again->is_rootless)
        return;
    copy(stack, again);
    stack->has_leaf = true;
    stack->settled = settled(stack, copies, layout, pid, FIRST);
    if (stack->settled == stack->depth)
        stack->settled--;
    stack->frames[0] = leaf;
}

/* Returns the stack of a thread that is held. False where `copies` hold none. */
static bool read_held(struct stack *stack, struct copies *copies, const struct layout *layout, pid_t pid)
{
    stack->has_leaf = follow(stack, copies, layout, pid, FIRST);
    /* Held in the midst of resuming a generator: that does not say yet who called it. */
    bool lacks_callers = stack->is_rootless && stack->depth && !stack->cut;
    stack->settled = lacks_callers ? 0 : stack->depth;
    return stack->has_leaf;
}

/* Returns the stack that `copies` hold. False where they hold none. `again` is for the second read. No GIL needed. */
bool stack_read(struct stack *stack, struct stack *again, struct copies *copies, const struct layout *layout,
                pid_t pid, uint64_t thread)
{
    if (copies->is_held)
        return read_held(stack, copies, layout, pid);
    stack->has_leaf = follow(stack, copies, layout, pid, FIRST);
    /* Where frames had to be read one by one, that was after the second look. */
    if (copies->is_late && !copies_look_again(copies, layout, pid, thread))
        return false;
    bool leads_out = follow(again, copies, layout, pid, SECOND);
    /* What has to be read even now is of later than the second look: nobody knows whether it was there by then. */
    bool goes_on = leads_out && !copies->is_late;
    if (!stack->has_leaf) {
        /* What was the innermost frame has ended, and something else lies there; some callers are there still. */
        if (!leads_out || again->cut || again->is_rootless)
            return false;
        copy(stack, again);
        stack->has_leaf = false;
        stack->settled = settled(stack, copies, layout, pid, FIRST);
        return true;
    }
    if (stack->is_rootless && stack->depth && !stack->cut) {
        if (!leads_out)
            again->depth = 0;
        find_callers(stack, again, copies, layout, pid);
        return true;
    }
    stack->settled = settled(stack, copies, layout, pid, SECOND);
    /* One that has ended may have lain above another caller at the same place. */
    bool is_alive = !stack->depth || (stack->settled == stack->depth && goes_on && has(again, &stack->frames[0]));
    if (!is_alive && stack->settled > stack->depth - 2)
        stack->settled = stack->depth > 2 ? stack->depth - 2 : 0;
    if (!is_alive && stack->cut)
        stack->settled = 0;
    return true;
}
