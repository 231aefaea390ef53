"""What `execctl top` shows as windows come, keys are pressed, and the daemon falls silent; without a terminal."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from execctl.errors import NoDaemon, NotFound
from execctl.top.cells import Charset
from execctl.top.feed import Feed
from execctl.top.screen import Size, Subject
from execctl.top.showing import Showing
from seen_windows import Met, window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from execctl.api.windows import SampleWindow
    from execctl.top.screen import Line

SUBJECT = Subject("s1", 4711, ("python3", "orders.py"), "3.11.2")
LATER = [Met("later", (9, 9, 9), (9, 9, 9))]


class FakeFeed:
    """Brings windows when a test says so."""

    def __init__(self) -> None:
        self.windows: list[SampleWindow] = []
        self.has_ended = False
        self.last: Any = None
        self.error: Any = None
        self.failure: Exception | None = None

    def take(self) -> list[SampleWindow]:
        taken, self.windows = self.windows, []
        return taken


class FakeTerminal:
    """Notes what is painted, and does something before each key."""

    ended_by = 0
    is_gone = False
    charset = Charset()

    def __init__(self, *steps: str | Callable[[], None]) -> None:
        self._steps = list(steps)
        self.screens: list[str] = []

    def size(self) -> Size:
        return Size(80, 24)

    def paint(self, lines: Sequence[Line]) -> None:
        self.screens.append("\n".join("".join(span.text for span in line) for line in lines))

    def wait(self, _timeout_s: float) -> list[str]:
        if not self._steps:
            return ["q"]
        step = self._steps.pop(0)
        if isinstance(step, str):
            return [step]
        step()
        return []


def shown(feed: FakeFeed, *steps: str | Callable[[], None], interval_s: float = 1.0) -> list[str]:
    """The screens that a user sees."""
    terminal = FakeTerminal(*steps)
    Showing(SUBJECT, feed, interval_s).run(terminal)  # type: ignore[arg-type]
    return terminal.screens


def test_what_comes_while_it_is_paused_is_shown_afterwards() -> None:
    feed = FakeFeed()
    screens = shown(
        feed,
        lambda: feed.windows.append(window()),
        " ",
        lambda: feed.windows.append(window(LATER, (9, 0, 0, 0, 0))),
        " ",
    )
    assert ["tax_percent" in one for one in screens] == [False, True, True, True, True]
    assert ["later" in one for one in screens] == [False, False, False, False, True]
    assert ["PAUSED" in one for one in screens] == [False, False, True, True, False]


def test_a_new_beginning_is_seen_at_once() -> None:
    feed = FakeFeed()
    feed.windows.append(window())
    screens = shown(feed, "c", "r")
    assert ["tax_percent  " in one for one in screens] == [True, True, False]


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ({"last": ("s1", "process 4711 has ended")}, "process 4711 has ended"),
        ({"last": ("s1", "")}, "s1 was stopped"),
        ({}, "s1 has ended; nothing is kept of it"),
        ({"error": NoDaemon("the daemon is gone")}, "the daemon is gone"),
    ],
)
def test_an_end_is_told_and_the_table_stays(ending: dict[str, Any], said: str) -> None:
    class Ended:
        """A session."""

        def __init__(self, identifier: str, reason: str) -> None:
            self.id, self.reason = identifier, reason

    feed = FakeFeed()
    feed.windows.append(window())

    def end() -> None:
        feed.has_ended = True
        feed.error = ending.get("error")
        feed.last = Ended(*ending["last"]) if "last" in ending else None

    screens = shown(feed, end, "g")
    assert [said in one for one in screens] == [False, True, True]
    assert all("orders.py:33" in one for one in screens)


def test_a_daemon_that_is_silent_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("execctl.top.showing.time.monotonic", lambda: now)

    def pass_time() -> None:
        nonlocal now
        now += 7.0

    feed = FakeFeed()
    screens = shown(feed, pass_time, lambda: feed.windows.append(window()), interval_s=1.0)
    assert ["nothing came from the daemon for 7 s" in one for one in screens] == [False, True, False]
    assert ["nothing came" in one for one in shown(FakeFeed(), pass_time, interval_s=5.0)] == [False, False]


def test_a_process_that_stands_still_is_told_of_as_long_as_it_does() -> None:
    why, feed = "process 4711 is stopped by a signal (state T: SIGSTOP, Ctrl-Z)", FakeFeed()
    still = replace(window(), standstill=why)
    screens = shown(feed, lambda: feed.windows.append(still), lambda: feed.windows.append(window()))
    assert [why in one for one in screens] == [False, True, False]


def test_a_bug_behind_the_screen_is_not_hidden() -> None:
    feed = FakeFeed()
    feed.failure = RuntimeError("a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        shown(feed)


@pytest.mark.parametrize("attribute", ["ended_by", "is_gone"])
def test_a_signal_and_a_lost_terminal_end_it(attribute: str) -> None:
    terminal = FakeTerminal("g")
    setattr(terminal, attribute, 15)
    Showing(SUBJECT, FakeFeed(), 1.0).run(terminal)  # type: ignore[arg-type]
    assert terminal.screens == []


class FakeClient:
    """Answers with streams, one a connection: windows, and the error that ends it, if one does."""

    def __init__(self, *streams: list[SampleWindow | Exception]) -> None:
        self._streams = list(streams)
        self.asked: list[tuple[str, bool]] = []
        self.is_gone = False

    def sample_windows(self, session: str, *, interval_s: float, stop_at_end: bool) -> Iterator[SampleWindow]:
        assert interval_s == 1.0
        self.asked.append((session, stop_at_end))
        for one in self._streams.pop(0):
            if isinstance(one, Exception):
                raise one
            yield one

    def session(self, session: str) -> str:
        if self.is_gone:
            raise NotFound(f"there is no session {session}")
        return f"{session} as it ended"


def fed(client: FakeClient) -> Feed:
    """A feed that has ended."""
    ended = threading.Event()
    feed = Feed(client, "orders", 1.0, ended.set, stop_at_end=True)  # type: ignore[arg-type]
    feed.join()
    assert feed.has_ended
    assert ended.is_set()
    return feed


def first() -> SampleWindow:
    """What a stream begins with."""
    return replace(window((), (0, 0, 0, 0, 0), threads=()), session="s1", turns=0)


def test_a_broken_connection_is_made_again() -> None:
    client = FakeClient([first(), window(), NoDaemon("it broke")], [first(), window(second=1)])
    feed = fed(client)
    assert client.asked == [("orders", True), ("s1", True)]
    assert [sum(one.states.values()) for one in feed.take()] == [0, 20, 0, 20]
    assert (feed.session, feed.last, feed.error) == ("s1", "s1 as it ended", None)
    assert feed.take() == []


def test_a_daemon_that_does_not_come_back_is_an_error() -> None:
    feed = fed(FakeClient([first(), NoDaemon("it broke")], [NoDaemon("it is gone")]))
    assert (str(feed.error), feed.last, feed.failure) == ("it is gone", None, None)


def test_a_session_that_went_with_its_end_is_no_error() -> None:
    client = FakeClient([first(), window()])
    client.is_gone = True
    feed = fed(client)
    assert (feed.session, feed.last, feed.error, feed.failure) == ("s1", None, None, None)


def test_what_cannot_be_looked_at_is_an_error() -> None:
    feed = fed(FakeClient([NotFound("nothing is called so")]))
    assert (feed.session, str(feed.error)) == ("", "nothing is called so")


def test_a_bug_of_the_reader_is_kept() -> None:
    feed = fed(FakeClient([ZeroDivisionError("a bug")]))
    assert isinstance(feed.failure, ZeroDivisionError)
