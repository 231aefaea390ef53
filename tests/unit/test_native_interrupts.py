"""The native core, where signal handlers raise at any instant: it counts on, and its tables are sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_drivers import by_name, profile_of

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter

RECORDINGS = 15


def test_what_is_interrupted_at_any_instant_is_counted_all_the_same(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.in_form("native").run(interpreter, "interrupting", "recordings", RECORDINGS)
    assert result["why"] == ""
    assert sum(one["interrupted"] for one in result["recordings"]) > 0
    for one in result["recordings"]:
        assert one["raised"] == one["interrupted"]
        profile = profile_of(one["table"])
        if not profile.header.lost:
            # A call may be interrupted before its first line.
            assert 0 <= by_name(profile)["work"].calls - one["worked"] <= one["interrupted"]
    assert any(profile_of(one["table"]).header.lost for one in result["recordings"])
    assert not all(profile_of(one["table"]).header.lost for one in result["recordings"])
