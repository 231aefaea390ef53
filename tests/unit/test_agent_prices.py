"""What the agent tells of the prices of events, and how many there were; and the daemon's own count of a core's."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from agent_drivers import profile_of
from counted_tables import IS_C, IS_RESUMED, tables
from execd.attach import coretables
from execd.attach.corecounts import NOBODY, functions_at, read_counts
from execd.errors import ProfileCorrupt
from execd.model.overhead import Counts, Prices
from execd.model.profile import BUILTIN_FILE, Profile

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter

COUNT = 500
# The first beats measure all, and later ones each fifth time.
BEATS, OFTEN, SELDOM = 22, 10, 5
# Of what other programs on the machine may upset.
MOST_TRIES = 5
# A quarter of a MiB, which some hundreds of functions fill.
LITTLE_BYTES = 1 << 18
SIZE_BYTES = 4


def core_of(table: str) -> bytes:
    """The tables of a core in the bulk that an agent sends."""
    raw = base64.b64decode(table)
    start = SIZE_BYTES + int.from_bytes(raw[:SIZE_BYTES], "little")
    ((name, _, size),) = json.loads(raw[SIZE_BYTES:start])["arrays"]
    assert name == "core"
    return raw[start : start + size]


def calls_of(profile: Profile, start: str, *, is_c: bool) -> int:
    """How often what begins so was called."""
    rows = zip(map(profile.function_of, range(len(profile.parents))), profile.column("calls"), strict=True)
    found = [(profile.functions[function], calls) for function, calls in rows]
    return sum(
        calls
        for function, calls in found
        if (function.file == BUILTIN_FILE) is is_c and function.name.startswith(start)
    )


@pytest.mark.parametrize("form", ["python", "native"])
def test_each_kind_of_call_has_a_price(drivers: Drivers, interpreter: Interpreter, form: str) -> None:
    told = drivers.in_form(form).run(interpreter, "pricing", "costs", COUNT, 1)["costs"]
    prices = Prices.read(told["prices"])
    assert prices is not None
    assert {"python", "resumed", "c", "slower"} <= told["prices"].keys()
    # The Python form's handlers are timed in bursts, and tell nothing of programs.
    assert (prices.timed > 0) is (form == "native")
    assert ("uncounted" in told["prices"]) is (interpreter.version_info >= (3, 12))
    # How much more than nothing the others come to in the native form is a machine's.
    assert form == "native" or min(prices.python, prices.resumed, prices.c) > 0


def test_a_call_costs_something_in_the_native_form(drivers: Drivers, interpreter: Interpreter) -> None:
    native = drivers.in_form("native")

    def price() -> float:
        told = native.run(interpreter, "pricing", "costs", COUNT, 1)["costs"]
        return float(told["prices"]["python"])

    # A machine that is held up between the loop with events and that without may find nothing once.
    assert any(price() > 0 for _ in range(MOST_TRIES))


@pytest.mark.parametrize("form", ["python", "native"])
def test_without_c_functions_there_are_no_prices_of_these(
    drivers: Drivers, local_interpreter: Interpreter, form: str
) -> None:
    told = drivers.in_form(form).run(local_interpreter, "pricing", "costs", COUNT, 0)["costs"]
    assert not {"c", "method", "uncounted"} & told["prices"].keys()
    assert {"python", "resumed"} <= told["prices"].keys()


@pytest.mark.parametrize("form", ["python", "native"])
def test_where_nothing_is_to_be_measured_there_are_no_prices(
    drivers: Drivers, local_interpreter: Interpreter, form: str
) -> None:
    assert drivers.in_form(form).run(local_interpreter, "pricing", "unmeasured", COUNT)["costs"] == {"measures": False}


@pytest.mark.parametrize("form", ["python", "native"])
def test_it_is_told_which_beats_measure(drivers: Drivers, local_interpreter: Interpreter, form: str) -> None:
    told = drivers.in_form(form).run(local_interpreter, "pricing", "beating", BEATS)["told"]
    assert [said for said, _ in told] == [beat <= OFTEN or beat % SELDOM == 0 for beat in range(1, BEATS + 1)]
    # By chance two may come to the same.
    assert not any(measured for said, measured in told if not said)
    assert any(measured for said, measured in told if said)


def test_the_python_form_counts_its_events_by_kind(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "pricing", "costs", COUNT, 1)
    counts = Counts.read(result["costs"]["counts"])
    assert counts is not None
    assert counts.resumed == COUNT + 1
    # `work` and what waits for the agent beside them.
    assert COUNT < counts.python < COUNT + 20
    assert 2 * COUNT <= counts.c < 2 * COUNT + 30


def test_a_cores_events_are_counted_as_its_profile_has_them(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.in_form("native").run(interpreter, "pricing", "costs", COUNT, 1)
    profile = profile_of(result["table"])
    core = core_of(result["table"])
    found = read_counts(core)
    assert found.total.python + found.total.resumed == calls_of(profile, "", is_c=False)
    # Of `numbers`, and of `range` in it none.
    assert found.total.resumed == COUNT + 1
    assert found.total.method == calls_of(profile, "<method ", is_c=True)
    assert found.total.c == calls_of(profile, "", is_c=True) - found.total.method
    assert found.total.uncounted == sum(profile.column("uncounted"))
    functions = functions_at(core, set(found.functions))
    step = next(index for index, function in functions.items() if function.name == "step")
    had = found.functions[step].counts
    # What it calls goes with it.
    assert (had.python, had.c, had.method) == (COUNT, COUNT, COUNT)


def test_calls_that_there_is_no_room_for_are_counted_too(drivers: Drivers, interpreter: Interpreter) -> None:
    before, after = drivers.run(interpreter, "pricing", "crowded", COUNT, LITTLE_BYTES)["told"]
    assert after["counts"]["python"] - before["counts"]["python"] >= COUNT
    result = drivers.in_form("native").run(interpreter, "pricing", "crowded", COUNT, LITTLE_BYTES)
    found = read_counts(core_of(result["table"]))
    assert result["lost"] >= COUNT
    assert found.functions[NOBODY].counts.python == result["lost"]
    # There are no C functions, and none is among what costs as one.
    assert (found.total.c, found.total.method) == (0, 0)


@pytest.mark.parametrize(("ns_a_call", "c_ns"), [(1000, 300_000), (2_000_000, 0)])
def test_a_core_tells_what_is_resumed_what_was_timed_and_which_c_functions_do_not_wait(
    ns_a_call: int, c_ns: int
) -> None:
    found = read_counts(tables([100, 200, 300], ns_a_call=ns_a_call, kinds={2: IS_RESUMED, 3: IS_C}, timed=(7, 90)))
    python_ns = 300 * ns_a_call
    assert found.total == Counts(100, 200, 300, python_ns=python_ns, c_ns=c_ns, timed=21, timed_ns=270)
    # All the time of C functions is their caller's, which may wait.
    assert found.functions[NOBODY].ns == 300 * ns_a_call
    assert found.functions[2].counts.resumed == 200


def test_what_came_since_an_earlier_copy_is_told_by_function(drivers: Drivers, local_interpreter: Interpreter) -> None:
    result = drivers.in_form("native").run(local_interpreter, "pricing", "costs", COUNT, 1)
    found = read_counts(core_of(result["table"]))
    assert all(one.counts.events == 0 and one.ns == 0 for one in found.since(found))
    assert {one.index for one in found.since(found)} == set(found.functions) - {NOBODY}


def test_garbage_is_no_tables(drivers: Drivers, local_interpreter: Interpreter) -> None:
    core = core_of(drivers.in_form("native").run(local_interpreter, "pricing", "costs", COUNT, 1)["table"])
    with pytest.raises(ProfileCorrupt):
        read_counts(core[:100])
    known, refused = set(read_counts(core).functions), 0
    for place in range(192, len(core), 4):
        changed = core[:place] + b"\xf7\xff\xff\x7f" + core[place + 4 :]
        try:
            found = read_counts(changed)
            functions = functions_at(changed, known)
        except ProfileCorrupt:
            refused += 1
            continue
        # Nothing is told of what the tables have no row for.
        assert set(found.functions) - {NOBODY} <= set(range(coretables.read_head(changed).counts[2]))
        assert set(functions) <= known
    assert refused > 0
