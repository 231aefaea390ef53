"""Recordings in time slices; in the native form, below 3.12."""

import os
import sys
import threading
import time
from time import perf_counter_ns

import measuring
from execd_agent.collectors import Refused
from execd_agent.collectors.calls import Calls

LEAST_SPENT_NS = 1_500_000_000


class Sliced(measuring.Agent):
    """A recording whose slices begin and end where it is told to, or by themselves."""

    def begin(self):
        """Goes on in slices, with a pause first."""
        self.do(lambda: self.collector.slice(0.5))
        self.switch()

    def switch(self):
        """Ends a pause, or begins one."""
        self.do(self.collector.slices._switch)

    def go(self, share):
        """Goes on in slices for a share of the time, until `halt`."""
        ready, self._told = os.pipe()

        def turns():
            self.collector.slice(share)
            while not self.collector.slices.turn(ready):
                pass

        self._order = turns
        self._ordered.release()

    def halt(self):
        """No slice more."""
        os.write(self._told, b"x")
        self._done.acquire()


class Waiting:
    """A thread that waits until it is told to go on, and calls what it is given then."""

    def __init__(self, name):
        self.told, self.done = threading.Lock(), threading.Lock()
        self.told.acquire()
        self.done.acquire()
        self.action = None
        self.thread = threading.Thread(target=self.wait, name=name)
        self.thread.start()

    def wait(self):
        """One action after the other, None for the last."""
        while True:
            self.told.acquire()
            if self.action is None:
                break
            self.action()
            self.done.release()

    def do(self, action):
        """Has it call something, and waits."""
        self.action = action
        self.told.release()
        self.done.acquire()

    def end(self):
        """Ends it."""
        self.action = None
        self.told.release()
        self.thread.join()


def leaf():
    """Called by all."""
    return 1


def short():
    """Calls once."""
    return leaf()


def other():
    """Called by others than `short`."""
    return leaf()


def pause(seconds):
    """Passes time in a function of its own. How long it was at least, ns."""
    began = perf_counter_ns()
    time.sleep(seconds)
    return perf_counter_ns() - began


def counted(stop_in_pause):
    """Calls in slices and in pauses: of a function that is open all the time, and of ones that begin in a pause."""
    agent = Sliced()
    agent.start()

    def inner(times):
        for _ in range(times):
            short()
        agent.switch()
        for _ in range(times):
            short()

    def outer():
        for _ in range(3):
            short()
        agent.begin()
        for _ in range(100):
            short()
        # It begins in a pause, and is open when the slice begins; the second one begins in the slice.
        inner(5)
        inner(7)
        inner(11)

    outer()
    if stop_in_pause:
        agent.switch()
    agent.stop()
    return agent.result(value=1)


def timed():
    """Time that goes by in a slice and in pauses, within functions that are open all the time."""
    agent = Sliced()
    agent.start()

    def outer():
        agent.begin()
        missed = pause(0.3)
        agent.switch()
        heard = pause(0.1)
        agent.switch()
        return heard, missed + pause(0.2)

    began = perf_counter_ns()
    heard, missed = outer()
    span = perf_counter_ns() - began
    agent.stop()
    return agent.result(heard_ns=heard, missed_ns=missed, spent_ns=span)


def c_function():
    """A C function that is running when a slice ends, and when the next one begins, in which it returns."""
    agent = Sliced()
    agent.start()
    heard = []

    def two_slices():
        agent.collector.slice(0.5)
        agent.collector.slices._switch()
        time.sleep(0.3)
        agent.collector.slices._switch()
        heard.append(pause(0.2))

    def outer():
        agent.do(two_slices)
        short()

    outer()
    agent.stop()
    return agent.result(heard_ns=heard[0])


def threads():
    """Threads: one that has no event in a slice, one that begins in a pause, one that begins in a slice."""
    agent = Sliced()
    idle = Waiting("idle")
    agent.start()
    agent.begin()
    in_pause = Waiting("in pause")
    in_pause.do(other)
    agent.switch()
    heard = pause(0.1)
    in_pause.do(short)
    in_slice = Waiting("in slice")
    in_slice.do(short)
    agent.switch()
    in_slice.do(other)
    agent.switch()
    in_slice.do(short)
    agent.switch()
    agent.stop()
    for one in (idle, in_pause, in_slice):
        one.end()
    return agent.result(heard_ns=heard)


