"""What a user asks of a report of samples: which of them count, of which time, and what is put together."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeVar

from execd.errors import UsageError
from execd.model.collector import SAMPLES
from execd.model.filter import of_each_thread, strip_dirs, where
from execd.model.samples import By
from execd.model.slices import between, starts_between, unsliced
from execd.model.views import View, has_states, usual_view, viewed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from execd.model.profile import Label, Profile
    from execd.reports.options import ReportOptions

SETTINGS: Final = frozenset({"view", "by", "last_s", "from_s", "to_s"})
# Seconds since the epoch that are a date, up to the year 2242.
_MOST_S: Final = float(1 << 33)
_Choice = TypeVar("_Choice", bound=Enum)


@dataclass(frozen=True, slots=True)
class Seen:
    """Samples as a report shows them.

    Attributes:
        profile: those that the view counts.
        whole: all of them, whatever the view.
        view: which; None of samples that do not tell what their threads were at.
    """

    profile: Profile
    whole: Profile
    view: View | None


def seen(profile: Profile, options: ReportOptions, view: View | None = None) -> Seen:
    """Return samples by the view that is asked for.

    Args:
        profile: of samples.
        options: the setting "view" and strip_dirs are used.
        view: the one where none is asked for; None for the one that fits.

    Raises:
        UsageError: there is no such view, or not of these samples.
    """
    whole = unsliced(strip_dirs(profile) if options.strip_dirs else profile)
    asked = asked_view(profile, options) or view or usual_view(whole)
    return Seen(whole if asked is None else viewed(whole, asked), whole, asked)


def of_threads(found: Seen) -> dict[Label, Seen]:
    """Return samples thread by thread, those of threads too that have nothing in the view."""
    shown = of_each_thread(found.profile)
    nothing = where(found.profile, lambda _: False)
    return {
        label: Seen(shown.get(label, nothing), whole, found.view)
        for label, whole in of_each_thread(found.whole).items()
    }


def asked_view(profile: Profile, options: ReportOptions) -> View | None:
    """Return the view that is asked for, None for none. Raises UsageError where there is none such of these samples."""
    asked = _choice(options.settings, "view", View)
    if asked is not None and not has_states(profile):
        raise UsageError(
            "these samples do not tell what their threads were at: they have one view",
            remedy="leave the view out; samples that execd took have them all",
            view=asked.value,
        )
    return asked


def asked_by(options: ReportOptions) -> By:
    """Return what is put together. Raises UsageError where there is nothing such."""
    return _choice(options.settings, "by", By) or By.FUNCTION


def refuse_by(options: ReportOptions, format_name: str) -> None:
    """Refuse the setting "by" for a format that holds stacks. Raises UsageError."""
    if "by" in options.settings:
        raise UsageError(
            f"by does not fit the format {format_name}, which holds stacks",
            remedy="leave it out, or choose the format text or json",
        )


def of_time(profile: Profile, settings: Mapping[str, object]) -> Profile:
    """Return the part of a profile that is of the time asked for, all of one of another collector.

    Raises:
        UsageError: a time is no number, two say the same, or nothing of that time is kept.
    """
    if profile.header.collector != SAMPLES.name:
        return profile
    last_s, from_s, to_s = (_seconds(settings, name) for name in ("last_s", "from_s", "to_s"))
    if last_s is None and from_s is None and to_s is None:
        return profile
    started_at, ended_at = profile.header.started_at, profile.header.ended_at
    if last_s is not None:
        if from_s is not None or to_s is not None:
            raise UsageError("the last seconds and a span of time are two spans", remedy="ask for one")
        from_s = ended_at - last_s
    from_s, to_s = started_at if from_s is None else from_s, ended_at if to_s is None else to_s
    if from_s >= to_s:
        raise UsageError("that span of time ends before it begins", remedy="name the earlier time first")
    return between(profile, from_s, to_s)


def parts_of_time(parts: Iterable[Profile], whole: Profile, settings: Mapping[str, object]) -> list[Profile]:
    """Return the parts of a sum that have something of the time asked for, narrowed to it.

    Args:
        parts: what it is the sum of.
        whole: the sum, narrowed already: what it has is of that time.
        settings: as in `of_time`.

    """
    if not settings.keys() & {"last_s", "from_s", "to_s"}:
        return list(parts)
    span = whole.header.started_at, whole.header.ended_at
    return [between(part, *span) for part in parts if starts_between(part, *span)]


def _seconds(settings: Mapping[str, object], name: str) -> float | None:
    value = settings.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _MOST_S:
        raise UsageError(f"the setting {name} is a number of seconds above 0", remedy="see: execctl report --help")
    return float(value)


def _choice(settings: Mapping[str, object], name: str, kind: type[_Choice]) -> _Choice | None:
    value = settings.get(name)
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError:
        choices = ", ".join(str(one.value) for one in kind)
        raise UsageError(f"there is no {name} {value!a} of samples", remedy=f"choose from: {choices}") from None
