"""What a user asks of a report on memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model.filter import strip_dirs
from execd.model.memory.blocks import BlockFilter, blocks_of, filtered
from execd.model.memory.statistics import By
from execd.reports.escape import visible
from execd.reports.options import View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execd.model.memory.blocks import Blocks
    from execd.model.profile import Profile
    from execd.reports.header import Fact
    from execd.reports.options import ReportOptions

# Named where a pattern fits none.
_MOST_FILES = 3
_WITH_LINE = re.compile(r"(?P<pattern>.*):(?P<line>[0-9]{1,9})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class MemoryOptions:
    """The settings of a report on memory.

    Attributes:
        by: what to put together; None where it was not said, and the summary is wanted.
        cumulative: count at every frame.
        filters: which blocks.
        domain: of which domain, None for all.
        frames: how many of a traceback to show; negative: the oldest; None: all.
        most_recent_first: of a traceback.
    """

    by: By | None = None
    cumulative: bool = False
    filters: tuple[BlockFilter, ...] = ()
    domain: int | None = None
    frames: int | None = None
    most_recent_first: bool = False

    @property
    def group(self) -> By:
        """What to put together."""
        return self.by or By.LINENO


def memory_options(options: ReportOptions) -> MemoryOptions:
    """Return the settings.

    Raises:
        UsageError: one is of another type, or an option of other collectors' tables was given.
    """
    refuse_orders(options, "choose by --by, --include, --exclude, --domain and --limit")
    settings = options.settings
    all_frames = _flag(settings, "all_frames")
    filters = [
        _filter(text, inclusive=name == "include", all_frames=all_frames)
        for name in ("include", "exclude")
        for text in _texts(settings, name)
    ]
    domain = _number(settings, "domain")
    if domain is not None and domain < 0:
        raise UsageError(f"a domain is a number from 0, not {domain}", remedy="leave out --domain for all")
    return MemoryOptions(
        by=_by(settings),
        cumulative=_flag(settings, "cumulative"),
        filters=tuple(filters),
        domain=domain,
        frames=_number(settings, "frames"),
        most_recent_first=_flag(settings, "most_recent_first"),
    )


def chosen_blocks(profile: Profile, options: ReportOptions, asked: MemoryOptions) -> list[Blocks]:
    """Return the blocks that a report is of."""
    named = strip_dirs(profile) if options.strip_dirs else profile
    return filtered(blocks_of(named), asked.filters, asked.domain)


def unfitting(profile: Profile, options: ReportOptions, asked: MemoryOptions) -> list[Fact]:
    """Return which patterns fit no blocks, and what files there are."""
    if not asked.filters:
        return []
    blocks = blocks_of(strip_dirs(profile) if options.strip_dirs else profile)
    missed = [one for one in asked.filters if not any(one.fits(block) for block in blocks)]
    if not missed:
        return []
    largest = sorted(blocks, key=lambda one: one.size, reverse=True)
    files = list(dict.fromkeys(visible(one.newest[0]) for one in largest))[:_MOST_FILES]
    there = f"; there are {', '.join(files)}" if files else ""
    return [("Filter", f"no blocks fit {_pattern_text(one)}{there}") for one in missed]


def _pattern_text(asked: BlockFilter) -> str:
    line = "" if asked.line is None else f":{asked.line}"
    return f"--{'include' if asked.inclusive else 'exclude'} {visible(asked.pattern)}{line}"


def refuse_orders(options: ReportOptions, remedy: str) -> None:
    """Refuse options of tables of functions, where the order is tracemalloc's. Raises UsageError."""
    given = {
        "sort": options.sort,
        "reverse": options.reverse,
        "per-thread": options.per_thread,
        options.view.value: options.view is not View.FUNCTIONS,
    }
    refused = [name for name, value in given.items() if value]
    if refused:
        raise UsageError(f"{', '.join(refused)} does not fit this report", remedy=remedy)


def _by(settings: Mapping[str, object]) -> By | None:
    value = settings.get("by")
    if value is None:
        return None
    try:
        return By(value)
    except ValueError:
        choices = ", ".join(one.value for one in By)
        raise UsageError(f"there are no statistics by {value!a}", remedy=f"choose from: {choices}") from None


def _filter(text: str, *, inclusive: bool, all_frames: bool) -> BlockFilter:
    found = _WITH_LINE.fullmatch(text)
    if found is None:
        return BlockFilter(inclusive, text, None, all_frames)
    return BlockFilter(inclusive, found["pattern"], int(found["line"]), all_frames)


def _flag(settings: Mapping[str, object], name: str) -> bool:
    value = settings.get(name, False)
    if not isinstance(value, bool):
        raise _wrong(name, "true or false")
    return value


def _number(settings: Mapping[str, object], name: str) -> int | None:
    value = settings.get(name)
    if value is not None and type(value) is not int:
        raise _wrong(name, "a whole number")
    return value


def _texts(settings: Mapping[str, object], name: str) -> list[str]:
    value = settings.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong(name, "a list of texts")
    return value


def _wrong(name: str, wanted: str) -> UsageError:
    return UsageError(f"the setting {name} is {wanted}", remedy="see: execctl report --help")
