"""Tables of what recording calls costs: medians over rounds, each with the 95% interval of the median."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Final

# CPU times of one round, s: of each program, by the way that it was run.
Round = dict[str, dict[str, float]]

WITHOUT: Final = "alone"
AGAIN: Final = "again"
PEER: Final = "cProfile"
RECORDED: Final = "recorded"
FLOOR: Final = "floor"
# Ways whose slowdown is shown, where they were measured.
SHOWN: Final = (PEER, RECORDED, FLOOR, "yappi", "viztracer")
# Those of which is shown what they add, of what cProfile adds, by column; the last one adds nothing but chance.
SHARES: Final = {RECORDED: "recorded, of cProfile's", FLOOR: "floor, of cProfile's", AGAIN: "A/A, of cProfile's"}
MONITORED_SINCE: Final = (3, 12)


@dataclass(frozen=True, slots=True)
class Measured:
    """The rounds of one interpreter.

    Attributes:
        version: "3.13".
        form: of our collector, "native" or "python".
        builtins: whether C functions were recorded.
        rounds: in the order in which they were measured.
    """

    version: str
    form: str
    builtins: bool
    rounds: tuple[Round, ...]

    @property
    def programs(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.rounds[0])

    @property
    def ways(self) -> tuple[str, ...]:
        """The ways in which each was run."""
        return tuple(self.rounds[0][self.programs[0]])

    @property
    def target(self) -> float:
        """How much it may add, of what cProfile adds (DESIGN.md 10)."""
        major, minor = self.version.split(".")
        if (int(major), int(minor)) < MONITORED_SINCE:
            return 0.60
        return 0.40 if self.builtins else 0.30


@dataclass(frozen=True, slots=True)
class Share:
    """What a way adds, of what cProfile adds: the median over the rounds, and its 95% interval."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.2f} [{self.low:.2f}, {self.high:.2f}]"


def interval(values: list[float]) -> tuple[float, float]:
    """Return the 95% interval of a median: order statistics, by the normal approximation of the binomial."""
    ranked = sorted(values)
    half = 0.98 * len(ranked) ** 0.5
    low, high = int(len(ranked) / 2 - half), int(len(ranked) / 2 + half + 0.5)
    return ranked[max(low, 0)], ranked[min(high, len(ranked) - 1)]


def added(one: Round, programs: tuple[str, ...], way: str) -> float:
    """Return the CPU time that a way adds to these programs in one round, s."""
    return sum(one[name][way] - one[name][WITHOUT] for name in programs)


def share(measured: Measured, programs: tuple[str, ...], way: str) -> Share:
    """Return what a way adds to these programs, of what cProfile adds to them in the same round."""
    shares = [added(one, programs, way) / added(one, programs, PEER) for one in measured.rounds]
    return Share(median(shares), *interval(shares))


def slower(measured: Measured, programs: tuple[str, ...], way: str) -> float:
    """Return how many times longer these programs take in a way than alone: the median over the rounds."""
    return median(1 + added(one, programs, way) / total(one, programs) for one in measured.rounds)


def total(one: Round, programs: tuple[str, ...]) -> float:
    """Return the CPU time of these programs alone in one round, s."""
    return sum(one[name][WITHOUT] for name in programs)


def line(measured: Measured, name: str, programs: tuple[str, ...]) -> str:
    """Return a line of the table, of one program or of several together."""
    alone_ms = 1e3 * median(total(one, programs) for one in measured.rounds)
    slowdowns = [f"{slower(measured, programs, way):.2f}x" for way in SHOWN if way in measured.ways]
    shares = [str(share(measured, programs, way)) for way in SHARES if way in measured.ways]
    return f"| {' | '.join((name, f'{alone_ms:.1f}', *slowdowns, *shares))} |"


def overview(measured: list[Measured]) -> str:
    """Return a table of what each comes to, of all programs together; a target holds that the interval reaches."""
    columns = ("Python", "C functions", *SHARES.values(), "target", "")
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for one in measured:
        shares = {way: share(one, one.programs, way) for way in SHARES if way in one.ways}
        holds = "met" if shares[RECORDED].low <= one.target else "missed"
        told = [str(shares.get(way, "")) for way in SHARES]
        cells = (one.version, "yes" if one.builtins else "no", *told, f"<= {one.target:.2f}", holds)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def table(measured: Measured) -> str:
    """Return the table of an interpreter."""
    shown = [way for way in SHOWN if way in measured.ways]
    shares = [column for way, column in SHARES.items() if way in measured.ways]
    columns = ("program", "alone ms", *shown, *shares)
    kind = "with C functions" if measured.builtins else "Python functions alone"
    lines = [f"### {measured.version}, {kind}, {measured.form} form, {len(measured.rounds)} rounds", ""]
    lines += [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [line(measured, name, (name,)) for name in measured.programs]
    lines += [line(measured, "**all**", measured.programs), ""]
    return "\n".join(lines)
