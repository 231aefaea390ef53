"""The terminal in the hands of curses, from the first screen until it is given back as it was."""

from __future__ import annotations

import locale
import os
import select
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from execctl.errors import UsageError
from execctl.top import keys
from execctl.top.cells import Charset, Style
from execctl.top.screen import Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execctl.interrupts import Bell
    from execctl.top.screen import Line

try:
    import curses
except ImportError:
    # A Python that was built without it.
    curses = None  # type: ignore[assignment]

REMEDY: Final = "record without a screen: execctl attach PID --sample --duration 10s"
# Of a terminal that does not tell.
_USUAL: Final = Size(80, 24)
# A lone escape is told from one that begins a key's sequence by what follows within so many ms.
_ESCAPE_MS: Final = 25
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CHARACTERS: Final = {
    "\n": keys.ENTER,
    "\r": keys.ENTER,
    "\x1b": keys.ESCAPE,
    "\x7f": keys.BACKSPACE,
    "\b": keys.BACKSPACE,
    "\x15": keys.ERASE,
}


def require_terminal() -> None:
    """Do nothing where there is a terminal that can be drawn on.

    Raises:
        UsageError: there is none.
    """
    if curses is None:
        raise UsageError("this Python was built without curses, which `top` draws with", remedy=REMEDY)
    for stream, name in ((sys.stdin, "standard input"), (sys.stdout, "standard output")):
        if stream is None or not stream.isatty():
            raise UsageError(f"`top` needs a terminal, and {name} is none", remedy=REMEDY)
    kind = os.environ.get("TERM", "")
    try:
        curses.setupterm(kind or "dumb", sys.stdout.fileno())
        can_move = bool(curses.tigetstr("cup"))
    except curses.error:
        can_move = False
    if not can_move:
        raise UsageError(f"`top` cannot draw on a terminal of the kind {kind!r} (TERM)", remedy=REMEDY)


class Terminal:
    """The terminal as long as it is drawn on; a context manager, which is entered in the main thread.

    Attributes:
        ended_by: the signal that is to end this process, 0 for none.
        is_gone: nobody is at the other side any more.

    Args:
        bell: wakes it up.
    """

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self.ended_by = 0
        self.is_gone = False

    def __enter__(self) -> Self:
        # Before curses starts, which would set its own: then nothing would wake us up. From here on a signal is noted.
        self._handlers = {number: signal.getsignal(number) for number in (*_ENDING, signal.SIGWINCH)}
        for number in _ENDING:
            # One that is ignored stays so.
            if self._handlers[number] is not signal.SIG_IGN:
                signal.signal(number, self._note)
        signal.signal(signal.SIGWINCH, lambda _number, _frame: None)
        self._window = curses.initscr()
        self._size = _USUAL
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(curses.error):
            curses.endwin()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    @property
    def charset(self) -> Charset:
        """What it can show."""
        return Charset(is_ascii=self._encoding.lower().replace("-", "") != "utf8")

    def size(self) -> Size:
        """Return its size as it is now."""
        try:
            columns, lines = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            self.is_gone = True
            return self._size
        size = Size(columns, lines) if columns > 0 and lines > 0 else self._size
        if size != self._size:
            self._size = size
            with suppress(curses.error):
                curses.resizeterm(size.rows, size.columns)
            self._window.clear()
        return size

    def paint(self, lines: Sequence[Line]) -> None:
        """Show a screen."""
        self._window.erase()
        for place, line in enumerate(lines):
            column = 0
            for span in line:
                # Curses complains of the last cell, after which there is none; and of a terminal that is smaller now.
                with suppress(curses.error):
                    self._window.addstr(place, column, self._encodable(span.text), self._attributes[span.style])
                with suppress(curses.error):
                    column = self._window.getyx()[1]
        self._window.refresh()

    def wait(self, timeout_s: float) -> list[str]:
        """Wait for keys, for a ring of the bell, or a signal, and return the keys."""
        self._bell.wait(timeout_s, sys.stdin.fileno())
        found = []
        while (key := self._key()) is not None:
            if key:
                found.append(key)
        if not found:
            self.is_gone = self.is_gone or _has_hung_up(sys.stdin.fileno())
        return found

    def _begin(self) -> None:
        curses.noecho()
        curses.cbreak()
        curses.set_escdelay(_ESCAPE_MS)
        self._window.keypad(True)
        self._window.nodelay(True)
        with suppress(curses.error):
            curses.curs_set(0)
        # Of the locale that curses itself goes by, whatever Python's streams do.
        self._encoding = locale.getencoding()
        self._attributes = _attributes()

    def _key(self) -> str | None:
        """Return a key that was pressed, "" for one without a meaning, None where none was."""
        try:
            key = self._window.get_wch()
        except curses.error:
            return None
        if isinstance(key, str):
            return _CHARACTERS.get(key, key)
        return _names().get(key, "")

    def _encodable(self, text: str) -> str:
        return text.encode(self._encoding, "backslashreplace").decode(self._encoding)

    def _note(self, number: int, _frame: object) -> None:
        # Whoever presses Ctrl-C twice is not heard: a pattern of his may take for ever.
        if number == signal.SIGINT and self.ended_by:
            raise KeyboardInterrupt
        self.ended_by = number


def _attributes() -> dict[Style, int]:
    """Return what curses calls each style; after it was started."""
    green = red = 0
    if curses.has_colors() and not os.environ.get("NO_COLOR"):
        curses.start_color()
        curses.use_default_colors()
        curses.init_pair(1, curses.COLOR_GREEN, -1)
        curses.init_pair(2, curses.COLOR_RED, -1)
        green, red = curses.color_pair(1), curses.color_pair(2)
    return {
        Style.PLAIN: curses.A_NORMAL,
        Style.BOLD: curses.A_BOLD,
        Style.DIM: curses.A_DIM,
        Style.TITLE: curses.A_REVERSE,
        Style.BAR: green,
        Style.ALERT: curses.A_BOLD | red,
    }


def _names() -> dict[int, str]:
    return {
        curses.KEY_UP: keys.UP,
        curses.KEY_DOWN: keys.DOWN,
        curses.KEY_PPAGE: keys.PAGE_UP,
        curses.KEY_NPAGE: keys.PAGE_DOWN,
        curses.KEY_HOME: keys.HOME,
        curses.KEY_END: keys.END,
        curses.KEY_ENTER: keys.ENTER,
        curses.KEY_BACKSPACE: keys.BACKSPACE,
    }


def _has_hung_up(descriptor: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return any(events & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, events in poller.poll(0))
