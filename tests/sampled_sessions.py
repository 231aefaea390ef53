"""Sessions of samples: how tests begin one, and what they find in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from execd.model import codec
from execd_api.v1 import sessions_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemons import Daemon
    from execd.model.profile import Profile
    from execd_api.v1.sessions_pb2 import Session
    from programs import Program

VERSIONS = ("3.9", "3.12", "3.15")
RATE_HZ = 500.0
# What is waited for; no figure depends on how long that takes.
LIMIT_S = 30.0
# The end of a process must be told of within 2 s.
END_S = 6.0
LEAST = 100
FEW = 5
GONE = sessions_pb2.SESSION_STATE_TARGET_GONE
STOPPED = sessions_pb2.SESSION_STATE_STOPPED
STATES = ("running_with_gil", "running_without", "waiting_with_gil", "waiting_for_gil", "waiting")
HELD = ("fds", "threads", "profile", "trace", "tools", "filters", "switch_interval_s")
ENDS = {"killed": "has ended", "executes": "executes another program now"}
LAST_INSTANT_S = 0.2
CHILDREN = 3
# Of 10 s each: the one that goes on, and the one before while its last second is kept.
KEPT_SLICES = 2
FEWEST_MADE = 4
CALLS = sessions_pb2.SessionSpec(collector="calls", options_json="{}")


def spec(*, children: bool = False, **options: Any) -> sessions_pb2.SessionSpec:
    """A session of samples."""
    given = json.dumps({"rate_hz": RATE_HZ, **options})
    return sessions_pb2.SessionSpec(collector="samples", options_json=given, children=children)


def sampled(daemon: Daemon, program: Program, **options: Any) -> Session:
    """Begins to sample a program."""
    return daemon.attach(program.pid, spec(**options)).sessions[0]


def profile_of(daemon: Daemon, session: str) -> Profile:
    """The newest profile of a session."""
    return codec.decode(daemon.final_profile(session))


def samples(daemon: Daemon, session: str) -> int:
    """How many samples a session has by now."""
    daemon.snapshot(session)
    return sum(profile_of(daemon, session).column("samples"))


def has_samples(daemon: Daemon, session: str, least: int = LEAST) -> Callable[[], bool]:
    """Whether a session has so many by now."""
    return lambda: samples(daemon, session) >= least


def names(profile: Profile) -> set[str]:
    """The functions that have samples, or what they called."""
    return {profile.functions[profile.function_of(node)].name for node in range(len(profile.parents))}


def count_of(profile: Profile, name: str) -> int:
    """How many samples were in a function itself."""
    samples = profile.column("samples")
    return sum(one for node, one in enumerate(samples) if profile.functions[profile.function_of(node)].name == name)


def rounds(program: Program) -> int:
    """How far the program has come."""
    count: int = program.ask_json("counters")["leaf"]
    return count
