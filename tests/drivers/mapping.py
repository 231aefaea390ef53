"""A program whose calls are recorded natively, and whose tables another process reads while it goes on."""

import sys
import threading

import measuring  # isort: skip - it sets the path for the others
import line_protocol

DONE = []


def leaf():
    """Called by `middle`, once each time."""


def middle():
    """Calls `leaf`."""
    leaf()


def spin():
    """Calls until it is told not to."""
    while not DONE:
        middle()


def end(agent, threads):
    """Lets the threads end, then the recording."""
    DONE.append(1)
    for thread in threads:
        thread.join()
    agent.stop()


def main():
    """Records, says where the tables are and which the thread is that spins, and goes on until it is told to end."""
    threads = [threading.Thread(target=spin, name=f"spinning-{number}") for number in range(int(sys.argv[1]))]
    agent = measuring.Agent()
    agent.start()
    for thread in threads:
        thread.start()
    actions = {
        "tables": lambda: agent.collector.tables,
        "poll": lambda: agent.do(agent.collector.poll),
        "end": lambda: end(agent, threads),
        "copy": lambda: agent.result()["table"],
    }
    line_protocol.say("ready")
    line_protocol.serve(actions)


if __name__ == "__main__":
    main()