def slots():
    """What is in the slots of threads, and in threading's, in a pause and in a slice."""
    agent = Sliced()
    agent.start()
    seen = [_seen()]
    agent.begin()
    seen.append(_seen())
    agent.switch()
    seen.append(_seen())
    agent.switch()
    agent.do(agent.collector.poll)
    seen.append(_seen())
    agent.stop()
    seen.append(_seen())
    return agent.result(seen=seen)


def _seen():
    return [sys.getprofile() is not None, threading._profile_hook is not None]


def forked(in_pause):
    """A child that is forked in a pause, or in a slice: nothing is on in it."""
    agent = Sliced()
    agent.start()
    agent.begin()
    if not in_pause:
        agent.switch()
    pid = os.fork()
    if pid == 0:
        agent.collector.stop()
        short()
        os._exit(0 if _seen() == [False, False] and agent.collector._core.copy() is None else 1)
    _, status = os.waitpid(pid, 0)
    if in_pause:
        agent.switch()
    for _ in range(9):
        short()
    agent.stop()
    return agent.result(status=status)


def joined():
    """Another recording begins in a pause: it hears all, and so does the first one from then on."""
    agent = Sliced()
    agent.start()
    agent.begin()
    second = measuring.Agent(Calls({}))
    # One thread does it all in a target.
    agent.do(second.collector.start)
    for _ in range(9):
        short()
    said = []

    def again():
        try:
            agent.collector.slice(0.5)
        except Refused as refused:
            said.append(str(refused))

    agent.do(again)
    agent.do(second.collector.stop)
    agent.stop()
    return agent.result(second=second.result()["table"], said=said)


def refused():
    """Where there are no slices."""
    agent = measuring.Agent()
    agent.start()
    said = []

    def ask(share):
        try:
            agent.collector.slice(share)
        except Refused as why:
            said.append(str(why))

    for share in (0, 1, 0.5):
        agent.do(lambda share=share: ask(share))
    short()
    agent.stop()
    return agent.result(said=said)


def spin(rounds):
    """Takes processor time without a call of Python's."""
    found = 1
    for step in range(rounds):
        found = (found * 31 + step) % 1009
    return found


def often(tally):
    """Called three times as often as `seldom`, a fifth of its work."""
    began = time.thread_time_ns()
    spin(200)
    tally[0] += 1
    tally[1] += time.thread_time_ns() - began


def seldom(tally):
    """See `often`."""
    began = time.thread_time_ns()
    spin(1000)
    tally[0] += 1
    tally[1] += time.thread_time_ns() - began


def shared(percent, slices, threads):
    """Two functions of known shares in slices of their own time; some threads wait beside them."""
    # Of processor time: what others take of the machine is nobody's.
    agent = Sliced(clock="cpu")
    waiting = [Waiting(f"waiting {number}") for number in range(threads)]
    agent.start()
    agent.go(percent / 100)
    tallies = [0, 0], [0, 0]
    deadline, began = time.monotonic() + 30, time.thread_time_ns()
    # On a machine that has other things to do there may be little of it in many slices.
    while time.monotonic() < deadline and not (
        agent.collector.slices is not None
        and agent.collector.slices._slices >= slices
        and time.thread_time_ns() - began >= LEAST_SPENT_NS
    ):
        for _ in range(3):
            often(tallies[0])
        seldom(tallies[1])
    agent.halt()
    agent.stop()
    for one in waiting:
        one.end()
    return agent.result(tallies=tallies, slices=agent.collector.slices._slices)


if __name__ == "__main__":
    measuring.serve(
        {
            "counted": counted,
            "timed": timed,
            "c_function": c_function,
            "threads": threads,
            "slots": slots,
            "forked": forked,
            "joined": joined,
            "refused": refused,
            "shared": shared,
        }
    )
