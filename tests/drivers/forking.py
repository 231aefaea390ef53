"""What a forked child does with the list of the at-fork stub, where an entry of it raises."""

import json
import os
import posix
import sys

from launching import definitions


def main():
    """Tells what ran in the child, what was raised there, and what is left in the list."""
    stub = definitions()["find_stub"](posix, OSError)
    ran, raised = [], []

    def fail():
        ran.append("fails")
        raise RuntimeError("of an agent")

    stub.disarms += [(1, fail), (1, lambda: ran.append("first")), (1, fail), (1, lambda: ran.append("second"))]
    stub.silences += [(1, lambda **_: None)]
    sys.unraisablehook = lambda unraisable: raised.append(type(unraisable.exc_value).__name__)
    # In this process no entry is run, whatever its number.
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        answer = {"ran": ran, "raised": raised, "left": len(stub.disarms), "silences": len(stub.silences)}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    child = json.loads(os.read(reader, 4096))
    sys.stdout.write(json.dumps({"child": child, "ran": ran, "left": len(stub.disarms)}))


main()
