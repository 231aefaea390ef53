"""Arguments and errors of the Python API, and that nothing is imported before it is asked for."""

from __future__ import annotations

import inspect
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import execctl
import pytest
from execctl import errors
from execctl.api.arguments import ARGUMENTS, check_specs
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
    ("given", "said"),
    [
        ({}, "give a mode, profile, sample, count"),
        ({"profile": False}, "give a mode"),
        ({"profile": 1}, "profile may be True or False, and not 1"),
        ({"perfect": True}, "no argument 'perfect': what is measured is said by bias, builtins"),
        ({"profile": True, "nframe": 3}, "nframe belongs to memory"),
        ({"memory": True, "ignore_dirs": ["/"]}, "ignore_dirs belongs to count or cover"),
        ({"listfuncs": True, "count": True}, "neither trace nor count"),
        ({"count": True, "ignore_modules": "json"}, "ignore_modules may be a list of texts, and not 'json'"),
        ({"count": True, "ignore_dirs": [3]}, "ignore_dirs may be a list of texts, and not [3]"),
        ({"profile": True, "timeunit": 1.0}, "timeunit belongs to timer"),
        ({"profile": True, "timer": "a:b", "clock": "cpu"}, "two clocks"),
        ({"profile": True, "clock": "foo"}, "clock may be 'wall' or 'cpu', and not 'foo'"),
        ({"profile": True, "bias": -3}, "bias may be 'auto', or what one event costs, 0 to 1 seconds, and not -3"),
        ({"profile": True, "bias": float("nan")}, "and not nan"),
        ({"profile": True, "bias": True}, "and not True"),
        ({"profile": True, "builtins": "no"}, "builtins may be True or False, and not 'no'"),
        ({"profile": True, "timer": "ticks"}, "timer may be a text 'module:function', and not 'ticks'"),
        (
            {"profile": True, "timer": "a:b", "timeunit": 0},
            "timeunit may be a number of seconds above 0, 1e+09 at most, and not 0",
        ),
        ({"memory": True, "nframe": 0}, "nframe may be a whole number from 1 to 65535, and not 0"),
        ({"memory": True, "nframe": 1.5}, "and not 1.5"),
        ({"trace": True, "limit_events": "9"}, "limit_events may be a whole number from 1 on, and not '9'"),
        ({"trace": True, "function": 3}, "function may be a text, and not 3"),
        ({"trace": True, "max_memory_bytes": "8MB"}, "max_memory_bytes may be a whole number of bytes from 1 on"),
        ({"trace": True, "labels": "x"}, "labels may be texts by text, {'key': 'value'}, and not 'x'"),
        ({"trace": True, "labels": {"a": 3}}, "and not {'a': 3}"),
        ({"trace": True, "into": 3}, "into may be a text, and not 3"),
        ({"trace": True, "children": "all"}, "children may be True or False, and not 'all'"),
    ],
)
def test_what_cannot_be_right_is_refused_with_option_value_and_what_is_allowed(given: Any, said: str) -> None:
    with pytest.raises(errors.UsageError, match=re.escape(said)):
        specs_of(given)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (SessionSpec("calls", {"clock": "foo"}), "clock may be 'wall' or 'cpu', and not 'foo'"),
        (SessionSpec("calls", {"nframe": 3}), "no argument 'nframe': how calls is recorded is said by bias"),
        (SessionSpec("lines", into=3), "into may be a text, and not 3"),  # type: ignore[arg-type]
    ],
)
def test_specs_are_looked_at_as_arguments_are(spec: SessionSpec, said: str) -> None:
    with pytest.raises(errors.UsageError, match=re.escape(said)):
        check_specs([spec])
    # Of what a newer daemon may have, it knows.
    check_specs([SessionSpec("of_a_newer_daemon", {"nframe": 0})])


def test_what_every_argument_may_be_is_known() -> None:
    assert set(ARGUMENTS) == {*Measuring.__annotations__, "name"}


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
