"""Bytes from strangers: images, maps, files of /proc, frames, tables, filters. Read, or refused, whatever they are."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from soak.fuzz import fuzz
from soak.fuzz_subjects import SUBJECTS

FUZZ_S = float(os.environ.get("EXECD_FUZZ_S", "600"))
SEED = int(os.environ.get("EXECD_SOAK_SEED", "1"))


@pytest.mark.parametrize("what", SUBJECTS)
def test_any_bytes_are_read_or_refused(what: str) -> None:
    strategy, look = SUBJECTS[what]
    settings(max_examples=60, deadline=None)(given(strategy)(look))()


@pytest.mark.soak
@pytest.mark.timeout(FUZZ_S + 300)
def test_many_bytes_are_read_or_refused() -> None:
    """EXECD_FUZZ_S seconds in all, from EXECD_SOAK_SEED."""
    found = fuzz(FUZZ_S, SEED, list(SUBJECTS))
    assert not found.failures, str(found)
