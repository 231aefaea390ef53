"""What becomes of a local variable's object while calls are recorded: it goes as soon as the program lets go of it.

Nothing that starts a thread by itself may be imported before: a target without the threading module is what one test
is about.
"""

import _imp
import _thread
import base64
import json
import os
import sys
import weakref

FOLDER = os.path.dirname(os.path.abspath(__file__))


class Thing:
    """What a weak reference can be had of."""


def lives_on():
    """Whether an object is there still that a local variable alone had, after an event and its deletion."""
    thing = Thing()
    seen = weakref.ref(thing)
    len(())
    del thing
    return seen() is not None


def recorder():
    """A collector of the native form; none of the modules that it takes imports threading."""
    sys.path.insert(0, os.path.join(FOLDER, "..", "..", "inprocess"))
    import execd_agent  # noqa: PLC0415 - found by what stands above
    from execd_agent.collectors.nativecalls import NativeCalls  # noqa: PLC0415

    beside = os.path.join(os.path.dirname(execd_agent.__file__), "_core.abi3.so")
    path = os.environ.get("EXECD_TEST_CORE") or beside
    core = _imp.create_dynamic(type(sys.implementation)(name="execd_agent._core", origin=path))
    _imp.exec_dynamic(core)
    return NativeCalls(core, {"bias": 0.0})


class Agent:
    """A thread that does what it is told to, as the agent's would."""

    def __init__(self):
        self._order = None
        self._ordered, self._done = _thread.allocate_lock(), _thread.allocate_lock()
        self._ordered.acquire()
        self._done.acquire()
        _thread.start_new_thread(self._run, ())

    def do(self, order):
        """Let it do something, and wait."""
        self._order = order
        self._ordered.release()
        self._done.acquire()

    def _run(self):
        while True:
            self._ordered.acquire()
            self._order()
            self._done.release()


def in_threads():
    """The same in the main thread and in one that begins later, with the names of the functions in the profile."""
    agent, found = Agent(), {"had_threading": "threading" in sys.modules}
    made = []
    agent.do(lambda: made.append(recorder()))
    agent.do(lambda: found.update(caveats=made[0].start()))
    found["in_main"] = lives_on()
    import threading  # noqa: PLC0415 - while it is recorded

    beside = threading.Thread(target=lambda: (first_event(), found.update(beside=lives_on())))
    beside.start()
    beside.join()
    agent.do(made[0].stop)
    found["profile"] = repr(sys.getprofile())
    found["table"] = base64.b64encode(made[0].snapshot()).decode("ascii")
    return found


def first_event():
    """What a thread is heard of by for the first time, at the latest."""


if __name__ == "__main__":
    print(json.dumps(in_threads()))  # noqa: T201 - the test reads it
