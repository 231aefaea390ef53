"""One thread, idle in epoll under asyncio.

Known: "work N" runs N passes of the workload in the event loop and answers the sum of their checksums;
"tasks N" runs as many tasks that yield to the loop 3 times each and answers how many ended; "ticks" answers
how often a timer of 50 ms has fired; "state" what this process holds.
"""

import asyncio
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol
import workload

TICK_S = 0.05


async def step(n):
    """A task that yields to the loop 3 times."""
    for _ in range(3):
        await asyncio.sleep(0)
    return n


async def tasks(count):
    """Runs so many tasks together."""
    return len(await asyncio.gather(*(step(n) for n in range(count))))


class Ticker:
    """Counts how often the loop's timer fired."""

    def __init__(self, loop):
        self.loop = loop
        self.count = 0

    def fire(self):
        """Called by the loop."""
        self.count += 1
        self.loop.call_later(TICK_S, self.fire)


async def respond(line, actions):
    """Answers one command; an action may be a coroutine."""
    name, *arguments = line.split()
    result = actions[name](*map(int, arguments))
    line_protocol.say(json.dumps(await result if asyncio.iscoroutine(result) else result))


async def main():
    """Reads commands as asyncio does: from a stream that the loop's selector watches."""
    loop = asyncio.get_running_loop()
    ticker = Ticker(loop)
    actions = {
        "work": workload.repeat,
        "tasks": tasks,
        "ticks": lambda: ticker.count,
        "state": line_protocol.state,
    }
    stream = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), sys.stdin)
    ticker.fire()
    line_protocol.ready()
    while True:
        line = await stream.readline()
        if not line:
            return
        await respond(line.decode("ascii"), actions)


if __name__ == "__main__":
    asyncio.run(main())
