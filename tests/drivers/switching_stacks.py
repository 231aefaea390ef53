"""Greenlets of one thread, each with its own stack; the first argument is the folder of packages, the rest numbers."""

import sys

sys.path.insert(0, sys.argv.pop(1))

import measuring  # it sets the path for the others


def leaf():
    """Called right after a switch, and before."""
    return 1


def deep(depth, action):
    """Calls something at its bottom."""
    return action() if depth == 0 else deep(depth - 1, action)


def below_worker(times, switch):
    """Switches at different depths."""
    for number in range(times):
        leaf()
        deep(number % 4, switch)
        leaf()


def below_other(times, switch):
    """Switches at once, in its own time and with C functions around it."""
    for number in range(times):
        switch()
        leaf()
        sorted([number], key=lambda _: switch())
        leaf()


def greenlets(workers, times, builtins=1):
    """Greenlets that switch to each other by way of the first."""
    import greenlet  # noqa: PLC0415 - where it is, the first argument says

    hub = greenlet.getcurrent()

    def switch():
        return hub.switch()

    def hubs_own():
        return leaf()

    def action():
        made = [greenlet.greenlet((below_worker, below_other)[number % 2]) for number in range(workers)]
        for one in made:
            one.switch(times, switch)
            hubs_own()
        while False in [one.dead for one in made]:
            for one in made:
                if not one.dead:
                    one.switch()
                    hubs_own()
        return workers

    return measuring.measured(action, builtins=bool(builtins))


def of_gevent(workers, times):
    """The same by gevent's hub."""
    import gevent  # noqa: PLC0415 - as above

    def switch():
        gevent.sleep(0)

    def action():
        made = [gevent.spawn((below_worker, below_other)[number % 2], times, switch) for number in range(workers)]
        gevent.joinall(made)
        return sum([one.successful() for one in made])

    # What it loads by and by is there then.
    action()
    return measuring.measured(action)


if __name__ == "__main__":
    measuring.serve({"greenlets": greenlets, "of_gevent": of_gevent})
