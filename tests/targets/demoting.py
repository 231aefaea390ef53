"""Another program of this folder, run by a user who has given up being root.

Known: the arguments are the user's number, the program's name and what that takes; all is as if it had been started.
Without arguments it is `reading`, and the user stays.
"""

import os
import sys


def main():
    """Never returns before the other program does."""
    uid, name = (int(sys.argv[1]), sys.argv[2]) if len(sys.argv) > 1 else (os.getuid(), "reading")
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".py")
    with open(path, encoding="ascii") as file:
        code = compile(file.read(), path, "exec")
    sys.path.insert(0, os.path.dirname(path))
    # What is imported lies where the other user may not look.
    for module in ("line_protocol", "workload"):
        __import__(module)
    if uid != os.getuid():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    sys.argv[:] = [path, *sys.argv[3:]]
    exec(code, {"__name__": "__main__", "__file__": path})  # noqa: S102 -- what `python path` does


if __name__ == "__main__":
    main()
