"""Attach and detach on every version, whatever the main thread does: how it comes about and what it leaves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from activities import ACTIVITIES, Activity
from attachments import attached, detach, record_calls
from footprint import Footprint, footprint, settled
from programs import Program

if TYPE_CHECKING:
    from pathlib import Path

    from execd.attach.attacher import Attacher
    from execd.attach.channel import Hello
    from interpreters import Interpreter
    from programs import ProgramFolders

# Of what a target says of itself, all but the modules that it has loaded.
FOUND = (
    *("threads", "os_threads", "fds", "filters", "tools", "profile", "trace", "switch_interval_s"),
    *("main_names", "builtin_names"),
)


@dataclass(frozen=True, slots=True)
class Visit:
    """What was seen of a target that was attached to twice, with calls recorded, and left twice.

    Attributes:
        version: of its interpreter, with the patch level.
        expected_method, methods: how code was to come to run, and how it did both times. A main thread that idles
            runs for some instants too.
        hello: the agent's.
        before, afterwards: the target from the outside.
        state_before, state_after: what it says of itself.
        loaded_modules: those that both detaches named.
        progress: its own count before, while attached, and after each of both.
        stderr: all that it wrote there.
    """

    version: str
    expected_method: str
    methods: tuple[str, ...]
    hello: Hello
    before: Footprint
    afterwards: Footprint
    state_before: dict[str, Any]
    state_after: dict[str, Any]
    loaded_modules: frozenset[str]
    progress: tuple[int, ...]
    stderr: str


@pytest.fixture(scope="module", params=ACTIVITIES, ids=lambda activity: activity.program)
def visit(
    request: pytest.FixtureRequest,
    interpreter: Interpreter,
    attacher: Attacher,
    program_folders: ProgramFolders,
    tmp_path_factory: pytest.TempPathFactory,
) -> Visit:
    """A target of each version that does each thing in turn."""
    activity: Activity = request.param
    command = program_folders.command(interpreter, activity.program, activity.arguments)
    stderr_path: Path = tmp_path_factory.mktemp("visit") / "stderr"
    with Program(interpreter, command, stderr_path, os.environ) as program:
        program.wait_until_ready()
        # The first answer may load what answering needs.
        activity.state(program)
        return visited(attacher, program, activity)


def visited(attacher: Attacher, program: Program, activity: Activity) -> Visit:
    """Attaches twice."""
    state_before = activity.state(program)
    before = footprint(program.pid)
    progress = [activity.progress(program)]
    modules: set[str] = set()
    methods: list[str] = []
    for _ in range(2):
        with attached(attacher, program.pid) as link:
            methods.append(link.method)
            record_calls(link)
            progress.append(activity.progress(program))
            modules.update(detach(link))
        afterwards = settled(program.pid, before)
        progress.append(activity.progress(program))
    return Visit(
        version=program.interpreter.full_version,
        expected_method=activity.method(),
        methods=tuple(methods),
        hello=link.hello,
        before=before,
        afterwards=afterwards,
        state_before=state_before,
        state_after=activity.state(program),
        loaded_modules=frozenset(modules),
        progress=tuple(progress),
        stderr=program.stderr(),
    )


def test_the_method_fits_what_the_main_thread_does(visit: Visit) -> None:
    assert visit.expected_method in visit.methods


def test_the_agent_says_where_it_is_and_what_it_can(visit: Visit) -> None:
    assert visit.hello.python_version == visit.version
    assert "calls" in visit.hello.collectors


def test_the_target_goes_on_while_attached_and_after(visit: Visit) -> None:
    assert list(visit.progress) == sorted(set(visit.progress))


def test_no_descriptor_is_left(visit: Visit) -> None:
    assert visit.afterwards.descriptors == visit.before.descriptors


def test_the_threads_and_their_signal_masks_and_the_handlers_are_as_before(visit: Visit) -> None:
    assert visit.afterwards.threads == visit.before.threads


def test_no_page_is_left(visit: Visit) -> None:
    assert visit.afterwards.pages == visit.before.pages


def test_of_modules_only_the_named_ones_are_more(visit: Visit) -> None:
    before, after = set(visit.state_before["modules"]), set(visit.state_after["modules"])
    assert after - before <= visit.loaded_modules
    assert before <= after


def test_the_target_finds_everything_as_before(visit: Visit) -> None:
    before, after = ({what: state[what] for what in FOUND} for state in (visit.state_before, visit.state_after))
    assert after == before


def test_nothing_is_written_to_stderr(visit: Visit) -> None:
    assert visit.stderr == ""
