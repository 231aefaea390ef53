"""An agent's table as a Profile; see PROTOCOL.md. A stranger's bytes: all is checked before it is used."""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeGuard

from execd.attach.coretables import read_core
from execd.errors import ProfileCorrupt
from execd.model.collector import OPTIONAL_COLUMNS, collector_of
from execd.model.profile import Column, Function, Header, Label, Location, Profile, check

if TYPE_CHECKING:
    from collections.abc import Mapping

    _Arrays = Mapping[str, tuple[str, memoryview]]

_NOTHING = memoryview(b"")
_TYPECODES = {"u1": "B", "i4": "i", "i8": "q"}
_FUNCTION_WORDS = 4
_LOCATION_WORDS = 2
_SIZE_BYTES = 4
# 10,000 threads take half of it.
_HEADER_LIMIT = 1 << 20
# What a table may come to in the daemon, its bytes as they came among it: a table of the default budget takes a fifth.
TABLE_BYTES = 48 << 20
# What comes of a byte of a header ("{},{},..."), of a function, of a location, of a text, and at most of a byte of its
# characters, of which a single one beyond the 16 bits makes all of them wide.
_HEADER_WEIGHT, _FUNCTION_WEIGHT, _LOCATION_WEIGHT, _TEXT_WEIGHT, _WIDE = 25, 80, 80, 90, 4
_CORE_WEIGHT = 6
# Digits of the system's number of a thread.
_NUMBER_LIMIT = 10
_CAVEATS_LIMIT = 20
_REASONS_LIMIT = 100
_TEXT_LIMIT = 1000
_THREAD_ID_LIMIT = 1 << 64
# tracemalloc's domains are unsigned ints.
_DOMAIN_LIMIT = 1 << 32
# Texts of a list, the search path of a program among them.
_LIST_LIMIT = 1000
_PATH_LIMIT = 4096
_SUM_LIMIT = 1 << 62


def read_table(data: bytes | bytearray, header: Header, command_pid: int, limit_bytes: int = TABLE_BYTES) -> Profile:
    """Return the profile in a bulk payload.

    Args:
        data: as it came.
        header: what the daemon knows, from the start of the collector until now; the agent's own span is taken
            where it is shorter, and its losses, caveats and extra figures are added.
        command_pid: the PID for the labels.
        limit_bytes: how much memory it may come to, see `table_limit`.

    Raises:
        ProfileCorrupt: it breaks the rules of the format, or would take more memory.
    """
    facts, arrays = _split(data)
    _require_room(data, arrays, limit_bytes)
    if "core" in arrays:
        said = core_facts(facts)
        return read_core(arrays["core"][1], _completed(header, said.told), command_pid, said.names, said.cpu_ns)
    texts = _texts(arrays.get("text_bytes", ("", _NOTHING)), _array(arrays, "text_lengths", "i4"))
    functions = _functions(_array(arrays, "functions", "i4"), texts)
    named = collector_of(header.collector).columns
    told = [*named, *(column for column in OPTIONAL_COLUMNS.get(header.collector, ()) if column[0] in arrays)]
    columns = tuple(Column(name, unit, _array(arrays, name, "i8")) for name, unit in told)
    profile = Profile(
        header=_completed(header, facts),
        functions=functions,
        locations=_locations(_array(arrays, "locations", "i4")),
        labels=_labels(facts, command_pid),
        parents=_array(arrays, "parents", "i4"),
        node_locations=_array(arrays, "node_locations", "i4"),
        node_labels=_array(arrays, "node_labels", "i4"),
        columns=columns,
    )
    for column in columns:
        if column.values and min(column.values) < 0:
            raise ProfileCorrupt(f"a negative figure in column {column.name}")
        # So that no sum over nodes, of a fold or of a merge, leaves 64 bits.
        if sum(column.values) > _SUM_LIMIT:
            raise ProfileCorrupt(f"figures in column {column.name} that no clock and no counter reaches")
    return check(profile)


@dataclass(frozen=True, slots=True)
class CoreFacts:
    """What an agent tells beside the tables of a core.

    Attributes:
        told: what is the header's.
        names: of threads, by their identifier.
        cpu_ns: what their CPU clocks showed at the end, by the system's number.
    """

    told: Mapping[str, Any] = field(default_factory=lambda: {"caveats": []})
    names: Mapping[int, str] = field(default_factory=dict)
    cpu_ns: Mapping[int, int] = field(default_factory=dict)


