"""A census of this process, beside what it knows of itself."""

import gc
import sys
import tracemalloc

import measuring
from execd_agent.collectors import NeedsConsent, Refused
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


def repeated(plain):
    """How many of known objects, and of the numbers that they alone refer to, did not come just once."""
    came = {number: 0 for one in plain for number in (id(one), id(one.number))}
    for step in Objects(32 << 20).steps():
        for number in came.keys() & map(id, step):
            came[number] += list(map(id, step)).count(number)
    return len(came) - list(came.values()).count(1)


def loose(count):
    """How many texts are found that one list alone refers to, those that two do, and what was not followed.

    There is room for no number of a text: it takes none to tell the former apart.
    """
    single = [f"single {number}" for number in range(count)]
    double = [f"double {number}" for number in range(count)]
    kept = [single, double, list(double)]
    counted = {"single": 0, "double": 0}
    for name, limit in (("single", 0), ("double", 32 << 20)):
        found = Objects(limit, [str])
        for step in found.steps():
            counted[name] += sum(one.startswith(name) and one[-1:].isdigit() for one in step)
        counted[name + " unfollowed"] = found.unfollowed
    return [len(kept), counted["single"], counted["double"], counted["single unfollowed"] >= count]


def over_the_limit():
    """What a census says that may not take the memory for a list of all objects."""
    try:
        Census({"confirmed": True, "max_memory_bytes": 1 << 10}).start()
    except Refused as refused:
        return str(refused)
    return ""


def referring():
    """How many lists refer to one of a type, as a census finds them among all."""
    wanted = OfStrange()
    kept = [[wanted] for _ in range(7)]
    taken = Census({"confirmed": True, "referrers": "OfStrange"})
    taken.start()
    return [row[0] for kind, row in taken._referring.values() if kind is list], len(kept)


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
        "twice": repeated(plain[:100]),
        "consent": consent(200_000)[0],
        "kept": len(items),
        "loose": loose(3_000),
        "over_the_limit": over_the_limit(),
        "referring": referring(),
    }


if __name__ == "__main__":
    measuring.serve({"known": known})
