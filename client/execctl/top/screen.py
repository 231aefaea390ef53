"""The screen: from what was seen and what is wanted of it to styled lines that fit a number of rows and columns."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from execctl.escape import escape
from execctl.top.bars import bar_lines
from execctl.top.cells import Charset, Span, Style, end_of, fitted, left, short_path, spread, width_of
from execctl.top.keys import HELP, HINTS
from execctl.top.model import COUNTED, RUNNING, Sort, View, rows, shown_sum
from execctl.top.threads import thread_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execctl.top.model import Display, Row, Seen

Line = list[Span]

# Below so many columns there are no bars, from so many on a second one.
_BARS_FROM: Final = 64
_TWO_BARS_FROM: Final = 100
_BAR: Final = 9
# Below so many columns it is not said where a function is, nor of which session.
_PLACES_FROM: Final = 36
# What both shares take, with the blank after them.
_SHARES: Final = 16
# Below so many rows there is neither what the table is of nor how it was sampled.
_HEAD_FROM: Final = 8
_THREADS_FROM: Final = 14
# A function that has so much of its own stands out.
_HOT: Final = 0.2
_GAP: Final = "  "


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at.

    Attributes:
        session: "s12".
        pid: of the process.
        command_line: its argv.
        python_version: "3.11.7".
    """

    session: str
    pid: int
    command_line: Sequence[str]
    python_version: str


@dataclass(frozen=True, slots=True)
class Size:
    """Of a terminal."""

    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class Screen:
    """What is shown.

    Attributes:
        lines: from the top, each as wide as the terminal at most.
        rows: of the whole table.
        page: how many of them there is room for.
        first: how many are above the first that is shown.
    """

    lines: list[Line]
    rows: int
    page: int
    first: int


def screen(
    subject: Subject,
    seen: Seen,
    display: Display,
    size: Size,
    charset: Charset,
    *,
    elapsed_s: float = 0.0,
    message: str = "",
) -> Screen:
    """Return what is shown.

    Args:
        subject: what is looked at.
        seen: what was seen of it.
        display: what of that is wanted.
        size: of the terminal.
        charset: what it can show.
        elapsed_s: since the start.
        message: what else is to be said, "" for nothing.
    """
    top = [_title(subject, size, charset, elapsed_s), *_overview(seen, display, size, charset)]
    bottom = _bottom(display, message, size, charset)
    room = max(size.rows - len(top) - 1, 0)
    if display.has_help:
        below = Screen([_key_line(*one) for one in HELP], 0, 0, display.first)
    else:
        below = _table(seen, display, size, charset, room)
    lines = [*top, *below.lines][: max(size.rows - 1, 0)]
    lines += [[] for _ in range(size.rows - 1 - len(lines))]
    return replace(below, lines=[fitted(line, size.columns) for line in [*lines, bottom]])


