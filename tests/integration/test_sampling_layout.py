"""Frames of running programs of every version, read from outside, beside what their interpreter says of them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from execd.attach import process
from execd.attach.interpreter import Finder
from execd.attach.layout import DEBUG_OFFSETS_SIZE
from execd.attach.memory import Memory
from execd.errors import AttachBusy, NotSupported
from execd.sampling import layout_check
from execd.sampling.code_reader import CodeObject, CodeReader, Unreadable
from execd.sampling.frame_layout import FrameLayout, frame_layout_for
from execd.sampling.layout_check import check
from execd.sampling.object_reader import ObjectReader
from execd.sampling.walk import Frame, Stack, Thread, generator_frame, interpreters, threads, walk
from programs import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Spawn
    from execd.sampling.fields import ChunkFields
    from interpreters import Interpreter
    from programs import ProgramFolders

SETTLE_S = 10.0
TURNS = 40
STACKS = 12
# How many words of a thread state say whether it holds the GIL: active, holds_gil, attached.
SAYINGS = {(3, 9): 0, (3, 10): 0, (3, 11): 0, (3, 12): 1, (3, 13): 3, (3, 14): 3, (3, 15): 3}


@dataclass(frozen=True)
class Seen:
    """A program that stands still, as it is seen from outside."""

    program: Program
    memory: Memory
    layout: FrameLayout
    runtime: int
    reader: CodeReader

    def ask(self, command: str) -> Any:
        return self.program.ask_json(command)

    def interpreters(self) -> list[int]:
        return interpreters(self.memory, self.layout, self.runtime)

    def threads(self) -> list[Thread]:
        return threads(self.memory, self.layout, self.interpreters()[-1])

    def told(self, frame: Frame) -> list[object]:
        """A frame as the program tells one."""
        code = self.reader.read(frame.code)
        assert isinstance(code, CodeObject), code
        line = code.lines.line(frame.offset)
        return [frame.code, frame.offset, line, code.name, code.qualname, code.filename, code.first_line]

    def stacks(self) -> list[list[Any]]:
        """What the program answers to "frames", seen from outside; a stack that is not whole is none."""
        found = []
        for thread in self.threads():
            stack = walk(self.memory, self.layout, thread.address)
            frames = [self.told(frame) for frame in stack.frames] if stack.whole else []
            found.append([thread.thread_id, thread.native_id, frames])
        return found


@pytest.fixture(scope="module")
def seen(
    interpreter: Interpreter, program_folders: ProgramFolders, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seen]:
    """The program, under each interpreter: nothing that is done to it changes it."""
    command = program_folders.command(interpreter, "standing", ())
    stderr_path = tmp_path_factory.mktemp("standing") / "stderr"
    with Program(interpreter, command, stderr_path, os.environ) as program:
        program.wait_until_ready()
        yield looked_at(program)


def looked_at(program: Program) -> Seen:
    found = Finder().find(program.pid, process.mappings(program.pid))
    memory = Memory(program.pid)
    layout = frame_layout_for(found.version, memory.read(found.runtime, DEBUG_OFFSETS_SIZE))
    return Seen(program, memory, layout, found.runtime, CodeReader(memory, layout))


def settled(look: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any]:
    """Two looks at one thing, when they agree: a thread that says that it stands takes a moment until it does."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        theirs, ours = look()
        if theirs == ours or time.monotonic() > deadline:
            return theirs, ours


def test_the_frames_of_every_thread_are_those_that_it_has(seen: Seen) -> None:
    def look() -> tuple[Any, Any]:
        theirs = sorted(seen.ask("frames"))
        known = {thread_id for thread_id, _, _ in theirs}
        return theirs, sorted(stack for stack in seen.stacks() if stack[0] in known)

    theirs, ours = settled(look)
    assert ours == theirs
    assert len(theirs) == STACKS
    check(seen.memory, seen.layout, seen.runtime)


def test_the_frame_of_a_suspended_generator_is_found(seen: Seen) -> None:
    told = seen.ask("generators")
    frames = [generator_frame(seen.memory, seen.layout, address) for address, _ in told]
    assert [frame and seen.told(frame) for frame in frames] == [facts for _, facts in told]
    assert [facts is None for _, facts in told] == [False, False, True, False]
    # In 3.9 and 3.10 a frame that has not begun is not its generator's yet in every build: the suspended one is.
    assert frames[1] is not None
    assert frames[1].generator == told[1][0]


