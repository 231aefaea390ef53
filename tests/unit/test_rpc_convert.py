"""execd.rpc.convert: values to messages and back."""

from __future__ import annotations

from typing import Any

import pytest
from execd.errors import UsageError
from execd.model.session import Session, SessionSpec, State
from execd.model.stored import StoredProfile
from execd.model.target import Candidate, Target, TargetKey
from execd.reports import ReportOptions, View
from execd.reports.layout import Layout
from execd.rpc import convert
from execd_api.v1 import reports_pb2, sessions_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

TARGET = Target(
    key=TargetKey("b00t", 4711, 99),
    uid=1000,
    command_line=("python", "-c", "caf\udce9"),
    executable="/usr/bin/python3\udcff",
    python_version="3.11.7",
    in_other_root=True,
)
SESSION = Session(
    id="s12",
    name="nightly",
    group="g3",
    target=TARGET,
    spec=SessionSpec("calls", {"builtins": False}),
    form="python",
    state=State.FAILED,
    started_at=1.5,
    ended_at=2.5,
    reason="agent: \udc80",
    caveats=("since attach",),
    latest_profile="p34",
)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.text())
def test_text_that_is_unicode_stays_as_it_is(value: str) -> None:
    assert convert.text(value) == value


@given(st.binary())
def test_undecodable_bytes_become_text_that_a_message_carries(value: bytes) -> None:
    shown = convert.text(value.decode("utf-8", "surrogateescape"))
    assert shown == value.decode("utf-8", "backslashreplace")
    assert sessions_pb2.Session(name=shown).name == shown


@given(st.text(st.characters(categories=["Cs", "L"])))
def test_no_lone_surrogate_passes(value: str) -> None:
    convert.text(value).encode()


def test_a_surrogate_that_is_no_byte_shows_its_code() -> None:
    assert convert.text("a\ud800") == r"a\ud800"


@settings(max_examples=30)
@given(st.text(), st.dictionaries(st.text(), json_values, max_size=3))
def test_a_spec_comes_back_as_it_was(collector: str, options: dict[str, object]) -> None:
    spec = SessionSpec(collector, options)
    sent = convert.spec(spec).SerializeToString()
    assert convert.spec_from(sessions_pb2.SessionSpec.FromString(sent)) == spec


def test_a_spec_without_options_has_none() -> None:
    assert convert.spec_from(sessions_pb2.SessionSpec(collector="calls")) == SessionSpec("calls")


@pytest.mark.parametrize("options", ["[]", "1", "{", '{"a": NaN}', "[" * 100_000, "null"])
def test_options_that_are_no_json_object_are_refused(options: str) -> None:
    with pytest.raises(UsageError, match="'calls' are no JSON"):
        convert.spec_from(sessions_pb2.SessionSpec(collector="calls", options_json=options))


def test_every_state_has_a_message_of_its_own() -> None:
    sent = set(convert.STATES.values())
    assert set(convert.STATES) == set(State)
    assert sent == set(sessions_pb2.SessionState.values()) - {sessions_pb2.SESSION_STATE_UNSPECIFIED}


def test_every_view_has_a_message_of_its_own() -> None:
    assert set(convert.VIEWS) == set(reports_pb2.View.values())
    assert set(convert.VIEWS.values()) == set(View)


def test_a_target_travels_with_all_that_is_known() -> None:
    message = convert.target(TARGET)
    assert (message.pid, message.start_ticks, message.boot_id, message.uid) == (4711, 99, "b00t", 1000)
    assert list(message.command_line) == ["python", "-c", r"caf\xe9"]
    assert message.executable == r"/usr/bin/python3\xff"
    assert (message.python_version, message.in_other_root) == ("3.11.7", True)


def test_a_candidate_travels_with_its_reason() -> None:
    message = convert.candidate(Candidate(TARGET, "ann", attached=True, reason="stopped"))
    assert (message.target.pid, message.user, message.attached, message.reason) == (
        4711,
        "ann",
        True,
        "stopped",
    )


def test_a_session_travels_with_its_target_and_state() -> None:
    message = convert.session(SESSION)
    assert (message.id, message.name, message.group, message.pid) == ("s12", "nightly", "g3", 4711)
    assert convert.spec_from(message.spec) == SESSION.spec
    assert (message.form, message.state) == ("python", sessions_pb2.SESSION_STATE_FAILED)
    assert (message.started_at, message.ended_at, message.reason) == (1.5, 2.5, r"agent: \x80")
    assert (list(message.caveats), message.latest_profile) == (["since attach"], "p34")
    assert (list(message.command_line)[-1], message.python_version) == (r"caf\xe9", "3.11.7")


def test_a_stored_profile_travels_whole() -> None:
    stored = StoredProfile(
        "p34",
        "n",
        "s12",
        "calls",
        "final",
        1.5,
        2.5,
        nodes=7,
        stored_bytes=99,
        pid=4711,
        labels={"a": "b"},
        running=True,
    )
    message = convert.stored_profile(stored)
    assert {field.name: value for field, value in message.ListFields()} == {
        name: getattr(stored, name) for name in StoredProfile.__slots__
    }


def no_source(_digest: str) -> None:
    """No source is known."""


def test_a_request_without_options_means_the_defaults() -> None:
    assert convert.report_options(reports_pb2.RenderRequest(), no_source) == ReportOptions(source=no_source)


def test_every_option_of_a_report_arrives() -> None:
    request = reports_pb2.RenderRequest(
        sort=["calls", "name"],
        reverse=True,
        limit=["10", "0.5"],
        view=reports_pb2.VIEW_CALLEES,
        strip_dirs=True,
        thread="main",
        per_thread=True,
        settings_json='{"missing": true}',
        layout=reports_pb2.Layout(width=80, color=True, ascii=True, no_header=True),
    )
    assert convert.report_options(request, no_source) == ReportOptions(
        sort=("calls", "name"),
        reverse=True,
        limits=("10", "0.5"),
        view=View.CALLEES,
        strip_dirs=True,
        thread="main",
        per_thread=True,
        layout=Layout(width=80, has_color=True, is_ascii=True, has_header=False),
        settings={"missing": True},
        source=no_source,
    )


@pytest.mark.parametrize(("asked", "width"), [({}, 100), ({"width": 7}, 60), ({"width": 80, "wide": True}, 0)])
def test_a_width_is_one_that_a_report_can_have(asked: dict[str, int], width: int) -> None:
    request = reports_pb2.RenderRequest(layout=reports_pb2.Layout(**asked))  # type: ignore[arg-type]
    assert convert.report_options(request, no_source).layout.width == width


@pytest.mark.parametrize("settings", ["{", "[]", '{"a": NaN}', "[" * 100_000])
def test_settings_that_are_no_object_are_refused(settings: str) -> None:
    with pytest.raises(UsageError, match="settings"):
        convert.report_options(reports_pb2.RenderRequest(settings_json=settings), no_source)


def test_a_view_of_a_newer_client_is_refused() -> None:
    request = reports_pb2.RenderRequest()
    request.view = 77  # type: ignore[assignment]
    with pytest.raises(UsageError, match="77"):
        convert.report_options(request, no_source)
