"""What a user means by a word: PIDs, sessions, profiles, and the names of processes."""

from __future__ import annotations

import pytest
from execd.errors import Ambiguous, NotFound
from execd.model.session import Session, SessionSpec, State
from execd.model.target import Candidate, Target, TargetKey
from execd.sessions import selection
from store_samples import a_target


def a_candidate(pid: int, *command_line: str) -> Candidate:
    target = Target(TargetKey("boot", pid, 1), 1000, command_line, command_line[0] if command_line else "", "3.13.0")
    return Candidate(target, "user", attached=False, reason="")


def a_session(number: int) -> Session:
    return Session(f"s{number}", "", "g1", a_target(), SessionSpec("calls"), "python", State.RUNNING, 1.0)


NAMES = {
    ("python3", "service.py"): "service.py",
    ("/usr/bin/python3.13", "-u", "/srv/app/service.py", "--port", "80"): "service.py",
    ("python3", "-m", "http.server", "8000"): "http.server",
    ("python3", "-X", "dev", "-W", "error", "service.py"): "service.py",
    ("python3", "-Xdev", "-Werror", "-I", "service.py"): "service.py",
    ("python3", "-c", "import time; time.sleep(9)", "service.py"): "python3",
    ("python3", "-Ic", "import time; time.sleep(9)"): "python3",
    ("python3", "-cimport time", "service.py"): "python3",
    ("python3", "-Im", "http.server"): "http.server",
    ("python3", "-uBmhttp.server", "8000"): "http.server",
    ("python3", "-IX", "dev", "service.py"): "service.py",
    ("python3", "-c"): "python3",
    ("/opt/bin/python3",): "python3",
    ("/usr/local/bin/gunicorn", "-w", "4"): "4",
    ("python3", "-m"): "python3",
    ("python3", "-X"): "python3",
    ("python3", "-"): "python3",
    ("python3", "/srv/dir with space/my app.py"): "my app.py",
    ("python3", "two\nlines.py"): "two\nlines.py",
    ("python3", ""): "",
    (): "",
}


@pytest.mark.parametrize("command_line", [line for line in NAMES if "gunicorn" not in "".join(line)])
def test_a_process_is_called_by_its_program(command_line: tuple[str, ...]) -> None:
    assert selection.program_name(command_line) == NAMES[command_line]


@pytest.mark.parametrize("word", ["1", "4711", "0042"])
def test_digits_alone_are_a_pid(word: str) -> None:
    assert selection.is_pid(word)


@pytest.mark.parametrize("word", ["", "-1", "+1", " 1", "1 ", "0x10", "1_000", "s1", "\u0661", "\u00b2"])
def test_anything_else_is_no_pid(word: str) -> None:
    assert not selection.is_pid(word)


@pytest.mark.parametrize("word", ["s1", "s12"])
def test_an_s_and_digits_are_a_session(word: str) -> None:
    assert selection.is_session(word)
    assert selection.is_profile("p" + word[1:])


@pytest.mark.parametrize("word", ["", "s", "S1", "s1 ", "s1\n", "xs1", "s-1", "1"])
def test_anything_else_is_neither_session_nor_profile(word: str) -> None:
    assert not selection.is_session(word)
    assert not selection.is_profile(word.replace("s", "p"))


def test_the_whole_name_of_a_program_goes_before_a_part_of_a_command_line() -> None:
    service, other = a_candidate(1, "python3", "service.py"), a_candidate(2, "python3", "other.py", "service.py.bak")
    assert selection.choose_candidate("service.py", [other, service]) is service
    assert selection.choose_candidate("service", [other, service]) is service


def test_a_part_of_the_command_line_is_enough_where_it_fits_one() -> None:
    service, other = a_candidate(1, "python3", "service.py", "--port", "80"), a_candidate(2, "python3", "other.py")
    assert selection.choose_candidate("--port 80", [service, other]) is service


def test_a_name_that_fits_nothing_says_where_to_look() -> None:
    with pytest.raises(NotFound, match="'nothing'") as caught:
        selection.choose_candidate("nothing", [a_candidate(1, "python3", "service.py")])
    assert caught.value.remedy == "list them: execctl ps"


def test_a_name_that_fits_several_lists_their_pids() -> None:
    rows = [a_candidate(pid, "python3", "worker.py") for pid in range(1, 14)]
    with pytest.raises(Ambiguous, match=r"13 processes.*: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 3 more"):
        selection.choose_candidate("worker", rows)


def test_the_only_session_is_the_one_that_is_meant() -> None:
    assert selection.only([a_session(3)], "running session").id == "s3"


def test_no_session_and_several_are_errors_that_name_what_there_is() -> None:
    with pytest.raises(NotFound, match="no running session"):
        selection.only([], "running session")
    with pytest.raises(Ambiguous, match="2 running sessions: s1, s2"):
        selection.only([a_session(1), a_session(2)], "running session")
