"""Arguments and errors of the Python API, and that nothing is imported before it is asked for."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import execctl
import pytest
from execctl import errors
from execctl.api.modes import Measuring, mode_parameters, specs_of
from execctl.modes import MODES
from execctl.query import SessionSpec
from execd import errors as daemon_errors

ROOT = Path(__file__).parents[2]
SHARED = {"max_memory_bytes", "force", "labels", "into"}


def test_every_mode_and_option_of_the_command_line_is_an_argument() -> None:
    options = {option for known in mode_parameters().values() for option in known}
    assert set(Measuring.__annotations__) == {*mode_parameters(), *options, *SHARED, "children"}
    assert {mode.parameter for mode in MODES} == set(mode_parameters())


def test_what_is_asked_for_is_what_the_collectors_get() -> None:
    specs = specs_of({"profile": True, "builtins": False, "memory": True, "nframe": 5, "max_memory_bytes": 9})
    assert specs == [
        SessionSpec("calls", {"builtins": False, "subcalls": True, "max_memory_bytes": 9}),
        SessionSpec("memory", {"nframe": 5, "max_memory_bytes": 9}),
    ]
    (spec,) = specs_of({"count": True, "ignore_modules": ("re", "json"), "labels": {"a": "b"}, "into": "all"})
    assert spec == SessionSpec("lines", {"ignore_modules": ["re", "json"]}, {"a": "b"}, "all")
    assert specs_of({"profile": True, "memory": False})[0].options == {"builtins": True, "subcalls": True}


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({}, ValueError, "give a mode, profile, count"),
        ({"profile": False}, ValueError, "give a mode"),
        ({"profile": 1}, TypeError, "True or False, and not 1"),
        ({"perfect": True}, TypeError, "no argument 'perfect'"),
        ({"profile": True, "nframe": 3}, ValueError, "nframe belongs to memory"),
        ({"memory": True, "ignore_dirs": ["/"]}, ValueError, "ignore_dirs belongs to count or cover"),
        ({"listfuncs": True, "count": True}, ValueError, "neither trace nor count"),
        ({"count": True, "ignore_modules": "json"}, TypeError, r"say \['json'\]"),
        ({"profile": True, "timeunit": 1.0}, ValueError, "timeunit belongs to timer"),
        ({"profile": True, "timer": "a:b", "clock": "cpu"}, ValueError, "two clocks"),
    ],
)
def test_what_cannot_be_right_is_refused_with_a_sentence(given: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        specs_of(given)


def test_every_error_of_the_daemon_has_its_class() -> None:
    kinds = {one.kind for one in vars(daemon_errors).values() if inspect.isclass(one)}
    # Those of `execd start`, which no call gives.
    unsent = {"already_running", "unsafe_directory", "data_directory_in_use", "daemon_failed", "store_too_new"}
    assert kinds - set(errors.BY_KIND) == unsent | {"internal"}
    for one in vars(daemon_errors).values():
        if inspect.isclass(one) and one.kind in errors.BY_KIND:
            assert errors.BY_KIND[one.kind].exit_code == one.exit_code, one


def test_errors_are_one_tree_and_come_back_out_of_a_pickle() -> None:
    classes = [one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, Exception)]
    assert set(classes) - {errors.ClientError} == set(errors.BY_KIND.values())
    for kind in classes:
        error = kind("a sentence", remedy="do it", facts={"pid": "1"})
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - what was made above
        assert isinstance(error, errors.ClientError)
        assert (type(again), str(again), again.remedy, again.facts) == (kind, "a sentence", "do it", {"pid": "1"})
        assert (again.kind, again.exit_code) == (error.kind, error.exit_code)
    assert issubclass(errors.UsageError, ValueError)
    assert issubclass(errors.NotFound, LookupError)


def test_a_kind_that_only_a_newer_daemon_knows_keeps_its_name() -> None:
    error = errors.ClientError("a sentence", kind="brand_new", exit_code=77)
    assert (error.kind, error.exit_code) == ("brand_new", 77)
    assert pickle.loads(pickle.dumps(error)).kind == "brand_new"  # noqa: S301 - what was made above


def test_every_name_of_the_api_is_there() -> None:
    for name in execctl.__all__:
        assert getattr(execctl, name) is not None
    assert set(execctl.__all__) <= set(dir(execctl))
    with pytest.raises(AttributeError, match="no attribute 'Flight'"):
        execctl.Flight  # type: ignore[attr-defined]  # noqa: B018 - that it is looked up is all


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    program = (
        "import sys, execctl; first = sorted(sys.modules); execctl.Client, execctl.errors.NotFound; "
        "heavy = {'grpc', 'google.protobuf', 'click'}; "
        "sys.exit(str((heavy & set(first), {'grpc', 'google.protobuf'} & set(sys.modules))))"
    )
    environment = {"PYTHONPATH": f"{ROOT / 'client'}:{ROOT / 'proto'}"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == "(set(), set())\n"
