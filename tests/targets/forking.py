"""One thread that forks on command.

Known: "fork" makes a child that runs one pass of the workload and then waits, and answers its PID; "reap"
lets all children go and answers their exit codes, 0 where the pass gave its known checksum and the child was
measured by nobody; "work N" runs N passes in the parent; "state" answers what the parent holds. Nothing is
written to stderr. With the argument "error" every warning is raised.
"""

import os
import sys
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol
import workload


class Family:
    """The children, and the pipe whose end lets them go."""

    def __init__(self):
        self.pids = []
        self.held_fd, self.release_fd = os.pipe()

    def fork(self):
        """One more child."""
        pid = os.fork()
        if pid == 0:
            self.live_as_child()
        self.pids.append(pid)
        return pid

    def live_as_child(self):
        """Works, waits until the parent lets go or dies, ends without the interpreter's own end."""
        os.close(self.release_fd)
        exit_code = 0 if workload.run() == workload.CHECKSUM and not is_measured() else 1
        os.read(self.held_fd, 1)
        os._exit(exit_code)

    def reap(self):
        """Lets all children go and waits for them."""
        os.close(self.release_fd)
        exit_codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in self.pids]
        os.close(self.held_fd)
        self.pids = []
        self.held_fd, self.release_fd = os.pipe()
        return exit_codes


def is_measured():
    """Whether this process has a profile function, a trace function, or a tool."""
    state = line_protocol.state()
    return [state["profile"], state["trace"]] != ["None", "None"] or any(state["tools"])


def main():
    """Ends with stdin."""
    if sys.argv[1:] == ["error"]:
        warnings.simplefilter("error")
    family = Family()
    line_protocol.ready()
    line_protocol.serve(
        {"fork": family.fork, "reap": family.reap, "work": workload.repeat, "state": line_protocol.state},
    )


if __name__ == "__main__":
    main()
