"""Calls between code that is recorded and code that is left out, of two packages that exist here alone."""

import sys
import time

import measuring

# By module: its file and its source. Functions of `lib` call those of `app` that they are given, and C functions.
MODULES = {
    "lib": (
        "/srv/lib/__init__.py",
        """
def through(action, depth):
    len("ab")
    return action() if depth == 0 else through(action, depth - 1)

def order(action):
    return sorted([3, 1, 2], key=lambda value: (action(), abs(value))[1])

def resting(seconds, sleep):
    sleep(seconds)
""",
    ),
    "lib.inner": (
        "/srv/lib/inner.py",
        """
def numbers(count, action):
    try:
        for value in range(count):
            action()
            yield value
    finally:
        action()

def failing(action, depth):
    action()
    if depth == 0:
        raise LookupError(len("abc"))
    failing(action, depth - 1)

async def awaited(action):
    action()
    return action()
""",
    ),
    "app": (
        "/srv/app/main.py",
        """
def leaf():
    return abs(-1)

def called():
    return leaf() + leaf()

def fails():
    leaf()
    raise LookupError

def mapped(value):
    return lib.through(leaf, 1) + value

def work():
    found = [lib.through(called, depth) for depth in (0, 3)]
    found += lib.order(called)
    found += map(mapped, [1, 2])
    for value in inner.numbers(3, called):
        found.append(value)
    early = inner.numbers(5, called)
    next(early)
    early.close()
    thrown = inner.numbers(5, called)
    next(thrown)
    for fails_at in (lambda: thrown.throw(LookupError), lambda: inner.failing(leaf, 2), lambda: lib.through(fails, 2)):
        try:
            fails_at()
        except LookupError:
            found.append(leaf())
    try:
        inner.awaited(called).send(None)
    except StopIteration as end:
        found.append(end.value)
    return len(found)

def rest(sleep):
    lib.resting(0.05, sleep)
    return leaf()
""",
    ),
}
PATTERNS = [
    {},
    {"exclude": ["lib"]},
    {"exclude": ["lib.*"]},
    {"include": ["app"]},
    {"exclude": ["lib/*"]},
    {"include": ["/srv/*/main.py"]},
    {"exclude": ["lib.inner"]},
    {"exclude": ["inner.py"]},
    {"include": ["app", "lib*"], "exclude": ["*.i[mn]ner"]},
    {"include": ["lib"]},
    {"exclude": ["ap?"]},
]


def made():
    """The modules' namespaces, anew: nothing of them has run."""
    found = {}
    for name, (file, source) in MODULES.items():
        found[name] = {"__name__": name}
        exec(compile(source, file, "exec"), found[name])  # noqa: S102 - as it says
    found["app"].update({one: type(sys)(one) for one in ("lib", "inner")})
    found["app"]["lib"].__dict__.update(found["lib"])
    found["app"]["inner"].__dict__.update(found["lib.inner"])
    return found["app"]


def patterns(number, builtins=1):
    """What is recorded by some patterns, and without."""
    work = made()["work"]
    whole = measuring.measured(work, builtins=bool(builtins))
    result = measuring.measured(work, builtins=bool(builtins), **PATTERNS[number])
    return {**result, "whole": whole["table"]}


def afterwards(number, other_tool):
    """What a recording without patterns has after one with some; another tool of the program's may be active."""
    monitoring = getattr(sys, "monitoring", None)
    if other_tool and monitoring:
        monitoring.use_tool_id(5, "other")
        monitoring.register_callback(5, monitoring.events.CALL, lambda *_: None)
        monitoring.set_events(5, monitoring.events.CALL)
    work = made()["work"]
    first = measuring.measured(work, **PATTERNS[number])
    fresh = measuring.measured(made()["work"])
    return {**measuring.measured(work), "first": first["table"], "fresh": fresh["table"]}


def resting(number):
    """Code that is left out rests."""
    app = made()
    return measuring.measured(lambda: app["rest"](time.sleep), **PATTERNS[number])


def begun_within(number):
    """The recording begins and ends below frames that are left out, in another order."""
    app = made()
    agent = measuring.Agent(**PATTERNS[number])
    app["called"] = agent.start
    app["through"] = app["lib"].through
    value = app["through"](agent.start, 3)
    app["leaf"]()
    app["through"](app["leaf"], 2)
    agent.stop()
    return agent.result(value=value)


def over_the_limit(number, max_memory_bytes):
    """The same calls without room for all of them."""
    return measuring.measured(made()["work"], max_memory_bytes=max_memory_bytes, **PATTERNS[number])


if __name__ == "__main__":
    measuring.serve(
        {
            "patterns": patterns,
            "afterwards": afterwards,
            "resting": resting,
            "begun_within": begun_within,
            "over_the_limit": over_the_limit,
        }
    )
