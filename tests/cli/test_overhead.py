"""What recording costs, on the command line: expected by `attach`, told by `sessions`, bounded by an option."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cli.fake_daemon import make_session
from execctl.api.session import Overhead
from execctl.shares import described, format_share, parse_share
from execd_api.v1 import sessions_pb2

if TYPE_CHECKING:
    from cli.conftest import Run
    from cli.fake_daemon import FakeDaemon

COST = sessions_pb2.Overhead(events_per_s=310_000.4, event_ns=38.2, share=0.012, span_s=0.1)
UNKNOWN = sessions_pb2.Overhead(events_per_s=1200, span_s=1.0)


@pytest.mark.parametrize(
    ("text", "share"), [("20%", 0.2), ("0.2", 0.2), (" 5 % ", 0.05), ("1", 1.0), ("150%", 1.5), ("0.5%", 0.005)]
)
def test_a_share_is_a_percentage_or_a_fraction(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["20", "0", "-5%", "0%", "2000%", "much", "", "%", "nan", "inf%"])
def test_what_is_no_share_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"write 20% or 0\.2"):
        parse_share(text)


def test_shares_are_shown_as_percentages() -> None:
    assert [format_share(share) for share in (None, 0.0, 0.004, 0.0123, 0.25, 3.0)] == [
        "?",
        "0.0%",
        "0.4%",
        "1.2%",
        "25%",
        "300%",
    ]
    assert described(Overhead(310_000.4, 38.2, 0.12, 1.0)) == "12% (310,000 events/s at 38 ns)"
    assert described(Overhead(1200, 0.0, None, 1.0)) == "not known (1,200 events/s)"


def test_attach_tells_what_is_to_be_expected(run: Run, daemon: FakeDaemon) -> None:
    daemon.script.answers["Sessions.Overhead"] = sessions_pb2.OverheadResponse(overhead=COST)
    result = run("attach", "4711", "--profile")
    assert "s1: expected overhead: 1.2% (310,000 events/s at 38 ns)" in result.stderr
    assert result.stdout == "s1\n"


@pytest.mark.parametrize(
    "answer", [sessions_pb2.OverheadResponse(), sessions_pb2.OverheadResponse(overhead=UNKNOWN)], ids=["none", "part"]
)
def test_attach_says_nothing_of_what_is_not_known(
    run: Run, daemon: FakeDaemon, answer: sessions_pb2.OverheadResponse
) -> None:
    daemon.script.answers["Sessions.Overhead"] = answer
    result = run("attach", "4711", "--profile")
    assert result.exit_code == 0
    assert "overhead" not in result.stderr


def test_the_limit_is_an_option_of_the_collector(run: Run, daemon: FakeDaemon) -> None:
    run("attach", "4711", "--profile", "--max-overhead", "20%")
    assert json.loads(daemon.script.request("Targets.Attach").sessions[0].options_json)["max_overhead"] == 0.2


def test_the_limit_belongs_to_a_profile_and_is_a_share(run: Run) -> None:
    assert "--max-overhead belongs to --profile" in run("attach", "4711", "--count", "--max-overhead", "20%").stderr
    assert "write 20% or 0.2" in run("attach", "4711", "--profile", "--max-overhead", "20").stderr


def test_sessions_shows_events_and_overhead_of_those_that_tell_them(run: Run, daemon: FakeDaemon) -> None:
    sessions = [make_session(overhead=COST), make_session(id="s2", overhead=UNKNOWN), make_session(id="s3")]
    daemon.script.answers["Sessions.List"] = sessions_pb2.ListSessionsResponse(sessions=sessions)
    head, known, unknown, none = run("sessions").stdout.splitlines()
    place = head.index("EVENTS/S")
    assert known[place:].split()[:2] == ["310,000", "1.2%"]
    assert unknown[place:].split()[:2] == ["1,200", "?"]
    assert "%" not in none
    records = json.loads(run("sessions", "--json").stdout)["sessions"]
    assert [record["overhead"] and record["overhead"]["share"] for record in records] == [0.012, None, None]
    rest = {"events_per_s": 1200, "event_ns": 0, "share": None, "span_s": 1.0, "recorded": 1.0}
    assert records[1]["overhead"] == rest


def test_sessions_shows_which_share_of_the_time_is_recorded(run: Run, daemon: FakeDaemon) -> None:
    cost = sessions_pb2.Overhead(events_per_s=310_000, event_ns=38.2, share=0.18, span_s=1.0, recorded=0.27)
    daemon.script.answers["Sessions.List"] = sessions_pb2.ListSessionsResponse(sessions=[make_session(overhead=cost)])
    assert "18%, of 27% of the time" in run("sessions").stdout
    (record,) = json.loads(run("sessions", "--json").stdout)["sessions"]
    assert record["overhead"]["recorded"] == 0.27
