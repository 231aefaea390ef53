"""A process whose children live until they are let go, and have children of their own.

Known: "kid" has one more child and answers its PID; "looks" answers what each process holds, its own first: whether
os._exit is the interpreter's, how many agents the stub of forks knows, by what it is measured, how many threads it has;
"forks" has each child have a short child; "forking N" has N short children itself, one after the other. The end of
stdin ends it and, if it is not killed, its children.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

EXIT = os._exit


class Kid:
    """A child, and the pipes to it."""

    def __init__(self):
        asked, self.asking = os.pipe()
        self.answers, answering = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.asking)
            while True:
                command = os.read(asked, 1)
                if not command:
                    os._exit(0)
                if command == b"f":
                    forking(1)
                os.write(answering, json.dumps(look()).encode())
        os.close(asked)
        os.close(answering)

    def ask(self, command):
        """Has it do something, and answers what it holds then."""
        os.write(self.asking, command)
        return json.loads(os.read(self.answers, 4096))


def work():
    """What short children do."""


def forking(count):
    """Short children."""
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            work()
            os._exit(0)
        os.waitpid(pid, 0)
    return count


def look():
    """What this process holds of an agent."""
    stubs = [one for one in type.__subclasses__(object) if one.__name__.startswith("ExecdForkStub")]
    monitoring = getattr(sys, "monitoring", None)
    tools = [monitoring.get_tool(number) for number in range(6)] if monitoring else []
    return {
        "exit": os._exit is EXIT,
        "agents": sum(len(one.disarms) + len(one.births) + len(one.silences) for one in stubs),
        "measured": any(tools) or sys.getprofile() is not None,
        "threads": len(os.listdir("/proc/self/task")),
    }


def main():
    """Ends with stdin."""
    kids = []

    def kid():
        kids.append(Kid())
        return kids[-1].pid

    line_protocol.ready()
    line_protocol.serve(
        {
            "kid": kid,
            "looks": lambda: [look(), *(one.ask(b"l") for one in kids)],
            "forks": lambda: [one.ask(b"f") for one in kids],
            "forking": forking,
        }
    )


if __name__ == "__main__":
    main()
