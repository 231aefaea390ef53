"""Threads that stand still, each in a stack of its own kind, and what the interpreter itself says of their frames.

Known: "frames" answers, for every thread but the one that answers, its pthread_self(), its kernel id and its frames
from the innermost on: [address of the code, byte offset of the instruction, line, name, qualname, file, first line].
"generators" answers [address, the same of its frame] of suspended ones, null for the frame of one that has ended,
"codes" the address of code objects with names of every kind, [address, name, qualname, file, first line], "churn N S"
replaces a function by another one of its name and file at its place, as its docstring says: [address, text].
"objects" answers what its docstring says. Another interpreter has a thread too: "inner" answers [address of its code,
line]. One thread stands in the midst of a garbage collection.
"""

import gc
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

GATE = threading.Lock()
ITEMS = (b"\x00bytes\xff", "text", GATE)
ARRIVED = threading.Semaphore(0)
HELD = threading.Lock()
DEPTH = 40
LONG_FILE = "/srv/" + "/".join(["a_long_folder"] * 250) + "/long.py"
NATIVE = {}
INNER = """
import os, sys
def stand_inside(out, into):
    frame = sys._getframe(); os.write(out, repr([id(frame.f_code), frame.f_lineno]).encode()); os.read(into, 1)
"""


class Text(str):
    """A str that is not compact."""

    __slots__ = ()


def stand():
    """The innermost frame of all."""
    ARRIVED.release()
    GATE.acquire()


def nested():
    """Functions within functions, one of which others close over."""

    def outer(number):
        def inner():
            return stand() or number

        return inner()

    return outer(
        1,
    )


def recursive(depth=DEPTH):
    """Calls itself."""
    if depth:
        return recursive(
            depth - 1,
        )
    return stand()


def deeply():
    """So many frames that they fill several chunks."""

    def descend(depth):
        return descend(depth - 1) if depth else stand()

    return descend(10 * DEPTH)


def running_generator():
    """Generators that run within each other."""

    def innermost():
        yield 1
        stand()
        yield 2

    def delegating():
        yield 0
        yield from innermost()

    return list(delegating())


def in_a_class_body():
    """The body of a class, of a comprehension and of a lambda."""

    class Standing:
        """Stands while it is made."""

        then = lambda: stand()  # noqa: E731 -- a frame of its own
        stood = tuple(one() for one in (then,))

    return Standing


def in_text():
    """Text that is executed, under names that are no identifiers of a file."""
    text = "\n\n\ndef größe():\n    \U00010400()\n\n\ngröße()\n"
    exec(compile(text, "<tëxt \U0001f600>", "exec"), {"\U00010400": stand})  # noqa: S102 -- a frame of it


def in_a_long_file():
    """Text of a file whose name is as long as names get."""
    exec(compile("stand()\n", LONG_FILE, "exec"), {"stand": stand})  # noqa: S102 -- a frame of it


def in_callbacks():
    """C functions between the frames."""
    return sorted([2, 1], key=lambda _: max([1], key=lambda _: stand() or 0))


def handling():
    """An exception in the midst of being handled."""
    try:
        int("none")
    except ValueError:
        with HELD:
            stand()


def in_a_coroutine():
    """Coroutines that await each other."""

    async def awaited():
        return stand()

    async def awaiting():
        return await awaited()

    return awaiting().send(None)


def in_a_collection():
    """A callback of the garbage collector, in the midst of a collection."""
    gc.callbacks.append(lambda _phase, _info: stand())
    gc.collect()


STACKS = (
    *(nested, recursive, deeply, running_generator, in_a_class_body, in_text),
    *(in_a_long_file, in_callbacks, handling, in_a_coroutine, in_a_collection),
)


def told(frame):
    """A frame as it is told, 3.9 and 3.10 without the qualname that they do not keep."""
    code = frame.f_code
    qualname = getattr(code, "co_qualname", code.co_name)
    facts = [code.co_name, qualname, code.co_filename, code.co_firstlineno]
    return [id(code), frame.f_lasti, frame.f_lineno, *facts]


