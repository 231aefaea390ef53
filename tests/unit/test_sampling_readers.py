"""Code objects, texts and frames in memory that is made up: of every form, and hostile."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

import pytest
from execd.attach.memory import Memory, Unmapped
from execd.sampling.code_reader import CodeObject, CodeReader, Unreadable
from execd.sampling.frame_layout import frame_layout_for
from execd.sampling.object_reader import TEXT_LIMIT, NotAnObject, ObjectReader
from execd.sampling.walk import Stack, walk

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = 4096
STR, BYTES, CODE, FRAME = 0x10000, 0x11000, 0x12000, 0x13000
TYPE_NAMES = 0x14000
AT = 0x100000
LONG = 1 << 40
VERSIONS = [(3, 9), (3, 10), (3, 11), (3, 12)]
READS_LIMIT = 20


class MadeUp(Memory):
    """Memory of a process that is not there: pages that are."""

    def __init__(self) -> None:
        super().__init__(4711)
        self.pages: dict[int, bytearray] = {}
        self.reads = 0
        for place, (address, name) in enumerate(((STR, b"str"), (BYTES, b"bytes"), (CODE, b"code"), (FRAME, b"frame"))):
            self.put(TYPE_NAMES + 16 * place, name + b"\0")
            flags = {STR: 1 << 28, BYTES: 1 << 27}.get(address, 0)
            self.put(address, words({24: TYPE_NAMES + 16 * place, 168: flags}))

    def put(self, address: int, data: bytes) -> int:
        for place, byte in enumerate(data, address):
            self.pages.setdefault(place // PAGE, bytearray(PAGE))[place % PAGE] = byte
        return address

    def read(self, address: int, length: int) -> bytes:
        self.reads += 1
        assert length < 1 << 23
        if not 0 < address < 1 << 63:
            raise Unmapped("no address")
        found = bytearray()
        while len(found) < length:
            page, start = divmod(address + len(found), PAGE)
            if page not in self.pages:
                raise Unmapped("not there")
            found += self.pages[page][start : start + length - len(found)]
        return bytes(found)


class Noise(MadeUp):
    """Memory in which every address holds something: now and then a pointer to a type, or a number that is small."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)  # noqa: S311 -- noise that can be made again

    def read(self, address: int, length: int) -> bytes:
        if STR <= address < TYPE_NAMES + PAGE:
            return super().read(address, length)
        self.reads += 1
        assert length < 1 << 23
        likely = (CODE, STR, BYTES, 0, 1, 4, 100, 0xA4, 0x64, 0x24, 1 << 40, self.random.getrandbits(64))
        return b"".join(struct.pack("<Q", self.random.choice(likely)) for _ in range(length // 8 + 1))[:length]


def words(fields: dict[int, int], size: int = 8) -> bytes:
    """Numbers at their offsets, zeros between."""
    data = bytearray(max(fields) + 8)
    for offset, value in fields.items():
        data[offset : offset + size] = value.to_bytes(size, "little")
    return bytes(data)


def text_object(version: tuple[int, int], characters: str, width: int, *, ascii_only: bool = False) -> bytes:
    """A compact str as a version has it."""
    fields = frame_layout_for(version, b"").objects
    data = b"".join(ord(one).to_bytes(width, "little") for one in characters)
    state = width << 2 | 1 << 5 | ascii_only << 6
    head = words({8: STR, 16: len(characters), 32: state})
    return head.ljust(fields.ascii_size if ascii_only else fields.compact_size, b"\0") + data


def reader(memory: Memory, version: tuple[int, int]) -> ObjectReader:
    return ObjectReader(memory, frame_layout_for(version, b"").objects)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("text", "width", "ascii_only"),
    [
        *(("plain", 1, True), ("", 1, True), ("gr\xfcn", 1, False), ("\u4e2d\ud800\udc00", 2, False)),
        *(("\U0001f600\ud800", 4, False), ("x" * 300, 1, True), ("\U0001f600" * 300, 4, False)),
    ],
    ids=range(7),
)
def test_a_compact_text_is_read(version: tuple[int, int], text: str, width: int, *, ascii_only: bool) -> None:
    memory = MadeUp()
    data = text_object(version, text, width, ascii_only=ascii_only)
    # At the end of a page too, behind which there is nothing.
    for address in (AT, AT + 0x10000 - len(data)):
        memory.put(address, data)
        assert reader(memory, version).text(address) == text


@pytest.mark.parametrize("version", VERSIONS)
def test_a_text_that_is_not_compact_is_read(version: tuple[int, int]) -> None:
    memory, fields = MadeUp(), frame_layout_for(version, b"").objects
    memory.put(AT + 0x5000, "\u4e2d\u6587".encode("utf-16-le"))
    memory.put(AT, words({8: STR, 16: 2, 32: 2 << 2 | 1 << 7, fields.text_data: AT + 0x5000}))
    assert reader(memory, version).text(AT) == "\u4e2d\u6587"


@pytest.mark.parametrize("version", VERSIONS[:3])
def test_a_text_that_is_wide_characters_alone_is_read(version: tuple[int, int]) -> None:
    memory = MadeUp()
    memory.put(AT + 0x5000, "a\U0001f600".encode("utf-32-le"))
    memory.put(AT, words({8: STR, 16: 0, 32: 0, 40: AT + 0x5000, 64: 2, 72: 0}))
    assert reader(memory, version).text(AT) == "a\U0001f600"


def test_a_text_that_is_too_long_is_cut() -> None:
    memory = MadeUp()
    memory.put(AT, text_object((3, 12), "x" * (TEXT_LIMIT + 1), 1, ascii_only=True))
    assert reader(memory, (3, 12)).text(AT) == "x" * TEXT_LIMIT + "…"


@pytest.mark.parametrize(
    "data",
    [
        words({8: BYTES, 16: 3, 32: 0x64}),
        words({8: CODE, 16: 3, 32: 0x64}),
        words({8: 8, 16: 3, 32: 0x64}),
        words({8: STR, 16: 3, 32: 3 << 2 | 1 << 5}),
        words({8: STR, 16: 3, 32: 0}),
        words({8: STR, 16: LONG, 32: 4 << 2 | 1 << 5}),
        words({8: STR, 16: 1, 32: 4 << 2 | 1 << 5, 56: 0x110000}),
        words({8: STR, 16: 1, 32: 1 << 2, 56: 1 << 63}),
    ],
    ids=["bytes", "code", "no type", "kind 3", "wide in 3.12", "long", "beyond Unicode", "far away"],
)
def test_what_is_no_text_is_refused(data: bytes) -> None:
    memory = MadeUp()
    memory.put(AT, data)
    with pytest.raises(NotAnObject):
        reader(memory, (3, 12)).text(AT)


def code_object(memory: MadeUp, version: tuple[int, int], changes: Iterable[tuple[str, int]] = ()) -> int:
    """A code object of a function "f" in "a.py", with some of its fields changed."""
    fields = frame_layout_for(version, b"").code
    memory.put(AT + 0x1000, text_object(version, "f", 1, ascii_only=True))
    memory.put(AT + 0x2000, text_object(version, "a.py", 1, ascii_only=True))
    memory.put(AT + 0x3000, words({8: BYTES, 16: 2}).ljust(32, b"\0") + bytes([0x80, 0]))
    values = {"name": AT + 0x1000, "qualname": AT + 0x1000, "filename": AT + 0x2000, "line_table": AT + 0x3000}
    values |= {"units": 1, "code": AT + 0x3000 if not fields.code_is_embedded else 0} | dict(changes)
    memory.put(AT, bytes(fields.read_size))
    memory.put(AT + 8, CODE.to_bytes(8, "little"))
    for name, value in values.items():
        if (place := getattr(fields, name)) is not None:
            memory.put(AT + place, value.to_bytes(8, "little"))
    memory.put(AT + fields.first_line, (dict(changes).get("first_line", 7)).to_bytes(4, "little"))
    return AT


@pytest.mark.parametrize("version", VERSIONS)
def test_a_code_object_takes_few_reads(version: tuple[int, int]) -> None:
    memory = MadeUp()
    codes, address = CodeReader(memory, frame_layout_for(version, b"")), code_object(memory, version)
    first = codes.read(address)
    assert isinstance(first, CodeObject), first
    assert (first.name, first.qualname, first.filename, first.first_line) == ("f", "f", "a.py", 7)
    # The types have been seen: head, name, file, line table, up to 3.10 the code's length.
    memory.reads = 0
    assert codes.read(address) == first
    assert memory.reads == (5 if version < (3, 11) else 4)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("name", 0), ("name", AT + 0x3000), ("filename", AT), ("filename", 1 << 63), ("line_table", AT + 0x1000)),
        *(("line_table", 8), ("first_line", 1 << 31)),
    ],
)
def test_a_code_object_that_lies_is_unreadable(version: tuple[int, int], field: str, value: int) -> None:
    memory = MadeUp()
    address = code_object(memory, version, [(field, value)])
    found = CodeReader(memory, frame_layout_for(version, b"")).read(address)
    assert isinstance(found, Unreadable)
    assert found.reason


