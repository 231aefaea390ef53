"""What is asked to be recorded, looked at before anything is sent."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from execctl.api.modes import Measuring
    from execctl.query import SessionSpec


def asked_specs(specs: Sequence[SessionSpec], measuring: Measuring, name: str = "") -> Sequence[SessionSpec]:
    """Return what is to be recorded.

    Args:
        specs: what to measure, where it is not said by `measuring`.
        measuring: the modes and their options.
        name: what to call the sessions, or "".

    Raises:
        UsageError, TypeError, ValueError: as of `Client.attach`.
    """
    from execctl.api.arguments import check_specs, check_values  # noqa: PLC0415 - few commands record

    if specs and measuring:
        raise TypeError(f"what is measured is said twice: by specs, and by {', '.join(measuring)}")
    check_values({"name": name})
    if specs:
        check_specs(specs)
        return specs
    from execctl.api.modes import specs_of  # noqa: PLC0415 - the command line gives specs

    return specs_of(measuring)


def refusing(specs: Sequence[SessionSpec]) -> AbstractContextManager[None]:
    """Return what gives a refusal its remedy where the process had none to tell."""
    if not any("timer" in spec.options for spec in specs):
        return nullcontext()
    from execctl.bias import timers_remedied  # noqa: PLC0415 - few ask for a timer

    return timers_remedied()
