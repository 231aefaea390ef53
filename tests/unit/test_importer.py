"""The import of the agent's modules: its own from memory, the standard library's C modules, and nothing else."""

from __future__ import annotations

import ctypes
import importlib
import sys
from typing import TYPE_CHECKING, Any

import pytest
from execd_agent.importer import PrivateImporter

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCES = {
    "execd_agent": "",
    "execd_agent.calling": "def call(function, argument):\n    return function(argument)\n",
    "execd_agent.taking": "import colorsys\n",
}
# A module of the standard library in Python, of which no test needs to have been loaded.
PURE = "colorsys"


@pytest.fixture
def importer(monkeypatch: pytest.MonkeyPatch) -> PrivateImporter:
    monkeypatch.delitem(sys.modules, PURE, raising=False)
    frozen = vars(importlib._bootstrap)  # type: ignore[attr-defined] # noqa: SLF001 - the agent has nothing else
    return PrivateImporter(frozen, dict(SOURCES), lambda name: compile(SOURCES[name], name, "exec"), hurry)


def hurry(*, on: bool) -> None:
    assert on in (True, False)


def import_in_c() -> Callable[[bytes], Any]:
    function = ctypes.PyDLL(None).PyImport_ImportModule
    function.argtypes, function.restype = [ctypes.c_char_p], ctypes.py_object
    return function


def test_a_module_in_python_is_not_taken_from_the_target(importer: PrivateImporter) -> None:
    with pytest.raises(ImportError, match=PURE):
        importer.load("execd_agent.taking")


def test_c_code_of_the_target_that_runs_within_the_agents_imports_what_it_likes(importer: PrivateImporter) -> None:
    call = importer.load("execd_agent.calling").call
    assert call(import_in_c(), PURE.encode()).__name__ == PURE
    assert PURE in sys.modules
