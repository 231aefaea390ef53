"""The stored side of the Python API: profiles, reports, comparisons, and what is done with them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, overload

from execctl import convert, importable
from execctl.api.profile import Profile
from execctl.errors import Closed
from execctl.query import GrowthQuery, Layout, ReportQuery, View, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from execctl.api.changes import Comparison, Growth
    from execctl.api.rendering import Rendering
    from execctl.api.stored import Labelled, Merged, StoredProfile
    from execctl.rpc import Rpc

# What a daemon's list holds at most.
MOST_LISTED = 10_000
# A PID; or a session "s12", a profile "p34", a name; "" for the only or the newest one.
Subject: TypeAlias = "str | int"
_Kind = TypeVar("_Kind", bound=Profile)


class Archive:
    """What a daemon has stored. Every method raises ClientError, of the classes of `execctl.errors`."""

    def __init__(self, rpc: Rpc) -> None:
        self._open: Rpc | None = rpc

    @property
    def _rpc(self) -> Rpc:
        if self._open is None:
            raise Closed("this client is closed", remedy="do it within its `with` block, or open another one")
        return self._open

    def profiles(
        self,
        session: str = "",
        *,
        collector: str = "",
        labels: Mapping[str, str] | None = None,
        max_age_s: float = 0.0,
        min_age_s: float = 0.0,
        limit: int = 100,
    ) -> list[StoredProfile]:
        """Return stored profiles, newest first.

        Args:
            session: only those of this one; "" for all.
            collector: only those of this one, "calls"; "" for all.
            labels: that they have all, by key.
            max_age_s: stored at most so long ago, seconds; 0 for all.
            min_age_s: stored at least so long ago, seconds.
            limit: at most so many, 10,000 at most.
        """
        wanted = Wanted(session, collector, labels or {}, max_age_s, min_age_s)
        return [convert.stored(one) for one in self._rpc.library.profiles(wanted, limit)]

    @overload
    def profile(
        self,
        subject: Subject = "",
        *,
        added: Sequence[Subject] = (),
        thread: str = "",
        process: int = 0,
        settings: Mapping[str, object] | None = None,
    ) -> Profile: ...

    @overload
    def profile(
        self,
        subject: Subject,
        kind: type[_Kind],
        *,
        added: Sequence[Subject] = (),
        thread: str = "",
        process: int = 0,
        settings: Mapping[str, object] | None = None,
    ) -> _Kind: ...

    def profile(
        self,
        subject: Subject = "",
        kind: type[Profile] = Profile,
        *,
        added: Sequence[Subject] = (),
        thread: str = "",
        process: int = 0,
        settings: Mapping[str, object] | None = None,
    ) -> Profile:
        """Return a profile as a value.

        Args:
            subject: a profile "p34"; a session, a PID or a name: the newest profile of it, a fresh one where it
                goes on, of a tree's root the sum of all its processes; "" the newest of all.
            kind: the class that it is to be of: CallProfile, LineProfile, FunctionsProfile, CallersProfile,
                MemoryProfile, CensusProfile, SamplesProfile or TraceProfile.
            added: further ones; the value is the sum of all.
            thread: only what this thread did, by name or number.
            process: of a tree only the process of this PID; 0 for all.
            settings: as in `report`: of calls {"bias": 0} for times as they were recorded.

        Raises:
            NotFound: there is none.
            TypeError: it is of another class.
        """
        from execctl.api.reading import FORMAT, read_profile  # noqa: PLC0415 - few commands need values

        query = ReportQuery(
            name_of(subject), FORMAT, thread=thread, process=process, settings=settings or {}, added=_names(added)
        )
        found = read_profile(self.render(query), query, self)
        if not isinstance(found, kind):
            raise TypeError(f"{found.id} is a {type(found).__name__}, and no {kind.__name__}")
        return found

    def render(self, query: ReportQuery) -> Rendering:
        """Return a rendering of a profile, as a query asks for it; `report` is the simpler way."""
        return self._rpc.render(query)

    def report(
        self,
        *subjects: Subject,
        format: str = "text",  # noqa: A002 - what it is called everywhere
        sort: str | Sequence[str] = (),
        limit: str | float | Sequence[str | float] = (),
        reverse: bool = False,
        strip_dirs: bool = False,
        thread: str = "",
        view: Literal["functions", "callers", "callees"] = "functions",
        per_thread: bool = False,
        per_process: bool = False,
        process: int = 0,
        compare: str = "",
        layout: Layout | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> Rendering:
        """Return what `execctl report` and `execctl export` print.

        Args:
            subjects: as in `profile`; several are added up.
            format: "text", "json", "pstats", or another that profiles of the collector have (docs/reports.md).
            sort: keys of pstats, in order; of calls.
            limit: restrictions of pstats, in order: a number of lines, a fraction from 0.0 to 1.0, a pattern.
            reverse: the other way round.
            strip_dirs: file names without their directories.
            thread: only this one, by name or number.
            view: which tables, of calls.
            per_thread: a table for each thread.
            per_process: of a tree a report for each process.
            process: of a tree only the process of this PID; 0 for all, added up.
            compare: an earlier profile, "prev" or "first"; "" for no comparison.
            layout: of text: its width, colour, header.
            settings: what is asked of reports of one collector alone, by the options' names with underscores.

        Raises:
            NotFound: there is none.
            UsageError: an option does not fit the format or the collector, or does not parse.
        """
        subject, *added = map(name_of, subjects or ("",))
        query = ReportQuery(
            subject=subject,
            form=format,
            sort=(sort,) if isinstance(sort, str) else tuple(sort),
            reverse=reverse,
            limit=_limits(limit),
            strip_dirs=strip_dirs,
            thread=thread,
            view=_view(view),
            per_thread=per_thread,
            per_process=per_process,
            process=process,
            compare=compare,
            layout=layout or Layout(),
            settings=settings or {},
            added=tuple(added),
        )
        return self.render(query)

    def diff(self, earlier: Subject, later: Subject, *, settings: Mapping[str, object] | None = None) -> Comparison:
        """Return what one profile has over another of its collector.

        Args:
            earlier: as in `profile`.
            later: likewise. Two of one session compare as what happened between them, else per second.
            settings: as in `report`: of memory "by", "cumulative", "include" and so on.

        Returns:
            A CallComparison, LineComparison, CalledComparison, CallersComparison or MemoryComparison.

        Raises:
            UsageError: they are of different collectors, or of one that does not compare.
        """
        from execctl.api.changes import read_comparison  # noqa: PLC0415 - as above

        query = ReportQuery(name_of(later), "json", compare=name_of(earlier), settings=settings or {})
        return read_comparison(json.loads(self.render(query).data))

    def render_growth(self, query: GrowthQuery) -> Rendering:
        """Return a rendering of what grew, as a query asks for it; `growth` is the simpler way."""
        return self._rpc.growth(query)

    def growth(
        self,
        subject: Subject = "",
        *,
        last: int = 3,
        by: Literal["", "filename", "lineno", "traceback", "type"] = "",
        limit: int = 0,
    ) -> Growth:
        """Return what had more bytes in each of the latest snapshots than in the one before.

        Args:
            subject: a memory session, a PID, a name; "" what the newest snapshot of either is of.
            last: how many snapshots, 2 to 1000.
            by: "filename", "lineno" or "traceback" of memory, "type" of censuses; "" for what fits.
            limit: at most so many things; 0 for all.

        Raises:
            NotFound: there are no such snapshots.
        """
        from execctl.api.changes import read_growth  # noqa: PLC0415 - as above

        query = GrowthQuery(name_of(subject), "json", last, limit, {"by": by} if by else {})
        return read_growth(json.loads(self.render_growth(query).data))

    def merge(self, *subjects: Subject, name: str = "") -> Merged:
        """Store the sum of two or more profiles of one collector.

        Args:
            subjects: as in `profile`.
            name: what to call the sum, or "".

        Raises:
            UsageError: there is one only, or they are of different collectors.
        """
        return convert.merged(self._rpc.library.merge(list(map(name_of, subjects)), name))

    def import_(
        self,
        *files: str | os.PathLike[str],
        format: str = "",  # noqa: A002 - what it is called everywhere
        unit: str = "",
    ) -> list[StoredProfile]:
        """Store what files of other tools hold, all or none; they are not unpickled blindly.

        Args:
            files: paths of files of pstats, trace, tracemalloc or pprof, or of collapsed stacks.
            format: "pstats", "trace-counts", "tracemalloc", "collapsed" or "pprof"; "" where their content tells.
            unit: what collapsed stacks count: "samples", "ns", "us", "ms" or "s"; "" for samples.

        Raises:
            UsageError: one cannot be read, is too large, damaged, or none of these.
        """
        contents = [(importable.name_of(file), importable.content(file)) for file in map(os.fsdecode, files)]
        return self.import_contents(contents, format, unit)

    def import_contents(self, files: Sequence[tuple[str, bytes]], format: str, unit: str = "") -> list[StoredProfile]:  # noqa: A002
        """Store what is held by files that were read: name and content of each; else as `import_`."""
        return [convert.stored(one) for one in self._rpc.library.import_files(files, format, unit)]

    def remove(self, profile: str, *, also_running: bool = False) -> None:
        """Remove a stored profile.

        Args:
            profile: "p34" or a name.
            also_running: also where its session goes on.

        Raises:
            NotFound: there is none.
            UsageError: its session goes on.
        """
        self._rpc.library.remove(profile, also_running=also_running)

    def rename(self, subject: str, name: str) -> str:
        """Give a profile, or a session that has ended, another name, "" for none; return its id."""
        return self._rpc.library.rename(subject, name)

    def label(self, subject: str, labels: Mapping[str, str], *, remove: Iterable[str] = ()) -> Labelled:
        """Change the labels of a session or a profile.

        Args:
            subject: "s12", "p34", or a name.
            labels: to give it, by key.
            remove: the keys of those to take off.
        """
        return convert.labelled(self._rpc.library.label(subject, labels, tuple(remove)))


def name_of(subject: Subject) -> str:
    """Return what a subject is called in a request.

    Raises:
        TypeError: it is neither a text nor a PID.
    """
    if isinstance(subject, bool) or not isinstance(subject, str | int):
        raise TypeError(f"a process, session or profile is named by a PID or a text, and not by {subject!r}")
    return str(subject)


def _names(subjects: Sequence[Subject]) -> tuple[str, ...]:
    if isinstance(subjects, str):
        raise TypeError(f"what is added is a list, and not {subjects!r}: say [{subjects!r}]")
    return tuple(map(name_of, subjects))


def _view(name: str) -> View:
    if name.upper() not in View.__members__:
        raise ValueError(f"a view is functions, callers or callees, and not {name!r}")
    return View[name.upper()]


def _limits(limit: str | float | Sequence[str | float]) -> tuple[str, ...]:
    several = (limit,) if isinstance(limit, str | int | float) else limit
    # A number with a point is a fraction: 1.0 is everything, and 1 a line.
    return tuple(str(one) for one in several)
