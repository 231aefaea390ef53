"""What the collector tells of prices and counts, while known calls are recorded."""

import measuring


def step(number):
    """Calls a C function, and a method of a type written in C."""
    return len("ab") + number.bit_length()


def numbers(count):
    """A generator."""
    yield from range(count)


def work(count):
    """So many calls, and as many resumptions and one more."""
    for number in numbers(count):
        step(number)


def costs(count, builtins):
    """What is told of costs after so much work, and the table."""
    agent = measuring.Agent(builtins=bool(builtins))
    agent.start()
    work(count)
    agent.do(agent.collector.poll)
    told = []
    agent.do(lambda: told.append(agent.collector.costs()))
    agent.stop()
    return agent.result(costs=told[0])


def beating(beats):
    """Whether each of so many beats was told to measure by the one before, and whether it did."""
    agent = measuring.Agent()
    agent.start()
    told = []
    for _ in range(beats):
        agent.do(lambda: told.append(agent.collector.costs()))
        agent.do(agent.collector.poll)
    agent.do(lambda: told.append(agent.collector.costs()))
    agent.stop()
    beat = range(beats)
    return agent.result(told=[[told[at]["measures"], told[at].get("prices") != told[at + 1]["prices"]] for at in beat])


def unmeasured(count):
    """The same where nothing is to be measured."""
    agent = measuring.Agent(bias=0.0)
    agent.start()
    work(count)
    agent.do(agent.collector.poll)
    told = []
    agent.do(lambda: told.append(agent.collector.costs()))
    agent.stop()
    return agent.result(costs=told[0])


def crowded(count, max_memory_bytes):
    """What is told of costs before and after so many calls for which there is no room, and the table."""
    agent = measuring.Agent(max_memory_bytes=max_memory_bytes, builtins=False)
    agent.start()
    told, namespace = [], {}
    number = 0
    while not agent.collector.lost_calls:
        number += 1
        exec(f"def f{number}():\n pass\nf{number}()", namespace)  # noqa: S102 - as many functions as it takes
    exec("def last():\n pass", namespace)  # noqa: S102
    agent.do(agent.collector.poll)
    agent.do(lambda: told.append(agent.collector.costs()))
    for _ in range(count):
        namespace["last"]()
    agent.do(lambda: told.append(agent.collector.costs()))
    agent.stop()
    return agent.result(told=told, lost=agent.collector.lost_calls)


if __name__ == "__main__":
    measuring.serve({"costs": costs, "unmeasured": unmeasured, "beating": beating, "crowded": crowded})
