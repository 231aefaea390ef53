"""Functions whose lines and calls are easily counted wrongly; each takes nothing and does the same at each call.

`ACTIONS` has them by name, `run` calls all. No thread of its own, nothing printed.
"""

# What stands on one line, and what on several, is what is counted.
# fmt: off
# ruff: noqa: C416, E701, E702, PLC3002, PLW0120, UP028

import contextlib
import functools
import types

RESULTS = []


def loops_on_one_line():
    for _ in range(5): pass
    left = 4
    while left: left -= 1
    found = [one for one in range(8)]
    return sum(one * 2 for one in found), {one: one for one in found}, {one for one in found}


def loops():
    total = 0
    for outer in range(3):
        for inner in range(2):
            if inner == 1:
                continue
            total += outer
        else:
            total += 1
    while total > 0:
        total -= 1
        if total == 2:
            break
    return total


def numbers(count):
    for number in range(count):
        got = yield number
        if got:
            yield got


def numbers_on_one_line(items):
    for item in items: yield item


def generators():
    found = list(numbers(3)) + list(numbers_on_one_line("abcd"))
    sending = numbers(4)
    next(sending)
    sending.send(7)
    sending.close()
    throwing = numbers(4)
    next(throwing)
    try:
        throwing.throw(LookupError("thrown"))
    except LookupError:
        found.append("caught")
    return found


def delegating():
    result = yield from numbers(3)
    yield result


def delegation():
    return list(delegating())


def recursion(depth=6):
    if depth == 0:
        return 0
    return 1 + recursion(depth - 1)


def raising(value):
    try:
        if value % 2:
            raise ValueError(value)
        return value
    finally:
        RESULTS.clear()


def exceptions():
    caught = 0
    for value in range(5):
        try:
            raising(value)
        except ValueError as error:
            caught += error.args[0]
        except LookupError:
            caught = -1
        else:
            caught += 0
    return caught


def comprehensions():
    table = [
        [
            row
            * column
            for column in range(3)
            if column
        ]
        for row in range(4)
    ]
    return {
        key: value
        for key, value in
        enumerate(table)
    }


def decorated_by(argument):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*arguments):
            return function(*arguments) + argument

        return wrapper

    return decorate


def decorators():
    @decorated_by(1)
    @decorated_by(
        2,
    )
    def inner(value):
        return (
            value
            + 1
        )

    return inner(1) + inner(2)


class Shape:
    """A class with a property, a static method and a class method."""

    sides = 0

    def __init__(self, size):
        self.size = size

    @property
    def area(self):
        return self.size**2

    @staticmethod
    def unit():
        return Shape(1)

    @classmethod
    def of(cls, size):
        return cls(size)


def classes():
    class Square(Shape):
        sides = 4

        def scaled(self, by): return Square(self.size * by)

    return Square(2).scaled(3).area + Shape.unit().area + Square.of(2).area


@contextlib.contextmanager
def opened():
    RESULTS.append(1)
    try:
        yield RESULTS
    finally:
        RESULTS.clear()


def contexts():
    with opened() as results, contextlib.suppress(KeyError):
        results.append(2)
        raise KeyError
    with opened():
        pass
    return len(RESULTS)


@types.coroutine
def pause():
    yield


async def step(value):
    await pause()
    return value


async def steps(count):
    for value in range(count):
        yield await step(value)


def driven(coroutine):
    """What a coroutine returns that is driven without a loop, whose own work differs from run to run."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration as stop:
        return stop.value


async def awaiting():
    found = [value async for value in steps(3)]
    async with Entered() as entered:
        found.append(await step(entered))
    return found


class Entered:
    """An asynchronous context."""

    async def __aenter__(self):
        return await step(9)

    async def __aexit__(self, *error):
        await step(0)


def coroutines():
    return driven(awaiting())


def jumping():
    total = 0
    for value in [1, 2, 3, 4]: total += value if value % 2 else -value
    while True:
        total += 1; total += 1
        if total > 9: break
    return (lambda first: [first for _ in range(3)])(total), all(
        one > 0
        for one in (1, 2, 0, 3)
    )


def compiled():
    namespace = {"__file__": __file__}
    exec("def made(n):\n    for _ in range(n): pass\n    return n\nvalue = made(3)\n", namespace)  # noqa: S102
    nameless = {}
    exec("def made(n):\n    return n\nvalue = made(3)\n", nameless)  # noqa: S102 - no file's namespace
    return namespace["value"] + nameless["value"]


ACTIONS = {
    one.__name__: one
    for one in (
        loops_on_one_line,
        loops,
        generators,
        delegation,
        recursion,
        exceptions,
        comprehensions,
        decorators,
        classes,
        contexts,
        coroutines,
        jumping,
        compiled,
    )
}


def run():
    for action in ACTIONS.values():
        action()
