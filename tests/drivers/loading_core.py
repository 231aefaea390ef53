"""How the native core comes into a process, and what becomes of it in children that no handler knows of."""

import ctypes
import os

import measuring  # it sets the path for the others
from execd_agent import core

SYS_FORK = 57


class Stub:
    """What keeps the copies that were loaded."""


def content():
    """The core as it is sent."""
    with open(measuring.core_path(), "rb") as opened:
        return opened.read()


def loaded_again():
    """The same core twice, another one beside it, and what is none."""
    stub, own = Stub(), content()
    first, why = core.core_of(stub, own)
    again, _ = core.core_of(stub, own)
    # A loader reads no further than the file's headers say.
    other, why_other = core.core_of(stub, own + b"\0")
    nothing, why_not = core.core_of(stub, bytes(len(own)))
    targets = [os.path.realpath("/proc/self/fd/" + name) for name in os.listdir("/proc/self/fd")]
    return {
        "is_same": first is again,
        "is_other": other is not first and other is not None,
        "is_nothing": nothing is None,
        "why": [why, why_other, why_not],
        "left_open": [target for target in targets if "execd" in target],
    }


def callbacks_of_too_little():
    """What callbacks say that are called by whoever got hold of them, with less than the interpreter has for them."""
    agent = measuring.Agent()
    agent.start()
    recurse(3)
    said = []
    for may_disable in (True, False):
        found = agent.collector._core.callbacks(0, may_disable)
        for name, least in (("enter", 1), ("leave", 1), ("enter_c", 4), ("leave_c", 4)):
            said += [found[name](*[recurse.__code__] * count) for count in range(least)]
    agent.stop()
    return agent.result(said=said)


def recurse(depth):
    """A function that calls itself."""
    return depth and recurse(depth - 1)


def child_without_handlers():
    """How a child ends that is recorded no more, and that was made by no fork of libc's."""
    agent = measuring.Agent()
    agent.start()
    recurse(3)
    syscall = ctypes.CDLL(None).syscall
    pid = syscall(SYS_FORK)
    if pid == 0:
        recurse(5)
        os._exit(7)
    _, status = os.waitpid(pid, 0)
    recurse(1)
    agent.stop()
    return agent.result(status=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    measuring.serve(
        {
            "loaded_again": loaded_again,
            "callbacks_of_too_little": callbacks_of_too_little,
            "child_without_handlers": child_without_handlers,
        }
    )