def test_a_collection_that_goes_on_is_seen(seen: Seen, spawn: Spawn) -> None:
    fields = seen.layout.interpreter
    assert seen.memory.read_u32(seen.interpreters()[-1] + fields.collecting) == 1
    if fields.collecting_frame is not None:
        frame = seen.memory.read_u64(seen.interpreters()[-1] + fields.collecting_frame)
        frames = [one for thread in seen.threads() for one in walk(seen.memory, seen.layout, thread.address).frames]
        assert [seen.told(one)[3] for one in frames if one.address == frame] == ["in_a_collection"]
    idle = looked_at(spawn(seen.program.interpreter, "busy"))
    assert idle.memory.read_u32(idle.interpreters()[-1] + fields.collecting) == 0


def test_frames_lie_in_their_threads_chunks_one_after_the_other(seen: Seen) -> None:
    if seen.layout.chunk is None:
        assert seen.layout.version < (3, 11)
        return
    most = 0
    for thread in seen.threads():
        chunks = list(chunks_of(seen, seen.layout.chunk, thread.address))
        most = max(most, len(chunks))
        for frame in walk(seen.memory, seen.layout, thread.address).frames:
            if frame.generator:
                continue
            first, end = chunks[0]
            if end == first:
                chunks.pop(0)
                first, end = chunks[0]
            assert frame.address + 8 * frame_words(seen, frame.code) == end
            chunks[0] = (first, frame.address)
        ((first, end),) = chunks
        # The first chunk begins with a word that no frame has.
        assert end == first + 8
    assert most > 2


def chunks_of(seen: Seen, chunk: ChunkFields, thread_state: int) -> Iterator[tuple[int, int]]:
    """Where the frames in each chunk of a thread begin and end, newest first."""
    read, fields = seen.memory.read_u64, seen.layout.thread
    assert fields.datastack_chunk is not None
    address, end, limit = (read(thread_state + fields.datastack_chunk + place) for place in (0, 8, 16))
    assert limit == address + read(address + chunk.size)
    while True:
        yield address + chunk.data, end
        address = read(address + chunk.previous)
        if not address:
            return
        end = address + chunk.data + 8 * read(address + chunk.top)


def frame_words(seen: Seen, code: int) -> int:
    """How large a frame of a code object is, in words."""
    fields, read = seen.layout.code, seen.memory.read_u32
    if fields.frame_size is not None:
        return read(code + fields.frame_size)
    return seen.layout.frame.localsplus // 8 + read(code + fields.locals_size) + read(code + fields.stack_size)


def test_frames_of_generators_are_known_as_such_and_all_have_globals(seen: Seen) -> None:
    of_generators = set()
    objects = ObjectReader(seen.memory, seen.layout.objects)
    for thread in seen.threads():
        for frame in walk(seen.memory, seen.layout, thread.address).frames:
            place = seen.memory.read_u64(frame.address + seen.layout.frame.globals)
            objects.require_type(objects.start(place, 16), b"dict")
            if frame.generator:
                of_generators.add(seen.told(frame)[3])
                again = generator_frame(seen.memory, seen.layout, frame.generator)
                assert again is not None
                assert (again.address, again.code) == (frame.address, frame.code)
    assert of_generators == {"delegating", "innermost", "awaited", "awaiting", "<genexpr>", "commands"}


def test_tuples_and_bytes_are_read(seen: Seen) -> None:
    items, addresses, data, text = seen.ask("objects")
    fields, read = seen.layout.objects, seen.memory.read_u64
    assert read(items + fields.size) == len(addresses)
    assert [read(items + fields.tuple_items + 8 * at) for at in range(len(addresses))] == addresses
    assert ObjectReader(seen.memory, fields).data(data, 100).hex() == text


def test_names_of_every_kind_are_read(seen: Seen) -> None:
    for address, *wanted in seen.ask("codes"):
        code = seen.reader.read(address)
        assert isinstance(code, CodeObject), code
        assert [code.name, code.qualname, code.filename, code.first_line] == wanted


