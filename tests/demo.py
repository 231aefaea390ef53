"""The main job on a real process, as a person would do it: `make demo`.

A small order service is started. It is found, attached to, profiled, compared and left, and goes on. Socket and store
lie in a temporary folder, and all that was started has ended when this ends, also after Ctrl-C. The exit status is 0
where the report holds what the service did, else 1.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processes import MARK, left_over, living_pids

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parent
TARGETS = TESTS / "targets"
PERMIT_TRACING = TESTS / "permit_tracing.py"
PROGRAM = "orders.py"
# What the service does for each order, whatever the random numbers are.
EXPECTED = {"handle", "parse", "total", "tax_percent", "render", "random_order"}
# `handle` calls each of these once; of as many orders as there are workers one part may lie outside of the session.
ONCE_AN_ORDER = ("parse", "total", "render")
WORKERS = 3
PROFILE_S = 2.0
COMPARISON_LINES = 20
COMMAND_TIMEOUT_S = 25.0
PROGRESS_TIMEOUT_S = 5.0


class DemoFailed(Exception):
    """Something did not go as a user may expect; the message says what."""


class Service:
    """The program that is measured: an ordinary one, which knows nothing of execd."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "orders.log"
        with self._log.open("wb") as log:
            # With yama only ancestors may trace a process, unless it permits others to.
            command = [sys.executable, "-I", str(PERMIT_TRACING), sys.executable, PROGRAM]
            self._process = subprocess.Popen(command, cwd=TARGETS, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = self._process.pid

    def done(self) -> int:
        """How many orders it said last that it has done, 0 before it said so."""
        lines = self._log.read_text("utf-8").splitlines()
        return int(lines[-1].split()[0]) if lines else 0

    def wait_for_more(self) -> int:
        """Waits until it has done more than now, and returns how many."""
        before, deadline = self.done(), time.monotonic() + PROGRESS_TIMEOUT_S
        while (done := self.done()) <= before:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise DemoFailed(f"the service does not work: {self._log.read_text('utf-8')}")
            time.sleep(0.05)
        return done

    def close(self) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.wait()


def say(text: str = "") -> None:
    """Prints a line at once: what is run and what it printed stay in order."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run(name: str, *arguments: str, lines: int | None = None) -> str:
    """Runs a command of the project like a user at a prompt.

    Args:
        name: "execctl" or "execd".
        *arguments: its arguments.
        lines: how many lines of what it prints are shown, all if None.

    Returns:
        What it printed.

    Raises:
        DemoFailed: it failed.
    """
    say(f"$ {shlex.join([name, *arguments])}{f' 2>&1 | head -{lines}' if lines else ''}")
    # -P: the modules of the folder that this is run in are not meant.
    command = [sys.executable, "-P", "-m", name, *arguments]
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=COMMAND_TIMEOUT_S, check=False
    )
    say("".join(ended.stdout.splitlines(keepends=True)[:lines]))
    if ended.returncode:
        raise DemoFailed(f"{name} {arguments[0]} ended with exit code {ended.returncode}")
    return ended.stdout


def ask(*arguments: str) -> Any:
    """Returns what `execctl ... --json` answers, and shows nothing."""
    command = [sys.executable, "-P", "-m", "execctl", *arguments, "--json"]
    return json.loads(subprocess.run(command, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=True).stdout)


def check_found(pid: int) -> None:
    """Fails where `execctl ps` does not list the process as one that can be attached to."""
    rows = [row for row in ask("ps")["targets"] if row["pid"] == pid]
    if not rows:
        raise DemoFailed(f"execctl ps does not list process {pid}")
    if rows[0]["reason"]:
        raise DemoFailed(f"process {pid} cannot be attached to: {rows[0]['reason']}")


def check_report(session: str) -> dict[str, int]:
    """The calls of the service's functions in the report; fails where they are not what they must be."""
    functions = ask("report", session)["functions"]
    calls = {row["name"]: row["calls"] for row in functions if row["file"].endswith(PROGRAM)}
    if missing := sorted(name for name in EXPECTED if not calls.get(name)):
        raise DemoFailed(f"the report holds no calls of {', '.join(missing)}")
    if any(abs(calls[name] - calls["handle"]) > WORKERS for name in ONCE_AN_ORDER):
        raise DemoFailed(f"the counts do not fit each other: {calls}")
    return calls


def show(service: Service) -> None:
    """The session itself.

    Raises:
        DemoFailed: something is not as it must be.
    """
    pid = str(service.pid)
    say(f"$ python {PROGRAM} &\n[PID {pid}]\n{service.wait_for_more()} orders are done\n")
    run("execctl", "ps")
    check_found(service.pid)
    run("execctl", "attach", pid, "--profile", "--name", "demo")
    time.sleep(PROFILE_S)
    run("execctl", "snapshot", pid, "--name", "first-look")
    time.sleep(PROFILE_S / 2)
    run("execctl", "snapshot", "--compare", "first-look", pid, lines=COMPARISON_LINES)
    report = run("execctl", "report", "demo", "--strip-dirs", "--sort", "tottime", "--limit", "15")
    if "tax_percent" not in report:
        raise DemoFailed("the slow function is not in the report")
    run("execctl", "detach", pid)
    calls = check_report("demo")
    done = service.wait_for_more()
    say(f"process {pid} was profiled: {calls['handle']} orders, tax_percent was called {calls['tax_percent']} times")
    say(f"it goes on without the agent: {done} orders are done\n")
    run("execd", "stop")


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Ends whatever was started below it, and fails where something had to be ended by force."""
    os.environ[MARK] = str(os.getpid())
    before = living_pids()
    try:
        yield
    finally:
        # A second Ctrl-C must not leave half of it behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        left = left_over(before)
    if left:
        raise DemoFailed("left running, and ended now:\n" + "\n".join(left))


def stop_daemon() -> None:
    """Ends the daemon where the session did not come to that; no error where none runs."""
    command = [sys.executable, "-P", "-m", "execd", "stop"]
    subprocess.run(command, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False)


def main() -> int:
    """Runs the demonstration.

    Returns:
        The exit status.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with nothing_left_behind(), ExitStack() as started:
            folder = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="execd-demo-")))
            os.environ |= {"EXECD_SOCKET": str(folder / "run/execd.sock"), "EXECD_DATA_DIR": str(folder / "data")}
            service = Service(folder)
            started.callback(service.close)
            started.callback(stop_daemon)
            show(service)
    except (DemoFailed, subprocess.SubprocessError) as failure:
        sys.stderr.write(f"demo: {failure}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("demo: interrupted; all that was started has ended\n")
        return 130
    say("all of it ended: the service, the daemon, the folder with its data")
    return 0


if __name__ == "__main__":
    sys.exit(main())
