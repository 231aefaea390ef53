"""A process that waits for its only child, which computes as long as it has this parent.

Known: what follows "ready" is the child's PID, and the next line is its exit code, the negative number of a signal.
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

COMPUTING = """
import os
parent = os.getppid()
os.write(1, b"1")
while os.getppid() == parent:
    sum(range(1000))
"""


def main():
    """Ends after its child, or with stdin."""
    with subprocess.Popen([sys.executable, "-I", "-c", COMPUTING], stdout=subprocess.PIPE) as child:
        try:
            os.read(child.stdout.fileno(), 1)
            line_protocol.serve_beside({"state": line_protocol.state})
            line_protocol.ready(str(child.pid))
            line_protocol.say(str(child.wait()))
        finally:
            child.kill()


if __name__ == "__main__":
    main()
