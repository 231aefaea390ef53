"""Runs a collector of the agent in this process, as the agent's thread would, and tells what it recorded.

The first argument of each driver names one of its functions; what that returns is printed as JSON.
"""

import base64
import importlib.machinery
import importlib.util
import json
import os
import sys
import threading

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(FOLDER, "..", "targets"), os.path.join(FOLDER, "..", "..", "inprocess")]

import execd_agent  # noqa: E402 - found by what stands above
from execd_agent.collectors import Refused  # noqa: E402 - found by what stands above
from execd_agent.collectors.calls import Calls  # noqa: E402
from execd_agent.collectors.nativecalls import NativeCalls  # noqa: E402
from execd_agent.core import Unfit  # noqa: E402


def core_path():
    """Where the native core is; tests/sanitizing.py has one of its own."""
    return os.environ.get("EXECD_TEST_CORE") or os.path.join(os.path.dirname(execd_agent.__file__), "_core.abi3.so")


def calls_of(options):
    """The calls collector, in the form that is asked for; a timer is the Python form's."""
    if os.environ.get("EXECD_TEST_FORM") != "native" or options.get("timer"):
        return Calls(options)
    path = core_path()
    loader = importlib.machinery.ExtensionFileLoader("_core", path)
    core = importlib.util.module_from_spec(importlib.util.spec_from_loader("_core", loader))
    loader.exec_module(core)
    try:
        return NativeCalls(core, options)
    except Unfit:
        return Calls(options)


class Agent:
    """A thread of its own, which does with a collector what it is told to, one thing at a time."""

    def __init__(self, collector=None, **options):
        self.collector = collector
        self.caveats = []
        self.refused = ""
        self._order = None
        self._ordered, self._done = threading.Lock(), threading.Lock()
        self._ordered.acquire()
        self._done.acquire()
        threading.Thread(target=self._run, name="agent", daemon=True).start()
        if collector is None:
            # Where it is made in a target too.
            self.do(lambda: self._make(options))

    def start(self):
        """Arms every thread but the agent's own."""
        self.do(self._start)

    def stop(self):
        """Disarms."""
        self.do(self.collector.stop)

    def do(self, order):
        """Lets the agent's thread do something, and waits; these locks are all that a recording has of it."""
        self._order = order
        self._ordered.release()
        self._done.acquire()

    def result(self, **facts):
        """The table and what the test must know beside it; the process may not be measured any more."""
        raw = self.collector.snapshot()
        table = base64.b64encode(raw).decode("ascii")
        span_ns = json.loads(raw[4 : 4 + int.from_bytes(raw[:4], "little")])["span_ns"]
        return {"table": table, "span_ns": span_ns, "caveats": self.caveats, "refused": self.refused, **facts}

    def refusal(self):
        """Why it did not start."""
        return {"caveats": self.caveats, "refused": self.refused}

    def _make(self, options):
        self.collector = calls_of(options)

    def _start(self):
        try:
            self.caveats = self.collector.start()
        except Refused as refused:
            self.refused = str(refused)

    def _run(self):
        while True:
            self._ordered.acquire()
            self._order()
            self._done.release()


def measured(action, **options):
    """The result of measuring a function that the main thread calls."""
    agent = Agent(**options)
    agent.start()
    value = action()
    agent.stop()
    return agent.result(value=value)


def serve(actions):
    """Runs the function that the command line names, with its integer arguments, and prints what it returns."""
    name, *arguments = sys.argv[1:]
    print(json.dumps(actions[name](*map(int, arguments))))  # noqa: T201 - the test reads it
