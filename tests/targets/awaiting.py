"""Tasks of an event loop that await each other while one of them stands still.

Known: "tasks" answers, for every task, [address, address of its coroutine, its name, addresses of who awaits it].
"""

import asyncio
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

TASKS = []


async def innermost():
    """Never ends."""
    await asyncio.Event().wait()


async def awaiting(tasks):
    """Awaits other tasks."""
    for task in tasks:
        await task


async def main():
    """Makes them, lets each come to where it waits, and stands in the midst of the loop."""
    leaf = asyncio.create_task(innermost(), name="leaf")
    one = asyncio.create_task(awaiting([leaf]), name="one")
    other = asyncio.create_task(awaiting([leaf]), name="other")
    root = asyncio.create_task(awaiting([one]), name="root")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    TASKS[:] = [leaf, one, other, root, asyncio.current_task()]
    line_protocol.serve_beside({"tasks": tasks})
    line_protocol.ready()
    threading.Event().wait()


def tasks():
    """What is known of them."""
    leaf, one, other, root, current = TASKS
    awaited_by = {leaf: (one, other), one: (root,), other: (), root: (), current: ()}
    return [[id(task), id(task.get_coro()), task.get_name(), sorted(map(id, awaited_by[task]))] for task in TASKS]


if __name__ == "__main__":
    asyncio.run(main())