def _overview(seen: Seen, display: Display, size: Size, charset: Charset) -> list[Line]:
    """Return what stands above the table: rates, bars and threads, as far as there is room for them."""
    lines: list[Line] = []
    if size.rows >= _HEAD_FROM:
        lines += [_rates(seen, display, size), *bar_lines(seen.recent, size.columns, charset)]
    if display.has_threads and not display.has_help and size.rows >= _THREADS_FROM:
        most = max((size.rows - _HEAD_FROM) // 4, 2)
        lines += thread_lines(seen.threads, seen.recent.turns, size.columns, most, charset)
    return lines


def _table(seen: Seen, display: Display, size: Size, charset: Charset, room: int) -> Screen:
    """Return the table, in so many lines."""
    found = rows(seen, display)
    head = [_scope(seen, display, len(found), size)] if size.rows >= _HEAD_FROM else []
    head.append(_table_head(display, size, charset))
    page = max(room - len(head), 0)
    first = max(min(display.first, len(found) - page), 0)
    whole = shown_sum(seen, display).count(COUNTED[display.view])
    lines = [_table_row(row, whole, size, charset) for row in found[first : first + page]]
    if not found:
        lines = [[Span(_nothing(seen, display), Style.DIM)]]
    return Screen([*head, *lines], len(found), page, first)


def _title(subject: Subject, size: Size, charset: Charset, elapsed_s: float) -> Line:
    minutes, seconds = divmod(int(elapsed_s), 60)
    program = [word.rpartition("/")[2] for word in subject.command_line[:1]]
    what = f"{subject.pid} {escape(shlex.join([*program, *subject.command_line[1:]]))}"
    how = f"{subject.session}  {minutes}:{seconds:02}" if size.columns >= _PLACES_FROM else ""
    if size.columns >= _BARS_FROM:
        how = f"Python {escape(subject.python_version) or '?'}  {how}"
    return [Span(spread(f"execctl top  {what}", how, size.columns, charset.mark), Style.TITLE)]


def _rates(seen: Seen, display: Display, size: Size) -> Line:
    recent = seen.recent
    hertz = recent.turns / recent.span_s if recent.span_s else 0.0
    threads = sum(recent.states.values()) / recent.turns if recent.turns else 0.0
    running = recent.count(RUNNING) / recent.turns if recent.turns else 0.0
    read = recent.verified + recent.unsettled
    unsettled = recent.unsettled / read if read else 0.0
    said = f"{hertz:.1f} of {seen.asked_hz:g} Hz{_GAP}{_several(round(threads), 'thread')}, {running:.1f} running{_GAP}"
    said += f"{unsettled:.1%} unsettled{_GAP}{recent.lost:,} lost"
    if not display.is_paused:
        return [Span(said)]
    room = size.columns - width_of("PAUSED") - 1
    return [Span(left(said, max(room, 0)) + " "), Span("PAUSED", Style.ALERT)]


def _scope(seen: Seen, display: Display, found: int, size: Size) -> Line:
    """Return what the table is of."""
    shown = shown_sum(seen, display)
    what = _several(found, "line" if display.by_line else "function")
    since = f"all {shown.span_s:.0f} s" if display.is_whole else f"last {shown.span_s:.1f} s"
    counted = shown.count(COUNTED[display.view])
    said = f"{what}, {display.view.value}, {since}: {_several(counted, 'sample')}"
    pattern = display.pattern if display.typed is None else display.typed
    if pattern:
        said += f", filter {escape(pattern)}"
    return [Span(left(said, size.columns), Style.DIM)]


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _nothing(seen: Seen, display: Display) -> str:
    shown = shown_sum(seen, display)
    if not shown.turns:
        return "waiting for the first samples"
    if shown.count(COUNTED[display.view]):
        return "no function or place is like this: esc shows all"
    if display.view is View.GIL:
        return "no thread held the GIL: v shows what waits, too"
    return "nothing ran: v shows what waits, too"


def _bottom(display: Display, message: str, size: Size, charset: Charset) -> Line:
    if display.typed is not None:
        prompt = "filter (enter, esc): "
        room = max(size.columns - len(prompt) - 1, 0)
        return [
            Span(prompt, Style.BOLD),
            Span(end_of(escape(display.typed), room, charset.mark)),
            Span(" ", Style.TITLE),
        ]
    if message:
        return [Span(spread(escape(message), "q quits", size.columns, charset.mark), Style.ALERT)]
    found: Line = []
    room = size.columns
    for hint in HINTS:
        key, _, does = hint.rpartition(" ")
        room -= len(hint) + len(_GAP)
        if room < -len(_GAP):
            break
        found += [Span(key, Style.BOLD), Span(f" {does}{_GAP}", Style.DIM)]
    return found


def _key_line(keys: str, does: str) -> Line:
    widest = max(len(one) for one, _ in HELP)
    return [Span(f"{keys.ljust(widest)}{_GAP}", Style.BOLD), Span(does)]


def _table_head(display: Display, size: Size, charset: Charset) -> Line:
    bar, second, name, where = _widths(size.columns)
    mark = {display.sort: charset.descending}
    own = f"{'self%' + mark.get(Sort.SELF, ' '):>7}{' ' * bar}"
    total = f"{'total%' + mark.get(Sort.TOTAL, ' '):>8}{' ' * second}"
    function = left(("line of" if display.by_line else "function") + mark.get(Sort.NAME, ""), name)
    return [Span(left(f"{own}{total} {function}{_GAP}{left('where', where)}", size.columns), Style.TITLE)]


def _table_row(row: Row, whole: int, size: Size, charset: Charset) -> Line:
    bar, second, name, where = _widths(size.columns)
    own, total = (count / whole if whole else 0.0 for count in (row.own, row.total))
    style = Style.BOLD if own >= _HOT else Style.PLAIN
    function = end_of(row.name, name, charset.mark)
    return [
        Span(f"{own * 100:6.1f} ", style),
        Span(_bar(own, bar, charset), Style.BAR),
        Span(f"{total * 100:7.1f} ", style),
        Span(_bar(total, second, charset), Style.BAR),
        Span(f" {left(function, name)}{_GAP}", style),
        Span(short_path(row.where, where, charset.mark), Style.DIM),
    ]


def _bar(share: float, width: int, charset: Charset) -> str:
    return charset.bar(share, width - 1) + " " if width else ""


def _widths(columns: int) -> tuple[int, int, int, int]:
    """Return the columns of both bars, of the function and of its place."""
    bar = _BAR if columns >= _BARS_FROM else 0
    second = _BAR if columns >= _TWO_BARS_FROM else 0
    room = max(columns - _SHARES - bar - second, 0)
    if columns < _PLACES_FROM:
        return bar, second, room, 0
    name = room * 9 // 20
    return bar, second, name, room - name - len(_GAP)
