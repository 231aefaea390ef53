"""What the arguments that say what to measure may be: looked at here, before anything reaches a daemon or a process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execctl.bias import MOST_UNIT_S, TIMER
from execctl.errors import UsageError
from execctl.modes import MODES
from execctl.rates import LEAST_HZ, MOST_HZ
from execctl.shares import MOST_SHARE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from execctl.query import SessionSpec

_MOST_BIAS_S, _MOST_FRAMES = 1.0, 65_535
_DAY_S = 86_400
# A value may be long, and is said in a sentence.
_MOST_SAID = 60


@dataclass(frozen=True, slots=True)
class Argument:
    """What an argument may be.

    Attributes:
        allowed: in words, as the rest of "bias may be".
        fits: whether a value is such.
    """

    allowed: str
    fits: Callable[[object], bool]


def _is_number(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _is_count(value: object, most: float) -> bool:
    return isinstance(value, int) and _is_number(value, 1, most)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_texts(value: object) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and all(map(_is_text, value))


def _are_patterns(value: object) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and all(
        isinstance(one, str) and one.strip() for one in value
    )


def _are_labels(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(_is_text, [*value.keys(), *value.values()]))


_FLAG = Argument("True or False", lambda value: isinstance(value, bool))
_TEXT = Argument("a text", _is_text)
_TEXTS = Argument("a list of texts", _are_texts)
_PATTERNS = Argument("a list of texts, none of them empty", _are_patterns)
ARGUMENTS: Mapping[str, Argument] = {
    **{mode.parameter: _FLAG for mode in MODES},
    "builtins": _FLAG,
    "subcalls": _FLAG,
    "include": _PATTERNS,
    "exclude": _PATTERNS,
    "clock": Argument("'wall' or 'cpu'", lambda value: value in ("wall", "cpu")),
    "timer": Argument("a text 'module:function'", lambda value: _is_text(value) and bool(TIMER.fullmatch(str(value)))),
    "timeunit": Argument(
        f"a number of seconds above 0, {MOST_UNIT_S:g} at most",
        lambda value: value != 0 and _is_number(value, 0, MOST_UNIT_S),
    ),
    "bias": Argument(
        f"'auto', or what one event costs, 0 to {_MOST_BIAS_S:g} seconds",
        lambda value: value == "auto" or _is_number(value, 0, _MOST_BIAS_S),
    ),
    "form": Argument("'python' or 'native'", lambda value: value in ("python", "native")),
    "max_overhead": Argument(
        f"a share above 0, {MOST_SHARE:g} at most", lambda value: value != 0 and _is_number(value, 0, MOST_SHARE)
    ),
    "rate_hz": Argument(f"a number from {LEAST_HZ} to {MOST_HZ}", lambda value: _is_number(value, LEAST_HZ, MOST_HZ)),
    "stopping": Argument("'as needed', 'always' or 'never'", lambda value: value in ("as needed", "always", "never")),
    "keep_s": Argument("a number of seconds up to a day", lambda value: value != 0 and _is_number(value, 0, _DAY_S)),
    "function": _TEXT,
    "thread": _TEXT,
    "limit_events": Argument("a whole number from 1 on", lambda value: _is_count(value, 1 << 62)),
    "nframe": Argument(f"a whole number from 1 to {_MOST_FRAMES}", lambda value: _is_count(value, _MOST_FRAMES)),
    "ignore_modules": _TEXTS,
    "ignore_dirs": _TEXTS,
    "max_memory_bytes": Argument("a whole number of bytes from 1 on", lambda value: _is_count(value, 1 << 62)),
    "force": _FLAG,
    "labels": Argument("texts by text, {'key': 'value'}", _are_labels),
    "into": _TEXT,
    "children": _FLAG,
    "name": _TEXT,
}
# Options of every mode, and what becomes of a session.
SHARED = ("max_memory_bytes", "force")
KEPT = ("labels", "into", "children")


def check_values(given: Mapping[str, object]) -> None:
    """Refuse a value that its argument cannot have.

    Args:
        given: values, by names that there are.

    Raises:
        UsageError: names the first of them, its value, and what is allowed.
    """
    for name, value in given.items():
        argument = ARGUMENTS[name]
        if not argument.fits(value):
            raise UsageError(
                f"{name} may be {argument.allowed}, and not {_said(value)}",
                remedy=f"say {name}=[{_said(value)}]" if argument is _TEXTS and _is_text(value) else "",
                facts={"argument": name, "value": _said(value), "allowed": argument.allowed},
            )


def check_names(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """Refuse a name that there is not.

    Args:
        given: names.
        known: those that there are.
        what: they say, for the message.

    Raises:
        UsageError: names it with its neighbours.
    """
    allowed = sorted(known)
    for name in given:
        if name not in allowed:
            listed = ", ".join(allowed)
            raise UsageError(
                f"there is no argument {_said(name)}: {what} is said by {listed}",
                remedy="name one of these",
                facts={"argument": str(name), "allowed": listed},
            )


def check_specs(specs: Iterable[SessionSpec]) -> None:
    """Refuse specs with options that their collector has not, or not with this value; of others' the daemon knows.

    Raises:
        UsageError: as above.
    """
    options = {mode.collector: [one.key for one in mode.options if one.recorded] for mode in MODES}
    for spec in specs:
        check_values({"labels": spec.labels, "into": spec.into, "children": spec.children})
        if spec.collector in options:
            check_names(spec.options, (*options[spec.collector], *SHARED), f"how {spec.collector} is recorded")
            check_values(spec.options)


def _said(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]}..."