def frames():
    """Those of all other threads."""
    found = []
    for thread_id, innermost in sys._current_frames().items():  # noqa: SLF001 -- there is no other way
        if thread_id in NATIVE:
            found.append([thread_id, NATIVE[thread_id], chain(innermost)])
    return found


def chain(frame):
    """A frame and those that it came from, as they are told."""
    found = []
    while frame is not None:
        found.append(told(frame))
        frame = frame.f_back
    return found


def counting():
    """A generator that is suspended on its third line, or has ended."""
    yield 1
    yield 2


async def waiting():
    """A coroutine that was never begun."""


def kept_generators():
    """One that was not begun, one that is suspended, one that has ended, a coroutine."""
    fresh, suspended, ended = counting(), counting(), counting()
    next(suspended)
    list(ended)
    return [fresh, suspended, ended, waiting()]


def generators():
    """What is known of them."""
    found = []
    for one in GENERATORS:
        frame = getattr(one, "gi_frame", None) or getattr(one, "cr_frame", None)
        found.append([id(one), frame and told(frame)])
    return found


def kept_codes():
    """Code objects whose names are of every kind that a str has."""
    code = counting.__code__
    names = ["plain", "grün", "\u4e2d\u6587", "\U0001f600", "\ud800", "", "n" * 300, Text("plain"), Text("\u4e2d")]
    return [code.replace(co_name=name, co_filename=Text(name) if name else name) for name in names]


def codes():
    """What is known of them."""
    return [
        [id(code), code.co_name, getattr(code, "co_qualname", code.co_name), code.co_filename, code.co_firstlineno]
        for code in CODES
    ]


def objects():
    """The addresses of a tuple and of what is in it, and of a bytes object, and what is in that."""
    return [id(ITEMS), list(map(id, ITEMS)), id(ITEMS[0]), ITEMS[0].hex()]


def churn(turn, stretch):
    """One of two functions of one name in one file, in the memory that the last one gave back.

    They differ in lines alone, so that all that belongs to them is as large; or, stretched, in their code too.
    """
    text = "def turn():\n    this\n{}    that\n{}    other\n".format(*(("", "\n") if turn % 2 else ("\n", "")))
    if stretch and turn % 2:
        text += "    more\n"
    KEPT.clear()
    namespace = {}
    exec(compile(text, "<turn>", "exec"), namespace)  # noqa: S102 -- the function is what it makes
    KEPT.append(namespace.pop("turn").__code__)
    return [id(KEPT[0]), text]


def inner():
    """What stands in the other interpreter."""
    return INNER_FACTS


def begin_inside():
    """Makes an interpreter, in which a thread stands, and says what it says."""
    (out, theirs), (into, _) = os.pipe(), os.pipe()
    made = interpreters.create()
    text = f"{INNER}stand_inside({theirs}, {into})\n"
    threading.Thread(target=interpreters.run_string, args=(made, text), daemon=True).start()
    return eval(os.read(out, 1000).decode("ascii"), {})  # noqa: S307 -- two numbers of our own


def begin(stack):
    """A thread that stands in a stack."""

    def run():
        NATIVE[threading.get_ident()] = threading.get_native_id()
        stack()

    threading.Thread(target=run, name=stack.__name__, daemon=True).start()


GENERATORS, CODES, KEPT, INNER_FACTS = kept_generators(), kept_codes(), [], []


def main():
    """Ends with stdin."""
    GATE.acquire()
    for stack in STACKS:
        begin(stack)
    NATIVE[threading.get_ident()] = threading.get_native_id()
    actions = {
        "frames": frames,
        "generators": generators,
        "codes": codes,
        "churn": churn,
        "inner": inner,
        "objects": objects,
    }
    line_protocol.serve_beside(actions)
    for _ in STACKS:
        ARRIVED.acquire()
    INNER_FACTS[:] = begin_inside()
    line_protocol.ready()
    stand()


if __name__ == "__main__":
    main()
