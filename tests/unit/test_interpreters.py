"""The interpreters that the tests use."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from interpreters import SUPPORTED, Interpreter, find_interpreters, interpreter_of, required_versions

if TYPE_CHECKING:
    from pathlib import Path

FACTS = {
    "executable": "/usr/bin/python3.13",
    "version_info": [3, 13, 1],
    "hex_version": 0x030D01F0,
    "implementation": "cpython",
    "free_threaded": False,
}


def test_every_required_interpreter_is_there(interpreters: dict[str, Interpreter]) -> None:
    assert set(required_versions(os.environ)) <= set(interpreters)


def test_every_interpreter_found_starts_and_is_what_it_says(interpreter: Interpreter) -> None:
    command = [*interpreter.argv, "-I", "-c", "import platform; print(platform.python_version())"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert answer.strip() == interpreter.full_version


def test_the_pid_of_a_started_interpreter_is_its_own(interpreter: Interpreter) -> None:
    command = [*interpreter.argv, "-I", "-c", "import os; print(os.getpid())"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        answer, _ = process.communicate()
    assert int(answer) == process.pid


def test_a_file_below_another_root_is_known_there_by_its_path_in_that_root(tmp_path: Path) -> None:
    interpreter = interpreter_of(str(tmp_path), FACTS)
    assert interpreter is not None
    assert interpreter.inside(tmp_path / "srv/busy.py") == "/srv/busy.py"
    assert interpreter.argv == ("chroot", str(tmp_path), "/usr/bin/python3.13")


@pytest.mark.parametrize(
    "difference",
    [{"implementation": "pypy"}, {"free_threaded": True}, {"version_info": [3, 8, 18]}],
    ids=["pypy", "free-threaded", "3.8"],
)
def test_what_is_not_supported_is_not_an_interpreter(difference: dict[str, object]) -> None:
    assert interpreter_of("", FACTS | difference) is None


def test_an_executable_named_by_the_user_is_found(local_interpreter: Interpreter) -> None:
    environ = {"EXECD_TEST_PYTHONS": local_interpreter.executable, "EXECD_FORKY_ROOT": ""}
    assert find_interpreters(environ) == {local_interpreter.version: local_interpreter}


def test_a_name_that_does_not_start_is_no_interpreter(tmp_path: Path) -> None:
    for version in SUPPORTED:
        script = tmp_path / f"python{version}"
        script.write_text("#!/bin/sh\nexit 127\n")
        script.chmod(0o755)
    environ = {"PATH": str(tmp_path), "EXECD_FORKY_ROOT": "", "HOME": str(tmp_path)}
    assert find_interpreters(environ) == {}
