"""docs/api.md: every public name of trace, cProfile, profile, pstats and tracemalloc, and what stands for it here."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import execctl
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
# Where the names of a module that are its own are defined.
HOMES = {
    "trace": {"trace"},
    "cProfile": {"cProfile", "_lsprof", "profiling.tracing"},
    "profile": {"profile"},
    "pstats": {"pstats"},
    "tracemalloc": {"tracemalloc", "_tracemalloc"},
}
# What the documentation names, and objects have in no class of theirs.
OF_OBJECTS = {
    "trace": {f"CoverageResults.{name}" for name in ("counts", "calledfuncs", "callers", "infile", "outfile")},
    "tracemalloc": {
        "Snapshot.traces",
        "Snapshot.traceback_limit",
        *(f"Filter.{name}" for name in ("inclusive", "lineno", "all_frames", "domain")),
        "DomainFilter.inclusive",
    },
}
# Of other versions than the one that runs the tests.
OF_OTHERS = {
    "pstats": {
        "SampledStats",
        "StatsLoaderShim",
        "StatsLoaderShim.create_stats",
        "Stats.print_call_subheading",
        "stats_factory",
    },
}
NAME = re.compile(r"`([A-Za-z_][\w.]*)`")
# A class of ours and one of its parts.
OURS = re.compile(r"`([A-Z]\w+)\.(\w+)`")


def rows(module: str) -> list[tuple[str, str]]:
    """The rows of a module's table: theirs, ours."""
    section = PAGE.partition(f"\n### {module}\n")[2].partition("\n###")[0]
    lines = [line.removeprefix("| ").removesuffix(" |") for line in section.splitlines() if line.startswith("| `")]
    return [(theirs, ours) for theirs, _, ours in (line.partition(" | ") for line in lines)]


def public_names(module: ModuleType) -> Iterator[str]:
    """The names of a module that are its own, and those of its classes' parts that are."""
    homes = HOMES[module.__name__]
    for name, value in vars(module).items():
        home = getattr(value, "__module__", None)
        if name.startswith("_") or inspect.ismodule(value) or home not in homes:
            continue
        yield name
        if inspect.isclass(value) and name != "SampledStats":
            own = [base for base in value.__mro__ if base.__module__ in homes]
            yield from sorted({f"{name}.{part}" for base in own for part in vars(base) if not part.startswith("_")})


@pytest.mark.parametrize("name", sorted(HOMES))
def test_every_public_name_has_a_row_and_every_row_a_name(name: str) -> None:
    told = [one for theirs, _ in rows(name) for one in NAME.findall(theirs)]
    there = set(public_names(import_module(name))) | OF_OBJECTS.get(name, set())
    assert len(told) == len(set(told))
    assert there - set(told) == set()
    assert set(told) - there <= OF_OTHERS.get(name, set())


@pytest.mark.parametrize("name", sorted(HOMES))
def test_every_row_says_what_is_here_or_why_nothing_is(name: str) -> None:
    for theirs, ours in rows(name):
        assert NAME.search(ours) or ours.startswith(("none: ", "likewise", "as of", "`str()`")), theirs


def test_what_the_page_says_is_here_is_here() -> None:
    told = {match.groups() for name in HOMES for _, ours in rows(name) for match in OURS.finditer(ours)}
    assert len(told) > 40
    assert {one for one in told if not has(*one)} == set()


def has(name: str, part: str) -> bool:
    """Whether a class of ours has a part."""
    found = getattr(execctl, name, None)
    return hasattr(found, part) or part in getattr(found, "__annotations__", {})


@pytest.mark.parametrize("name", ["Client", "Recording", "Program", "Profile"])
def test_every_method_is_in_the_table_of_what_there_is(name: str) -> None:
    table = PAGE.partition("## What there is")[2].partition("\n\n| class")[0]
    (row,) = [line for line in table.splitlines() if line.startswith(f"| `{name}` |")]
    found = getattr(execctl, name)
    methods = {part for part in dir(found) if not part.startswith("_") and callable(getattr(found, part))}
    assert len(methods) > 2
    assert methods - set(NAME.findall(row)) == set()


def test_a_name_that_is_not_here_is_found() -> None:
    assert not has("Client", "fly")
    assert not has("Flight", "start")


def test_every_class_of_the_page_is_of_the_api() -> None:
    section = PAGE.partition("## What there is")[2].partition("\n## Every")[0]
    words = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", section))
    assert len(words) > 7
    assert words <= set(execctl.__all__)
