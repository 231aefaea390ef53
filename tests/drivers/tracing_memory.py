"""The memory collector in this process, and what the tracemalloc module itself makes of the same traces."""

import base64
import ctypes
import itertools
import sys
import threading
import time
import tracemalloc
import zlib

import measuring
from execd_agent.collectors import Refused, memory

CALLS = {
    "by": ("filename", "lineno", "traceback"),
    "cumulative": ("filename", "lineno"),
}
FILTERS = (
    [],
    [(True, "/srv/*", None)],
    [(False, "/srv/app.py", None), (False, "<unknown>", None)],
    [(True, "/srv/app.py", 2), (True, "/srv/lib.py", None), (False, "/srv/lib.py", 4)],
)
DOMAIN = 389047
# A module whose code object has a file of bytecode, as some programs that run without their sources have.
SOURCE = """
def make(count): return [bytearray(100 + 7 * (number % 3)) for number in range(count)]
def other(count): return [make(count), make(2 * count)]
def nest(depth, count):
    return other(count) if depth == 0 else [nest(depth - 1, count), bytearray(depth)]
class Plain:
    def __init__(self): self.one = 1
def plain(): return Plain()
"""


def load(file):
    """The functions of a module that lies nowhere."""
    names = {}
    exec(compile(SOURCE, file, "exec"), names)  # noqa: S102 - the tests know what is in it
    return names


class Traces:
    """What _tracemalloc lists, kept for the oracle: the collector and it must see the same instant."""

    def __init__(self):
        self.latest = []
        self._real = memory._tracemalloc._get_traces
        memory._tracemalloc._get_traces = self

    def __call__(self):
        """What the collector asks for."""
        self.latest = self._real()
        return self.latest

    def snapshot(self):
        """The same as a Snapshot of the standard library's."""
        return tracemalloc.Snapshot(self.latest, tracemalloc.get_traceback_limit())


def told(statistics):
    """A list of statistics as it is printed."""
    return [str(one) for one in statistics]


def filters_of(rows, all_frames):
    """Filters of the standard library's."""
    return [tracemalloc.Filter(inclusive, pattern, line, all_frames) for inclusive, pattern, line in rows]


def oracle(snapshot, earlier):
    """Everything that the standard library says of a snapshot, and of what became of an earlier one."""
    found = []
    for index, all_frames in itertools.product(range(len(FILTERS)), (False, True)):
        chosen, before = (one.filter_traces(filters_of(FILTERS[index], all_frames)) for one in (snapshot, earlier))
        for by, cumulative in [*((by, False) for by in CALLS["by"]), *((by, True) for by in CALLS["cumulative"])]:
            found.append(
                {
                    "filter": FILTERS[index],
                    "all_frames": all_frames,
                    "by": by,
                    "cumulative": cumulative,
                    "statistics": told(chosen.statistics(by, cumulative)),
                    "changes": told(chosen.compare_to(before, by, cumulative)),
                }
            )
    in_domain = snapshot.filter_traces([tracemalloc.DomainFilter(True, DOMAIN)])
    tracebacks = [
        [one.traceback.format(), one.traceback.format(2), one.traceback.format(None, True)]
        for one in snapshot.statistics("traceback")
    ]
    return {"all": found, "domain": told(in_domain.statistics("lineno")), "tracebacks": tracebacks}


def encoded(table):
    """A table as JSON holds it."""
    return base64.b64encode(table).decode("ascii")


def statistics(frames):
    """Two snapshots with what is new, freed, grown and the same between them."""
    app, library, bytecode = load("/srv/app.py"), load("/srv/lib.py"), load("/srv/app.pyc")
    traces = Traces()
    collector = memory.Memory({"nframe": frames})
    caveats = collector.start()
    kept = [app["nest"](3, 20), library["other"](5), bytecode["make"](7)]
    track = ctypes.pythonapi.PyTraceMalloc_Track
    track.argtypes = (ctypes.c_uint, ctypes.c_void_p, ctypes.c_size_t)
    track(DOMAIN, 0x1000, 5000)
    tables, snapshots = [collector.snapshot()], [traces.snapshot()]
    kept.append(app["make"](11))
    kept[1] = library["make"](3)
    tables.append(collector.snapshot())
    snapshots.append(traces.snapshot())
    told = oracle(snapshots[1], snapshots[0])
    collector.stop()
    collector.free()
    return {
        "tables": [encoded(table) for table in tables],
        "oracle": told,
        "caveats": caveats,
        "is_tracing": tracemalloc.is_tracing(),
        "limit": snapshots[1].traceback_limit,
        "kept": len(kept),
    }


