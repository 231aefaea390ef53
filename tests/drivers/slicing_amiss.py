"""Recordings in time slices: threads that end unheard, questions that take long, audit hooks that come."""

import os
import sys
import time
from time import perf_counter_ns

import measuring
from execd_agent.collectors import nativecalls
from execd_agent.collectors.calls import Calls
from slicing import Sliced, Waiting, other, pause, short


def reused(has_event):
    """A thread that had no event ends in a pause, and one that begins there is given its number."""
    agent = Sliced()
    first = Waiting("first")
    agent.start()
    agent.begin()
    left = len(os.listdir("/proc/self/task")) - 1
    first.end()
    # Its number is free when it has gone altogether.
    while len(os.listdir("/proc/self/task")) > left:
        time.sleep(0.001)
    second = Waiting("second")
    agent.switch()
    if has_event:
        second.do(short)
    # One that had no event yet is known from the end of a slice on.
    agent.switch()
    agent.switch()
    heard = pause(0.1)
    agent.switch()
    agent.stop()
    second.end()
    return agent.result(heard_ns=heard, is_same=first.thread.ident == second.thread.ident)


def asked_late():
    """What a code says is asked in one slice, and known in the next one."""
    agent = Sliced()
    agent.start()
    agent.begin()
    agent.switch()
    described, missed = nativecalls._described_code, []

    def slowly(code):
        if code is other.__code__ and not missed:
            agent.switch()
            missed.append(pause(0.3))
            agent.switch()
        return described(code)

    nativecalls._described_code = slowly
    began = perf_counter_ns()
    other()
    span = perf_counter_ns() - began
    nativecalls._described_code = described
    agent.stop()
    return agent.result(missed_ns=missed[0], spent_ns=span)


def running():
    """A slice that goes on while somebody looks."""
    agent = Sliced()
    agent.start()
    agent.begin()
    agent.switch()
    heard = pause(0.2)
    seen = []
    agent.do(lambda: seen.append(agent.result(heard_ns=heard)))
    return seen[0]


def audited():
    """An audit hook comes in a pause, and another recording, which is to hear all."""
    agent = Sliced()
    agent.start()
    agent.begin()
    second = measuring.Agent(Calls({}))
    sys.addaudithook(lambda *_: None)
    agent.do(second.collector.start)
    agent.do(second.collector.stop)
    agent.stop()
    return {"broken": agent.collector.broken}


if __name__ == "__main__":
    measuring.serve({"reused": reused, "asked_late": asked_late, "running": running, "audited": audited})
