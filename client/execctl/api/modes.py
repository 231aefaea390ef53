"""What to measure, as keyword arguments: the modes of `execctl attach` and their options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

from execctl.api.arguments import KEPT, SHARED, check_names, check_values
from execctl.descendants import with_children
from execctl.errors import UsageError
from execctl.keeping import kept
from execctl.modes import COUNT, LISTFUNCS, MODES, TRACE
from execctl.query import SessionSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from execctl.modes import Mode


class Measuring(TypedDict, total=False):
    """The arguments of `attach`, `start` and `run` that say what to measure; at least one mode.

    Attributes:
        sample: mode: sample the stacks of all threads, from outside.
        rate_hz: of sample: how often a second each thread is looked at, 1 to 100,000; 200.
        stopping: of sample: whether running threads are held while they are read, "as needed", "always" or "never".
        keep_s: of sample: only the latest samples are kept, of so many seconds; all.
        profile: mode: count and time every call, as cProfile does.
        builtins: of profile: C functions too; True.
        subcalls: of profile: tell apart who called whom; True.
        include: of profile: only code of these modules and what is in them, or of these files, where one has a slash or
            ends in .py; "*", "?" and "[...]" stand for others.
        exclude: of profile: not that code; what is in both is left out. Its time is its callers'.
        clock: of profile: "wall", or "cpu" for the CPU time of each thread; "wall".
        timer: of profile: a function of the program's as the clock, "module:function"; not with clock.
        timeunit: of timer: the seconds that one of its figure is; 1.
        bias: of profile: what one event costs, seconds, taken off the times of reports; "auto": measured there; 0.
        form: of profile: "native", recorded by C code where that can be, or "python", at ten times the cost; "native".
        max_overhead: of profile: how much recording may add to the program's CPU time, 0.2 for 20%; without limit.
        count: mode: count how often each line runs, as trace does.
        cover: mode: note which lines run, at next to no cost on 3.12 and newer.
        listfuncs: mode: list the functions that are called; not with count or trace.
        trackcalls: mode: list who calls whom.
        trace: mode: keep the latest lines as they run; `follow` shows them.
        function: of trace: only functions whose name or qualified name is like this glob.
        thread: of trace and sample: only the thread of this name or number.
        limit_events: of trace: end after so many lines and calls.
        memory: mode: trace allocated memory, as tracemalloc does.
        nframe: of memory: how many frames of each traceback are kept, 1 to 65535; 1.
        ignore_modules: of count, cover, listfuncs, trackcalls, trace: leave out these modules and what is in them.
        ignore_dirs: of the same: leave out what is below these directories.
        max_memory_bytes: memory that the recording may take in the process; 32 MiB.
        force: record beside cProfile, coverage.py or another tool written in C too (3.9 to 3.11).
        labels: of the sessions, by key.
        into: the name of the stored profile that what is recorded is added to.
        children: record the descendants of the process too; not of `start`.
    """

    sample: bool
    rate_hz: float
    stopping: Literal["as needed", "always", "never"]
    keep_s: float
    profile: bool
    builtins: bool
    subcalls: bool
    include: Sequence[str]
    exclude: Sequence[str]
    clock: Literal["wall", "cpu"]
    timer: str
    timeunit: float
    bias: float | Literal["auto"]
    form: Literal["python", "native"]
    max_overhead: float
    count: bool
    cover: bool
    listfuncs: bool
    trackcalls: bool
    trace: bool
    function: str
    thread: str
    limit_events: int
    memory: bool
    nframe: int
    ignore_modules: Sequence[str]
    ignore_dirs: Sequence[str]
    max_memory_bytes: int
    force: bool
    labels: Mapping[str, str]
    into: str
    children: bool


def specs_of(measuring: Measuring) -> list[SessionSpec]:
    """Return what is to be recorded.

    Raises:
        UsageError: no mode, an argument that there is not or with a value that it cannot have, an option without its
            mode, or modes that exclude each other.
    """
    given: dict[str, object] = {name: value for name, value in measuring.items() if value is not None}
    options = [option for known in mode_parameters().values() for option in known]
    check_names(given, {*mode_parameters(), *SHARED, *KEPT, *options}, "what is measured")
    check_values(given)
    modes = [mode for mode in MODES if given.get(mode.parameter)]
    if not modes:
        raise UsageError(f"nothing to record: give a mode, {_listed(mode.parameter for mode in MODES)}")
    if LISTFUNCS in modes and {COUNT, TRACE} & set(modes):
        raise UsageError("listfuncs goes with neither trace nor count: a function that was seen is not looked at again")
    _refuse_unowned(given, modes)
    specs = [SessionSpec(mode.collector, _options(mode, given)) for mode in modes]
    asked = kept(specs, measuring.get("labels") or {}, measuring.get("into") or "")
    return with_children(asked, children=measuring.get("children") or False)


def mode_parameters() -> dict[str, list[str]]:
    """Return the arguments that there are: each mode with its options."""
    return {mode.parameter: list(dict.fromkeys(one.key for one in mode.options if one.recorded)) for mode in MODES}


def _refuse_unowned(given: Mapping[str, object], modes: Sequence[Mode]) -> None:
    owned = {option.key for mode in modes for option in mode.options}
    for mode_name, options in mode_parameters().items():
        for option in options:
            if option in given and option not in owned:
                owners = [name for name, others in mode_parameters().items() if option in others]
                raise UsageError(f"{option} belongs to {' or '.join(owners)}: give {mode_name}=True with it")
    if "timeunit" in given and "timer" not in given:
        raise UsageError("timeunit belongs to timer: give both")
    if "clock" in given and "timer" in given:
        raise UsageError("clock and timer are two clocks: give one")


def _options(mode: Mode, given: Mapping[str, object]) -> dict[str, object]:
    keys = [option.key for option in mode.options if option.recorded]
    always = {option.key: option.converted(False) for option in mode.always}
    chosen = {key: _plain(given[key]) for key in (*keys, *SHARED) if key in given}
    return {**always, **chosen}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple | set | frozenset) else value


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
