"""What coverage.py and cProfile find of known work, alone, and beside calls that are recorded for a part of it."""

import cProfile
import os
import sys

import measuring  # it sets the path for the others
import tracked
import workload

OF_WORK = ("tracked.py", "workload.py")


def work(agent, *, acts):
    """Work before, while and after calls are recorded, or the same without."""
    tracked.run()
    agent.do(agent._start if acts else list)
    tracked.run()
    workload.run()
    agent.do(agent.collector.stop if acts else list)
    tracked.run()


def around(agent, tool, *, acts):
    """Calls are recorded before the tool begins, and after it has ended."""
    agent.do(agent._start if acts else list)
    tracked.run()
    tool.start()
    tracked.run()
    workload.run()
    tool.stop()
    agent.do(agent.collector.stop if acts else list)


def within(agent, tool, *, acts):
    """Calls are recorded for a part of what the tool hears."""
    tool.start()
    work(agent, acts=acts)
    tool.stop()


def covered(order, *, acts):
    """The lines that coverage.py finds, and the arcs where it looks for branches; the agent."""
    import coverage  # noqa: PLC0415 - where its folder is known only

    branch = os.environ.get("COVERAGE_CORE") != "sysmon" or sys.version_info >= (3, 14)
    include = ["*/" + name for name in OF_WORK]
    tool = coverage.Coverage(data_file=None, config_file=False, branch=branch, include=include)
    agent = measuring.Agent()
    order(agent, tool, acts=acts)
    data = tool.get_data()
    found = {
        os.path.basename(file): [sorted(data.lines(file)), sorted(data.arcs(file) or ())]
        for file in sorted(data.measured_files())
    }
    core = tool._collector.tracer_name()
    return found, core, agent


def beside_coverage(*, order):
    """What coverage.py finds twice alone, and beside us; which of its cores it was, and what we have recorded."""
    sys.path.append(os.environ["PACKAGES"])
    tracked.run()
    (first, _, _), (alone, core, _), (together, _, agent) = (covered(order, acts=acts) for acts in (False, False, True))
    return agent.result(first=first, alone=alone, together=together, core=core)


class Profiler:
    """A cProfile as a tool that is started and stopped."""

    def __init__(self):
        self._profile = cProfile.Profile()
        self.start, self.stop = self._profile.enable, self._profile.disable

    def rows(self):
        """What it counts of the work, of each caller within it; no times. It hears all threads from 3.12 on."""
        self._profile.create_stats()
        return sorted(
            [name_of(called), name_of(caller), *row[:2]]
            for called, (_, _, _, _, callers) in self._profile.stats.items()
            for caller, row in callers.items()
            if name_of(caller)[0] in OF_WORK
        )


def name_of(key):
    """A function as cProfile names it, by its file's name alone."""
    return [os.path.basename(key[0]), *key[1:]]


def beside_cprofile(*, order):
    """What cProfile counts twice alone, and beside us, and what we have recorded."""
    tracked.run()
    workload.run()
    found = []
    for acts in (False, False, True):
        tool, agent = Profiler(), measuring.Agent(force=True)
        order(agent, tool, acts=acts)
        found.append(tool.rows())
    return agent.result(first=found[0], alone=found[1], together=found[2])


if __name__ == "__main__":
    measuring.serve(
        {
            "coverage_within": lambda: beside_coverage(order=within),
            "coverage_around": lambda: beside_coverage(order=around),
            "cprofile_within": lambda: beside_cprofile(order=within),
            "cprofile_around": lambda: beside_cprofile(order=around),
        }
    )
