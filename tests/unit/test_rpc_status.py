"""execd.rpc.status: the table of errors, and what fits into metadata."""

from __future__ import annotations

import inspect

import grpc
import pytest
from execd import errors
from execd.rpc.status import CODES, code_of, detail_of, summary_of
from execd_api.v1.daemon_pb2 import ErrorDetail

ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.ExecdError)]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_has_a_status(kind: type[errors.ExecdError]) -> None:
    assert kind in CODES


@pytest.mark.parametrize("kind", ERRORS)
def test_no_error_looks_like_a_missing_daemon_or_like_success(kind: type[errors.ExecdError]) -> None:
    assert code_of(kind("m")) not in {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}


def test_the_table_names_no_other_errors() -> None:
    assert set(CODES) == set(ERRORS)


def test_a_subclass_has_the_status_of_the_nearest_class_above() -> None:
    class SessionNotFound(errors.NotFound):
        pass

    assert code_of(SessionNotFound("m")) is grpc.StatusCode.NOT_FOUND


def test_an_error_survives_the_wire() -> None:
    error = errors.TargetGone("PID 7 ended", remedy="start it again", pid=7)
    detail = ErrorDetail.FromString(detail_of(error).SerializeToString())
    assert detail == ErrorDetail(
        kind="target_gone", message="PID 7 ended", remedy="start it again", facts={"pid": "7"}, exit_code=4
    )


def test_an_undecodable_name_in_an_error_travels_as_its_bytes() -> None:
    detail = detail_of(errors.NotFound("no \udcff", name="\udcff"))
    assert (detail.message, detail.facts["name"]) == (r"no \xff", r"\xff")


def test_a_huge_error_still_fits_into_the_metadata() -> None:
    facts = {f"fact{number}": "ü" * 5000 for number in range(500)}
    error = errors.Ambiguous("ü" * 100_000, remedy="ü" * 100_000, **facts)
    assert len(detail_of(error).SerializeToString()) < 4096
    assert len(summary_of(error)) <= 200


def test_what_was_cut_says_so() -> None:
    assert detail_of(errors.NotFound("x" * 2000)).message.endswith("x…")


def test_the_summary_is_printable_ascii() -> None:
    assert summary_of(errors.NotFound("no \x1b[2J\nü\udcff")) == "no ?[2J???"
