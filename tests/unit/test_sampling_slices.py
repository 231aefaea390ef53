"""Slices of a sampler: what lies packed is what was met, and what has aged is let go of."""

from __future__ import annotations

from collections import Counter

from execd.model.slices import SLICE_S
from execd.sampling.samples import FIGURES
from execd.sampling.slices import Slice, Slices
from hypothesis import given
from hypothesis import strategies as st

NUMBERS = st.integers(1, (1 << 32) - 1)
SLICES = st.builds(
    Slice,
    at_s=st.integers(0, 1 << 40),
    counts=st.builds(Counter, st.dictionaries(st.tuples(st.integers(0, (1 << 32) - 1), st.integers(0, 4)), NUMBERS)),
    figures=st.builds(Counter, st.dictionaries(st.sampled_from(FIGURES), NUMBERS)),
    held=st.builds(Counter, st.dictionaries(st.integers(0, 39), NUMBERS)),
    span_s=st.floats(0.0, 100.0),
)


def filled(met: list[Slice]) -> Slices:
    slices = Slices()
    for one in met:
        fresh = slices.at(one.at_s)
        fresh.counts, fresh.figures, fresh.held, fresh.span_s = one.counts, one.figures, one.held, one.span_s
    return slices


@given(st.lists(SLICES, unique_by=lambda one: one.at_s))
def test_what_was_met_is_there(met: list[Slice]) -> None:
    slices = filled(met)
    assert list(slices) == met
    assert bool(slices) == bool(met)


def test_the_latest_one_is_added_to() -> None:
    slices = Slices()
    for at_s in (10, 10, 20, 10):
        slices.at(at_s).counts[(at_s, 0)] += 1
    assert [(one.at_s, one.counts) for one in slices] == [(10, {(10, 0): 2}), (20, {(20, 0): 1}), (10, {(10, 0): 1})]


def test_what_has_aged_is_let_go_of() -> None:
    starts = [100, 110, 120, 130]
    slices = filled([Slice(at_s, counts=Counter({(1, 0): at_s})) for at_s in starts])
    slices.forget(starts[1])
    assert [one.at_s for one in slices] == starts[1:]
    slices.forget(starts[2] + SLICE_S)
    assert [(one.at_s, one.counts) for one in slices] == [(130, {(1, 0): 130})]
    assert slices
    slices.forget(starts[3] + SLICE_S)
    assert not slices
    assert list(slices) == []