def test_a_thread_within_another_interpreter_is_found(seen: Seen) -> None:
    code_address, line, *_ = seen.ask("inner")
    newest, oldest = seen.interpreters()
    stacks = [walk(seen.memory, seen.layout, thread.address) for thread in threads(seen.memory, seen.layout, newest)]
    (stack,) = (stack for stack in stacks if stack.frames)
    assert stack.whole
    assert stack.frames[0].code == code_address
    assert seen.told(stack.frames[0])[2:4] == [line, "stand_inside"]
    assert seen.memory.read_u64(oldest + seen.layout.interpreter.id) == 0
    assert seen.memory.read_u64(newest + seen.layout.interpreter.id) > 0


@pytest.mark.parametrize("stretch", [0, 1])
def test_another_function_in_the_same_place_has_another_fingerprint(seen: Seen, stretch: int) -> None:
    found: dict[int, dict[bytes, set[str]]] = {}
    for turn in range(TURNS):
        address, text = seen.ask(f"churn {turn} {stretch}")
        code = seen.reader.read(address)
        assert isinstance(code, CodeObject), code
        assert seen.reader.fingerprint(address) == code.fingerprint
        assert 16 < len(code.fingerprint) <= 64
        found.setdefault(address, {}).setdefault(code.fingerprint, set()).add(text)
    assert len(found) < TURNS
    # Up to 3.11 there is no serial number: one that is as large in every part may be taken for the other.
    if stretch or seen.layout.code.serial is not None:
        assert max(len(texts) for prints in found.values() for texts in prints.values()) == 1
    if seen.layout.code.serial is not None:
        assert sum(len(prints) for prints in found.values()) == TURNS


def saying(seen: Seen, thread: Thread) -> list[int]:
    """What a thread state says of the GIL, 1 each where it holds it; nothing up to 3.11."""
    fields, read = seen.layout.thread, seen.memory.read_u32
    flags = [flag for flag in (fields.active, fields.holds_gil) if flag is not None]
    said = [int(read(thread.address + flag.offset) & flag.mask != 0) for flag in flags]
    return said if fields.attached is None else [*said, read(thread.address + fields.attached)]


def test_of_threads_that_wait_none_says_that_it_holds_the_gil(seen: Seen) -> None:
    def look() -> tuple[Any, Any]:
        # Nobody is sure to hold nothing: the one that answered last lets go of it a moment later.
        said = [saying(seen, thread) for thread in seen.threads()]
        return [[0] * len(one) for one in said], said

    nothing, said = settled(look)
    assert said == nothing
    assert len(said) > STACKS
    assert all(len(one) == SAYINGS[seen.layout.version] for one in said)


def test_the_thread_that_computes_says_that_it_holds_the_gil(spawn: Spawn, interpreter: Interpreter) -> None:
    seen = looked_at(spawn(interpreter, "busy"))
    check(seen.memory, seen.layout, seen.runtime)
    *_, main = seen.threads()

    def look() -> tuple[Any, Any]:
        said = saying(seen, main)
        return [1] * len(said), said

    ones, said = settled(look)
    assert said == ones
    assert main.native_id == seen.program.pid
    fields, read = seen.layout.interpreter, seen.memory.read_u64
    lock = read(main.interpreter + fields.gil) if fields.gil_is_pointer else seen.runtime + fields.gil
    assert settled(lambda: (1, seen.memory.read_u32(lock + fields.gil_locked)))[1] == 1
    assert settled(lambda: (main.address, read(lock + fields.gil_holder)))[1] == main.address
    assert fields.main_thread is None or read(main.interpreter + fields.main_thread) == main.address
    assert read(seen.runtime + seen.layout.runtime.finalizing) == 0


MOVED = (
    ("thread", "frame", 8),
    ("thread", "frame", -8),
    ("thread", "interpreter", 8),
    ("frame", "code", 8),
    ("frame", "previous", 16),
    ("frame", "instruction", 8),
    ("code", "filename", 24),
    ("code", "line_table", -8),
    ("interpreter", "threads_head", 8),
    ("interpreter", "id", 8),
    ("objects", "text_state", 4),
)
MOVED_SINCE_3_11 = (("thread", "datastack_chunk", 8), ("thread", "native_thread_id", 8), ("code", "units", 8))


