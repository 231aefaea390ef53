"""The known workload: one pass of `run` does the same calls every time and returns CHECKSUM.

It has no state between passes and is safe in several threads. CALLS names functions whose number of calls
in one pass is the same on every version; for all others, C functions among them, cProfile on the same
version is the oracle (`oracle.py`).
"""

import contextlib
import functools

CHECKSUM = 334

# name: (calls, primitive calls) in one pass. Each resumption of a generator or a coroutine is a call.
# `countdown` is left out: whether closing a generator resumes it differs between versions.
CALLS = {
    "run": (1, 1),
    "fibonacci": (177, 1),
    "is_even": (6, 1),
    "is_odd": (5, 1),
    "delegate": (6, 6),
    "child_coroutine": (9, 9),
    "parent_coroutine": (7, 7),
    "raise_at_depth": (5, 1),
    "pass_through": (1, 1),
    "square": (8, 8),
    "deposit": (4, 4),
    "balance": (3, 3),
    "section": (4, 4),
}


def fibonacci(n):
    """Recursion with two branches."""
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def is_even(n):
    """Recursion through another function."""
    return True if n == 0 else is_odd(n - 1)


def is_odd(n):
    """The other half of `is_even`."""
    return False if n == 0 else is_even(n - 1)


def countdown(n):
    """A generator."""
    while n:
        yield n
        n -= 1


def delegate(n):
    """A generator that delegates to another."""
    yield from countdown(n)
    return n


def generators():
    """Generators that are exhausted, delegated to, and closed early."""
    total = sum(countdown(4))
    total += sum(delegate(5))
    early = countdown(9)
    total += next(early)
    early.close()
    return total


class Suspension:
    """Awaits once."""

    def __init__(self, value):
        self.value = value

    def __await__(self):
        yield self.value
        return self.value


async def child_coroutine(n):
    """A coroutine that is suspended twice."""
    first = await Suspension(n)
    second = await Suspension(n + 1)
    return first + second


async def parent_coroutine(n):
    """A coroutine that awaits three others."""
    total = 0
    for value in range(n):
        total += await child_coroutine(value)
    return total


def coroutines():
    """Coroutines driven by hand, without an event loop."""
    driven = parent_coroutine(3)
    steps = 0
    while True:
        try:
            driven.send(None)
        except StopIteration as end:
            return steps + end.value
        steps += 1


def raise_at_depth(n):
    """Raises in the innermost of n + 1 frames."""
    if n == 0:
        raise LookupError("innermost")
    raise_at_depth(n - 1)


def pass_through():
    """Lets an exception pass, after its `finally`."""
    passed = []
    try:
        raise_at_depth(4)
    finally:
        passed.append(1)


def exceptions():
    """Exceptions that pass through frames, and out of a generator that they were thrown into."""
    caught = 0
    try:
        pass_through()
    except LookupError:
        caught += 1
    thrown_into = countdown(3)
    next(thrown_into)
    try:
        thrown_into.throw(ValueError("thrown"))
    except ValueError:
        caught += 1
    return caught


def square(n):
    """Called by C functions."""
    return n * n


def c_functions():
    """C functions as functions, as methods, and calling back into Python."""
    items = []
    for value in (3, 1, 2):
        items.append(value)
    items.sort(key=lambda value: -value)
    ordered = sorted(items, key=square)
    table = {"a": 1}
    text = ",".join(map(str, ordered))
    total = sum(map(square, items)) + table.get("a", 0) + table.get("b", 5)
    total += len(text) + int(isinstance(total, int)) + max(items) + abs(-4)
    total += functools.reduce(lambda left, right: left + right, items)
    return total + functools.partial(square, 5)() + divmod(7, 2)[0] + square(1)


def c_functions_that_raise():
    """C functions that end with an exception."""
    caught = 0
    raising = ((int, ("x",)), ({}.pop, ("k",)), (len, (3,)), (next, (iter(()),)), ([].index, (1,)))
    for function, arguments in raising:
        try:
            function(*arguments)
        except (ValueError, KeyError, TypeError, StopIteration):
            caught += 1
    return caught


class Account:
    """A class with every usual kind of method."""

    interest = 2

    def __init__(self, owner):
        self.owner = owner
        self.entries = []

    def deposit(self, amount):
        """A method."""
        self.entries.append(amount)
        return self

    @property
    def balance(self):
        """A property."""
        return sum(self.entries)

    @classmethod
    def of(cls, owner, amounts):
        """A class method."""
        account = cls(owner)
        for amount in amounts:
            account.deposit(amount)
        return account

    @staticmethod
    def fee(amount):
        """A static method."""
        return amount // 10

    def __len__(self):
        return len(self.entries)

    def __eq__(self, other):
        return self.balance == other.balance

    def __hash__(self):
        return hash(self.owner)


def classes():
    """Methods called in Python and through C."""
    account = Account.of("a", (10, 20, 30))
    same = account == Account("b").deposit(60)
    return account.balance + len(account) + Account.fee(100) + int(same) + len({account: 1})


def comprehensions():
    """Comprehensions of each kind: inlined on 3.12 and newer, functions of their own before."""
    squares = [value * value for value in range(5)]
    halves = {value // 2 for value in range(5)}
    pairs = {value: value + 1 for value in range(4)}
    return sum(squares) + len(halves) + sum(pairs.values()) + sum(value for value in range(6))


@contextlib.contextmanager
def section(entered):
    """A context manager made from a generator."""
    entered.append(1)
    yield len(entered)
    entered.append(2)


def context_managers():
    """Context managers that end well and that suppress."""
    entered = []
    with section(entered) as first:
        total = first
    with section(entered) as second, contextlib.suppress(KeyError):
        total += second
        entered.pop()
        {}.pop("missing")
    return total + len(entered)


def closures():
    """Functions made at run time, with cells."""
    count = 0

    def add(amount):
        nonlocal count
        count += amount
        return count

    adders = [lambda amount, step=step: add(amount * step) for step in range(3)]
    return sum(adder(2) for adder in adders) + count


def run():
    """One pass."""
    return (
        fibonacci(10)
        + int(is_even(10))
        + generators()
        + coroutines()
        + exceptions()
        + c_functions()
        + c_functions_that_raise()
        + classes()
        + comprehensions()
        + context_managers()
        + closures()
    )


def repeat(times):
    """So many passes; returns the sum of their checksums."""
    total = 0
    for _ in range(times):
        total += run()
    return total
