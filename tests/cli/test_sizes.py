"""Sizes as users write them."""

from __future__ import annotations

import pytest
from execctl.sizes import parse_size_bytes


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("256KB", 1 << 18),
        ("32MB", 32 << 20),
        ("1.5gb", 3 << 29),
        (" 500KB ", 500 << 10),
        ("1024GB", 1 << 40),
        ("1TB", 1 << 40),
        ("64MiB", 64 << 20),
    ],
)
def test_a_size_is_a_number_with_its_unit(text: str, size_bytes: int) -> None:
    assert parse_size_bytes(text) == size_bytes


@pytest.mark.parametrize("text", ["", "64", "MB", "64 MB", "-1MB", "1e3MB", "64iB", "64B", "64mb;", "٣MB"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"write a number with its unit \(KB, MB, GB, TB\): 500KB, 64MB or 1GB"):
        parse_size_bytes(text)


@pytest.mark.parametrize("text", ["63KB", "0MB", "1025GB", "99TB"])
def test_a_size_that_makes_no_sense_is_refused_with_the_range(text: str) -> None:
    with pytest.raises(ValueError, match="not between 256KB and 1TB"):
        parse_size_bytes(text)
