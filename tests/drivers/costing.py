"""What recording calls costs small programs, beside cProfile and without either, in turns within one process."""

import cProfile
import time

import measuring


def fibonacci(number):
    """Calls itself."""
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)


class Number:
    """An object with short methods."""

    def __init__(self, value):
        self.value = value

    def get(self):
        """Its value."""
        return self.value

    def plus(self, other):
        """The sum."""
        return Number(self.get() + other.get())


def methods():
    """Calls methods of objects."""
    number = Number(1)
    for _ in range(5_000):
        number.plus(number)


def c_functions():
    """Calls C functions alone."""
    found = []
    for number in range(10_000):
        found.append(len("ab"))
        abs(number)


def numbers(count):
    """A generator."""
    yield from range(count)


def generators():
    """Resumes generators."""
    for _ in range(10):
        for _ in numbers(1_500):
            pass


def calls():
    """Calls a function of Python's."""
    fibonacci(18)


PROGRAMS = {one.__name__: one for one in (calls, methods, c_functions, generators)}


def alone(program):
    """The CPU time that a program takes, s."""
    began = time.thread_time()
    program()
    return time.thread_time() - began


def beside_cprofile(program, builtins):
    """The same under cProfile."""
    profiler = cProfile.Profile(builtins=builtins)
    profiler.enable()
    try:
        return alone(program)
    finally:
        profiler.disable()


def recorded(program, builtins):
    """The same while the collector records; the first time is not counted, in which it meets each function."""
    agent = measuring.Agent(builtins=builtins, bias=0.0)
    agent.start()
    program()
    took = alone(program)
    agent.stop()
    agent.do(agent.collector.free)
    return took


def costs(rounds, builtins):
    """Of each program, in each round, the CPU times alone, under cProfile, and recorded."""
    found = {name: [] for name in PROGRAMS}
    for _ in range(rounds):
        for name, program in PROGRAMS.items():
            program()
            times = alone(program), beside_cprofile(program, bool(builtins)), recorded(program, bool(builtins))
            found[name].append(times)
    return found


if __name__ == "__main__":
    measuring.serve({"costs": costs})
