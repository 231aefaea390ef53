"""coverage.py and cProfile beside calls that are recorded, under every interpreter: both find what they find alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from agent_drivers import by_name, profile_of
from judged import packages

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter

# Of one pass, as workload.CALLS has it.
FIBONACCI_CALLS = 177
# How coverage.py calls its cores, and what each needs; it has no tracer in C where there is no wheel.
CORES = {"ctrace": "CTracer", "sysmon": "SysMonitor"}
SYSMON = (3, 12)


@pytest.fixture(params=["python", "native"])
def drivers(drivers: Drivers, request: pytest.FixtureRequest) -> Drivers:
    """Drivers whose calls are recorded in either form."""
    return drivers.in_form(request.param)


@pytest.mark.parametrize("order", ["within", "around"])
@pytest.mark.parametrize("core", CORES)
def test_coverage_finds_beside_us_what_it_finds_alone(
    drivers: Drivers, interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch, core: str, order: str
) -> None:
    if core == "sysmon" and interpreter.version_info < SYSMON:
        pytest.skip("sys.monitoring came with 3.12")
    monkeypatch.setenv("PACKAGES", packages(interpreter, "coverage"))
    monkeypatch.setenv("COVERAGE_CORE", core)
    result = drivers.run(interpreter, "beside_tools", f"coverage_{order}")
    assert result["core"] == CORES[core]
    assert len(result["alone"]["tracked.py"][0]) > 40
    assert result["first"] == result["alone"]
    assert result["together"] == result["alone"]
    assert result["refused"] == ""
    assert by_name(profile_of(result["table"]))["fibonacci"].calls == FIBONACCI_CALLS


@pytest.mark.parametrize("order", ["within", "around"])
def test_cprofile_counts_beside_us_what_it_counts_alone(drivers: Drivers, interpreter: Interpreter, order: str) -> None:
    result = drivers.run(interpreter, "beside_tools", f"cprofile_{order}")
    own = [row for row in result["alone"] if row[0][2] == row[1][2] == "fibonacci"]
    assert own
    assert result["first"] == result["alone"]
    assert result["together"] == result["alone"]
    found = by_name(profile_of(result["table"]))
    if order == "around" and interpreter.version_info < SYSMON:
        # It takes the only slot of the thread, and we leave it there.
        assert "fibonacci" not in found
    else:
        assert found["fibonacci"].calls == FIBONACCI_CALLS
