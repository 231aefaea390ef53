"""What `execctl top` shows, as values: sums of windows, and rows by view, order, pattern."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

import pytest
from execctl.top.model import RECENT, Display, Seen, Sort, View, begun_anew, is_running, rows, with_window
from seen_windows import HOSTILE, ORDERS, Met, thread, window

if TYPE_CHECKING:
    from collections.abc import Iterable

    from execctl.api.windows import SampleWindow


def seen(windows: Iterable[SampleWindow]) -> Seen:
    """What was seen in some windows."""
    return reduce(with_window, windows, Seen())


def table(now: Seen, display: Display) -> dict[str, tuple[int, int]]:
    """The rows by name: own and total."""
    return {row.name: (row.own, row.total) for row in rows(now, display)}


def test_the_latest_windows_are_one_sum_and_all_of_them_another() -> None:
    now = seen(window(second=second) for second in range(RECENT + 3))
    assert (now.recent.turns, now.recent.span_s) == (10 * RECENT, RECENT)
    assert (now.whole.turns, now.whole.span_s) == (10 * (RECENT + 3), RECENT + 3)
    assert table(now, Display())["tax_percent"] == (4 * RECENT, 4 * RECENT)
    assert table(now, Display(is_whole=True))["tax_percent"] == (4 * (RECENT + 3), 4 * (RECENT + 3))
    assert (now.recent.states["waiting"], now.whole.states["waiting"]) == (13 * RECENT, 13 * (RECENT + 3))


def test_what_was_not_met_lately_is_in_the_whole_alone() -> None:
    now = seen([window([Met("once", (1, 1, 1), (1, 1, 1))]), *(window(second=second) for second in range(1, 6))])
    assert "once" not in table(now, Display())
    assert table(now, Display(is_whole=True))["once"] == (1, 1)


def test_a_new_beginning_forgets_all() -> None:
    now = begun_anew(seen([window()]))
    assert (now.whole.turns, now.latest, now.asked_hz) == (0, (), 10.0)
    assert table(with_window(now, window()), Display(is_whole=True))["tax_percent"] == (4, 4)


def test_a_window_in_which_nothing_was_looked_at_changes_nothing() -> None:
    empty = replace(window((), (0, 0, 0, 0, 0), threads=()), turns=0, session="s1")
    assert with_window(seen([window()]), empty) == seen([window()])


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View.CPU, {"tax_percent": (4, 4), "Server.handle": (2, 6), "main": (0, 6)}),
        (View.GIL, {"tax_percent": (3, 3), "Server.handle": (2, 5), "main": (0, 5)}),
        (View.WALL, {"wait": (13, 13), "tax_percent": (5, 5), "Server.handle": (2, 8), "main": (0, 10)}),
    ],
)
def test_a_view_shows_what_it_counts_alone(view: View, expected: dict[str, tuple[int, int]]) -> None:
    found = table(seen([window()]), Display(view=view))
    assert found == expected
    assert list(found) == list(expected)


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (Sort.SELF, ["tax_percent", "Server.handle", "main"]),
        (Sort.TOTAL, ["Server.handle", "main", "tax_percent"]),
        (Sort.NAME, ["main", "Server.handle", "tax_percent"]),
    ],
)
def test_rows_are_in_the_order_that_is_asked_for(sort: Sort, expected: list[str]) -> None:
    assert list(table(seen([window()]), Display(sort=sort))) == expected


def test_a_row_is_a_function_or_a_line() -> None:
    two = [ORDERS[2], ORDERS[2]._replace(line=34)]
    now = seen([window(two)])
    assert [row.where for row in rows(now, Display(by_line=True))] == [
        "/srv/shop/orders.py:33",
        "/srv/shop/orders.py:34",
    ]
    assert {row.where for row in rows(seen([window()]), Display())} == {
        "/srv/shop/orders.py:33",
        "/srv/shop/orders.py:20",
        "/srv/shop/orders.py:7",
    }


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("tax", {"tax_percent"}),
        ("TAX", set()),
        ("server", {"Server.handle"}),
        ("orders.py:2", {"Server.handle"}),
        ("^(main|tax)", {"main", "tax_percent"}),
        ("^MAIN", set()),
        ("tax(", set()),
        ("[[", set()),
        ("", {"tax_percent", "Server.handle", "main"}),
    ],
)
def test_a_pattern_is_a_text_or_an_expression(pattern: str, expected: set[str]) -> None:
    now = seen([window()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(table(now, Display(pattern=pattern))) == expected
        # What is being typed counts at once.
        assert set(table(now, Display(pattern="nothing like it", typed=pattern))) == expected


def test_a_text_with_the_signs_of_an_expression_is_found_as_it_stands() -> None:
    now = seen([window([Met("f(x)[0]", (1, 1, 1), (1, 1, 1))])])
    assert set(table(now, Display(pattern="f(x)["))) == {"f(x)[0]"}


def test_names_of_a_target_are_made_harmless() -> None:
    now = seen([window([Met(HOSTILE, (1, 1, 1), (1, 1, 1), HOSTILE)])])
    (row,) = rows(now, Display())
    assert (row.name + row.where).isprintable()
    assert "evil" in row.name


def test_threads_are_those_of_the_latest_windows_those_that_run_first() -> None:
    early = [window(threads=[thread(9, "ended")])]
    late = [window(threads=[thread(1, "idle", 0, 10), thread(2, "busy", 10, 0)]) for _ in range(RECENT)]
    now = seen(early + late)
    assert [one.name for one in now.threads] == ["busy", "idle"]
    assert [is_running(one, now.recent.turns) for one in now.threads] == [1.0, 0.0]
    assert sum(now.threads[0].states.values()) == 10 * RECENT


def test_threads_that_were_met_once_come_after_those_that_last() -> None:
    """As in a server with a thread for each request."""
    lasting = [thread(1, "idle", 0, 10), thread(2, "waiting", 0, 10)]
    windows = [window(threads=[*lasting, thread(100 + number, "request", 1, 0)]) for number in range(RECENT - 1)]
    now = seen([*windows, window(threads=[*lasting, thread(200, "busy", 10, 0)])])
    assert [one.name for one in now.threads] == ["busy", "idle", "waiting", *["request"] * (RECENT - 1)]
    shares = [is_running(one, now.recent.turns) for one in now.threads]
    assert shares == [1 / RECENT, 0.0, 0.0, *[1 / (10 * RECENT)] * (RECENT - 1)]