@pytest.mark.parametrize("version", VERSIONS)
def test_lengths_of_gigabytes_are_not_read(version: tuple[int, int]) -> None:
    memory = MadeUp()
    address = code_object(memory, version, [("units", LONG)])
    memory.put(AT + 0x3000 + 16, LONG.to_bytes(8, "little"))
    assert isinstance(CodeReader(memory, frame_layout_for(version, b"")).read(address), Unreadable)


@pytest.mark.parametrize("version", VERSIONS)
def test_noise_is_read_as_something_or_nothing(version: tuple[int, int]) -> None:
    for seed in range(150):
        memory = Noise(seed)
        codes = CodeReader(memory, frame_layout_for(version, b""))
        assert isinstance(codes.read(AT + seed * 8), CodeObject | Unreadable)
        assert memory.reads <= READS_LIMIT


@pytest.mark.parametrize("version", VERSIONS)
def test_frames_that_come_from_each_other_have_an_end(version: tuple[int, int]) -> None:
    memory, layout = MadeUp(), frame_layout_for(version, b"")
    code = code_object(memory, version)
    first, second, thread = AT + 0x5000, AT + 0x6000, AT + 0x7000
    for address, previous in ((first, second), (second, first)):
        memory.put(address, words({layout.frame.code: code, layout.frame.previous: previous, 504: 0}))
        memory.put(address + layout.frame.instruction, (code + layout.code.code).to_bytes(8, "little"))
    memory.put(thread, words({layout.thread.frame: first, 504: 0}))
    if layout.thread.frame_in_cframe is not None:
        memory.put(thread + layout.thread.frame, (AT + 0x8000).to_bytes(8, "little"))
        memory.put(AT + 0x8000, words({layout.thread.frame_in_cframe: first}))
    stack = walk(memory, layout, thread)
    assert [frame.address for frame in stack.frames] == [first, second]
    assert not stack.whole


@pytest.mark.parametrize("version", VERSIONS)
def test_a_thread_that_is_not_there_has_no_stack(version: tuple[int, int]) -> None:
    assert walk(MadeUp(), frame_layout_for(version, b""), AT) == Stack((), whole=False)