def core_facts(said: object) -> CoreFacts:
    """Return those facts as an agent tells them, with what is of use. Raises ProfileCorrupt."""
    if not isinstance(said, dict):
        raise ProfileCorrupt("facts that are no object")
    told = {name: said.get(name) for name in ("span_ns", "lost", "caveats", "extra")}
    names = {label.thread_id: label.thread_name for label in _labels(said, 0)}
    return CoreFacts(told, names, _cpu_times(said))


def read_tables(data: bytes, header: Header, pid: int, facts: CoreFacts, limit_bytes: int) -> Profile:
    """Return the profile in a copy of a core's tables.

    Args:
        data: the copy.
        header: what the daemon knows, from the start of the collector until then.
        pid: for the labels.
        facts: what the agent tells beside it.
        limit_bytes: how much memory it may come to, see `table_limit`.

    Raises:
        ProfileCorrupt: these are no such tables, or they would take more memory.
    """
    if (2 + _CORE_WEIGHT) * len(data) > limit_bytes:
        raise _too_large((2 + _CORE_WEIGHT) * len(data), limit_bytes)
    return read_core(data, _completed(header, facts.told), pid, facts.names, facts.cpu_ns)


def table_limit(memory_bytes: int) -> int:
    """Return how much memory a table may come to in the daemon.

    Args:
        memory_bytes: what the collector may take in the target, where a node takes ten times what it takes here.
    """
    return max(TABLE_BYTES, 2 * memory_bytes)


def _split(data: bytes | bytearray) -> tuple[dict[str, Any], _Arrays]:
    size = int.from_bytes(data[:_SIZE_BYTES], "little")
    if not data or size > min(len(data) - _SIZE_BYTES, _HEADER_LIMIT):
        raise ProfileCorrupt("a table without its header")
    try:
        facts = json.loads(bytes(data[_SIZE_BYTES : _SIZE_BYTES + size]))
    except (ValueError, RecursionError):
        raise ProfileCorrupt("a table whose header is not JSON") from None
    if not isinstance(facts, dict):
        raise ProfileCorrupt("a table whose header is not an object")
    arrays, position, view = {}, _SIZE_BYTES + size, memoryview(data).toreadonly()
    for entry in _list(facts, "arrays"):
        match entry:
            case [str(name), str(kind), int(length)] if kind in _TYPECODES and 0 <= length <= len(data) - position:
                arrays[name] = (kind, view[position : position + length])
                position += length
            case _:
                raise ProfileCorrupt("a table whose directory does not fit")
    return facts, arrays


def _require_room(data: bytes | bytearray, arrays: _Arrays, limit_bytes: int) -> None:
    """Raise ProfileCorrupt where a table would come to more than it may: what it says in 7 bytes may take 90."""
    sizes = {name: len(view) for name, (_, view) in arrays.items()}
    wide = 1 if data.isascii() else _WIDE
    weight = (
        len(data)
        # Of a core's tables most is nodes, of which all figures are there for a while as Python's numbers.
        + _CORE_WEIGHT * sizes.get("core", 0)
        + sum(sizes.values())
        + _HEADER_WEIGHT * int.from_bytes(data[:_SIZE_BYTES], "little")
        + wide * sizes.get("text_bytes", 0)
        + _TEXT_WEIGHT * sizes.get("text_lengths", 0) // 4
        + _FUNCTION_WEIGHT * sizes.get("functions", 0) // (4 * _FUNCTION_WORDS)
        + _LOCATION_WEIGHT * sizes.get("locations", 0) // (4 * _LOCATION_WORDS)
    )
    if weight > limit_bytes:
        raise _too_large(weight, limit_bytes)


def _too_large(weight: int, limit_bytes: int) -> ProfileCorrupt:
    return ProfileCorrupt(
        f"a table that would take {weight >> 20} MiB of memory, where {limit_bytes >> 20} are allowed"
    )


def _array(arrays: _Arrays, name: str, kind: str) -> array[int]:
    found_kind, data = arrays.get(name, ("", _NOTHING))
    values = array(_TYPECODES[kind])
    if found_kind != kind or len(data) % values.itemsize:
        raise ProfileCorrupt(f"a table without a proper array {name}")
    values.frombytes(data)
    return values


def _texts(found: tuple[str, memoryview], lengths: array[int]) -> list[str]:
    kind, data = found
    if kind != "u1":
        raise ProfileCorrupt("a table without a proper array text_bytes")
    if lengths and (min(lengths) < 0 or sum(lengths) != len(data)):
        raise ProfileCorrupt("texts whose lengths do not fit")
    position, texts = 0, []
    for length in lengths:
        try:
            texts.append(str(data[position : position + length], "utf-8", "surrogatepass"))
        except UnicodeDecodeError:
            raise ProfileCorrupt("a text that is not UTF-8") from None
        position += length
    return texts


