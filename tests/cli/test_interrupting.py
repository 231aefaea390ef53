"""Ctrl-C at any instant of a call: the wait ends at once, and the channel serves the calls that follow."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest
from cli.fake_daemon import REPORT
from execctl.client import Client
from execctl.interrupts import Bell, held
from execctl.query import ReportQuery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.fake_daemon import FakeDaemon

TRIES = 150
SPREAD_S = 0.004
PATIENCE_S = 20.0
WATCH_S = 60.0


@pytest.fixture(autouse=True)
def _ctrl_c_raises() -> Iterator[None]:
    """A job in the background has SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def watch_until_interrupted(client: Client, delay_s: float) -> None:
    """Watches a session that goes on, and is interrupted so long after that began."""
    finger = threading.Timer(delay_s, press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it may come at any line
        finger.start()
        with closing(client.watch("s1", WATCH_S)) as told:
            for _ in told:
                pass
    finger.join()


def test_the_channel_serves_on_after_an_interrupt_at_any_instant(daemon: FakeDaemon) -> None:
    chance = random.Random(20)  # noqa: S311 - instants, no secrets
    with Client(str(daemon.socket)) as client:
        for _ in range(TRIES):
            watch_until_interrupted(client, chance.uniform(0, SPREAD_S))
            assert client.render(ReportQuery("p7", "text")).data == REPORT
            # None is left to write into the pipe of a wait that is over.
            assert signal.set_wakeup_fd(-1) == -1


def test_ctrl_c_is_held_back_and_raised_at_the_end() -> None:
    passed = False
    with pytest.raises(KeyboardInterrupt), held():  # noqa: PT012 - what comes after the key
        press_ctrl_c()
        passed = True
    assert passed
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_is_told_before_an_interrupt_that_came_meanwhile() -> None:
    with pytest.raises(ValueError, match="this one"), held():  # noqa: PT012 - as above
        press_ctrl_c()
        raise ValueError("this one")


def test_a_signal_that_came_before_the_wait_ends_it() -> None:
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    with Bell(between_waits=True) as bell:
        press_ctrl_c()
        assert bell.wait(PATIENCE_S)
        assert not bell.wait(0)
        press_ctrl_c()
        # A call that is made meanwhile has a bell of its own.
        with Bell() as other:
            assert not other.wait(0)
        assert bell.wait(0)
    assert came == [signal.SIGINT] * 2
    assert signal.set_wakeup_fd(-1) == -1


def test_bells_of_one_thread_may_end_in_any_order() -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: came.append(number))
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer)
    try:
        with ExitStack() as first, ExitStack() as second:
            one, other = first.enter_context(Bell()), second.enter_context(Bell())
            one.ring()
            assert (one.wait(PATIENCE_S), other.wait(0)) == (True, False)
            first.close()
            finger = threading.Timer(SPREAD_S, os.kill, (os.getpid(), signal.SIGUSR1))
            finger.start()
            assert other.wait(PATIENCE_S)
            finger.join()
        assert came == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)
        # Whoever was told of signals before is told of them afterwards.
        assert signal.set_wakeup_fd(-1) == writer
        os.close(reader)
        os.close(writer)


def test_streams_of_one_thread_may_end_in_the_order_in_which_they_began(daemon: FakeDaemon) -> None:
    with Client(str(daemon.socket)) as client:
        one, other = client.watch("s1", WATCH_S), client.watch("s1", WATCH_S)
        with closing(other), closing(one):
            next(one)
            next(other)
        assert client.render(ReportQuery("p7", "text")).data == REPORT
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signal_that_another_thread_took_ends_the_wait() -> None:
    with Bell() as bell:
        ringer = threading.Thread(target=_take_a_signal)
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the handler runs after the wait
            ringer.start()
            while True:
                assert bell.wait(PATIENCE_S), "nothing woke it"
        ringer.join()


def _take_a_signal() -> None:
    time.sleep(SPREAD_S)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)


def test_a_ring_after_the_end_is_harmless() -> None:
    with Bell() as bell:
        pass
    reader, writer = os.pipe()
    bell.ring()
    os.set_blocking(reader, False)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    os.close(reader)
    os.close(writer)


def test_a_call_of_another_thread_is_answered(daemon: FakeDaemon) -> None:
    answers: list[bytes] = []
    with Client(str(daemon.socket)) as client:
        caller = threading.Thread(target=lambda: answers.append(client.render(ReportQuery("p7", "text")).data))
        caller.start()
        caller.join(PATIENCE_S)
    assert answers == [REPORT]
