"""`execctl calibrate`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from execctl import output, pythonline
from execctl.calibration import EventCosts, costs_in_interpreter, costs_in_process
from execctl.timeouts import ATTACH_TIMEOUT_S
from execctl.waiting import Waiting
from execctl.words import named

if TYPE_CHECKING:
    from execctl.connection import Connection

# Less is shown as 1.0.
_TOLD_FROM = 1.05
_HEAD = ("ONE CALL OF", "IN ITS OWN TIME", "IN ITS CALLER'S", "IN ALL")


@click.command("calibrate")
@click.argument("target", default="", metavar="[PID|NAME]", callback=named)
@click.option("--python", default="", metavar="NAME|PATH", help="Start this interpreter, and measure there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(connection: Connection, *, target: str, python: str, as_json: bool) -> None:
    """Measure what the recording of a call costs a process.

    It records calls there for some seconds. A session that records calls measures it by itself, and reports take it
    off: --bias SECONDS is for those that could not.
    """
    if bool(target) == bool(python):
        raise click.UsageError("name a process, or an interpreter by --python")
    interpreter = pythonline.find_interpreter(python) if python else None
    with connection.open() as client:
        if interpreter is None:
            waiting = Waiting(target, round(ATTACH_TIMEOUT_S * 1000))
            costs = costs_in_process(client, target, waiting.tell)
        else:
            output.meanwhile(f"starting Python {interpreter.version}, and recording calls there for some seconds")
            costs = costs_in_interpreter(client, interpreter)
    if as_json:
        output.write_json({**asdict(costs), "event_s": costs.event_s})
        return
    output.note(f"Python {costs.python_version}: what recording costs")
    output.write_table(_HEAD, _rows(costs))
    if costs.dearer >= _TOLD_FROM:
        output.note(f"these are prices in a row of calls: the program's own cost {costs.dearer:.1f} times as much")
    output.suggest(f"execctl report --bias {costs.event_s:.3g}")


def _rows(costs: EventCosts) -> list[tuple[str, ...]]:
    rows = [
        ("a Python function", costs.python_inside_s, costs.python_outside_s),
        ("a C function", costs.c_inside_s, costs.c_outside_s),
    ]
    # From 3.12 on.
    rows += [("each call, as such", 0.0, costs.uncounted_s)] if costs.uncounted_s else []
    return [(name, _us(inside), _us(outside), _us(inside + outside)) for name, inside, outside in rows]


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.2f} us"