def _functions(words: array[int], texts: list[str]) -> tuple[Function, ...]:
    if len(words) % _FUNCTION_WORDS:
        raise ProfileCorrupt("functions whose rows do not fit")
    functions = []
    for index in range(0, len(words), _FUNCTION_WORDS):
        name, qualname, file, first_line = words[index : index + _FUNCTION_WORDS]
        if not all(0 <= text < len(texts) for text in (name, qualname, file)) or first_line < 0:
            raise ProfileCorrupt("a function that points outside of the texts")
        functions.append(Function(texts[name], texts[qualname], texts[file], first_line))
    return tuple(functions)


def _locations(words: array[int]) -> tuple[Location, ...]:
    if len(words) % _LOCATION_WORDS:
        raise ProfileCorrupt("locations whose rows do not fit")
    if words and min(words) < 0:
        raise ProfileCorrupt("a location with a negative number")
    return tuple(map(Location, words[::_LOCATION_WORDS], words[1::_LOCATION_WORDS]))


def _labels(facts: dict[str, Any], pid: int) -> tuple[Label, ...]:
    return tuple(_label(item, pid) for item in _list(facts, "labels"))


def _cpu_times(facts: dict[str, Any]) -> dict[int, int]:
    """Return what the CPU clocks of threads show, by the system's number."""
    said = facts.get("cpu_ns")
    found = said.items() if isinstance(said, dict) else ()
    told = (
        (number, ns) for number, ns in found if number.isascii() and number.isdecimal() and _is_count(ns, _SUM_LIMIT)
    )
    return {int(number): ns for number, ns in told if len(number) <= _NUMBER_LIMIT}


def _label(item: object, pid: int) -> Label:
    match item:
        case {"thread_id": thread_id, "thread_name": str(name), "domain": domain} if _is_count(
            thread_id, _THREAD_ID_LIMIT
        ) and _is_count(domain, _DOMAIN_LIMIT):
            return Label(thread_id, name[:_TEXT_LIMIT], pid, domain)
        case _:
            raise ProfileCorrupt("a label that is none")


def _completed(header: Header, facts: Mapping[str, Any]) -> Header:
    lost = facts.get("lost")
    losses = {
        str(reason)[:_TEXT_LIMIT]: count
        for reason, count in (islice(lost.items(), _REASONS_LIMIT) if isinstance(lost, dict) else ())
        if _is_count(count, 1 << 63)
    }
    said = [item[:_TEXT_LIMIT] for item in _list(facts, "caveats")[:_CAVEATS_LIMIT] if isinstance(item, str)]
    caveats = tuple(dict.fromkeys((*header.caveats, *said)))
    return replace(
        header,
        ended_at=_end(header, facts),
        lost={**header.lost, **losses},
        caveats=caveats,
        extra={**header.extra, **_extra(facts)},
    )


def _extra(facts: Mapping[str, Any]) -> dict[str, object]:
    """Return the figures and texts that are a collector's own: integers, texts, lists of texts."""
    said = facts.get("extra")
    found: dict[str, object] = {}
    for name, value in islice(said.items(), _REASONS_LIMIT) if isinstance(said, dict) else ():
        match value:
            case int() if -_SUM_LIMIT < value < _SUM_LIMIT:
                found[name[:_TEXT_LIMIT]] = value
            case str():
                found[name[:_TEXT_LIMIT]] = value[:_TEXT_LIMIT]
            case list() if all(isinstance(item, str) for item in value):
                found[name[:_TEXT_LIMIT]] = [item[:_PATH_LIMIT] for item in value[:_LIST_LIMIT]]
    return found


def _end(header: Header, facts: Mapping[str, Any]) -> float:
    """Return when the agent read its clock: it may have had to wait for its turn after that, or before."""
    span_ns = facts.get("span_ns")
    if not _is_count(span_ns, 1 << 63):
        return header.ended_at
    return min(header.started_at + span_ns / 1e9, header.ended_at)


def _is_count(value: Any, limit: int) -> TypeGuard[int]:
    # Not isinstance: True is no count.
    return type(value) is int and 0 <= value < limit


def _list(facts: Mapping[str, Any], name: str) -> list[Any]:
    value = facts.get(name)
    if not isinstance(value, list):
        raise ProfileCorrupt(f"a table without {name}")
    return value
