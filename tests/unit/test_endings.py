"""execd.endings: the first cause ends the wait, whichever thread it comes to."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from execd.endings import Endings

if TYPE_CHECKING:
    from collections.abc import Iterator

# No test uses these two.
USED, UNUSED = signal.SIGUSR1, signal.SIGUSR2


@pytest.fixture
def endings() -> Iterator[Endings]:
    before = {number: signal.getsignal(number) for number in (USED, UNUSED)}
    found = Endings([USED])
    yield found
    found.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_that_came_before_the_wait_ends_it(endings: Endings) -> None:
    os.kill(os.getpid(), USED)
    assert endings.wait() == "SIGUSR1"


def test_a_signal_that_another_thread_gets_ends_the_wait(endings: Endings) -> None:
    thread = threading.Timer(0.1, lambda: signal.pthread_kill(threading.get_ident(), USED))
    thread.start()
    assert endings.wait() == "SIGUSR1"
    thread.join()


def test_a_shutdown_ends_the_wait_from_any_thread(endings: Endings) -> None:
    thread = threading.Timer(0.1, endings.shut_down)
    thread.start()
    assert endings.wait() == "Shutdown"
    thread.join()


def test_a_signal_that_is_no_end_is_none(endings: Endings) -> None:
    signal.signal(UNUSED, lambda *_: None)
    os.kill(os.getpid(), UNUSED)
    endings.shut_down()
    assert endings.wait() == "Shutdown"


def test_however_many_come_the_first_is_the_cause(endings: Endings) -> None:
    endings.shut_down()
    for _ in range(1 << 17):
        endings.shut_down()
    assert endings.wait() == "Shutdown"
