"""A census of this process, beside what it knows of itself."""

import gc
import sys
import tracemalloc

import measuring
from execd_agent.collectors import NeedsConsent
from execd_agent.collectors.census import Census
from execd_agent.collectors.objects import Objects, Sizes


class Item:
    """Known: a thousand of them live, and each one's size is one that Python code would give."""

    asked = 0

    def __sizeof__(self):
        Item.asked += 1
        return 1 << 20


class Strange(type):  # noqa: PLW1641 - that is what it is about
    """A metaclass by which types are no keys of a dict."""

    asked = 0

    def __eq__(cls, other):
        Strange.asked += 1
        return cls is other


class OfStrange(metaclass=Strange):
    """Known: ten of them live."""


class Plain:
    """Known: two thousand of them live, with numbers that the garbage collector does not know."""

    __slots__ = ("number",)

    def __init__(self, number):
        self.number = number


def census(**options):
    """The rows of a census by the type's name, and what it said beside them."""
    taken = Census({"confirmed": True, **options})
    taken.start()
    return {kind.__name__: row for kind, row in taken._figures.values()}, dict(taken._extra)


def garbage():
    """What a census leaves to the garbage collector, which is off meanwhile."""
    gc.collect()
    gc.disable()
    census()
    found = gc.collect()
    gc.enable()
    return found


def repeated():
    """How often the same object came twice."""
    found = Objects(32 << 20)
    seen, twice = set(), 0
    for step in found.steps():
        numbers = list(map(id, step))
        twice += len(numbers) - len(set(numbers)) + len(seen.intersection(numbers))
        seen.update(numbers)
    return twice


def consent(blocks_ms):
    """Whether a census must be asked for, first without tracing, then with it; the limit lies between the two."""
    asked = []
    kept = [Plain(-number) for number in range(blocks_ms)]
    for tracing in (False, True):
        if tracing:
            tracemalloc.start(1)
        try:
            Census({}).start()
        except NeedsConsent:
            asked.append(True)
        else:
            asked.append(False)
    tracemalloc.stop()
    return asked, len(kept)


def known():
    """What is known, and what a census makes of it."""
    items, plain = [Item() for _ in range(1000)], [Plain(1_000_000 + number) for number in range(2000)]
    strange = [OfStrange() for _ in range(10)]
    figures, _ = census()
    return {
        "strange": [figures["OfStrange"][0], len(strange), Strange.asked],
        "items": figures["Item"],
        "plain": figures["Plain"],
        "ints": figures["int"][0] >= len(plain),
        "basic": Item.__basicsize__,
        "size": sys.getsizeof(plain[0], 0),
        "one": Sizes().of(plain[0]),
        "asked": Item.asked,
        "garbage": garbage(),
        "twice": repeated(),
        "consent": consent(50_000)[0],
        "kept": len(items),
    }


if __name__ == "__main__":
    measuring.serve({"known": known})
