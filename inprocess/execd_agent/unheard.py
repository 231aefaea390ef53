"""How no tool of the program's hears of the agent's thread (3.12+): what it does lies within a callback of ours.

There a tool hears all threads, and cProfile has one stack for all: it would list what we do, and take it for called by
the program's functions. The interpreter tells nobody of what a thread does within a callback. So the agent's thread
begins with code of which an instruction is told to us, and to who hears all instructions of all code, and all that the
agent does lies within that.

The code that it begins with must not be told of either, so it is made here. RESUME tells the begin of a function, and
instructions are told of that lie behind one: it jumps over it. A return is told, but not that of a generator's call,
which makes the generator: it ends so, and nobody resumes that. launch.py stands behind this file. What is made here
needs no global name: it outlives this namespace.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# As compat.py has it.
_NAME = "execd's agent"
# By the number that the interpreter's .pyc files begin with (3.12, 3.13, 3.14, 3.15), each instruction four digits:
# JUMP_FORWARD to the NOP; RESUME, which is never reached, with its cache; NOP, which is told; RETURN_GENERATOR. A test
# makes them anew.
_DOORS = {
    3531: "6e01 9700 0900 4b00",
    3571: "4f01 9500 1e00 2300",
    3627: "4d01 8000 1b00 2200",
    3666: "4c02 8000 0000 1900 2000",
}
# CO_OPTIMIZED, CO_NEWLOCALS, CO_GENERATOR.
_FLAGS = 0x23
# The line of up to eight instructions, without columns (Objects/locations.md of CPython).
_ONE_LINE = 0xE8


def returner(monitoring: Any, held: list[int], name: str) -> Any:
    """Return what gives back the id that is held, also in a forked child.

    It is the very object that counts: an agent that comes while this one leaves has a name that is equal.
    """

    def give_back() -> None:
        while held:
            if monitoring.get_tool(held[-1]) is name:
                monitoring.free_tool_id(held[-1])
            held.pop()

    return give_back


def hearer(monitoring: Any, held: list[int], give_back: Any, run: Any, arguments: Any) -> Any:
    """Return the callback, which runs the agent; `give_back` is what it begins with, None where the id is kept."""

    def hear(door: Any, _offset: int) -> None:
        try:
            monitoring.set_local_events(held[0], door, 0)
            monitoring.register_callback(held[0], monitoring.events.INSTRUCTION, None)
            if give_back:
                give_back()
        except BaseException:  # noqa: BLE001, S110 - an audit hook of the target's; what is left calls nobody
            pass
        run(*arguments)

    return hear


def armer(sys: Any, units: bytes) -> Any:
    """Return what has the id that is held tell us of such code, and makes a function of it.

    It takes an id where none is held, and raises ValueError where none is free.
    """
    monitoring: Any = getattr(sys, "monitoring", None)
    lines, flags, make_hear = _ONE_LINE, _FLAGS, hearer
    # From 3.14 on an id that is given back has all code instrumented anew, which takes memory: it is kept to the end,
    # or until a collector needs one (monitoringhooks.py).
    is_kept = sys.version_info >= (3, 14)

    def arm(name: str, held: list[int], give_back: Any, run: Any, arguments: Any) -> Any:
        if not held:
            held += [number for number in (3, 4) if monitoring.get_tool(number) is None][:1]
        if not held:
            raise ValueError
        if monitoring.get_tool(held[0]) is None:
            monitoring.use_tool_id(held[0], name)
        table = bytes((lines + len(units) // 2 - 1, 0))
        door = (lambda: None).__code__.replace(co_code=units, co_linetable=table, co_flags=flags)
        hear = make_hear(monitoring, held, None if is_kept else give_back, run, arguments)
        monitoring.register_callback(held[0], monitoring.events.INSTRUCTION, hear)
        monitoring.set_local_events(held[0], door, monitoring.events.INSTRUCTION)
        return hear.__class__(door, {"__builtins__": {}})

    return arm


def unheard_by(sys: Any, magic: bytes) -> Any:
    """Return what makes, for one process, `begin` and `give_back`; it is given what tells exceptions that are ours.

    begin(run, arguments) returns what a thread is to be started with, so that nobody hears of it: these two where that
    cannot be.

    Args:
        sys: the module.
        magic: what the interpreter's .pyc files begin with.
    """
    monitoring, name, make_return = getattr(sys, "monitoring", None), _NAME, returner
    units = bytes.fromhex(_DOORS.get(int.from_bytes(magic[:2], "little"), "")) if monitoring else b""
    arm = armer(sys, units)

    def make(is_ours: Any) -> tuple[Any, Any]:
        held: list[int] = []
        own_name = "".join([*name])
        give_back = make_return(monitoring, held, own_name)

        def begin(run: Any, arguments: Any) -> Any:
            if not units:
                return run, arguments
            try:
                return arm(own_name, held, give_back, run, arguments), ()
            except BaseException as error:
                if not is_ours(error):
                    raise
                give_back()
                return run, arguments

        return begin, give_back

    return make
