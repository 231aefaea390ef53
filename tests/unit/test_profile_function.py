"""The profile function of 3.9 to 3.11: whoever comes and goes, a thread that is in it finds what it calls."""

from __future__ import annotations

import sys

from execd_agent.collectors.profilehooks import make_profile_function

HANDLERS = ("enter", "leave", "enter_c", "leave_c")


def test_what_it_calls_is_there_also_between_its_question_and_its_call() -> None:
    profile, redirect, retire = make_profile_function()
    cells = dict(zip(profile.__code__.co_freevars, profile.__closure__, strict=True))
    told: list[str] = []
    heard = {name: lambda *_, name=name: told.append(name) for name in HANDLERS}
    for change in (lambda: redirect(heard), lambda: redirect({}), lambda: redirect(heard), retire):
        change()
        assert all(callable(cells[name].cell_contents) for name in HANDLERS)
    redirect(heard)
    profile(sys._getframe(), "c_call", len)  # noqa: SLF001 - as an event tells it
    assert told == []


def test_c_functions_are_told_of_where_somebody_hears_them() -> None:
    profile, redirect, _ = make_profile_function()
    told: list[str] = []
    heard = {name: lambda *_, name=name: told.append(name) for name in HANDLERS}
    for handlers in (heard, {name: heard[name] for name in HANDLERS[:2]}):
        redirect(handlers)
        for event in ("call", "c_call", "c_return", "return"):
            profile(sys._getframe(), event, len)  # noqa: SLF001 - as an event tells it
    assert told == ["enter", "enter_c", "leave_c", "leave", "enter", "leave"]
