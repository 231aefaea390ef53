"""Tasks that await each other directly, by gather and by a task group, in several coroutines each; the loop waits.

Known: "tasks" answers, for every task, [its id, its name, the frames of its coroutine and of those that this one
awaits, innermost first, as [qualname, file, line], the ids of the tasks that await it]. 3.14 and newer.
"""

import asyncio
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

HOSTILE = "\x1b[31mtask\n\ud800"


class Awaitable:
    """Awaited by what is written in Python, and no coroutine."""

    def __await__(self):
        """Never ends."""
        return asyncio.Event().wait().__await__()


async def generator():
    """An asynchronous one."""
    await asyncio.Event().wait()
    yield 1


async def leaf():
    """Never ends."""
    await asyncio.Event().wait()


async def through():
    """A coroutine between."""
    await leaf()


async def iterating():
    """Waits for an asynchronous generator."""
    async for _ in generator():
        pass


async def awaiting_another():
    """Waits for an object with a method."""
    await Awaitable()


async def gathering():
    """Waits for several by a future of its own."""
    await asyncio.gather(through(), asyncio.create_task(leaf(), name=HOSTILE))


async def grouping():
    """Waits for several in a group."""
    async with asyncio.TaskGroup() as group:
        group.create_task(through(), name="in a group")
        group.create_task(iterating(), name="iterating")


async def waiting(tasks):
    """Waits for tasks, one of which another one waits for too."""
    for task in tasks:
        await task


def frames(coroutine):
    """Those of coroutines that await each other, innermost first."""
    found = []
    while getattr(coroutine, "cr_frame", None) is not None:
        frame = coroutine.cr_frame
        found.append([frame.f_code.co_qualname, frame.f_code.co_filename, frame.f_lineno])
        coroutine = coroutine.cr_await
    return found[::-1]


def awaiting_tasks(future):
    """The ids of the tasks that await a future, also by way of others."""
    found = set()
    for one in future._asyncio_awaited_by or ():  # noqa: SLF001 -- what the oracle itself reads
        found |= {id(one)} if isinstance(one, asyncio.Task) else awaiting_tasks(one)
    return found


def tasks():
    """What is known of them; their numbers become names when they are asked for, so that comes last."""
    found = [[id(one), frames(one.get_coro()), sorted(awaiting_tasks(one)), one] for one in asyncio.all_tasks(LOOPS[0])]
    return [[address, one.get_name(), stack, awaited_by] for address, stack, awaited_by, one in found]


LOOPS = []


async def main():
    """Ends with stdin."""
    LOOPS.append(asyncio.get_running_loop())
    shared = asyncio.create_task(through(), name="shared")
    kept = [asyncio.create_task(one) for one in (gathering(), grouping(), awaiting_another())]
    kept += [asyncio.create_task(waiting([shared]), name=f"waiting {number}") for number in range(2)]
    for _ in range(5):
        await asyncio.sleep(0)
    line_protocol.serve_beside({"tasks": tasks})
    line_protocol.ready()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
