"""Runs one program over and over, and tells each tenth of a second of CPU time how long one run took, s.

    pacing.py PROGRAM [FOLDER]

Programs are those of targets/costed.py, those of pyperformance, which lies in FOLDER, and a service that mostly waits,
a run of which is a request. The time is that of the program's threads alone.
"""

# ruff: noqa: T201 - it prints, as programs do

import importlib.util
import json
import os
import socket
import sys
import threading
import time

# How often the service is asked.
PAUSE_S = 0.005
TOLD_S = 0.1
# It waits most of the time: it tells of fewer.
TOLD_REQUESTS = 20


class Service:
    """A thread that answers requests, and one that asks."""

    def __init__(self):
        self.asked, self.served = socket.socketpair()
        self.users = {number: {"name": f"user {number}", "tags": ["a", "b"] * (number % 5)} for number in range(500)}
        self.number = 0
        self.server = threading.Thread(target=self.serve, daemon=True)
        self.server.start()

    def serve(self):
        """Answers for ever."""
        with self.served.makefile("rwb") as file:
            for line in file:
                file.write(self.answer(json.loads(line)))
                file.flush()

    def answer(self, request):
        """What is answered to one request."""
        found = [self.shown(self.users[number]) for number in self.chosen(request["first"], request["count"])]
        return (json.dumps({"found": found, "of": len(self.users)}) + "\n").encode()

    def chosen(self, first, count):
        """The numbers of the users that are asked for."""
        for number in range(first, first + count):
            yield number % len(self.users)

    def shown(self, user):
        """A user, as it is told."""
        return {"name": user["name"].title(), "tags": sorted(set(user["tags"])), "size": self.size(user)}

    def size(self, user):
        """How much there is of a user."""
        return sum(len(tag) for tag in user["tags"]) + len(user["name"])

    def request(self):
        """Asks once, after a pause."""
        time.sleep(PAUSE_S)
        self.number += 7
        self.asked.sendall(json.dumps({"first": self.number, "count": 20}).encode() + b"\n")
        received = b""
        while not received.endswith(b"\n"):
            received += self.asked.recv(1 << 16)

    def cpu_s(self):
        """What both threads have taken."""
        clock = time.pthread_getcpuclockid(self.server.ident)
        return time.thread_time() + time.clock_gettime(clock)


def small_programs():
    """Those of targets/costed.py: a module of that name lies here too."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "targets", "costed.py")
    spec = importlib.util.spec_from_file_location("small", path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found.PROGRAMS


def work_of(name, folder):
    """What a run is, and what tells the CPU time of the program."""
    if name == "service":
        service = Service()
        return service.request, service.cpu_s, TOLD_REQUESTS
    small = small_programs()
    if name in small:
        return small[name], time.thread_time, 1
    import costed_pyperformance  # noqa: PLC0415 - only some have it

    sys.path.append(folder)
    made = costed_pyperformance.MADE[name](costed_pyperformance.module(folder, name))
    return made.work, time.thread_time, 1


def main():
    """Runs until it is ended."""
    work, cpu_s, least = work_of(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
    print("ready", flush=True)
    while True:
        began, runs = cpu_s(), 0
        while runs < least or (least == 1 and cpu_s() < began + TOLD_S):
            work()
            runs += 1
        print((cpu_s() - began) / runs, flush=True)


if __name__ == "__main__":
    main()
