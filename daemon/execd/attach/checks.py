"""The one list of checks: an attach stops at the first that fails, `execctl doctor` shows them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.attach import refusals
from execd.errors import AttachBusy, ExecdError
from execd.model.target import Check, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from execd.attach.interpreter import Interpreter
    from execd.attach.subject import Subject


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of an attach.

    Attributes:
        name: as `execctl doctor` shows it.
        look: returns what it found, or raises.
        opens: without it nothing that follows can be looked at.
    """

    name: str
    look: Callable[[Subject], str]
    opens: bool = False


# The order is that of what they cost the target: the last one alone stops a thread.
CONDITIONS = (
    Condition("system", refusals.check_system),
    Condition("alive", refusals.check_alive, opens=True),
    Condition("not traced", refusals.check_tracer),
    Condition("not stopped", refusals.check_running),
    Condition("user", refusals.check_user, opens=True),
    Condition("permission to trace", refusals.check_access, opens=True),
    Condition("word size", refusals.check_word_size),
    Condition("C library", refusals.check_c_library),
    Condition("shadow stack", refusals.check_shadow_stack),
    Condition("remote debugging, environment", refusals.check_variable),
    Condition("agent of another daemon", refusals.check_agent),
    Condition("CPython", refusals.check_cpython, opens=True),
    Condition("interpreter not ending", refusals.check_exit),
    Condition("remote debugging, interpreter", refusals.check_switch),
    Condition("descriptors and memory", refusals.check_room),
    Condition("seccomp filters", refusals.check_seccomp),
)


def refuse(subject: Subject) -> Interpreter:
    """Raise the first reason that forbids an attach, else return the process's CPython.

    Raises:
        TargetGone, NotPermitted, NotSupported.
        AttachBusy: it cannot be told at this instant.
    """
    for condition in CONDITIONS:
        try:
            condition.look(subject)
        except (refusals.Unneeded, refusals.Unknown):
            continue
    return subject.interpreter


def examine(subject: Subject) -> tuple[Check, ...]:
    """Return what comes of every check."""
    done: list[Check] = []
    closed_by = ""
    for condition in CONDITIONS:
        if closed_by:
            done.append(Check(condition.name, Outcome.UNKNOWN, f"not looked at: {closed_by} failed"))
            continue
        check = _look(condition, subject)
        done.append(check)
        if condition.opens and check.outcome is not Outcome.PASSED:
            closed_by = condition.name
    return tuple(done)


def first_failure(checks: tuple[Check, ...]) -> Check | None:
    """Return the check for which an attach would be refused, None where it would be tried."""
    return next((check for check in checks if check.outcome is Outcome.FAILED), None)


def _look(condition: Condition, subject: Subject) -> Check:
    try:
        return Check(condition.name, Outcome.PASSED, condition.look(subject))
    except refusals.Unneeded as reason:
        return Check(condition.name, Outcome.UNNEEDED, str(reason))
    except refusals.Unknown as reason:
        return Check(condition.name, Outcome.UNKNOWN, str(reason))
    except AttachBusy as error:
        return Check(condition.name, Outcome.UNKNOWN, error.message, error.remedy)
    except ExecdError as error:
        return Check(condition.name, Outcome.FAILED, error.message, error.remedy, error.exit_code)
