"""How the calls collector gets on with hooks that the program or another tool has set, and what it leaves."""

import cProfile
import sys
import threading

import measuring

MONITORING = getattr(sys, "monitoring", None)


def leaf():
    """Called by `branch`."""
    return 1


def branch():
    """Calls `leaf` twice."""
    return leaf() + leaf()


def hooks():
    """What is set in this thread and in the interpreter."""
    return {
        "profile": repr(sys.getprofile()),
        "trace": repr(sys.gettrace()),
        "threading_profile": repr(threading._profile_hook),
        "tools": [MONITORING.get_tool(tool_id) for tool_id in range(6)] if MONITORING else [],
        "events": [MONITORING.get_events(tool_id) for tool_id in range(6) if MONITORING.get_tool(tool_id)]
        if MONITORING
        else [],
    }


def nothing_left():
    """The hooks before, while it records, and after."""
    found = [hooks()]
    agent = measuring.Agent()
    agent.start()
    branch()
    found.append(hooks())
    agent.stop()
    branch()
    found.append(hooks())
    return agent.result(hooks=found)


def own_profile_function():
    """A profile function of the program's own: what it is told of without and with the collector."""
    heard = []

    def listen(frame, event, _argument):
        if frame.f_code.co_name in ("leaf", "branch"):
            heard.append(f"{event} {frame.f_code.co_name}")

    sys.setprofile(listen)
    branch()
    alone = list(heard)
    heard.clear()
    agent = measuring.Agent()
    agent.start()
    branch()
    agent.stop()
    together = list(heard)
    restored = sys.getprofile() is listen
    sys.setprofile(None)
    return agent.result(alone=alone, together=together, restored=restored)


def replaced_meanwhile():
    """The program sets a profile function while it is recorded, which must stay."""
    heard = []

    def listen(_frame, event, _argument):
        heard.append(event)

    agent = measuring.Agent()
    agent.start()
    branch()
    sys.setprofile(listen)
    agent.stop()
    kept = sys.getprofile() is listen
    sys.setprofile(None)
    return agent.result(kept=kept, later_caveats=list(agent.collector._hooks.caveats))


def beside_cprofile():
    """CProfile is active when the collector is to start; its counts are told, and whether it still counts after."""
    profiler = cProfile.Profile()
    profiler.enable()
    agent = measuring.Agent()
    agent.start()
    branch()
    if not agent.refused:
        agent.stop()
    branch()
    profiler.disable()
    profiler.create_stats()
    counts = {key[2]: value[1] for key, value in profiler.stats.items() if key[2] in ("leaf", "branch")}
    return {**(agent.refusal() if agent.refused else agent.result()), "counts": counts}


def taken(*tool_ids):
    """Other tools hold monitoring ids."""
    for tool_id in tool_ids:
        MONITORING.use_tool_id(tool_id, f"tool-{tool_id}")
    agent = measuring.Agent()
    agent.start()
    if agent.refused:
        return {**agent.refusal(), "tools": hooks()["tools"]}
    used = hooks()["tools"]
    branch()
    agent.stop()
    return agent.result(tools=used, after=hooks()["tools"])


def stolen():
    """Another tool takes the collector's id over while it records."""
    agent = measuring.Agent()
    agent.start()
    branch()
    MONITORING.free_tool_id(3)
    MONITORING.use_tool_id(3, "thief")
    agent.stop()
    return agent.result(tools=hooks()["tools"], later_caveats=list(agent.collector._hooks.caveats))


def without_ctypes():
    """An interpreter that was built without libffi."""
    sys.modules["_ctypes"] = None
    agent = measuring.Agent()
    agent.start()
    if agent.refused:
        return agent.refusal()
    branch()
    agent.stop()
    return agent.result()


if __name__ == "__main__":
    measuring.serve(
        {
            "nothing_left": nothing_left,
            "own_profile_function": own_profile_function,
            "replaced_meanwhile": replaced_meanwhile,
            "beside_cprofile": beside_cprofile,
            "taken": taken,
            "stolen": stolen,
            "without_ctypes": without_ctypes,
        }
    )
