"""How the calls collector gets on with hooks that the program or another tool has set, and what it leaves."""

import cProfile
import gc
import json
import os
import sys
import threading
import warnings

import measuring
import tracked
import tracking
from execd_agent.collectors import slothooks
from execd_agent.collectors.threadstates import ThreadStates

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


def forked_in_the_midst():
    """The hooks before, and those of a child that was forked while they were being taken out, once it has done so."""
    before = hooks()
    agent = measuring.Agent()
    agent.start()
    branch()
    reached, go_on = threading.Event(), threading.Event()
    # What is called on the way, by either kind of hooks.
    place, name = (slothooks._hooks["profile"], "_settings_before") if MONITORING is None else midst_of_monitoring()
    whole = getattr(place, name)

    def interrupted(*arguments):
        reached.set()
        go_on.wait()
        return whole(*arguments)

    setattr(place, name, interrupted)
    stopping = threading.Thread(target=agent.stop)
    stopping.start()
    reached.wait()
    reading, writing = os.pipe()
    warnings.simplefilter("ignore")
    if os.fork() == 0:
        setattr(place, name, whole)
        agent.collector.stop()
        os.write(writing, json.dumps(hooks()).encode())
        os._exit(0)
    os.close(writing)
    go_on.set()
    stopping.join()
    os.wait()
    with open(reading, encoding="utf-8") as child:
        return agent.result(hooks=[before, json.load(child), hooks()])


def midst_of_monitoring():
    """What its hooks call while their tool id is given back."""
    return sys.modules["execd_agent.collectors.monitoringhooks"]._hooks, "_remove_callbacks"


def own_profile_function():
    """A profile function of the program's own: what it is told of without and with the collector."""
    heard = []

    def listen(frame, event, _argument):
        if frame.f_code.co_name in ("leaf", "branch"):
            heard.append(f"{event} {frame.f_code.co_name}")

    # A thread that has none must not stand in the way of one that has.
    idle = threading.Event()
    threading.Thread(target=idle.wait, daemon=True).start()
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


def forced():
    """CProfile is active before, while and after the collector records: what it counts alone and beside it."""
    agent = measuring.Agent(force=True)

    def profiled(*, acts):
        profiler = cProfile.Profile()
        profiler.enable()
        branch()
        agent.do(agent._start if acts else list)
        sorted([2, 1], key=lambda _: leaf())
        branch()
        agent.do(agent.collector.stop if acts else list)
        branch()
        profiler.disable()
        profiler.create_stats()
        own = [(key, value[:2]) for key, value in profiler.stats.items() if key[0] == __file__ or "sorted" in key[2]]
        return sorted([key[2], *value] for key, value in own), profiler

    (alone, _), (together, profiler) = profiled(acts=False), profiled(acts=True)
    references = sys.getrefcount(profiler)
    slothooks.retired.clear()
    gc.collect()
    kept = [references - sys.getrefcount(profiler), sys.getprofile() is None]
    return agent.result(alone=alone, together=together, kept=kept, later_caveats=list(agent.collector._hooks.caveats))


def forced_and_ended():
    """CProfile is disabled while the collector records, and must not come back."""
    profiler = cProfile.Profile()
    profiler.enable()
    agent = measuring.Agent(force=True)
    agent.start()
    branch()
    profiler.disable()
    agent.do(agent.collector.poll)
    branch()
    agent.stop()
    branch()
    profiler.create_stats()
    counts = {key[2]: value[1] for key, value in profiler.stats.items() if key[2] in ("leaf", "branch")}
    return agent.result(counts=counts, left=hooks())


def forced_and_switched_off():
    """CProfile is disabled just when the collector looks at what the threads have."""
    profiler = cProfile.Profile()
    enabled, due, disabled = threading.Event(), threading.Event(), threading.Event()
    look = ThreadStates.objects

    def profiled():
        profiler.enable()
        enabled.set()
        due.wait()
        profiler.disable()
        disabled.set()

    def look_late(states, seen):
        ThreadStates.objects = look
        due.set()
        disabled.wait()
        return look(states, seen)

    threading.Thread(target=profiled).start()
    enabled.wait()
    ThreadStates.objects = look_late
    agent = measuring.Agent(force=True)
    agent.start()
    if agent.refused:
        return agent.refusal()
    branch()
    agent.stop()
    return agent.result(later_caveats=list(agent.collector._hooks.caveats))


def forced_coverage():
    """What coverage.py's tracer in C notes of known work, alone and beside the collector."""
    sys.path.append(os.environ["PACKAGES"])
    import coverage  # noqa: PLC0415 - where its folder is known only

    def covered(*, acts):
        tool = coverage.Coverage(data_file=None, config_file=False, branch=True, include=["*/tracked.py"])
        agent = measuring.Agent(tracking.collector("lines", force=True))
        tool.start()
        tracked.loops()
        agent.do(agent._start if acts else list)
        tracked.run()
        agent.do(agent.collector.stop if acts else list)
        tracked.exceptions()
        tool.stop()
        data = tool.get_data()
        return [[sorted(data.lines(file)), sorted(data.arcs(file))] for file in data.measured_files()], agent

    tracking.warmed()
    expected = tracking.oracle_lines(tracked.run)
    (alone, _), (together, agent) = covered(acts=False), covered(acts=True)
    return agent.result(alone=alone, together=together, expected=expected)


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
            "forked_in_the_midst": forked_in_the_midst,
            "own_profile_function": own_profile_function,
            "replaced_meanwhile": replaced_meanwhile,
            "beside_cprofile": beside_cprofile,
            "forced": forced,
            "forced_and_ended": forced_and_ended,
            "forced_and_switched_off": forced_and_switched_off,
            "forced_coverage": forced_coverage,
            "taken": taken,
            "stolen": stolen,
            "without_ctypes": without_ctypes,
        }
    )
