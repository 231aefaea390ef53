"""What may be asked of the reports on lines and on functions, read out of ReportOptions.settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How lines are reported.

    Attributes:
        missing: listings mark lines that can run and did not.
        flat: several listings lie in one folder, by dotted names.
        beside: several listings are named as if they lay beside their sources, by absolute paths.
        file: this file only: a path, the end of one, or the name of a module; "" for all.
        ignore_modules: leave out these modules, and what is below them where they are packages.
        ignore_dirs: leave out what lies below these folders.
    """

    missing: bool = False
    flat: bool = False
    beside: bool = False
    file: str = ""
    ignore_modules: tuple[str, ...] = ()
    ignore_dirs: tuple[str, ...] = ()


def line_settings(settings: Mapping[str, object]) -> LineSettings:
    """Return the settings.

    Args:
        settings: JSON values by name; those of other reports are not looked at.

    Raises:
        UsageError: one is of another type.
    """
    return LineSettings(
        missing=_flag(settings, "missing"),
        flat=_flag(settings, "flat"),
        beside=_flag(settings, "beside"),
        file=_text(settings, "file"),
        ignore_modules=_texts(settings, "ignore_modules"),
        ignore_dirs=_texts(settings, "ignore_dirs"),
    )


def _flag(settings: Mapping[str, object], name: str) -> bool:
    value = settings.get(name, False)
    if not isinstance(value, bool):
        raise _other(name, "true or false")
    return value


def _text(settings: Mapping[str, object], name: str) -> str:
    value = settings.get(name, "")
    if not isinstance(value, str):
        raise _other(name, "a text")
    return value


def _texts(settings: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = settings.get(name, [])
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise _other(name, "a list of texts")
    return tuple(value)


def _other(name: str, wanted: str) -> UsageError:
    return UsageError(f"the setting {name} is not {wanted}", remedy=f"give {wanted}", setting=name)
