"""The Python API of execd, and its command line. `execctl.Client` is the way in; docs/api.md tells of it.

Knows the daemon by its contract alone. Names are imported when they are asked for, so that `execctl --help` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from execctl import errors
    from execctl.api.calls import CallProfile, Figures, Function, FunctionName
    from execctl.api.census import CensusProfile, TypeCount
    from execctl.api.changes import (
        CallComparison,
        CalledComparison,
        CallersComparison,
        Comparison,
        FunctionChange,
        Grown,
        Growth,
        LineChange,
        LineComparison,
        MemoryComparison,
        PlaceChange,
        SampledChange,
        SamplesComparison,
    )
    from execctl.api.dump import AwaitingTask, Dump, StackFrame, ThreadStack
    from execctl.api.events import Event, TraceProfile
    from execctl.api.everyone import Everyone, OpenGroup
    from execctl.api.frame import Frame
    from execctl.api.lines import CalledFunction, CallersProfile, FunctionsProfile, LineProfile, Relation, SourceFile
    from execctl.api.live_memory import LiveMemory, LiveObject
    from execctl.api.memory import MemoryProfile, Statistic, StatisticDiff, Trace
    from execctl.api.modes import Measuring
    from execctl.api.origin import Origin
    from execctl.api.process import Check, Process
    from execctl.api.processes import TreeProcess
    from execctl.api.profile import Profile
    from execctl.api.program import Outcome, Prepared, Program
    from execctl.api.recording import Recording
    from execctl.api.rendering import Rendering
    from execctl.api.samples import SampledFunction, SamplesProfile
    from execctl.api.session import Attachment, Detachment, Overhead, Session, TracedLines
    from execctl.api.stored import Labelled, Merged, StoredProfile
    from execctl.api.windows import SampleWindow, ViewCounts, WindowPlace, WindowRow, WindowThread
    from execctl.calibration import EventCosts
    from execctl.client import Client
    from execctl.errors import ClientError
    from execctl.query import GrowthQuery, Layout, ReportQuery, SessionSpec, View

__version__ = "0.1.0"

_PLACES = {
    "api.calls": ("CallProfile", "Figures", "Function", "FunctionName"),
    "api.census": ("CensusProfile", "TypeCount"),
    "api.changes": (
        "CallComparison",
        "CalledComparison",
        "CallersComparison",
        "Comparison",
        "FunctionChange",
        "Growth",
        "Grown",
        "LineChange",
        "LineComparison",
        "MemoryComparison",
        "PlaceChange",
        "SampledChange",
        "SamplesComparison",
    ),
    "api.dump": ("AwaitingTask", "Dump", "StackFrame", "ThreadStack"),
    "api.events": ("Event", "TraceProfile"),
    "api.lines": ("CalledFunction", "CallersProfile", "FunctionsProfile", "LineProfile", "Relation", "SourceFile"),
    "api.live_memory": ("LiveMemory", "LiveObject"),
    "api.everyone": ("Everyone", "OpenGroup"),
    "api.frame": ("Frame",),
    "api.memory": ("MemoryProfile", "Statistic", "StatisticDiff", "Trace"),
    "api.modes": ("Measuring",),
    "api.origin": ("Origin",),
    "api.process": ("Check", "Process"),
    "api.processes": ("TreeProcess",),
    "api.profile": ("Profile",),
    "api.program": ("Outcome", "Prepared", "Program"),
    "api.recording": ("Recording",),
    "api.rendering": ("Rendering",),
    "api.samples": ("SampledFunction", "SamplesProfile"),
    "api.session": ("Attachment", "Detachment", "Overhead", "Session", "TracedLines"),
    "api.stored": ("Labelled", "Merged", "StoredProfile"),
    "api.windows": ("SampleWindow", "ViewCounts", "WindowPlace", "WindowRow", "WindowThread"),
    "calibration": ("EventCosts",),
    "client": ("Client",),
    "errors": ("ClientError",),
    "query": ("GrowthQuery", "Layout", "ReportQuery", "SessionSpec", "View"),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}
__all__ = [
    "Attachment",
    "AwaitingTask",
    "CallComparison",
    "CallProfile",
    "CalledComparison",
    "CalledFunction",
    "CallersComparison",
    "CallersProfile",
    "CensusProfile",
    "Check",
    "Client",
    "ClientError",
    "Comparison",
    "Detachment",
    "Dump",
    "Event",
    "EventCosts",
    "Everyone",
    "Figures",
    "Frame",
    "Function",
    "FunctionChange",
    "FunctionName",
    "FunctionsProfile",
    "Grown",
    "Growth",
    "GrowthQuery",
    "Labelled",
    "Layout",
    "LineChange",
    "LineComparison",
    "LineProfile",
    "LiveMemory",
    "LiveObject",
    "Measuring",
    "MemoryComparison",
    "MemoryProfile",
    "Merged",
    "OpenGroup",
    "Origin",
    "Outcome",
    "Overhead",
    "PlaceChange",
    "Prepared",
    "Process",
    "Profile",
    "Program",
    "Recording",
    "Relation",
    "Rendering",
    "ReportQuery",
    "SampleWindow",
    "SampledChange",
    "SampledFunction",
    "SamplesComparison",
    "SamplesProfile",
    "Session",
    "SessionSpec",
    "SourceFile",
    "StackFrame",
    "Statistic",
    "StatisticDiff",
    "StoredProfile",
    "ThreadStack",
    "Trace",
    "TraceProfile",
    "TracedLines",
    "TreeProcess",
    "TypeCount",
    "View",
    "ViewCounts",
    "WindowPlace",
    "WindowRow",
    "WindowThread",
    "errors",
]


if not TYPE_CHECKING:
    # Unseen by a type checker, which would take any name for one of ours.
    def __getattr__(name: str) -> object:
        """Return a name of the API, imported now."""
        if name == "errors":
            return import_module(f"{__name__}.{name}")
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """Return the names of the API."""
    return [*__all__, "__version__"]