def test_a_layout_that_does_not_fit_is_refused(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    # The program stands still: what does not fit once never does.
    monkeypatch.setattr(layout_check, "_PAUSES_S", (0.0,))
    chunked = seen.layout.chunk is not None
    for struct, field, shift in (*MOVED, *(MOVED_SINCE_3_11 if chunked else ())):
        part = getattr(seen.layout, struct)
        moved = replace(seen.layout, **{struct: replace(part, **{field: getattr(part, field) + shift})})
        try:
            check(seen.memory, moved, seen.runtime)
        except NotSupported as error:
            assert "not laid out" in error.message  # noqa: PT017 -- the field that was not missed is to be told
        else:
            pytest.fail(f"{struct}.{field} was not missed")


def test_debug_offsets_that_are_not_those_of_the_version_are_refused(seen: Seen) -> None:
    version, start = seen.layout.version, seen.memory.read(seen.runtime, DEBUG_OFFSETS_SIZE)
    if version < (3, 13):
        # They have none, and their first bytes are not looked at.
        assert frame_layout_for(version, b"") == seen.layout
        return
    assert frame_layout_for(version, start) == seen.layout
    free_threaded = start[:16] + b"\1" + start[17:]
    other_version = start[:8] + (0x030A00F0).to_bytes(8, "little") + start[16:]
    for lie in (bytes(len(start)), b"ydebugpy" + start[8:], free_threaded, other_version):
        with pytest.raises(NotSupported):
            frame_layout_for(version, lie)
    # A release before the final one has a word more or less, before what an attach needs or after it.
    for word in range(3, 70):
        place = word * 8
        for lie in (start[:place] + start[place + 8 :] + bytes(8), start[:place] + bytes(8) + start[place:-8]):
            with pytest.raises(NotSupported):
                frame_layout_for(version, lie)


def test_where_no_thread_runs_python_nothing_can_be_said(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    # As in a program in C that has an interpreter, and is not within it.
    monkeypatch.setattr(layout_check, "walk", lambda *_: Stack((), whole=True))
    monkeypatch.setattr(layout_check, "_has_data", lambda *_: False)
    with pytest.raises(AttachBusy, match="no thread"):
        check(seen.memory, seen.layout, seen.runtime)


def test_a_child_that_has_its_parents_numbers_until_it_runs_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    used_ns = [0, 0, 7, 7]
    monkeypatch.setattr(layout_check, "_PAUSES_S", (0.0,))
    monkeypatch.setattr(layout_check, "_misfit", lambda *_: "no thread has its id" if len(used_ns) > 1 else "")
    monkeypatch.setattr(layout_check.process, "cpu_ns", lambda _pid: used_ns.pop(0))
    forked: Any = SimpleNamespace(pid=7, version=(3, 9))
    check(forked, forked, 0)
    used_ns[:] = [7, 7]
    with pytest.raises(NotSupported, match="no thread has its id"):
        check(forked, forked, 0)


def test_a_layout_of_another_version_is_refused(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_check, "_PAUSES_S", (0.0,))
    for version in ((3, 9), (3, 10), (3, 11), (3, 12)):
        if version != seen.layout.version:
            with pytest.raises(NotSupported, match="not laid out"):
                check(seen.memory, frame_layout_for(version, b""), seen.runtime)


def test_what_is_no_code_object_is_unreadable(seen: Seen) -> None:
    thread = seen.threads()[-1].address
    address = walk(seen.memory, seen.layout, thread).frames[0].code
    for wrong in (0, 1, thread, address + 8, 1 << 62, 1 << 63, seen.runtime, seen.memory.read_u64(address + 8)):
        assert isinstance(seen.reader.read(wrong), Unreadable), hex(wrong)
        assert seen.reader.fingerprint(wrong) == b""


def test_a_stack_of_more_frames_than_are_wanted_is_not_whole(seen: Seen) -> None:
    thread = max(seen.threads(), key=lambda one: len(walk(seen.memory, seen.layout, one.address).frames))
    stack = walk(seen.memory, seen.layout, thread.address, limit=5)
    assert 0 < len(stack.frames) <= 5
    assert stack == Stack(stack.frames, whole=False, cut=True)
