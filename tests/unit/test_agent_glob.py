"""Patterns of the agent's are those of fnmatch."""

from __future__ import annotations

import fnmatch

from execd_agent.collectors.glob import matches
from hypothesis import given
from hypothesis import strategies as st


@given(st.text("ab.]-*", max_size=7), st.text("ab.*?[]!-", max_size=8))
def test_a_pattern_fits_what_fnmatch_says(name: str, pattern: str) -> None:
    assert matches(name, pattern) == fnmatch.fnmatchcase(name, pattern)


def test_many_stars_take_no_longer_than_the_name_is_long() -> None:
    assert not matches("a" * 300, "*a" * 100 + "b")
