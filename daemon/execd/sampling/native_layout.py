"""What the native sampler is told of a process: a layout and addresses, by the names of daemon/native/layout.h."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.attach.layout import GIL_SIZE

if TYPE_CHECKING:
    from execd.sampling.frame_layout import FrameLayout

_NONE = -1


def native_layout(layout: FrameLayout, runtime: int, code_type: int) -> dict[str, int]:
    """Return the fields of `struct layout`.

    Args:
        layout: of the process, checked.
        runtime: address of _PyRuntime.
        code_type: address of the type of code objects.
    """
    thread, chunk, frame, code = layout.thread, layout.chunk, layout.frame, layout.code
    interpreter = layout.interpreter
    (mark_1, mark_1_size), (mark_2, mark_2_size), (mark_3, mark_3_size) = code.fingerprint
    fields = {
        "thread_size": thread.read_size,
        "thread_next": thread.next,
        "thread_id": thread.thread_id,
        "native_id": thread.native_thread_id,
        "pthread_tid": thread.pthread_tid,
        "frame": thread.frame,
        "frame_in_cframe": thread.frame_in_cframe,
        "chunk": thread.datastack_chunk,
        "chunk_top": thread.datastack_top,
        "holds_gil": thread.holds_gil.offset if thread.holds_gil else None,
        "holds_gil_mask": thread.holds_gil.mask if thread.holds_gil else 0,
        "chunk_previous": chunk.previous if chunk else 0,
        "chunk_size": chunk.size if chunk else 0,
        "chunk_data": chunk.data if chunk else 0,
        "frame_size": frame.read_size,
        "frame_code": frame.code,
        "frame_tag_bits": frame.tag_bits,
        "frame_previous": frame.previous,
        "frame_instruction": frame.instruction,
        "instruction_is_pointer": int(frame.instruction_is_pointer),
        "instruction_unit": frame.instruction_unit,
        "frame_owner": frame.owner,
        "frame_executing": frame.executing,
        "executing_mark": frame.executing_mark,
        "hidden_owner": frame.hidden_owner,
        "code_size": code.read_size,
        "code_start": code.code,
        "code_units": code.units,
        "mark_1": mark_1,
        "mark_1_size": mark_1_size,
        "mark_2": mark_2,
        "mark_2_size": mark_2_size,
        "mark_3": mark_3,
        "mark_3_size": mark_3_size,
        "interpreters_head": runtime + layout.runtime.interpreters_head,
        "code_type": code_type,
        "interpreter_next": interpreter.next,
        "threads_head": interpreter.threads_head,
        "gil": interpreter.gil,
        "gil_is_pointer": int(interpreter.gil_is_pointer),
        "gil_address": 0 if interpreter.gil_is_pointer else runtime + interpreter.gil,
        "gil_holder": interpreter.gil_holder,
        "gil_locked": interpreter.gil_locked,
        "gil_size": GIL_SIZE,
    }
    return {name: _NONE if offset is None else offset for name, offset in fields.items()}
