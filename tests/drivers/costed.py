"""Small programs that do little but call: each a way of calling, for `costing.py`.

A program's work is made of equal parts, so many that it takes 10 to 20 ms on 3.11; one part is enough to warm it up.
"""

import asyncio
import queue
import sys
import threading
from functools import partial

# How deep the recursion goes; beside it others have room.
DEEP = 2_000
ROOM = 1_000
THREADS = 8


class Program:
    """What is measured, and a smaller piece of the same, which is not: it meets every function."""

    def __init__(self, work, warm):
        self.work = work
        self.warm = warm


def fibonacci(number):
    """Calls itself."""
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)


def functions(parts):
    """Calls a function of Python's."""
    for _ in range(parts):
        fibonacci(18)


class Number:
    """An object with short methods."""

    def __init__(self, value):
        self.value = value

    def get(self):
        """Its value."""
        return self.value

    def plus(self, other):
        """The sum."""
        return Number(self.get() + other.get())


def methods(parts):
    """Calls methods of objects."""
    number = Number(1)
    for _ in range(parts * 2_000):
        number.plus(number)


def c_functions(parts):
    """Calls C functions alone."""
    found = []
    for number in range(parts * 5_000):
        found.append(len("ab"))
        abs(number)


def numbers(count):
    """A generator."""
    yield from range(count)


def generators(parts):
    """Resumes generators."""
    for _ in range(parts):
        for _ in numbers(10_000):
            pass


async def turns(count):
    """A coroutine that lets others go on."""
    for _ in range(count):
        await asyncio.sleep(0)


async def many(parts):
    """Coroutines in turn."""
    for _ in range(parts):
        await asyncio.gather(*[turns(10) for _ in range(20)])


def tasks(parts):
    """Runs an event loop."""
    asyncio.run(many(parts))


class Workers:
    """Threads that run for ever, and do the same when they are told to."""

    def __init__(self, count):
        self.orders = [queue.SimpleQueue() for _ in range(count)]
        self.done = queue.SimpleQueue()
        for order in self.orders:
            threading.Thread(target=self.serve, args=(order,), daemon=True).start()

    def serve(self, orders):
        """Does what one of them is told to."""
        while True:
            orders.get()()
            self.done.put(None)

    def each(self, work):
        """Has each of them call a function, and waits until all have."""
        for order in self.orders:
            order.put(work)
        for _ in self.orders:
            self.done.get()


def spread():
    """Objects that lie in many arenas of the allocator."""
    return [bytes(400) for _ in range(20_000)][::200]


# What has gone deep gives its memory back to the system as it comes up, where nothing else lies there; whether anything
# does is chance, and costs more than calls.
kept = spread()
# They are there before anything is measured, as in a program that somebody attaches to.
workers = Workers(THREADS)


def threads(parts):
    """Calls a function of Python's in threads."""
    workers.each(partial(functions, parts))


def descend(depth):
    """Calls itself once."""
    return depth and descend(depth - 1)


def recursion(parts):
    """Goes down deep, and up again."""
    for _ in range(parts):
        descend(DEEP)


def repeated(work, parts):
    """A program of so many parts."""
    return Program(partial(work, parts), partial(work, 1))


def programs():
    """All of them, by name."""
    sys.setrecursionlimit(DEEP + ROOM)
    return {
        "functions": repeated(functions, 60),
        "methods": repeated(methods, 60),
        "C functions": repeated(c_functions, 60),
        "generators": repeated(generators, 60),
        "asyncio": repeated(tasks, 50),
        "8 threads": repeated(threads, 6),
        "deep recursion": repeated(recursion, 60),
    }
