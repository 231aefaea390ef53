"""A program that takes hooks off, or sets its own, while somebody else may have set theirs.

Known: "work N" runs N passes of the workload; "hooks" answers what is set, by name; "heard" answers how many calls of
the workload's `fibonacci` the program's own hooks were told of; "fork" answers the exit code of a child; each other
command is a name of ACTIONS, does that and answers true. Functions of this file are named in "hooks" as they are,
those of others by their representation.
"""

import atexit
import gc
import os
import sys
import threading
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol
import workload

MONITORING = getattr(sys, "monitoring", None)
# The ids that no well-known tool uses.
FREE_IDS = (3, 4)
OWN = "rehooking"
HEARD = [0]


def listen(frame, event, _argument):
    """A profile function."""
    HEARD[0] += event == "call" and frame.f_code is workload.fibonacci.__code__


def trace(frame, event, _argument):
    """A trace function that wants no lines."""
    HEARD[0] += event == "call" and frame.f_code is workload.fibonacci.__code__


def on_start(code, _offset):
    """A callback of sys.monitoring."""
    HEARD[0] += code is workload.fibonacci.__code__


def collected(_phase, _facts):
    """A callback of the garbage collector."""


def nothing():
    """Something to be called at a fork."""


def trace_both():
    """This thread and later ones."""
    threading.settrace(trace)
    sys.settrace(trace)


def free_tools():
    """Gives ids back, whoever has them."""
    for tool_id in FREE_IDS:
        MONITORING.free_tool_id(tool_id)


def take_tools():
    """Takes them from whoever has them."""
    free_tools()
    for tool_id in FREE_IDS:
        MONITORING.use_tool_id(tool_id, OWN)
    MONITORING.register_callback(FREE_IDS[0], MONITORING.events.PY_START, on_start)
    MONITORING.set_events(FREE_IDS[0], MONITORING.events.PY_START)


def switch_events_off():
    """Of all ids, whoever has them."""
    for tool_id in range(6):
        if MONITORING.get_tool(tool_id) is not None:
            MONITORING.set_events(tool_id, 0)


def replace_callback():
    """One of whoever has the id."""
    MONITORING.register_callback(FREE_IDS[0], MONITORING.events.PY_START, on_start)


def replace_collector_callbacks():
    """With one of its own."""
    gc.callbacks[:] = [collected]


def raise_all_warnings():
    """By filters of its own alone."""
    warnings.filters = []
    warnings.simplefilter("error")


def raise_more_warnings():
    """By one more filter, which stands first."""
    warnings.simplefilter("error")


ACTIONS = {
    "no-profile": lambda: sys.setprofile(None),
    "own-profile": lambda: sys.setprofile(listen),
    "no-threading-profile": lambda: threading.setprofile(None),
    "own-threading-profile": lambda: threading.setprofile(listen),
    "own-trace": trace_both,
    "free-tools": free_tools,
    "take-tools": take_tools,
    "no-events": switch_events_off,
    "own-callback": replace_callback,
    "own-collector-callbacks": replace_collector_callbacks,
    "own-filters": raise_all_warnings,
    "one-more-filter": raise_more_warnings,
    "no-exit-functions": atexit._clear,  # noqa: SLF001 -- as programs do
    "own-fork-hook": lambda: os.register_at_fork(before=nothing, after_in_parent=nothing, after_in_child=nothing),
}


def named(found):
    """A hook by its name where it is this program's."""
    return found.__name__ if getattr(found, "__module__", "") == __name__ else repr(found)


def tools():
    """The owner of each id, its events, and the callbacks that the free ids have; those are taken off."""
    if MONITORING is None:
        return []
    found = []
    for tool_id in range(6):
        owner = MONITORING.get_tool(tool_id)
        bits = [1 << bit for bit in range(15)] if owner is None and tool_id in FREE_IDS else []
        callbacks = [named(MONITORING.register_callback(tool_id, bit, None)) for bit in bits]
        if owner is None:
            # Its events can be seen by an owner only; before 3.14 they outlive him.
            MONITORING.use_tool_id(tool_id, OWN)
        found.append([owner, MONITORING.get_events(tool_id), sorted(set(callbacks) - {"None"})])
        if owner is None:
            MONITORING.free_tool_id(tool_id)
    return found


def hooks():
    """What is set."""
    return {
        "profile": named(sys.getprofile()),
        "trace": named(sys.gettrace()),
        "threading": [named(vars(threading)[name]) for name in ("_profile_hook", "_trace_hook")],
        "tools": tools(),
        "collector": list(map(named, gc.callbacks)),
        "filters": [repr(entry) for entry in warnings.filters],
        "exit": atexit._ncallbacks(),  # noqa: SLF001 -- there is no other way to see them
    }


def fork():
    """The exit code of a child that does nothing."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    return os.waitpid(child, 0)[1]


def does(action):
    """A command that does an action."""

    def do():
        action()
        return True

    return do


def main():
    """Ends with stdin."""
    actions = {name: does(action) for name, action in ACTIONS.items()}
    line_protocol.ready()
    line_protocol.serve(
        {**actions, "work": workload.repeat, "hooks": hooks, "heard": lambda: HEARD[0], "fork": fork},
    )


if __name__ == "__main__":
    main()