def joining(frames):
    """A program that traces itself."""
    tracemalloc.start(frames)
    traces = Traces()
    collector = memory.Memory({"nframe": frames + 1})
    caveats = collector.start()
    app = load("/srv/app.py")
    kept = app["make"](9)
    table = collector.snapshot()
    refused = ""
    try:
        collector.ask({"what": "clear"})
    except Refused as error:
        refused = str(error)
    figures = collector.ask({"what": "figures"})
    collector.stop()
    collector.free()
    is_tracing = tracemalloc.is_tracing()
    tracemalloc.stop()
    found = traces.snapshot().filter_traces([tracemalloc.Filter(True, "/srv/app.py")])
    return {
        "table": encoded(table),
        "caveats": caveats,
        "refused": refused,
        "figures": figures,
        "is_tracing": is_tracing,
        "count": len(found.traces),
        "kept": len(kept),
    }


def figures(size):
    """Current and peak while a block comes and goes, a reset, and a clearing; snapshots between leave no peak."""
    collector = memory.Memory({})
    collector.start()
    block = bytearray(size)
    del block
    told = [collector.ask({"what": "figures"})]
    collector.snapshot()
    told += [collector.ask({"what": what}) for what in ("figures", "reset_peak", "clear")]
    collector.free()
    return {"told": told, "is_tracing": tracemalloc.is_tracing()}


def where(count):
    """Where the largest objects of a type lie, and one by its name; a larger one was there before."""
    early = [bytearray(90_000)]
    collector = memory.Memory({"nframe": 3})
    collector.start()
    app = load("/srv/app.py")
    kept = app["make"](count)
    kept.append(bytearray(70_000))
    sys.modules["__main__"].kept = kept[-1]
    largest = collector.ask({"what": "where", "name": "bytearray", "most": 2})
    one = collector.ask({"what": "where", "name": "__main__:kept", "most": 1})
    plain = app["plain"]()
    told = collector.ask({"what": "where", "name": "Plain", "most": 1})
    told["objects"][0]["frames"] = told["objects"][0]["frames"][:1] if plain.one else []
    refused = []
    for name in ("no.such.Type", "__main__:nothing", "nowhere:kept"):
        try:
            collector.ask({"what": "where", "name": name, "most": 1})
        except Refused as error:
            refused.append(str(error))
    collector.free()
    return {
        "largest": largest,
        "one": one,
        "plain": told,
        "refused": refused,
        "size": sys.getsizeof(kept[-1]),
        "early": len(early[0]),
    }


def over_the_limit(count):
    """More blocks than may be listed, and more than the table may hold."""
    kept = []
    results = []
    for limit_bytes in (100_000, 900_000):
        collector = memory.Memory({"max_memory_bytes": limit_bytes})
        collector.start()
        kept.append([bytearray(number) for number in range(1, count)])
        results.append(encoded(collector.snapshot()))
        collector.free()
    return {"tables": results}


def stops(rounds):
    """Starts and stops beside threads that allocate without the GIL, as zlib does; it lives."""
    data = zlib.compress(b"some text, " * 40_000)
    ended = threading.Event()
    inflated = []

    def inflate():
        while not ended.is_set():
            zlib.decompress(data)
            inflated.append(1)

    threads = [threading.Thread(target=inflate) for _ in range(4)]
    for thread in threads:
        thread.start()
    tracing = []
    for _ in range(rounds):
        collector = memory.Memory({"nframe": 5})
        collector.start()
        tracing.append(tracemalloc.is_tracing())
        kept = [bytearray(10) for _ in range(100)]
        inflated.clear()
        while len(inflated) < len(threads):
            time.sleep(0)
        collector.free()
        tracing.append(tracemalloc.is_tracing())
        del kept
    ended.set()
    for thread in threads:
        thread.join()
    ref_tracer = has_ref_tracer()
    # The module itself works afterwards as ever.
    tracemalloc.start(3)
    kept = load("/srv/app.py")["make"](9)
    found = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "/srv/app.py")])
    tracemalloc.stop()
    return {
        "tracing": tracing,
        "ref_tracer": ref_tracer,
        "found": len(found.traces),
        "kept": len(kept),
        "limit": tracemalloc.get_traceback_limit(),
    }


def has_ref_tracer():
    """Whether anything is told of every object made; tracemalloc of 3.13 stays there after its own stop."""
    if sys.version_info < (3, 13):
        return False
    get = ctypes.pythonapi.PyRefTracer_GetTracer
    get.restype, get.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
    return bool(get(None))


def paces(few, many):
    """CPU time of a snapshot for each block, ns, of few blocks and of many."""
    collector = memory.Memory({"max_memory_bytes": 1 << 30})
    collector.start()
    kept, found = [], []
    for count in (few, many):
        kept[:] = [bytes(40 + number % 300) for number in range(count)]
        began_ns = time.thread_time_ns()
        collector.snapshot()
        found.append((time.thread_time_ns() - began_ns) / count)
    collector.free()
    return found


def answers(frames):
    """The results of all others, one after the other."""
    stopped = stops(15)
    return {
        "joining": joining(frames),
        "figures": figures(3_000_000),
        "where": where(5),
        "over_the_limit": over_the_limit(4_000),
        "stops": stopped,
    }


if __name__ == "__main__":
    actions = (statistics, answers, stops, paces)
    measuring.serve({one.__name__: one for one in actions})
