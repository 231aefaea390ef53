"""The screen of `execctl top`, without a terminal: it fits every size, and holds nothing that could steer one."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

import pytest
from execctl.api.windows import STATES
from execctl.top.cells import Charset, Style, cut, end_of, left, short_path, spread, width_of
from execctl.top.keys import HELP
from execctl.top.model import Display, Seen, Sort, View, with_window
from execctl.top.screen import Size, Subject, screen
from hypothesis import given
from hypothesis import strategies as st
from seen_windows import HOSTILE, ORDERS, Met, many, thread, window

if TYPE_CHECKING:
    from execctl.top.screen import Screen

SUBJECT = Subject("s1", 4711, ("/usr/bin/python3", "orders.py", "--port", "8080"), "3.11.2")
UNICODE, ASCII = Charset(), Charset(is_ascii=True)
SIZES = [Size(80, 24), Size(120, 40), Size(40, 10)]
FUNCTIONS = 10_000
# A key must be answered before the next one comes; a machine under load takes ten times as long.
LONGEST_S = 5.0


def seen(*windows: object) -> Seen:
    """What was seen in some windows."""
    return reduce(with_window, windows, Seen())  # type: ignore[arg-type]


def texts(shown: Screen) -> list[str]:
    """The lines without their styles."""
    return ["".join(span.text for span in line) for line in shown.lines]


def show(now: Seen, size: Size, display: Display | None = None, charset: Charset = UNICODE, **more: object) -> Screen:
    """A screen."""
    return screen(SUBJECT, now, display or Display(), size, charset, **more)  # type: ignore[arg-type]


NOW = seen(window())


def test_at_80_by_24_everything_is_there() -> None:
    lines = texts(show(NOW, Size(80, 24), elapsed_s=83.4))
    assert lines[0] == "execctl top  4711 python3 orders.py --port 8080          Python 3.11.2  s1  1:23"
    assert texts(show(NOW, SIZES[2], elapsed_s=83.4))[0] == "execctl top  4711 python3 orde… s1  1:23"
    assert lines[1].rstrip() == "10.0 of 10 Hz  2 threads, 0.6 running  20.0% unsettled  0 lost"
    assert lines[2].split() == ["running", "██████▉", "30.0%", "waiting", "███████████████", "65.0%"]
    assert lines[3].split() == ["GIL", "held", "███████████▌", "50.0%", "GIL", "wait", "█▏", "5.0%"]
    assert lines[4].split() == ["thread", "(2)", "run%", "mostly", "where"]
    assert lines[5].split() == ["MainThread", "60.0", "running", "with", "the", "GIL", "tax_percent", "orders.py:33"]
    assert lines[7].rstrip() == "3 functions, on a processor, last 1.0 s: 6 samples"
    assert lines[8].split() == ["self%▼", "total%", "function", "where"]
    assert [line.split() for line in lines[9:12]] == [
        ["66.7", "█████▍", "66.7", "tax_percent", "/srv/shop/orders.py:33"],
        ["33.3", "██▋", "100.0", "Server.handle", "/srv/shop/orders.py:20"],
        ["0.0", "100.0", "main", "/srv/shop/orders.py:7"],
    ]
    assert lines[-1].startswith("q quit  ? help  space pause")


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("view", list(View))
def test_ten_thousand_functions_are_shown_page_by_page(size: Size, view: View) -> None:
    now = seen(*(window(many(FUNCTIONS), (FUNCTIONS, 0, 0, 0, 0), second=second) for second in range(2)))
    began = time.monotonic()
    shown = show(now, size, Display(view=view))
    assert time.monotonic() - began < LONGEST_S
    assert (shown.rows, shown.first) == (FUNCTIONS, 0)
    assert shown.page >= 4
    assert "function_0 " in "\n".join(texts(shown))
    last = show(now, size, Display(view=view, first=FUNCTIONS * 2))
    assert last.first == FUNCTIONS - last.page
    assert f"{FUNCTIONS - 1} " in texts(last)[-2]


def test_a_page_is_as_many_rows_as_are_shown() -> None:
    now = seen(window(many(200), (20_100, 0, 0, 0, 0)))
    for size in (*SIZES, Size(200, 60), Size(30, 6)):
        shown = show(now, size, Display(by_line=True, sort=Sort.NAME))
        head = next(place for place, line in enumerate(texts(shown)) if "total%" in line)
        assert len(texts(shown)[head + 1 : -1]) == shown.page
        assert all(line.strip() for line in texts(shown)[head + 1 : -1])


@given(
    st.builds(Size, st.integers(1, 130), st.integers(1, 50)),
    st.builds(
        Display,
        view=st.sampled_from(View),
        sort=st.sampled_from(Sort),
        by_line=st.booleans(),
        is_whole=st.booleans(),
        is_paused=st.booleans(),
        has_threads=st.booleans(),
        has_help=st.booleans(),
        pattern=st.sampled_from(["", "tax", HOSTILE]),
        typed=st.sampled_from([None, "", HOSTILE]),
        first=st.integers(0, 100),
    ),
    st.sampled_from(["", "process 4711 has ended", HOSTILE]),
    st.booleans(),
)
def test_no_line_is_wider_than_the_terminal_and_none_too_many(
    size: Size,
    display: Display,
    message: str,
    is_ascii: bool,  # noqa: FBT001 - drawn
) -> None:
    hostile = [Met(HOSTILE, (1, 1, 1), (2, 2, 2), HOSTILE), *ORDERS]
    now = seen(window(hostile, threads=[thread(1, HOSTILE), *(thread(one, f"t{one}") for one in range(2, 30))]))
    shown = show(now, size, display, Charset(is_ascii=is_ascii), message=message, elapsed_s=1e6)
    assert len(shown.lines) == size.rows
    assert max(width_of(line) for line in texts(shown)) <= size.columns
    assert all(line.isprintable() for line in texts(shown))


def test_without_unicode_only_names_have_letters_beyond_ascii() -> None:
    for size in SIZES:
        for display in (Display(), Display(has_help=True), Display(typed="tax")):
            assert "".join(texts(show(NOW, size, display, ASCII))).isascii()
    assert "######" in texts(show(NOW, SIZES[0], charset=ASCII))[2]


def test_nothing_is_told_apart_from_nothing_yet() -> None:
    assert "waiting for the first samples" in "".join(texts(show(Seen(), SIZES[0])))
    idle = seen(window([ORDERS[3]], (0, 0, 0, 0, 20)))
    assert "nothing ran: v shows what waits, too" in "".join(texts(show(idle, SIZES[0])))
    assert "no thread held the GIL" in "".join(texts(show(idle, SIZES[0], Display(view=View.GIL))))
    assert "no function or place is like this" in "".join(texts(show(NOW, SIZES[0], Display(pattern="zzz"))))


def test_what_the_user_should_know_stands_at_the_bottom_and_stands_out() -> None:
    shown = show(NOW, SIZES[0], message="process 4711 has ended")
    assert texts(shown)[-1] == "process 4711 has ended".ljust(72) + " q quits"
    assert texts(show(NOW, SIZES[2], message="process 4711 has ended, and moreover"))[-1] == (
        "process 4711 has ended, and mor… q quits"
    )
    assert {span.style for span in shown.lines[-1]} == {Style.ALERT}
    assert "PAUSED" in texts(show(NOW, SIZES[0], Display(is_paused=True)))[1]
    assert "filter tax" in "".join(texts(show(NOW, SIZES[0], Display(pattern="tax"))))
    assert texts(show(NOW, SIZES[0], Display(typed="tax")))[-1].startswith("filter (enter, esc): tax")


def test_the_help_names_every_key() -> None:
    lines = texts(show(NOW, SIZES[0], Display(has_help=True)))
    assert all(any(line.startswith(keys) and does in line for line in lines) for keys, does in HELP)


def test_of_many_threads_it_is_said_how_many_are_shown() -> None:
    now = seen(window(threads=[thread(one, f"t{one}") for one in range(40)]))
    assert "thread (4 of 40)" in "".join(texts(show(now, Size(80, 24))))
    assert "thread (" not in "".join(texts(show(now, Size(80, 24), Display(has_threads=False))))
    assert show(now, Size(80, 24), Display(has_threads=False)).page == show(now, Size(80, 24)).page + 5


@pytest.mark.parametrize(
    ("states", "call", "words"),
    [
        ((9, 0, 0, 0, 1), "futex", "running with the GIL"),
        ((0, 9, 0, 0, 1), "", "running without the GIL"),
        ((0, 0, 9, 0, 1), "read", "waiting with the GIL"),
        ((1, 0, 0, 9, 0), "futex", "waiting for the GIL"),
        ((1, 0, 0, 0, 9), "epoll_wait", "waiting in epoll_wait"),
        ((1, 0, 0, 0, 9), "", "waiting"),
    ],
)
def test_what_a_thread_was_at_most_is_said(states: tuple[int, ...], call: str, words: str) -> None:
    one = replace(thread(1, "t", call=call), states=dict(zip(STATES, states, strict=True)))
    line = texts(show(seen(window(threads=[one])), SIZES[1]))[5]
    assert f"  {words}  " in line


def test_texts_are_cut_by_the_columns_that_they_take() -> None:
    assert [width_of(text) for text in ("abc", "漢字", "e\u0301", "\u26a0\ufe0f")] == [3, 4, 1, 1]
    assert cut("漢字漢字", 5, "…") == "漢字…"
    assert end_of("漢字漢字", 6, "…") == "…漢字"
    assert (left("漢", 4), left("abcdef", 4)) == ("漢  ", "abcd")
    assert spread("a long start", "end", 12, "…") == "a long … end"
    assert [cut("abc", width, "...") for width in (0, 1, 2, 3)] == ["", "a", "ab", "abc"]


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (40, "/usr/lib/python3.11/json/encoder.py:205"),
        (38, "/usr/…/python3.11/json/encoder.py:205"),
        (28, "/usr/…/json/encoder.py:205"),
        (22, "/usr/…/encoder.py:205"),
        (14, "encoder.py:205"),
        (10, "…er.py:205"),
    ],
)
def test_a_path_keeps_its_first_and_its_last_directories(width: int, shown: str) -> None:
    assert short_path("/usr/lib/python3.11/json/encoder.py:205", width, "…") == shown


@given(st.floats(-1, 2), st.integers(0, 60), st.booleans())
def test_a_bar_takes_its_columns(share: float, width: int, is_ascii: bool) -> None:  # noqa: FBT001 - drawn
    assert width_of(Charset(is_ascii=is_ascii).bar(share, width)) == width
