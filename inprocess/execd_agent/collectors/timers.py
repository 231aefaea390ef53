"""A function of the program's as the clock of the calls collector: cProfile's `timer` and `timeunit`.

Each thread's time counts from its first event to its last one: what the function would tell in another thread, and
between events, nobody knows.
"""

from __future__ import annotations

import sys

from execd_agent import originals
from execd_agent.collectors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NS_IN_A_UNIT = 1e9


class TimerClock:
    """The clock that a function of the program's is.

    Args:
        name: "module:function", of a module that the program has imported.
        unit: seconds that one of its figure is; 1 where it is left out.

    Raises Refused.
    """

    # It may tell something else in a thread of ours.
    is_measured = False

    def __init__(self, name: object, unit: object) -> None:
        if unit is not None and not (type(unit) in (int, float) and 0 < unit < _NS_IN_A_UNIT):  # type: ignore[operator]
            raise Refused("the unit of a timer is a number of seconds, not %r" % (unit,))
        self._name = name
        self._problems: list[str] = []
        self.read = _make_read(_find(name), _NS_IN_A_UNIT * (unit or 1), self._problems)  # type: ignore[operator]
        for _ in range(2):
            self.read()
        if self._problems:
            raise Refused(self.broken)

    @property
    def broken(self) -> str:
        """Why the recording ends, "" where it does not."""
        return "the timer %s failed: %s" % (self._name, self._problems[0]) if self._problems else ""

    def begin(self) -> None:
        """The recording begins."""

    def end(self) -> None:
        """It has ended."""

    def began_ns(self, _native_id: int) -> int | None:
        """Return nothing: see above."""
        return None

    def now_ns(self, _native_id: int) -> int | None:
        """Return nothing: see above."""
        return None


def _find(name: object) -> Any:
    module_name, colon, path = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not (module_name and colon and path):
        raise Refused("a timer is called module:function, not %r" % (name,))
    found: Any = sys.modules.get(module_name)
    if found is None:
        raise Refused("the timer %s: the program has not imported %s" % (name, module_name))
    try:
        for attribute in path.split("."):
            found = getattr(found, attribute)
    except Exception as error:  # noqa: BLE001 - a module may have a __getattr__ of its own
        raise Refused("the timer %s is not to be had: %s" % (name, _said(error))) from None
    if not callable(found):
        raise Refused("the timer %s cannot be called" % (name,))
    return found


def _make_read(timer: Any, ns_in_one: float, problems: list[str]) -> Any:
    """Return what reads the timer, in ns; it never goes back, and nothing but a signal handler's error leaves it."""
    local = originals.thread_local()

    def read() -> int:
        last: int | None = getattr(local, "last", None)
        if problems:
            return last or 0
        try:
            now = int(timer() * ns_in_one)
        except Exception as error:
            # The program must not get it, unless it is its own.
            if _is_of_a_handler(error):
                raise
            problems.append(_said(error))
            return last or 0
        if last is None or now > last:
            local.last = last = now
        return last

    return read


def _is_of_a_handler(error: Exception) -> bool:
    """Tell whether a signal handler of the program's has raised it, which ran while the timer did."""
    signal = sys.modules.get("_signal")
    handlers = [signal.getsignal(number) for number in range(1, signal.NSIG)] if signal else []
    functions = [getattr(handler, "__func__", handler) for handler in handlers]
    codes = [getattr(function, "__code__", None) for function in functions]
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False


def _said(error: BaseException) -> str:
    try:
        return "%s: %s" % (type(error).__name__, str(error)[:200])
    except Exception:  # noqa: BLE001 - one whose text is an error itself
        return type(error).__name__
