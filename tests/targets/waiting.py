"""The main thread waits, again and again, in the way that the first argument names (WAITS).

Known: a wait that has an end of its own ends after WAIT_MS and not before; every other ends when the test lets it:
by a line on stdin, a connection to the port, or SIGUSR1, as "ready HOW PORT" says. After each the program says
"waited N elapsed_ms result". Those with an end of their own begin with the first line on stdin and go on for ever; of
the others there are as many as the second argument says.
"""

import ctypes
import itertools
import os
import queue
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

WAIT_MS = 900
WAIT_S = WAIT_MS / 1000
EXIT_CODE = 7
ADDRESS = "192.0.2.7"
QUERY_TIMEOUT_S = 30
LIBC = ctypes.CDLL(None, use_errno=True)
SHELL = ["/bin/sh", "-c", "read line; echo $line; echo told >&2"]


def read_line():
    """One line of stdin, read byte by byte: what follows it is the next one's."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(line_protocol.STDIN_FD, 1)
        if not byte:
            os._exit(0)
        line += byte
    return line.decode("ascii").strip()


def for_each_line(action):
    """Does something at every line, in a second thread."""

    def loop():
        while True:
            action(read_line())

    threading.Thread(target=loop, name="lines", daemon=True).start()


def accepting():
    """socket.accept without a time limit."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(1)

    def wait():
        connection, _ = server.accept()
        data = connection.recv(100)
        connection.close()
        return data.decode("ascii").strip()

    return wait, f"connection {server.getsockname()[1]}"


def polling():
    """select.poll on stdin."""
    poll = select.poll()
    poll.register(line_protocol.STDIN_FD, select.POLLIN)

    def wait():
        events = poll.poll()
        assert events == [(line_protocol.STDIN_FD, select.POLLIN)], events
        return read_line()

    return wait, "line"


def selecting():
    """select.select on stdin."""

    def wait():
        readable, _, _ = select.select([line_protocol.STDIN_FD], [], [])
        assert readable == [line_protocol.STDIN_FD], readable
        return read_line()

    return wait, "line"


def waiting_for_child():
    """os.waitpid for a child that reads a line."""

    def wait():
        child = os.fork()
        if not child:
            read_line()
            os._exit(EXIT_CODE)
        pid, status = os.waitpid(child, 0)
        return f"exit-{os.WEXITSTATUS(status)}" if pid == child else "wrong child"

    return wait, "line"


def joining():
    """Thread.join of a thread that reads a line."""

    def wait():
        lines = []
        reader = threading.Thread(target=lambda: lines.append(read_line()))
        reader.start()
        reader.join()
        return lines[0]

    return wait, "line"


def getting():
    """queue.Queue.get."""
    lines = queue.Queue()
    for_each_line(lines.put)
    return lines.get, "line"


def getting_simply():
    """queue.SimpleQueue.get."""
    lines = queue.SimpleQueue()
    for_each_line(lines.put)
    return lines.get, "line"


def pausing():
    """signal.pause, which ends after a handler has run and returns nothing that tells why."""
    received = []
    signal.signal(signal.SIGUSR1, lambda number, _: received.append(number))

    def wait():
        before = len(received)
        signal.pause()
        return f"signals-{len(received) - before}"

    return wait, "signal"


def in_semaphore():
    """sem_wait of the C library, called by C code that knows nothing of Python."""
    semaphore = ctypes.create_string_buffer(32)
    LIBC.sem_init(semaphore, 0, 0)
    lines = []

    def post(line):
        lines.append(line)
        LIBC.sem_post(semaphore)

    for_each_line(post)

    def wait():
        result = LIBC.sem_wait(semaphore)
        return lines.pop() if result == 0 else f"errno-{ctypes.get_errno()}"

    return wait, "line"


def in_condition():
    """pthread_cond_wait of the C library; the mutex is the waiter's again when it returns."""
    mutex, condition = ctypes.create_string_buffer(40), ctypes.create_string_buffer(48)
    lines = []

    def notify(line):
        LIBC.pthread_mutex_lock(mutex)
        lines.append(line)
        LIBC.pthread_cond_signal(condition)
        LIBC.pthread_mutex_unlock(mutex)

    for_each_line(notify)

    def wait():
        LIBC.pthread_mutex_lock(mutex)
        woken = 0
        while not lines:
            LIBC.pthread_cond_wait(condition, mutex)
            woken += 1
        line = lines.pop()
        LIBC.pthread_mutex_unlock(mutex)
        return line if woken == 1 else f"{line} woken {woken} times"

    return wait, "line"


