"""`execctl top` in a terminal: at three sizes, with what may happen to it, and how it leaves the terminal."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemons import Daemon
from execd_api.v1 import sessions_pb2
from footprint import becomes
from processes import MARK
from terminals import LIMIT_S, Terminal, require_tmux

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Spawn
    from execctl.client import Client
    from interpreters import Interpreter
    from programs import Program

SIZES = [(80, 24), (120, 40), (40, 10)]
FUNCTIONS = 10_000
# So many of them are met within seconds.
MANY = 500


@pytest.fixture(autouse=True)
def _tmux() -> None:
    require_tmux()


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    """The Python API, to see what became of sessions."""
    with daemon.client() as opened:
        yield opened


def open_terminal(folder: Path, size: tuple[int, int] = (80, 24), **env: str) -> Terminal:
    """A terminal that has the environment of the tests."""
    return Terminal(*size, folder, {"PYTHONPATH": os.environ.get("PYTHONPATH", ""), MARK: os.environ[MARK], **env})


def look(terminal: Terminal, daemon: Daemon, *words: str) -> None:
    """Begins to look."""
    terminal.run([*daemon.execctl_command(), "top", *words])


def shows(*texts: str) -> Callable[[str], bool]:
    """Whether a screen has all of these."""
    return lambda screen: all(text in screen for text in texts)


def has_row(name: str) -> Callable[[str], bool]:
    """Whether a screen has a row of a function with a share of its own."""
    return lambda screen: re.search(rf"^ *[1-9][\d.]* .*{name}", screen, re.MULTILINE) is not None


def top_pid(shell: Terminal) -> int:
    """The execctl that runs in a terminal."""
    found = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and is_top_of(entry, shell.shell_pid)
    ]
    return found[0]


def is_top_of(process: Path, parent: int) -> bool:
    """Whether a process is an execctl that a shell started."""
    try:
        status = (process / "stat").read_text().rpartition(")")[2].split()
        return int(status[1]) == parent and b"execctl" in (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_process_is_looked_at_and_what_was_met_is_kept(
    daemon: Daemon, client: Client, spawn: Spawn, local_interpreter: Interpreter, tmp_path: Path, size: tuple[int, int]
) -> None:
    program = spawn(local_interpreter, "busy")
    with open_terminal(tmp_path, size) as terminal:
        look(terminal, daemon, str(program.pid))
        screen = terminal.wait_for(has_row("leaf"))
        assert f"execctl top  {program.pid}"[: size[0] // 3] in screen
        assert len(screen.splitlines()) <= size[1]
        assert terminal.is_alternate
        terminal.type("?")
        terminal.wait_for(shows("pause, and go on"))
        terminal.type("?")
        terminal.wait_for(has_row("leaf"))
        terminal.type("g")
        terminal.wait_for(shows("line of"))
        terminal.type("S")
        terminal.wait_for(shows("total%▼"))
        terminal.type("/")
        terminal.wait_for(shows("filter (enter, esc):"))
        terminal.write("middle")
        terminal.type("Enter")
        terminal.wait_for(lambda text: has_row("middle")(text) and not has_row("leaf")(text))
        terminal.type("q")
        screen = terminal.ended(0)
    session = client.session(daemon.latest_session())
    assert (session.state, session.collector, session.options["rate_hz"]) == ("stopped", "samples", 100.0)
    assert f"{session.id} is kept as {session.latest_profile}: execctl report" in " ".join(screen.split())
    assert sum(1 for one in client.profiles(session.id)) == 1
    assert daemon.complaints() == []


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_ten_thousand_functions_are_scrolled_through(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter, tmp_path: Path, size: tuple[int, int]
) -> None:
    program = spawn(local_interpreter, "numerous")
    with open_terminal(tmp_path, size) as terminal:
        look(terminal, daemon, str(program.pid), "--rate", "2000")
        terminal.type("c")
        terminal.wait_for(lambda text: functions_in(text) > MANY)
        terminal.type("n")
        # On the narrow screen the beginning of the names is left out.
        terminal.wait_for(shows("tion_"))
        terminal.type("Space")
        terminal.wait_for(shows("PAUSED"))
        first = terminal.screen()
        terminal.type("End")
        last = terminal.wait_for(lambda text: text.splitlines()[-2] != first.splitlines()[-2])
        terminal.type("NPage", "Down", "Home")
        terminal.wait_for(lambda text: text.splitlines()[-2] == first.splitlines()[-2])
        assert len(first.splitlines()) == len(last.splitlines()) == size[1]
        terminal.type("q")
        terminal.ended(0)


def functions_in(screen: str) -> int:
    """How many functions a screen says that there are."""
    found = re.search(r"^([\d,]+) functions", screen, re.MULTILINE)
    return int(found[1].replace(",", "")) if found else 0


def test_a_process_that_dies_is_still_there_to_be_looked_at(
    daemon: Daemon, client: Client, spawn: Spawn, local_interpreter: Interpreter, tmp_path: Path
) -> None:
    program = spawn(local_interpreter, "busy")
    with open_terminal(tmp_path) as terminal:
        look(terminal, daemon, str(program.pid))
        terminal.wait_for(has_row("leaf"))
        program.kill()
        screen = terminal.wait_for(shows(f"process {program.pid} has ended", "q quits"))
        assert has_row("leaf")(screen)
        terminal.type("v")
        terminal.wait_for(shows("wall time"))
        terminal.type("q")
        screen = terminal.ended(4)
    session = client.session(daemon.latest_session())
    assert (session.state, bool(session.latest_profile)) == ("target_gone", True)
    assert f"process {program.pid} has ended" in " ".join(screen.split())


def test_it_follows_the_size_of_the_terminal(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter, tmp_path: Path
) -> None:
    program = spawn(local_interpreter, "busy")
    with open_terminal(tmp_path) as terminal:
        look(terminal, daemon, str(program.pid))
        terminal.wait_for(has_row("leaf"))
        for columns, rows in ((20, 5), (132, 50), (2, 2), (80, 24)):
            terminal.resize(columns, rows)
            terminal.wait_for(lambda text, width=columns, height=rows: fits(text, width, height))
        terminal.wait_for(has_row("leaf"))
        terminal.type("q")
        terminal.ended(0)


def fits(screen: str, columns: int, rows: int) -> bool:
    """Whether a screen was made for a size: its title is as wide, and its last line is that of the keys."""
    lines = screen.split("\n")
    title, whole = lines[0], "execctl top"[:columns]
    return (
        title.startswith(whole)
        and (columns < 40 or len(title) == columns)
        and (columns < 20 or (len(lines) == rows and lines[-1].startswith("q quit")))
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_the_terminal_clean_and_no_session(
    daemon: Daemon, client: Client, spawn: Spawn, local_interpreter: Interpreter, tmp_path: Path, number: int, code: int
) -> None:
    program = spawn(local_interpreter, "busy")
    with open_terminal(tmp_path) as terminal:
        look(terminal, daemon, str(program.pid))
        terminal.wait_for(has_row("leaf"))
        if number == signal.SIGINT:
            terminal.type("C-c")
        else:
            os.kill(top_pid(terminal), number)
        screen = terminal.ended(code)
    # Who pressed Ctrl-C is told what he has.
    assert ("is kept as" in " ".join(screen.split())) is (number == signal.SIGINT)
    session = daemon.latest_session()
    assert becomes(lambda: client.session(session).state == "stopped", LIMIT_S)
    assert client.session(session).latest_profile


def test_of_one_that_is_killed_no_session_stays(
    daemon: Daemon, client: Client, spawn: Spawn, local_interpreter: Interpreter, tmp_path: Path
) -> None:
    program = spawn(local_interpreter, "busy")
    with open_terminal(tmp_path) as terminal:
        look(terminal, daemon, str(program.pid))
        terminal.wait_for(has_row("leaf"))
        os.kill(top_pid(terminal), signal.SIGKILL)
        terminal.wait_for(shows("ended 137 >"))
    session = daemon.latest_session()
    assert becomes(lambda: client.session(session).state == "stopped", LIMIT_S)


def test_where_its_terminal_is_closed_no_session_stays(
    daemon: Daemon, client: Client, spawn: Spawn, local_interpreter: Interpreter, tmp_path: Path
) -> None:
    program = spawn(local_interpreter, "busy")
    with open_terminal(tmp_path) as terminal:
        look(terminal, daemon, str(program.pid))
        terminal.wait_for(has_row("leaf"))
    session = daemon.latest_session()
    assert becomes(lambda: client.session(session).state == "stopped", LIMIT_S)


def test_it_is_put_aside_and_goes_on(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter, tmp_path: Path
) -> None:
    program = spawn(local_interpreter, "busy")
    with open_terminal(tmp_path) as terminal:
        terminal.write(" ".join([*daemon.execctl_command(), "top", str(program.pid)]))
        terminal.type("Enter")
        terminal.wait_for(has_row("leaf"))
        terminal.type("C-z")
        terminal.wait_for(shows("Stopped", "ended 148 >"))
        terminal.write("fg")
        terminal.type("Enter")
        terminal.wait_for(has_row("leaf"))
        terminal.type("q")
        terminal.wait_for(shows("ended 0 >"))


def test_a_daemon_that_is_killed_is_told_of(spawn: Spawn, local_interpreter: Interpreter, tmp_path: Path) -> None:
    program = spawn(local_interpreter, "busy")
    with Daemon() as daemon, open_terminal(tmp_path) as terminal:
        look(terminal, daemon, str(program.pid))
        terminal.wait_for(has_row("leaf"))
        daemon.kill()
        screen = terminal.wait_for(shows("the daemon on", "q quits"))
        assert has_row("leaf")(screen)
        terminal.type("q")
        screen = terminal.ended(3)
        assert "start it again with `execd start`" in " ".join(screen.split())


def test_a_session_that_goes_on_is_looked_at_and_left(
    daemon: Daemon, client: Client, spawn: Spawn, local_interpreter: Interpreter, tmp_path: Path
) -> None:
    program = spawn(local_interpreter, "alternating")
    session = client.attach(program.pid, sample=True, rate_hz=50).sessions[0].id
    with open_terminal(tmp_path) as terminal:
        for words in ([], [str(program.pid)], [session], ["alternating"]):
            look(terminal, daemon, *words)
            terminal.wait_for(lambda text: has_row("spin")(text) and shows(f" {session} ", "of 50 Hz")(text))
            terminal.type("q")
            assert f"{session} goes on" in terminal.ended(0)
        assert client.session(session).state == "running"
        # One that is asked for how it samples is one of its own.
        look(terminal, daemon, str(program.pid), "--rate", "200", "--never-stop", "--interval", "500ms")
        terminal.wait_for(lambda text: has_row("spin")(text) and shows("of 200 Hz")(text))
        terminal.type("q")
        terminal.ended(0)
    own = client.session(daemon.latest_session())
    assert (own.state, own.options) == ("stopped", {"rate_hz": 200.0, "stopping": "never"})
    client.stop(session)


def test_a_session_that_somebody_stops_is_told_of(
    daemon: Daemon, client: Client, spawn: Spawn, local_interpreter: Interpreter, tmp_path: Path
) -> None:
    program = spawn(local_interpreter, "busy")
    with open_terminal(tmp_path) as terminal:
        look(terminal, daemon, str(program.pid))
        terminal.wait_for(has_row("leaf"))
        session = daemon.latest_session()
        client.stop(session)
        terminal.wait_for(shows(f"{session} was stopped", "q quits"))
        terminal.type("q")
        assert "is kept as" in terminal.ended(0)


def test_without_unicode_bars_are_made_of_ascii(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter, tmp_path: Path
) -> None:
    program = spawn(local_interpreter, "busy")
    with open_terminal(tmp_path, LC_ALL="C") as terminal:
        look(terminal, daemon, str(program.pid))
        screen = terminal.wait_for(has_row("leaf"))
        assert "####" in screen
        assert screen.isascii()
        terminal.type("q")
        terminal.ended(0)


def test_names_of_a_target_do_not_steer_the_terminal(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter, tmp_path: Path
) -> None:
    program = spawn(local_interpreter, "names")
    with open_terminal(tmp_path, (120, 40)) as terminal:
        title = terminal.title
        look(terminal, daemon, str(program.pid), "--rate", "1000")
        terminal.type("c")
        terminal.wait_for(shows("nothing ran"))
        program.tell("run 3000000")
        screen = terminal.wait_for(shows("\\x1b[31m", "\\u202e", "two\\nlines"))
        assert screen.startswith("execctl top")
        assert terminal.title == title
        terminal.type("q")
        terminal.ended(0)


def test_where_several_processes_could_be_meant_they_are_listed(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter, tmp_path: Path
) -> None:
    programs: list[Program] = [spawn(local_interpreter, "busy") for _ in range(2)]
    with open_terminal(tmp_path, (200, 50)) as terminal:
        look(terminal, daemon)
        screen = terminal.ended(2)
    assert all(str(program.pid) in screen for program in programs)
    assert "name one: execctl top" in screen


@pytest.mark.parametrize(("kind", "said"), [("dumb", "of the kind 'dumb'"), ("no-such-terminal", "no-such-terminal")])
def test_a_terminal_that_cannot_be_drawn_on_is_refused(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter, tmp_path: Path, kind: str, said: str
) -> None:
    program = spawn(local_interpreter, "busy")
    with open_terminal(tmp_path, (120, 24), TERM=kind) as terminal:
        look(terminal, daemon, str(program.pid))
        screen = terminal.ended(2)
    assert said in screen
    assert "execctl attach PID --sample --duration 10s" in screen
    assert not [one for one in daemon.latest_sessions(100) if one.pid == program.pid]


def test_a_session_of_another_collector_is_refused(
    daemon: Daemon, client: Client, spawn: Spawn, local_interpreter: Interpreter, tmp_path: Path
) -> None:
    program = spawn(local_interpreter, "busy")
    session = daemon.record_calls(program.pid).id
    with open_terminal(tmp_path, (120, 24)) as terminal:
        look(terminal, daemon, session)
        assert f"session {session} is not of samples" in terminal.ended(2)
    client.detach(program.pid)
    assert daemon.session(session).state == sessions_pb2.SESSION_STATE_STOPPED
