"""An exception that a signal handler raises in the midst of the injected text, run as the attach runs it.

The text comes on stdin; its launch part calls `interrupt` of this program's `__main__`.
"""

import ctypes
import json
import sys


class Custom(Exception):
    """An exception with facts, and with arguments that it cannot be made without."""

    def __init__(self, first, second):
        super().__init__(first, second)
        self.fact = first + second


class Strict(BaseException):
    """An exception whose class can be called with nothing."""

    __slots__ = ("fact",)

    def __new__(cls, *, fact):
        """Makes one."""
        made = super().__new__(cls, "strict")
        made.fact = fact
        return made

    def __init__(self, **_facts):
        super().__init__("strict")


ERRORS = {
    "KeyboardInterrupt": KeyboardInterrupt("from the handler"),
    "SystemExit": SystemExit(7),
    "Custom": Custom(1, 2),
    "Strict": Strict(fact=3),
    "ValueError": ValueError("of a program that was given with -c"),
}
ERROR = ERRORS[sys.argv[1]]


def interrupt():
    """What a signal handler of the program does."""
    raise ERROR


if sys.argv[1] == "ValueError":
    # As in a program of `python -c`, whose code has the file name that the injected text has.
    exec(compile("def interrupt():\n    raise ERROR", "<string>", "exec"))  # noqa: S102 - as -c does


def spin():
    """Bytecode, for as long as it takes for a pending exception to be raised."""
    for _ in range(10_000_000):
        pass


def main():
    """Tells what was raised, and where."""
    text = sys.stdin.buffer.read()
    reached = "the call"
    try:
        ctypes.pythonapi.PyRun_SimpleString(text)
        reached = "the program"
        spin()
        reached = "the end"
    except BaseException as caught:  # noqa: BLE001 - whatever it is
        answer = {
            "reached": reached,
            "same": caught is ERROR,
            "type": type(caught).__name__,
            "fact": getattr(caught, "fact", None),
            "args": list(caught.args),
            "caught_by_class": isinstance(caught, type(ERROR)),
        }
    else:
        answer = {"reached": reached}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
