"""A process with children of every kind; each counts its own calls of `counted`, and tells them before it ends.

Known: a command answers the calls that it and its children have made since the last one, those left out that a signal
has ended. With commands as arguments, a number behind one that needs it, it does these and prints the sum; without any
it takes them from stdin. The first argument "error" raises every warning.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

CALLS = 20
FAILED = 3
# Between a fork and a signal; each child gets it so much later than the one before. And longer than all of it.
DELAY_S = 0.002
LONG_S = 3
TALLY = "LINEAGE_TALLY"
CODE = "import sys; sys.path.insert(0, {!r}); import lineage; lineage.tally = {!r}; lineage.finish(lineage.CALLS)"
calls = [0]
# A child writes here that its hooks have begun: until then the interpreter itself forgets signals (signalmodule.c).
begun = []
tally = os.environ.get(TALLY, "")


def counted():
    """What is counted."""
    calls[0] += 1


def finish(count):
    """Calls it so often, and tells how often it has been called in this process since."""
    for _ in range(count):
        counted()
    descriptor = os.open(tally, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, b"%d\n" % calls[0])
    os.close(descriptor)
    calls[0] = 0


def pooled(number):
    """What a worker of a pool does; one that is killed then has told it."""
    finish(number)


def forked(life):
    """Has a child that lives so, and returns its exit code."""
    pid = os.fork()
    if pid == 0:
        life()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def os_exit():
    """A child ends by os._exit."""
    assert forked(lambda: finish(CALLS)) == 0


def interpreter_exit():
    """A child ends as programs do."""

    def life():
        finish(CALLS)
        sys.exit(FAILED)

    assert forked(life) == FAILED


def uncaught():
    """A child ends by an exception, of which its stderr tells nobody."""

    def life():
        finish(CALLS)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        raise ValueError

    assert forked(life) == 1


def killed():
    """A child is killed before it could tell."""

    def life():
        counted()
        os.kill(os.getpid(), signal.SIGKILL)

    assert forked(life) == -signal.SIGKILL


def grandchild():
    """A child has a child."""

    def life():
        os_exit()
        finish(CALLS)

    assert forked(life) == 0


def orphan():
    """A child has a child and ends before that one."""
    reading, writing = os.pipe()

    def life():
        child = os.getpid()
        if os.fork() == 0:
            while os.getppid() == child:
                time.sleep(0.001)
            finish(CALLS)

    assert forked(life) == 0
    os.close(writing)
    # Its end closes it.
    assert os.read(reading, 1) == b""
    os.close(reading)


def in_thread():
    """A child is forked by a thread."""
    thread = threading.Thread(target=os_exit)
    thread.start()
    thread.join()


def pool(method):
    """A pool of processes, which ends when it has worked."""
    with multiprocessing.get_context(method).Pool(2) as workers:
        workers.map(pooled, range(1, 9), 1)
        workers.close()
        workers.join()


def fork_pool():
    """By fork."""
    pool("fork")


def spawn_pool():
    """By new interpreters."""
    pool("spawn")


def forkserver_pool():
    """By a server that forks."""
    pool("forkserver")


def ran(*options, **given):
    """A new interpreter."""
    folder = os.path.dirname(os.path.abspath(__file__))
    code = CODE.format(folder, tally)
    subprocess.run([sys.executable, "-B", *options, "-c", code], check=True, **given)


def ran_open():
    """With all descriptors."""
    ran(close_fds=False)


def ran_prepared():
    """With a function between fork and exec."""
    with warnings.catch_warnings():
        # Of subprocess itself.
        warnings.simplefilter("ignore")
        ran(preexec_fn=counted_nowhere)


def counted_nowhere():
    """What runs between fork and exec."""


def ran_bare():
    """Without an environment."""
    ran(env={})


def ran_isolated():
    """Without regard to it."""
    ran("-I")


def ran_by_shell():
    """By a shell, which is there meanwhile."""
    folder = os.path.dirname(os.path.abspath(__file__))
    code = CODE.format(folder, tally).replace("'", '"')
    subprocess.run(["/bin/sh", "-c", '"$0" -B -c \'' + code + "'; true", sys.executable], check=True)


def ran_shell():
    """What is no interpreter."""
    for _ in range(5):
        subprocess.run(["/bin/sh", "-c", "sleep 0.05; true"], check=True)


def storm(count):
    """So many short children, as fast as they can be made."""
    for _ in range(count):
        os_exit()


def crowd(count):
    """So many children at once."""
    reading, writing = os.pipe()
    done, doing = os.pipe()

    def life():
        os.close(writing)
        finish(CALLS)
        os.write(doing, b"x")
        os.read(reading, 1)

    pids = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            life()
            os._exit(0)
        pids.append(pid)
    for _ in pids:
        os.read(done, 1)
    for descriptor in (reading, writing, done, doing):
        os.close(descriptor)
    for pid in pids:
        os.waitpid(pid, 0)


def closing():
    """A child closes every descriptor, and opens its own."""

    def life():
        os.closerange(3, 256)
        own = [os.open(os.devnull, os.O_RDWR) for _ in range(32)]
        finish(CALLS)
        for descriptor in own:
            os.close(descriptor)

    assert forked(life) == 0


class Raised(Exception):
    """What the handler of `signalled` raises."""


def signalled(count):
    """A handler that raises runs in so many children, some while they are made; answers how many got its exception."""

    def handler(*_):
        raise Raised

    signal.signal(signal.SIGALRM, handler)
    heard, said = os.pipe()
    begun.append(said)
    raised = sum(interrupted(DELAY_S * number, heard) for number in range(count))
    begun.clear()
    os.close(heard)
    os.close(said)
    return raised


def say_begun():
    """Called in each child, before the hooks of whoever comes later."""
    if begun:
        os.write(begun[0], b"b")


def interrupted(delay_s, heard):
    """Has a child and signals it so long afterwards; True where the exception came to its program."""
    try:
        pid = os.fork()
        if pid == 0:
            time.sleep(LONG_S)
            os._exit(0)
    except Raised:
        os._exit(FAILED)
    os.read(heard, 1)
    time.sleep(delay_s)
    os.kill(pid, signal.SIGALRM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == FAILED


def told():
    """The sum since it was last asked for."""
    finish(0)
    with open(tally, "r+b") as file:
        found = sum(map(int, file.read().split()))
        file.truncate(0)
    return found


COMMANDS = {
    one.__name__: one
    for one in (
        *(os_exit, interpreter_exit, uncaught, killed, grandchild, orphan, in_thread, storm, crowd, closing),
        *(fork_pool, spawn_pool, forkserver_pool),
        *(ran, ran_open, ran_prepared, ran_bare, ran_isolated, ran_by_shell, ran_shell),
    )
}


def summed(command):
    """A command that answers the sum."""

    def do(*arguments):
        command(*arguments)
        return told()

    return do


def main():
    """Ends with stdin, or with the last command."""
    global tally
    own_pid = os.getpid()
    words = sys.argv[1:]
    if words[:1] == ["error"]:
        warnings.simplefilter("error")
        del words[0]
    descriptor, tally = tempfile.mkstemp()
    os.close(descriptor)
    os.environ[TALLY] = tally
    os.register_at_fork(after_in_child=say_begun)
    try:
        if words:
            for word in words:
                name, *numbers = word.split(":")
                COMMANDS[name](*map(int, numbers))
            line_protocol.say(str(told()))
            return
        line_protocol.ready()
        actions = {name: summed(command) for name, command in COMMANDS.items()}
        line_protocol.serve({**actions, "signalled": signalled, "state": line_protocol.state})
    finally:
        # A forked child comes here too.
        if os.getpid() == own_pid:
            os.unlink(tally)


if __name__ == "__main__":
    main()
