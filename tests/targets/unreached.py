"""An interpreter without `_ctypes`, in which no thread reaches another's profile function: one thread rests.

Known: "rest" starts a thread that collects garbage and then rests until "wake", and answers true once it rests; "wake"
lets it make a call, and answers whether it has a profile function after that and before; "own" lets the main thread
set a profile function that calls the one that it found, "kept" answers whether it is there still; "collect" collects
garbage; "clear" takes everything out of gc.callbacks; "work N" runs N passes of the workload.
"""

import gc
import os
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol
import workload


def hide_ctypes(folder):
    """Makes the standard library's extension modules another folder, which has all but one."""
    version = "python{}.{}".format(*sys.version_info[:2])
    inside = os.path.join(sys.platlibdir, version, "lib-dynload")
    os.makedirs(os.path.join(folder, inside))
    library = os.path.join(sys.base_exec_prefix, inside)
    for name in os.listdir(library):
        if not name.startswith("_ctypes."):
            os.symlink(os.path.join(library, name), os.path.join(folder, inside, name))
    sys.base_exec_prefix = folder


class Resting:
    """A thread that makes no call for as long as it is let."""

    def __init__(self):
        self.rests = threading.Event()
        self.goes_on = threading.Lock()
        self.found = []

    def rest(self):
        """Starts it."""
        self.goes_on.acquire()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self.rests.wait()

    def run(self):
        """Is met by a collection, rests, and makes calls."""
        gc.collect()
        self.rests.set()
        # The call in which it rests ends by an event of a profile function that is still there.
        self.goes_on.acquire()
        workload.run()
        self.found.append(sys.getprofile() is None)

    def wake(self):
        """Whether it has no profile function then."""
        self.goes_on.release()
        self.thread.join()
        return self.found == [True]


class Chaining:
    """A profile function of the program's own over another."""

    def own(self):
        """Sets it."""
        below = sys.getprofile()

        def chained(frame, event, argument):
            if below is not None:
                below(frame, event, argument)

        self.chained = chained
        sys.setprofile(chained)
        return below is not None

    def kept(self):
        """Whether it is there still."""
        kept = sys.getprofile() is self.chained
        sys.setprofile(None)
        return kept


def collect():
    """Where it is asked for."""
    gc.collect()
    return True


def clear():
    """Everybody's."""
    gc.callbacks.clear()
    return True


def main():
    """Ends with stdin."""
    resting, chaining = Resting(), Chaining()
    actions = {"rest": resting.rest, "wake": resting.wake, "own": chaining.own, "kept": chaining.kept}
    with tempfile.TemporaryDirectory() as folder:
        hide_ctypes(folder)
        line_protocol.ready()
        line_protocol.serve({**actions, "collect": collect, "clear": clear, "work": workload.repeat})


if __name__ == "__main__":
    main()
