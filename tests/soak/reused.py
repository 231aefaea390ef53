"""PIDs that are used again: a target that is sampled ends, and another program gets its number.

As a program it runs in a PID namespace of its own, where it decides which PID comes next. Its arguments are how often,
and a command line of an interpreter; it prints what came of it, as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from daemons import Daemon
from execd_api.v1.sessions_pb2 import SessionSpec
from footprint import becomes
from reusing_pids import end, replaced, start
from soak.kills import GONE, Toll
from soak.sampled import GIVE_UP_S, RATE_HZ, held_threads, versions

if TYPE_CHECKING:
    from random import Random

    from soak.bench import Bench

NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
SPEC = SessionSpec(collector="samples", options_json=json.dumps({"rate_hz": RATE_HZ, "stopping": "always"}))
END_S = 2.0
SAMPLED_S = 0.05
EACH_S = 30.0
OUTCOMES = ("well", "late")


def reuse_pids(bench: Bench, random: Random, count: int) -> Toll:
    """So many times, on one version."""
    toll = Toll()
    # Those of other roots see no processes of a new namespace.
    local = [bench.interpreters[version] for version in versions(bench) if not bench.interpreters[version].root]
    if os.geteuid() or not local:
        toll.count("not possible here")
        return toll
    command = [*NAMESPACE, sys.executable, "-m", "soak.reused", str(count), random.choice(local).executable]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    limit_s = EACH_S * (count + 1)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit_s, check=False)
    if done.returncode:
        toll.failures.append(done.stderr)
        return toll
    answer = json.loads(done.stdout)
    toll.failures += answer["failures"]
    toll.outcomes.update(answer["outcomes"])
    toll.recovery_s += answer["took_s"]
    return toll


def reuse(executable: str, daemon: Daemon, toll: Toll) -> None:
    """Samples a program, puts another one in its place, and looks at what becomes of the session."""
    first = start(executable)
    session = daemon.attach(first.pid, SPEC).sessions[0].id
    time.sleep(SAMPLED_S)
    began = time.monotonic()
    second = replaced(first, executable)
    # The session of the first one is over before the second one is asked for: it would be joined else.
    if not becomes(lambda: bool(daemon.session(session).ended_at), GIVE_UP_S):
        toll.failures.append(f"{session} goes on with another process of the same PID")
    toll.recovery_s.append(time.monotonic() - began)
    toll.count(OUTCOMES[toll.recovery_s[-1] > END_S])
    ended = daemon.session(session)
    if (ended.state, ended.reason) != (GONE, f"process {first.pid} has ended"):
        toll.failures.append(f"{session} ended in state {ended.state} as {ended.reason!r}")
    if held := held_threads(second.pid):
        toll.failures.append(f"the second process is held: {held}")
    again = daemon.attach(second.pid, SPEC).sessions[0]
    if again.id == session or again.ended_at:
        toll.failures.append("the second process cannot be sampled")
    daemon.detach(second.pid)
    end(second)


def main(count: int, executable: str) -> None:
    """Prints what came of it."""
    toll = Toll()
    with Daemon() as daemon:
        for _ in range(count):
            reuse(executable, daemon, toll)
    answer = {"failures": toll.failures, "outcomes": toll.outcomes, "took_s": toll.recovery_s}
    Path("/dev/stdout").write_text(json.dumps(answer))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
