"""Which lines of a text can run, by the target's own compiler, piece by piece and at its leisure."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from execd.errors import AgentFailed, AgentSilent, CollectorRefused, UsageError
from execd.model.lines.executable import ExecutableLines, executable_lines, nothing_known
from execd.model.lines.pieces import outline, whole
from execd.model.lines.text import read_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.attach.channel import Channel
    from execd.model.lines.pieces import Piece

# Of one core of the target's.
SHARE = 0.2
# Others wait for the channel meanwhile: as long as for a ping.
_TIMEOUT_S = 1.0
# A target that did not answer is asked again after so long, so often.
_SILENCE_S = 2.0
_TRIES = 5
_MAX_REQUEST = 900 << 10
_MAX_LINE = 1 << 31
# Words; a thousand modules are a million.
_MAX_WEIGHT = 4_000_000
# Texts that the target had no time to compile to their end.
_MOST_BEGUN = 8
_Version = tuple[int, int]
# Of a piece: its lines, and the names and first lines of its functions.
_Answer = tuple[list[int], list[tuple[str, int]]]


class KnownLines:
    """What one target's compiler has said, by digest; the least used goes first.

    It is believed of that target alone: one that lies must not falsify what another's coverage is.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[str, ExecutableLines] = OrderedDict()
        self._weight = 0

    def get(self, digest: str) -> ExecutableLines | None:
        """Return what is known of a text."""
        with self._lock:
            found = self._found.get(digest)
            if found is not None:
                self._found.move_to_end(digest)
            return found

    def put(self, digest: str, found: ExecutableLines) -> None:
        """Keep what was found out."""
        with self._lock:
            old = self._found.pop(digest, None)
            self._found[digest] = found
            self._weight += found.weight - (old.weight if old is not None else 0)
            while self._weight > _MAX_WEIGHT and len(self._found) > 1:
                _, gone = self._found.popitem(last=False)
                self._weight -= gone.weight


class Compiler:
    """Asks one target.

    Args:
        channel: to its agent.
        version: of its Python.
    """

    def __init__(self, channel: Channel, version: _Version) -> None:
        self._channel, self._version = channel, version
        self._closed = threading.Event()
        # Seconds of rest for each that the target's core was used.
        self._rest = 1 / SHARE - 1
        self._said = KnownLines()
        # Why a text is without an answer: the target had no time, or no memory. Next time it may have.
        self._unsaid: dict[str, ExecutableLines] = {}
        # What was told of the first pieces of such a text: the next time it goes on from there.
        self._begun: OrderedDict[str, list[_Answer]] = OrderedDict()

    def known(self, digest: str) -> ExecutableLines | None:
        """Return what is known of a text, or why nothing is known of it yet."""
        return self._said.get(digest) or self._unsaid.get(digest)

    def has_said(self, digest: str) -> bool:
        """Return whether the target has told of a text: it need not be asked again."""
        return self._said.get(digest) is not None

    @property
    def has_every_line(self) -> bool:
        """Whether pieces have all lines of the whole: 3.9 optimises a long module less, see docs/lines.md."""
        return self._version > (3, 9)

    def hurry(self) -> None:
        """Let the target rest no more: it has nothing else to do."""
        self._rest = 0.0

    def close(self) -> None:
        """Let go of the target; a wait ends."""
        self._closed.set()

    def compile(self, path: str, data: bytes, digest: str) -> None:
        """Find out which lines of a text can run, or why that is not known.

        Args:
            path: its co_filename.
            data: the file.
            digest: of it.

        Raises:
            TargetGone: the link closed.
        """
        try:
            found = self._compiled(path, data, digest)
        except UsageError as error:
            found = nothing_known(error.message)
        except CollectorRefused as error:
            found = nothing_known(f"does not compile: {error.message.rpartition('does not compile: ')[2]}")
        except AgentFailed as error:
            self._unsaid[digest] = nothing_known(f"was not compiled: {error.message}")
            return
        self._unsaid.pop(digest, None)
        self._begun.pop(digest, None)
        self._said.put(digest, found)

    def _compiled(self, path: str, data: bytes, digest: str) -> ExecutableLines:
        lines = read_text(data).lines
        plan = outline(lines, self._version)
        try:
            answers = self._ask_rest(path, plan.pieces, len(lines), digest)
        except CollectorRefused:
            # The tokenizer of our version may have found borders that are none.
            answers = [self._ask(path, piece, len(lines)) for piece in whole(lines)]
        return executable_lines(
            (line for found, _ in answers for line in found),
            plan.strings,
            (function for _, found in answers for function in found),
        )

    def _ask_rest(self, path: str, pieces: Sequence[Piece], count: int, digest: str) -> list[_Answer]:
        """Return what is told of all pieces; what was told of some before stays told."""
        answers = self._begun.setdefault(digest, [])
        while len(self._begun) > _MOST_BEGUN:
            self._begun.popitem(last=False)
        for piece in pieces[len(answers) :]:
            answers.append(self._ask(path, piece, count))
        return answers

    def _ask(self, path: str, piece: Piece, count: int) -> _Answer:
        if len(piece.source.encode("utf-8", "surrogatepass")) > _MAX_REQUEST:
            raise UsageError("has a statement that is too long to be compiled in the target")
        facts = self._answer(path, piece)
        # A text without a statement has a line that is not its own.
        last = max(count, 1)
        lines = [line for line in _lines(facts) if piece.from_line <= line <= last]
        return lines, [one for one in _functions(facts) if piece.from_line <= one[1] <= last]

    def _answer(self, path: str, piece: Piece) -> dict[str, Any]:
        for _ in range(_TRIES):
            began = time.monotonic()
            try:
                facts = self._channel.request(
                    "executable_lines",
                    timeout_s=_TIMEOUT_S,
                    source=piece.source,
                    first_line=piece.first_line,
                    file=path,
                ).facts
            except AgentSilent:
                self._closed.wait(_SILENCE_S)
                continue
            self._closed.wait(_cost_s(facts, time.monotonic() - began) * self._rest)
            return facts
        raise AgentFailed("the target did not let its compiler run in time")


def _cost_s(facts: dict[str, Any], elapsed_s: float) -> float:
    """Return how long the target's core was used, by its own account, where that can be."""
    cpu_ns = facts.get("cpu_ns")
    return min(cpu_ns / 1e9, elapsed_s) if isinstance(cpu_ns, int) and cpu_ns > 0 else elapsed_s


def _lines(facts: dict[str, Any]) -> list[int]:
    lines = facts.get("lines")
    if not isinstance(lines, list) or not all(type(line) is int and 0 < line < _MAX_LINE for line in lines):
        raise AgentFailed("the agent's lines are no numbers of lines")
    if any(before >= after for before, after in pairwise(lines)):
        raise AgentFailed("the agent's lines do not ascend")
    return lines


def _functions(facts: dict[str, Any]) -> list[tuple[str, int]]:
    functions = facts.get("functions")
    match functions:
        case list():
            found = [(one[0], one[1]) for one in functions if _is_function(one)]
            if len(found) == len(functions):
                return found
    raise AgentFailed("the agent's functions are no names and lines")


def _is_function(one: object) -> bool:
    return isinstance(one, list) and [type(part) for part in one] == [str, int]
