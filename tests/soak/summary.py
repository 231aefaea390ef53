"""The summary of a soak: tables for RESULTS.md, from nothing but the journal."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from soak.figures import geometric_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from interpreters import Interpreter
    from soak.journal import Entry


def summary(entries: Iterable[Entry], interpreters: Mapping[str, Interpreter], seed: int) -> str:
    """Everything that a run came to."""
    # Of a step that was done again the last time counts.
    latest = {entry.key: entry for entry in entries}
    done = [latest[key] for key in sorted(latest)]
    versions = ", ".join(one.full_version for one in interpreters.values())
    machine = f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs"
    return "\n".join(
        [f"{machine}; CPython {versions}; seed {seed}.", "", *totals(done), "", *cycle_rows(done), "", *walk_rows(done)]
    )


def totals(entries: list[Entry]) -> Iterator[str]:
    """A line a kind: how much, what became of it, how soon targets were as before, the daemon's size."""
    yield "| what | times | failed steps | outcomes | as before after, ms: p50 / max | daemon fds | daemon KiB |"
    yield "|---|---|---|---|---|---|---|"
    for kind in sorted({entry.kind for entry in entries}):
        mine = [entry for entry in entries if entry.kind == kind]
        times = sum(entry.amount for entry in mine)
        failed = sum(bool(entry.failures) for entry in mine)
        measured = [entry.figures for entry in mine if entry.figures]
        cells = [kind, times, f"{failed} of {len(mine)}", outcomes(measured), disarmed(measured), *sizes(measured)]
        yield f"| {' | '.join(map(str, cells))} |"


def outcomes(figures: list[dict[str, Any]]) -> str:
    """All outcomes, added up."""
    added: dict[str, int] = {}
    for one in figures:
        for name, count in one.get("outcomes", {}).items():
            added[name] = added.get(name, 0) + count
    if requests := sum(one.get("requests", 0) for one in figures):
        added["requests"] = requests
    return ", ".join(f"{count} {name}" for name, count in sorted(added.items()))


def disarmed(figures: list[dict[str, Any]]) -> str:
    """The middle one of the medians and the largest of all."""
    spans = [one["disarmed_ms"] for one in figures if one.get("disarmed_ms", {}).get("p50") is not None]
    medians = sorted(span["p50"] for span in spans)
    return f"{medians[len(medians) // 2]} / {max(span['max'] for span in spans)}" if spans else ""


def sizes(figures: list[dict[str, Any]]) -> tuple[str, str]:
    """The daemon's descriptors and memory: the least and the most that it began a step with, and ended one with."""
    fds = [one["daemon_fds"] for one in figures if "daemon_fds" in one]
    kib = [one["daemon_kib"] for one in figures if "daemon_kib" in one]
    return spread(fds), spread(kib)


def spread(pairs: list[list[int]]) -> str:
    """What they began and ended with."""
    if not pairs:
        return ""
    began, ended = ([pair[side] for pair in pairs] for side in (0, 1))
    return f"{min(began):.0f}-{max(began):.0f}, then {min(ended):.0f}-{max(ended):.0f}"


def cycle_rows(entries: list[Entry]) -> Iterator[str]:
    """A line a server and version, and all ratios of p99 in one."""
    yield (
        "| server | version | cycles | requests | failures | attached ms | p99 ms outside / quiet | ratio | null ratio "
        "| server KiB a cycle | trimmed | daemon KiB a cycle |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    mine = [entry for entry in entries if entry.kind in ("cycles", "long") and entry.figures]
    for entry in mine:
        _, version, server, _ = entry.key.split("/")
        one = entry.figures
        cells = [server, version, entry.amount, one["requests"], len(entry.failures), one["attached_ms"]]
        cells += [f"{one['p99_outside_ms']} / {one['p99_quiet_ms']}"]
        cells += [interval(one[name]) for name in ("p99_ratio", "p99_ratio_null")]
        cells += [interval(one[name]) for name in ("resident_kib_slope", "trimmed_kib_slope", "daemon_kib_slope")]
        yield f"| {' | '.join(map(str, cells))} |"
    for name, meaning in (("p99_ratio", "outside of attachments over quiet"), ("p99_ratio_null", "quiet over quiet")):
        ratios = [entry.figures[name][0] for entry in mine if entry.figures[name]]
        if mean := geometric_mean(ratios):
            yield f"\np99 {meaning}, geometric mean of {len(ratios)}: {interval(mean.rounded(3))}"


def walk_rows(entries: list[Entry]) -> Iterator[str]:
    """A line a walk: what a minute of its later half adds to memory, beside a server that is left alone."""
    yield (
        "| server | version | s | outcomes | requests, of which counted | failures | server KiB a minute | left alone "
        "| in use | left alone | blocks | left alone | daemon |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    grown = ("server", "alone", "server_in_use", "alone_in_use", "server_blocks", "alone_blocks", "daemon")
    for entry in (entry for entry in entries if entry.kind == "walks" and entry.figures):
        _, version, server, _ = entry.key.split("/")
        one = entry.figures
        done = ", ".join(f"{count} {name}" for name, count in sorted(one["outcomes"].items()))
        cells = [server, version, entry.amount, done, f"{one['requests']}, {one['counted_requests']}"]
        cells += [len(entry.failures), *(interval(one[f"{name}_a_minute"]) for name in grown)]
        yield f"| {' | '.join(map(str, cells))} |"


def interval(numbers: list[float] | None) -> str:
    """A figure with its interval, nothing where there were too few measurements."""
    return "" if numbers is None else f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"
