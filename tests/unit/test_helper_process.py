"""A helper that is still at the order before: the time of the next one begins when it is read."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from execd.attach import helper_process
from execd.attach.helper_process import HelperProcess, Unread
from execd.errors import AttachTimeout

if TYPE_CHECKING:
    from collections.abc import Iterator

# It is busy for so many seconds, then it reads its order.
LATE = """
import json, socket, sys, time
control = socket.socket(fileno=0)
time.sleep(float(sys.argv[1]))
control.send(json.dumps({"order": json.loads(control.recv(1 << 20))["op"]}).encode())
control.recv(1)
"""
ORDER: dict[str, object] = {"op": "attach", "pid": 1}
BUSY_S = 2.0
TIMEOUT_S = 1.0
GRACE_S = 0.5
FOR_EVER_S = 60


@contextmanager
def late(busy_s: float) -> Iterator[HelperProcess]:
    """A helper of that kind."""
    process = HelperProcess([sys.executable, "-I", "-c", LATE, str(busy_s)])
    try:
        yield process
    finally:
        process.end()


def test_what_a_helper_tidies_up_takes_nothing_of_the_next_orders_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper_process, "_GRACE_S", GRACE_S)
    with late(BUSY_S) as helper:
        assert helper.order(ORDER, TIMEOUT_S, lambda: False) == ({"order": "attach"}, [])


def test_an_order_that_is_cancelled_before_it_is_read_is_never_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper_process, "_STOP_S", 0.1)
    with late(FOR_EVER_S) as helper:
        with pytest.raises(AttachTimeout, match="process 1 was cancelled before it began"):
            helper.order(ORDER, TIMEOUT_S, lambda: True)
        assert not helper.lives


def test_a_helper_that_does_not_come_to_its_order_is_ended_and_another_may_have_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(helper_process, "_TIDYING_S", 0.1)
    monkeypatch.setattr(helper_process, "_STOP_S", 0.1)
    with late(FOR_EVER_S) as helper:
        with pytest.raises(Unread):
            helper.order(ORDER, TIMEOUT_S, lambda: False)
        assert not helper.lives
