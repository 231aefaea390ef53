/* Layout: where CPython's structs have what is read, offsets in bytes, NONE where a version has no such thing.
 *
 * The values come from execd.sampling.frame_layout, which names their sources.
 */
#ifndef EXECD_LAYOUT_H
#define EXECD_LAYOUT_H

#include <stdint.h>

#define NONE (-1)

struct layout {
    /* Thread state. */
    int64_t thread_size, thread_next, thread_id, native_id, pthread_tid;
    int64_t frame, frame_in_cframe, chunk, chunk_top;
    int64_t holds_gil, holds_gil_mask;
    /* Stack chunk. */
    int64_t chunk_previous, chunk_size, chunk_data;
    /* Frame. */
    int64_t frame_size, frame_code, frame_tag_bits, frame_previous, frame_instruction;
    int64_t instruction_is_pointer, instruction_unit, frame_owner, hidden_owner;
    int64_t frame_executing, executing_mark;
    /* Code object. */
    int64_t code_size, code_start, code_units;
    /* What tells a code object from another one at its address: three ranges of its struct. */
    int64_t mark_1, mark_1_size, mark_2, mark_2_size, mark_3, mark_3_size;
    /* Addresses: the head of the list of interpreters, the type of code objects. */
    int64_t interpreters_head, code_type;
    /* Interpreter; the GIL lies in it, or behind a pointer in it, or at an address. */
    int64_t interpreter_next, threads_head, gil, gil_is_pointer, gil_address, gil_holder, gil_locked, gil_size;
};

#endif
