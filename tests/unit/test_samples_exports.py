"""Samples that the daemon took in files of other tools: collapsed stacks, pprof, speedscope."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from execd.errors import UsageError
from execd.model.profile import Label
from execd.reports import ReportOptions, render
from execd.reports.samples import speedscope
from pprof_files import parsed
from pprof_files import samples as pprof_samples
from sample_trees import INTERVAL_NS, MAIN, Stack, random_samples, samples

if TYPE_CHECKING:
    from execd.model.profile import Profile

PROFILE = samples()


def collapsed(profile: Profile, **options: Any) -> dict[str, int]:
    """Return the count of each collapsed stack."""
    lines = render(profile, "collapsed", ReportOptions(**options)).decode().splitlines()
    return {stack: int(count) for stack, _, count in (line.rpartition(" ") for line in lines)}


def test_collapsed_stacks_are_of_the_view_and_have_system_calls() -> None:
    found = collapsed(PROFILE, settings={"view": "wall"})
    assert sum(found.values()) == 100
    assert found["/srv/shop/server.py:4(run);/srv/app.py:4(get);(system\\x20call\\x20futex)"] == 38
    assert sum(collapsed(PROFILE).values()) == 40
    assert sum(collapsed(PROFILE, thread="worker", settings={"view": "gil"}).values()) == 4
    assert "server.py:4(run);app.py:9(compress)" in collapsed(PROFILE, strip_dirs=True)


def test_pprof_has_samples_and_times_of_each_thread() -> None:
    found = parsed(render(PROFILE, "pprof", ReportOptions()))
    assert [found.string_table[one.type] for one in found.sample_type] == ["samples", "wall", "cpu"]
    assert sum(one.value[0] for one in found.sample) == 100
    values = pprof_samples(found)
    assert values["App.compress", "App.run"] == (8, 8 * INTERVAL_NS, 8 * INTERVAL_NS)
    assert values["(system call futex)", "App.get", "App.run"] == (38, 38 * INTERVAL_NS, 0)
    threads = {found.string_table[label.str] for one in found.sample for label in one.label if label.str}
    assert threads == {"MainThread", "worker"}
    of_view = parsed(render(PROFILE, "pprof", ReportOptions(settings={"view": "gil"}, thread="worker")))
    assert sum(one.value[0] for one in of_view.sample) == 4


@pytest.mark.parametrize("form", ["pprof", "collapsed", "speedscope"])
def test_stacks_are_not_put_together(form: str) -> None:
    with pytest.raises(UsageError, match=f"by does not fit the format {form}"):
        render(PROFILE, form, ReportOptions(settings={"by": "line"}))
    with pytest.raises(UsageError, match="does not fit the format"):
        render(PROFILE, form, ReportOptions(per_thread=True))


def scoped(profile: Profile, **options: Any) -> Any:
    """Return a file for speedscope, after the rules of its schema (file-format-spec.ts there) were looked at."""
    found = json.loads(render(profile, "speedscope", ReportOptions(**options)))
    assert found["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert found.keys() == {"$schema", "name", "exporter", "activeProfileIndex", "shared", "profiles"}
    assert found["shared"].keys() == {"frames"}
    for frame in found["shared"]["frames"]:
        assert frame.keys() <= {"name", "file", "line"}
        assert (type(frame["name"]), type(frame.get("file", "")), type(frame.get("line", 0))) == (str, str, int)
    assert 0 <= found["activeProfileIndex"] < len(found["profiles"])
    for one in found["profiles"]:
        assert one.keys() == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
        assert (one["type"], one["startValue"]) == ("sampled", 0)
        assert one["unit"] in ("none", "nanoseconds", "microseconds", "milliseconds", "seconds", "bytes")
        assert len(one["samples"]) == len(one["weights"])
        assert one["endValue"] == sum(one["weights"])
        frames = {frame for stack in one["samples"] for frame in stack}
        assert frames <= set(range(len(found["shared"]["frames"])))
    return found


def named(found: Any, place: int) -> list[tuple[str, ...]]:
    """Return the stacks of a thread by the names of their frames."""
    names = [frame["name"] for frame in found["shared"]["frames"]]
    return [tuple(names[frame] for frame in stack) for stack in found["profiles"][place]["samples"]]


def test_speedscope_has_a_profile_for_each_thread() -> None:
    found = scoped(PROFILE)
    assert [one["name"] for one in found["profiles"]] == [
        "Thread MainThread (140000000001) of process 4711",
        "Thread worker (140000000002) of process 4711",
    ]
    assert [one["endValue"] for one in found["profiles"]] == [28 * INTERVAL_NS, 12 * INTERVAL_NS]
    assert found["name"] == "app.py, cpu"
    assert named(found, 1) == [("App.run", "App.fib"), ("App.run", "App.fib", "App.fib"), ("App.run", "App.compress")]
    assert {"name": "App.fib", "file": "/srv/app.py", "line": 4} in found["shared"]["frames"]
    (worker,) = scoped(PROFILE, thread="worker", settings={"view": "wall"}, strip_dirs=True)["profiles"]
    assert worker["endValue"] == 50 * INTERVAL_NS


def test_speedscope_has_slices_in_the_order_of_time() -> None:
    late, early = (replace(MAIN, at_s=at_s) for at_s in (30, 10))
    found = scoped(samples([Stack(("late:1",), (1, 0, 0, 0, 0), late), Stack(("early:1",), (2, 0, 0, 0, 0), early)]))
    assert named(found, 0) == [("App.early",), ("App.late",)]
    assert found["profiles"][0]["weights"] == [2 * INTERVAL_NS, INTERVAL_NS]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("view", ["wall", "cpu", "gil"])
def test_every_export_has_as_many_samples(seed: int, view: str) -> None:
    profile, options = random_samples(seed), ReportOptions(settings={"view": view})
    count = json.loads(render(profile, "json", options))["totals"]["samples"]
    assert sum(collapsed(profile, settings={"view": view}).values()) == count
    assert sum(one.value[0] for one in parsed(render(profile, "pprof", options)).sample) == count
    weights = [one["endValue"] for one in scoped(profile, settings={"view": view})["profiles"]]
    assert sum(weights) == count * INTERVAL_NS


def test_speedscope_of_nothing_is_a_file_all_the_same() -> None:
    idle = samples([Stack(("main:3",), (0, 0, 0, 0, 0))])
    assert scoped(idle)["profiles"][0]["samples"] == []


def test_a_file_for_speedscope_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speedscope, "MAX_BYTES", 20)
    with pytest.raises(UsageError, match="exceeds 0 MiB"):
        render(PROFILE, "speedscope", ReportOptions())


def test_hostile_names_are_escaped() -> None:
    name = "a\x1b[2J\nb\u202e\udcff"
    found = scoped(samples([Stack((f"{name}:1",), (1, 0, 0, 0, 0), Label(7, name, 4711))]))
    for shown in (found["shared"]["frames"][0]["name"], found["profiles"][0]["name"]):
        assert re.fullmatch(r"[ -~]+", shown)
