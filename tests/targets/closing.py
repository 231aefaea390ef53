"""One thread that closes descriptors of its process, or puts files of its own in their place.

Known: "close N" closes descriptor N; "close-all" closes every one from 3 to 999; "over N" opens a file of the
program's own, of FILE_BYTES bytes, under the number N; "touched" answers, for each of those files that is not as it was
opened, its number and what it is now: whether it is the file, its size, and the offset that the next read begins at;
"work N" runs N passes of the workload; "state" answers what this process holds.
"""

import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol
import workload

FILE_BYTES = 4096


class OwnFiles:
    """Descriptors that belong to the program alone."""

    def __init__(self):
        self.inodes = {}

    def over(self, number):
        """Opens one under a number, whatever that is."""
        descriptor, path = tempfile.mkstemp()
        os.unlink(path)
        os.write(descriptor, b"x" * FILE_BYTES)
        os.lseek(descriptor, 0, os.SEEK_SET)
        if descriptor != number:
            os.dup2(descriptor, number)
            os.close(descriptor)
        self.inodes[number] = os.fstat(number).st_ino
        return True

    def touched(self):
        """Those that are not as they were opened."""
        looks = [(number, self.look(number, inode)) for number, inode in self.inodes.items()]
        return [(number, *look) for number, look in looks if look != (True, FILE_BYTES, 0)]

    def look(self, number, inode):
        """What one is now."""
        facts = os.fstat(number)
        return facts.st_ino == inode, facts.st_size, os.lseek(number, 0, os.SEEK_CUR)


def close(number):
    """One."""
    os.close(number)
    return True


def close_all():
    """Those that programs close that become daemons."""
    os.closerange(3, 1000)
    return True


def main():
    """Ends with stdin."""
    files = OwnFiles()
    actions = {"close": close, "close-all": close_all, "over": files.over, "touched": files.touched}
    line_protocol.ready()
    line_protocol.serve({**actions, "work": workload.repeat, "state": line_protocol.state})


if __name__ == "__main__":
    main()
