"""Programs of pyperformance, for `costing.py`.

What they have their runner time, so often or so much of it that it takes 10 to 30 ms on 3.11. They are read from where
the package lies. `pyperf` here is a stand-in: it takes what it is given, and times nothing.
"""

import argparse
import asyncio
import importlib.util
import io
import logging
import sys
import time
import types
from functools import partial

from costed import Program, repeated

# Of each: those that are measured on every version stand first.
NAMES = ("richards", "raytrace", "logging", "async_tree", "deltablue", "chaos", "go", "json_dumps")


class Runner:
    """In the place of pyperf's: it keeps what it is told to time."""

    def __init__(self):
        self.metadata = {}
        self.function = None

    def bench_func(self, _name, function, *_arguments):
        """Keeps a function."""
        self.function = function


def module(folder, name):
    """A program, as a module that does not run yet."""
    sys.modules["pyperf"] = types.SimpleNamespace(Runner=Runner, perf_counter=time.perf_counter)
    path = f"{folder}/pyperformance/data-files/benchmarks/bm_{name}/run_benchmark.py"
    spec = importlib.util.spec_from_file_location("bm_" + name, path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def with_globals(module, work, **values):
    """A function's call while the module's globals that say how much it does have these values."""

    def changed():
        before = {name: getattr(module, name) for name in values}
        module.__dict__.update(values)
        try:
            work()
        finally:
            module.__dict__.update(before)

    return changed


def richards(module):
    """As large as it is; its scheduler's idle task counts down from less where it is warmed up."""

    class Short(module.IdleTaskRec):
        def __init__(self):
            super().__init__()
            self.count = 500

    run = partial(module.Richards().run, 1)
    return Program(run, with_globals(module, run, IdleTaskRec=Short))


def raytrace(module):
    """A smaller picture."""
    drawn = {size: partial(module.bench_raytrace, 1, size, size, None) for size in (8, 24)}
    return Program(drawn[24], drawn[8])


def logged(module):
    """Its three benchmarks, each so many times."""
    stream = io.StringIO()
    logger = logging.getLogger("costed")
    logger.propagate = False
    logger.addHandler(logging.StreamHandler(stream))
    logger.setLevel(logging.WARNING)

    def run(loops):
        for _, bench in sorted(module.BENCHMARKS.items()):
            bench(loops, logger, stream)

    return Program(partial(run, 120), partial(run, 10))


def async_tree(module):
    """The tree without work in its leaves, less deep by two levels."""

    def run():
        asyncio.run(module.NoneAsyncTree().run())

    return Program(with_globals(module, run, NUM_RECURSE_LEVELS=4), with_globals(module, run, NUM_RECURSE_LEVELS=2))


def deltablue(module):
    """Its own size, several times."""

    def run(loops):
        for _ in range(loops):
            module.delta_blue(100)

    return repeated(run, 6)


def chaos(module):
    """Fewer points."""
    runner = Runner()
    sizes = {"width": module.DEFAULT_WIDTH, "height": module.DEFAULT_HEIGHT, "iterations": 0, "filename": None}
    seed = module.DEFAULT_RNG_SEED
    module.main(runner, argparse.Namespace(**sizes, thickness=module.DEFAULT_THICKNESS, rng_seed=seed))
    drawn = {points: partial(runner.function, *list(sizes.values())[:2], points, None, seed) for points in (200, 2_000)}
    return Program(drawn[2_000], drawn[200])


def go(module):
    """A move that fewer games are played for."""
    return Program(with_globals(module, module.versus_cpu, GAMES=20), with_globals(module, module.versus_cpu, GAMES=2))


def json_dumps(module):
    """Its four cases, each as often as there."""
    cases = [(getattr(module, name)) for name in module.CASES]

    def run(share):
        module.bench_json_dumps([(case, range(max(count // share, 1))) for case, count in cases])

    return Program(partial(run, 1), partial(run, 10))


MADE = {
    **{one.__name__: one for one in (richards, raytrace, async_tree, deltablue, chaos, go, json_dumps)},
    "logging": logged,
}


def programs(folder, count):
    """The first so many of them, by name; `folder` holds the package."""
    return {name: MADE[name](module(folder, name)) for name in NAMES[:count]}
