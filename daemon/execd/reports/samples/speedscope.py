"""The export for speedscope (www.speedscope.app): a profile a thread, slice by slice where there are slices."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from execd.errors import UsageError
from execd.model.filter import strip_dirs
from execd.model.profile import BUILTIN_FILE
from execd.model.samples import measures
from execd.model.views import usual_view, viewed
from execd.reports.escape import visible
from execd.reports.function_names import c_name
from execd.reports.names import program, thread_title
from execd.reports.samples.asked import asked_view, refuse_by
from execd.reports.stacks import TRUNCATED, stacks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.model.profile import Function, Label, Profile
    from execd.reports.options import ReportOptions

MAX_BYTES: Final = 512 << 20
_SCHEMA: Final = "https://www.speedscope.app/file-format-schema.json"


@dataclass(slots=True)
class _Thread:
    """What is written of a thread: its stacks, each as indexes of frames with commas between, and what each weighs."""

    stacks: list[str] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the file: the time that samples stand for, else how many there are; of the view that is asked for.

    Raises:
        UsageError: it would exceed MAX_BYTES, or an option does not fit.
    """
    refuse_by(options, "speedscope")
    named = strip_dirs(profile) if options.strip_dirs else profile
    view = asked_view(named, options) or usual_view(named)
    shown = viewed(named, view) if view else named
    measure = "wall_ns" if view else measures(shown)[0]
    found = _threads(shown, shown.column(measure)) or {shown.labels[0]: _Thread()}
    weights = [sum(one.weights) for one in found.values()]
    head = {
        "$schema": _SCHEMA,
        "name": f"{program(profile.header)}, {view.value if view else measure}",
        "exporter": "execd",
        "activeProfileIndex": weights.index(max(weights)),
        "shared": {"frames": [*map(_frame, shown.functions), {"name": TRUNCATED}]},
    }
    unit = "none" if measure == "samples" else "nanoseconds"
    profiles = ",".join(_profile(thread_title(label), unit, one) for label, one in found.items())
    return f'{_opened(head)},"profiles":[{profiles}]}}'.encode("ascii")


def _threads(profile: Profile, values: Sequence[int]) -> dict[Label, _Thread]:
    """Return what each thread has, slice by slice; threads that have nothing are left out.

    Raises:
        UsageError: it is too much for a file.
    """
    parts: dict[Label, _Thread] = {}
    frames = [str(profile.function_of(node)) for node in range(len(profile.parents))]
    size = 0
    for node, path in stacks(profile.parents, frames, str(len(profile.functions))):
        if values[node]:
            part = parts.setdefault(profile.labels[profile.node_labels[node]], _Thread())
            part.stacks.append(",".join(path))
            part.weights.append(values[node])
            size += len(part.stacks[-1])
        if size > MAX_BYTES:
            raise UsageError(
                f"a file for speedscope of this profile exceeds {MAX_BYTES >> 20} MiB", remedy="export it as pprof"
            )
    threads: dict[Label, _Thread] = {}
    for label, part in sorted(parts.items(), key=lambda one: one[0].at_s):
        thread = threads.setdefault(replace(label, at_s=0), _Thread())
        thread.stacks += part.stacks
        thread.weights += part.weights
    return threads


def _frame(function: Function) -> dict[str, object]:
    if function.file in ("", BUILTIN_FILE):
        return {"name": visible(c_name(function.name))}
    place = {"line": function.first_line} if function.first_line else {}
    return {"name": visible(function.qualname), "file": visible(function.file), **place}


def _profile(name: str, unit: str, thread: _Thread) -> str:
    head = {"type": "sampled", "name": name, "unit": unit, "startValue": 0, "endValue": sum(thread.weights)}
    samples = "],[".join(thread.stacks)
    weights = ",".join(map(str, thread.weights))
    return f'{_opened(head)},"samples":[{f"[{samples}]" if thread.stacks else ""}],"weights":[{weights}]}}'


def _opened(document: dict[str, Any]) -> str:
    """Return a JSON object that more follows in."""
    return json.dumps(document, separators=(",", ":")).removesuffix("}")
