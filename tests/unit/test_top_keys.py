"""The keys of `execctl top`."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import pytest
from execctl.top import keys
from execctl.top.keys import HELP, HINTS, Action, pressed
from execctl.top.model import Display, Sort, View

if TYPE_CHECKING:
    from collections.abc import Iterable

ROWS, PAGE = 50, 10


def after(typed: Iterable[str], display: Display | None = None, rows: int = ROWS) -> Display:
    """What is shown after some keys."""
    return reduce(lambda now, key: pressed(now, key, rows, PAGE)[0], typed, display or Display())


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("S", Display(sort=Sort.TOTAL)),
        ("n", Display(sort=Sort.NAME)),
        ("Ss", Display()),
        ("g", Display(by_line=True)),
        ("v", Display(view=View.WALL)),
        ("vv", Display(view=View.GIL)),
        ("vvv", Display()),
        ("c", Display(is_whole=True)),
        (" ", Display(is_paused=True)),
        ("  ", Display()),
        ("t", Display(has_threads=False)),
        ("?", Display(has_help=True)),
        ("?x", Display()),
        ("Z", Display()),
    ],
)
def test_a_key_changes_one_thing(typed: str, expected: Display) -> None:
    assert after(typed) == expected


@pytest.mark.parametrize(("key", "action"), [("q", Action.QUIT), ("r", Action.RESET), ("s", Action.NONE)])
def test_some_keys_do_more(key: str, action: Action) -> None:
    assert pressed(Display(), key, ROWS, PAGE)[1] is action
    assert pressed(Display(typed=""), key, ROWS, PAGE) == (Display(typed=key), Action.NONE)


def test_the_help_is_left_by_any_key_and_the_program_by_q() -> None:
    assert pressed(Display(has_help=True), "r", 0, 0) == (Display(), Action.NONE)
    assert pressed(Display(has_help=True), "q", 0, 0)[1] is Action.QUIT


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ([keys.DOWN], 1),
        (["j", "j", "k"], 1),
        ([keys.UP], 0),
        ([keys.PAGE_DOWN], 10),
        ([keys.END], 40),
        ([keys.END, keys.DOWN, keys.PAGE_DOWN], 40),
        ([keys.END, keys.PAGE_UP], 30),
        ([keys.END, keys.HOME], 0),
    ],
)
def test_scrolling_stays_in_the_table(typed: list[str], first: int) -> None:
    assert after(typed).first == first
    # There is nothing to scroll in.
    assert after(typed, rows=PAGE - 3).first == 0


@pytest.mark.parametrize("key", ["s", "S", "n", "g", "v", "c", "r"])
def test_another_table_begins_at_its_top(key: str) -> None:
    assert after([keys.END, key]).first == 0


def test_a_pattern_is_typed_taken_and_taken_back() -> None:
    typing = after("/tax")
    assert (typing.typed, typing.pattern) == ("tax", "")
    taken = after([keys.BACKSPACE, "q", " ", "é", keys.ENTER], typing)
    assert (taken.typed, taken.pattern) == (None, "taq é")
    again = after("/", taken)
    assert again.typed == "taq é"
    assert after([keys.ERASE, "x", keys.ESCAPE], again) == taken
    assert after([keys.ESCAPE], taken) == Display()


def test_what_is_no_character_is_not_typed() -> None:
    assert after(["/", keys.UP, "\x01", "\u202e", ""]).typed == ""
    assert len(after("/" + "x" * 1000).typed or "") < 1000


def test_every_hint_is_a_key_of_the_help() -> None:
    told = {word for names, _ in HELP for word in names.replace(",", "").split()}
    assert {word for hint in HINTS for word in hint.split()[:-1]} <= told
