"""One callback for the handlers of several subscriptions; where one alone hears an event, its own handler."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from execd_agent.collectors.subscription import Subscription

# What a handler returns that needs to hear no more; below 3.12 an object of ours.
DISABLE: Any = getattr(getattr(sys, "monitoring", None), "DISABLE", None) or object()
# The name of the function by which threads of the threading module are started.
STARTS = "start"


def to_all(subscriptions: list[Subscription], names: Iterable[str], depth: int, disable: Any) -> dict[str, Any]:
    """Return a callback for each of these names of handlers that somebody has.

    Args:
        subscriptions: whose handlers.
        names: theirs.
        depth: how many frames lie between the callback and the code that it is told of.
        disable: what they return where they need to hear no more; a callback returns it where all do.
    """
    callbacks = {}
    direct = [one.handlers(depth, disable) for one in subscriptions]
    below = [one.handlers(depth + 1, disable) for one in subscriptions]
    for name in names:
        heard = [handlers[name] for handlers in direct if name in handlers]
        if len(heard) == 1:
            callbacks[name] = heard[0]
        elif heard:
            callbacks[name] = _fan_out(tuple([handlers[name] for handlers in below if name in handlers]), disable)
    return callbacks


def _fan_out(handlers: tuple[Any, ...], disable: Any) -> Any:
    def fan_out(*arguments: Any) -> Any:
        result = disable
        for handler in handlers:
            if handler(*arguments) is not disable:
                result = None
        return result

    return fan_out


def nothing(*_arguments: object) -> None:
    """Stand for a handler where nobody hears."""
