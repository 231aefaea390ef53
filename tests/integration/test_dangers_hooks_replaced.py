"""Targets that change what all code in them uses, before an attach or during it: builtins, modules, streams, hooks.

The attach works, or is refused with the reason; the target goes on, and nothing of its own is told of us.
"""

from __future__ import annotations

import ast
import builtins
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest
from agent_drivers import PID, by_name
from attachments import REQUEST_TIMEOUT_S, attached, detach, record_calls
from call_trees import header
from execd.attach.table import read_table
from execd.attach.text import read_agent
from execd.errors import AgentFailed, ExecdError, NotSupported
from footprint import footprint, settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Spawn
    from execd.attach.attacher import Attacher
    from interpreters import Interpreter

VERSIONS = ("3.9", "3.12", "3.15")
WHENS = ("before", "during")
TRIES = 20
CHECKSUM = 334
SETTLE_S = 3.0
PAGE_STAYS = ("audit-marshal.loads", "before")


class Refusal(NamedTuple):
    """The error that an action leads to, and when; `versions` are those of the profile functions or of the others."""

    error: type[ExecdError]
    message: str
    whens: tuple[str, ...] = WHENS
    versions: tuple[tuple[int, int], tuple[int, int]] = ((3, 9), (3, 15))


REPLACED = "the program has replaced functions that all code uses: "
ACTIONS: dict[str, tuple[Refusal, ...]] = {
    "usual-builtins": (),
    "all-builtins": (Refusal(NotSupported, REPLACED + "__build_class__, all, any", ("before",)),),
    **{name: (Refusal(NotSupported, REPLACED + name + "$", ("before",)),) for name in ("compile", "exec", "len")},
    "threads": (Refusal(NotSupported, REPLACED + "_thread.start_new_thread$", ("before",)),),
    "marshal": (Refusal(NotSupported, REPLACED + "marshal.loads$", ("before",)),),
    "no-modules": (),
    "other-modules": (),
    "none-for-modules": (),
    "no-attributes": (Refusal(NotSupported, REPLACED + "_thread.stack_size$", ("before",)),),
    "stopped-clocks": (),
    "streams": (),
    "error-hooks": (),
    "errors": (),
    "audit-sys._current_frames": (Refusal(AgentFailed, "sys._current_frames"),),
    "audit-sys.setprofile": (),
    "audit-sys.monitoring.register_callback": (
        Refusal(AgentFailed, "sys.monitoring.register_callback", versions=((3, 12), (3, 15))),
    ),
    "audit-code.__new__": (),
    # Alone it hinders nothing.
    "audit-compile": (Refusal(AgentFailed, "compile", ()),),
    "audit-marshal.loads": (
        Refusal(AgentFailed, "closed the link before the agent had answered", ("before",)),
        Refusal(AgentFailed, "marshal.loads", ("during",)),
    ),
}
# All those that hinder nothing, one after the other.
HARMLESS = " ".join(action for action, refusals in ACTIONS.items() if not refusals)


@contextmanager
def refused(interpreter: Interpreter, action: str, when: str) -> Iterator[None]:
    """Expects the error that an action leads to, if it leads to one."""
    for one in ACTIONS.get(action, ()):
        if when in one.whens and one.versions[0] <= interpreter.version_info <= one.versions[1]:
            with pytest.raises(one.error, match=one.message):
                yield
            return
    yield


def tamper(interpreter: Interpreter, spawn: Spawn, attacher: Attacher, action: str, when: str) -> None:
    """Attaches to a target that does an action; what it is left with is what it had, and it is told of nothing."""
    program = spawn(interpreter, "tampering")
    # The first pass may load what later ones need.
    program.ask("work 1")
    before = footprint(program.pid)
    if when == "before":
        assert all(map(program.ask_json, action.split()))
    with refused(interpreter, action, when), attached(attacher, program.pid) as link:
        if when == "during":
            assert all(map(program.ask_json, action.split()))
        record_calls(link)
        assert program.ask_json("work 1") == CHECKSUM
        reply = link.channel.request("stop", timeout_s=REQUEST_TIMEOUT_S, session="c1")
        detach(link)
        profile = read_table(reply.bulk, header(), PID)
        # Below 3.12 other threads are not reached where audit hooks would run in between.
        if interpreter.version_info >= (3, 12) or "audit-" not in action:
            assert by_name(profile)["run"].calls == 1
            assert sum(profile.column("self_ns")) > 0
    after = settled(program.pid, before, SETTLE_S)
    # The text has run and its agent has not answered: the page is taken back only where a borrowed thread did so.
    pages = before.pages if (action, when) == PAGE_STAYS else after.pages
    assert replace(after, pages=pages) == before
    assert program.ask_json("strange") == []
    assert program.ask_json("kept")
    assert program.ask_json("work 1") == CHECKSUM
    assert program.stderr() == ""


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("action", [HARMLESS, *(action for action, refusals in ACTIONS.items() if refusals)])
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_target_that_changes_what_all_code_uses_goes_on_and_is_told_of_nothing(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, action: str, when: str
) -> None:
    tamper(interpreter, spawn, attacher, action, when)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_target_that_changes_what_all_code_uses_goes_on_each_time(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, action: str, when: str
) -> None:
    for _ in range(TRIES):
        tamper(interpreter, spawn, attacher, action, when)


def test_every_function_of_builtins_that_the_agent_calls_is_looked_at_first() -> None:
    agent = read_agent()
    sources = [agent.launch, agent.bootstrap, agent.handback, *agent.sources.values()]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    called = {node.id for node in nodes if isinstance(node, ast.Name) and is_function(node.id)}
    assigned = [node for node in ast.parse(agent.launch).body if isinstance(node, ast.Assign)]
    (looked_at,) = [node.value for node in assigned if ast.unparse(node.targets[0]) == "_FUNCTIONS"]
    assert called | {"__build_class__"} == {constant.value for constant in ast.walk(looked_at) if is_text(constant)}


def is_function(name: str) -> bool:
    """Whether a name is that of a C function in builtins."""
    return type(getattr(builtins, name, None)) is type(len)


def is_text(node: ast.AST) -> bool:
    """Whether a node is a literal text."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