def resolving():
    """getaddrinfo, with a name server in this process that answers when a line comes."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    ask_only(server.getsockname()[1])

    def answer(_line):
        query, client = server.recvfrom(512)
        question = query[12 : query.index(b"\0", 12) + 5]
        head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
        record = struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(ADDRESS)
        server.sendto(head + question + record, client)

    for_each_line(answer)

    def wait():
        found = socket.getaddrinfo("held.example.", 80, socket.AF_INET, socket.SOCK_STREAM)
        return found[0][4][0]

    return wait, "line"


def ask_only(port):
    """Makes the C library's resolver of this thread ask one server: struct __res_state of <resolv.h>."""
    LIBC["__res_init"]()
    locate = LIBC["__res_state"]
    locate.restype = ctypes.c_void_p
    state = locate()
    retransmit_and_retry = struct.pack("<ii", QUERY_TIMEOUT_S, 1)
    ctypes.memmove(state, retransmit_and_retry, len(retransmit_and_retry))
    servers = struct.pack("<ihH4s8x", 1, socket.AF_INET, socket.htons(port), socket.inet_aton("127.0.0.1"))
    ctypes.memmove(state + 16, servers, len(servers))


def communicating():
    """Popen.communicate with two pipes."""

    def wait():
        with subprocess.Popen(SHELL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            out, errors = child.communicate()
        return out.decode("ascii").strip() if errors == b"told\n" else f"errors {errors!r}"

    return wait, "line"


def reading_pipe():
    """Reading all of a child's output."""

    def wait():
        with subprocess.Popen(SHELL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
            return child.stdout.read().decode("ascii").strip()

    return wait, "line"


def in_loop():
    """An asyncio loop without a timer, until stdin is readable."""
    import asyncio  # noqa: PLC0415 -- takes longer than all the others together

    loop = asyncio.new_event_loop()

    def wait():
        done = loop.create_future()
        loop.add_reader(line_protocol.STDIN_FD, lambda: done.set_result(read_line()))
        line = loop.run_until_complete(done)
        loop.remove_reader(line_protocol.STDIN_FD)
        return line

    return wait, "line"


def timed(wait_once):
    """A wait that ends by itself: its function returns what it found, nothing where time ran out."""
    return lambda: (lambda: str(wait_once()), "time")


def poll_timed():
    """poll(2) with a time limit relative to its start."""
    poll = select.poll()
    poll.register(line_protocol.STDIN_FD, select.POLLIN)
    return poll.poll(WAIT_MS)


def epoll_timed():
    """epoll_wait, which the kernel does not run again after a stop."""
    with select.epoll() as poll:
        poll.register(line_protocol.STDIN_FD, select.EPOLLIN)
        return poll.poll(WAIT_S)


def receiving_timed():
    """A socket with a time limit."""
    ours, theirs = socket.socketpair()
    ours.settimeout(WAIT_S)

    def wait():
        try:
            return str(ours.recv(1))
        except OSError as error:
            return str(error) if theirs.fileno() >= 0 else "closed"

    return wait, "time"


def get_timed():
    """Queue.get with a time limit."""
    try:
        return queue.Queue().get(timeout=WAIT_S)
    except queue.Empty:
        return None


def semaphore_timed():
    """sem_timedwait of the C library."""
    semaphore = ctypes.create_string_buffer(32)
    LIBC.sem_init(semaphore, 0, 0)
    end = time.time() + WAIT_S
    LIBC.sem_timedwait(semaphore, struct.pack("<qq", int(end), int(end % 1 * 1e9)))
    return os.strerror(ctypes.get_errno()).split()[0]


def sleep_in_c():
    """The C library's usleep, which waits for a time relative to its start."""
    return LIBC.usleep(WAIT_MS * 1000)


def sleeping_in_loop():
    """asyncio.sleep, in one loop."""
    import asyncio  # noqa: PLC0415 -- as above

    loop = asyncio.new_event_loop()
    return lambda: str(loop.run_until_complete(asyncio.sleep(WAIT_S))), "time"


WAITS = {
    "accept": accepting,
    "poll": polling,
    "select": selecting,
    "waitpid": waiting_for_child,
    "join": joining,
    "queue": getting,
    "simple-queue": getting_simply,
    "pause": pausing,
    "sem_wait": in_semaphore,
    "cond_wait": in_condition,
    "getaddrinfo": resolving,
    "communicate": communicating,
    "pipe": reading_pipe,
    "asyncio": in_loop,
    "sleep": timed(lambda: time.sleep(WAIT_S)),
    "event-timed": timed(lambda: threading.Event().wait(WAIT_S)),
    "select-timed": timed(lambda: select.select([line_protocol.STDIN_FD], [], [], WAIT_S)),
    "poll-timed": timed(poll_timed),
    "epoll-timed": timed(epoll_timed),
    "recv-timed": receiving_timed,
    "queue-timed": timed(get_timed),
    "sem_timedwait": timed(semaphore_timed),
    "usleep": timed(sleep_in_c),
    "asyncio-timed": sleeping_in_loop,
}


def main():
    """Ends with stdin."""
    wait, how = WAITS[sys.argv[1]]()
    line_protocol.ready(how)
    if how == "time":
        read_line()
    for number in itertools.count(1) if how == "time" else range(1, int(sys.argv[2]) + 1):
        started = time.monotonic()
        result = wait()
        elapsed_ms = (time.monotonic() - started) * 1000
        line_protocol.say(f"waited {number} {elapsed_ms:.3f} {result}")
    line_protocol.serve({})


if __name__ == "__main__":
    main()
