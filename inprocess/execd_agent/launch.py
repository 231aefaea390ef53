"""What runs in the interrupted thread: make forks safe, start the agent's own thread, nothing else.

`execd.attach.injection` wraps this file into the injected text, which executes it with these globals:
frozen (the namespace of importlib._bootstrap, whose contents no program replaces), bootstrap (code or source) and
settings (a dict for it). It must not import and must be over within microseconds: in the main thread it may be
interrupted by a signal handler of the target, whose exception `handback.py` gives back to the target.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    # These files are in front of this one.
    from execd_agent.replaced import REPLACED, replaced_functions  # noqa: TC004
    from execd_agent.unheard import unheard_by  # noqa: TC004

    frozen: dict[str, Any]
    bootstrap: Any
    settings: dict[str, Any]

# What a signal handler that raises may spoil; it is called again after each.
_ATTEMPTS = 20
# Another name for each form of the stub: that of an agent of an earlier version stays, and does nothing any more.
_STUB_NAME, _STUB_MODULE = "ExecdForkStub5", "execd_agent.launch"
_STACK_BYTES = 1 << 20
# Events of what is done here, of which a hook may refuse one (3.12+ has the first).
_AUDITED = (
    *("_thread.start_new_thread", "sys._getframe", "object.__getattr__", "os.register_at_fork"),
    *("code.__new__", "sys.monitoring.register_callback"),
)
_NO_THREAD = "it cannot start a thread: a limit is reached, or a hook forbids it"
# A program that replaces some later must not be told of what stays here, in the list of the stub, until we leave.
(lambda: None).__globals__["__builtins__"] = {**frozen["__builtins__"]}


def original(module: ModuleType, name: str) -> Any:
    """Return an attribute as it was before gevent or pydevd replaced it, None where there is none."""
    monkey = frozen["sys"].modules.get("gevent.monkey")
    saved = getattr(monkey, "saved", {}).get(module.__name__, {}) if monkey else {}
    own = module.__dict__
    return saved.get(name) or own.get("_original_" + name) or own.get(name)


def caller(posix: Any, failed: Any, files: Any, marker: int) -> Any:
    """Return a function that calls another with a file of ours, and with none of the target's under the same number.

    It raises OSError or KeyError where there is another one. port.py says why the number is looked at twice; the
    marker alone is a file. It needs no global name: it outlives this namespace.
    """
    identities = {number: (device, inode) for number, device, inode in files}

    def call(function: Any, number: int, *arguments: Any) -> Any:
        facts = posix.fstat(number)
        if (facts.st_dev, facts.st_ino) != identities[number]:
            raise failed
        answers = map(posix.fpathconf, (number,), ("PC_ASYNC_IO",))
        numbers = map({1 if number == marker else -1: number}.__getitem__, answers)
        (result,) = map(function, numbers, *zip(arguments))
        return result

    return call


def closer(posix: Any, failed: Any, files: Any, call: Any) -> Any:
    """Return a function that closes files of ours, one or all; what `call` refuses stays open.

    It may be given what is to be written there before. It outlives this namespace, too.
    """

    def close(only: int | None = None, last_word: bytes = b"") -> None:
        for number, _, _ in files:
            if only is None or number == only:
                try:
                    if last_word:
                        call(posix.write, number, last_word)
                    call(posix.close, number)
                except (failed, KeyError):  # the target has closed it
                    continue

    return close


def find_stub(posix: Any, failed: Any) -> Any:
    """Return the one stub of the process: a class that says what a fork has to mind.

    A forked child calls what is in its list `disarms`: of several, for one agent may be on its way out while another
    comes. A fork begins with what is in `silences`. Both hold pairs, of a process's number and what is to be called:
    an agent of its own may have come to a child before the child's hooks run. A fork waits until the threads `leaving`
    are gone; a thread that leaves waits for the `forks` under way. `launched` is the nonce of the latest agent: a text
    that is run twice starts one. `kept` are functions that a thread may be about to call, see slothooks.py. `births`
    are what a child that is recorded too begins with when nothing is armed any more, see offspring.py.
    os.register_at_fork cannot be undone, so that it is called once; a later attach finds the class.
    """
    for candidate in type.__subclasses__(object):
        if candidate.__name__ == _STUB_NAME and candidate.__module__ == _STUB_MODULE:
            return candidate
    # Nobody lets go of this lock: to wait for it is to sleep.
    pause = original(frozen["_thread"], "allocate_lock")()
    pause.acquire()
    state = {"disarms": [], "silences": [], "leaving": [], "forks": 0, "forked": False, "launched": "", "pause": pause}
    state["kept"], state["births"] = [], []
    stub: Any = type(_STUB_NAME, (), {"__module__": _STUB_MODULE, **state})

    def go_on() -> None:
        # An agent may have come since the fork began.
        if stub.forks > 0:
            stub.forks -= 1

    def disarm() -> None:
        stub.forks, own = 0, posix.getpid()
        stub.silences[:] = [entry for entry in stub.silences if entry[0] == own]
        for entry in stub.disarms[:]:
            if entry[0] != own:
                stub.disarms.remove(entry)
                try:
                    entry[1]()
                finally:
                    # What raises must not keep the others armed.
                    disarm()
                break

    # The interpreter counts the threads before it calls the hooks of the parent, and warns after them (3.14+).
    begin = beginner(stub, posix, disarm)
    posix.register_at_fork(before=preparer(stub, posix, failed), after_in_parent=go_on, after_in_child=begin)
    # A signal handler that raises may keep one from its first line; the second finds nothing left to do.
    posix.register_at_fork(after_in_child=begin)
    return stub


def beginner(stub: Any, posix: Any, disarm: Any) -> Any:
    """Return what a child begins with. It needs no global name, see `closer`."""

    def begin() -> None:
        # One that is recorded takes its parent's place at once. No signal comes before: what it raises would be lost.
        births: list[Any] = []
        try:
            births += [birth for birth in stub.births if birth.pid != posix.getpid()]
            for birth in births:
                stub.births.remove(birth)
                birth.hold()
        finally:
            try:
                disarm()
            finally:
                for birth in births:
                    birth.begin()

    return begin


def preparer(stub: Any, posix: Any, failed: Any) -> Any:
    """Return what a fork begins with. It needs no global name, see `closer`."""

    def prepare() -> None:
        stub.forked = True
        while True:
            # Bounded: the number may have become another thread's.
            turns = 2000
            while stub.leaving and turns:
                turns -= 1
                try:
                    posix.stat("/proc/self/task/%d" % stub.leaving[0])
                    stub.pause.acquire(True, 0.0005)
                except failed:
                    del stub.leaving[:1]
            if not turns:
                del stub.leaving[:]
            stub.forks += 1
            if not stub.leaving:
                break
            # Another one is on its way out, and may have looked before us.
            stub.forks -= 1
        for _, silence in stub.silences[:]:
            silence(on=True)

    return prepare


def silencer(sys: Any, posix: Any, machinery: Any) -> Any:
    """Return what keeps os.fork from warning of our thread (3.12+), or lets it again.

    Its entries match that one message of this one process and stand first in warnings.filters: under -W error the
    warning would be raised in the parent after the child exists. They are put there again at each fork: the program may
    have put others before them, or another list in place.
    """
    if sys.version_info < (3, 12):
        return lambda on: None  # noqa: ARG005 - called by that name
    message = "This process (pid=%d) is multi-threaded, use of %s() may lead to deadlocks in the child."
    # The C code of warnings compares an exact str for equality; a pattern would need the re module.
    texts = [message % (posix.getpid(), name) for name in ("fork", "forkpty")]
    entries = [("ignore", text, DeprecationWarning, None, 0) for text in texts]

    def silence(*, on: bool) -> None:
        # Inside of a warnings.catch_warnings of the target the list is another one than the module's.
        module = sys.modules.get("warnings")
        lists = [machinery.filters]
        present = getattr(module, "filters", lists[0])
        # What is none the interpreter does not take for filters either.
        if present is not lists[0] and type(present) is list:
            lists.append(present)
        if on and all(filters[: len(entries)] == entries for filters in lists):
            return
        # In single steps: an agent that is on its way out changes the lists too; its entries equal ours.
        for filters in lists:
            for entry in entries:
                if entry in filters:
                    filters.remove(entry)
            if on:
                filters[0:0] = entries
        # The name and the lock differ from 3.14 on.
        if hasattr(machinery, "_filters_mutated"):
            machinery._filters_mutated()
            return
        machinery._acquire_lock()
        try:
            machinery._filters_mutated_lock_held()
        finally:
            machinery._release_lock()

    return silence


def hurrier(sys: Any, posix: Any, failed: Any, intervals: list[float], descriptor: int) -> Any:
    """Return what makes the switch interval short, or usual again; haste.py says when, and why.

    The intervals are the usual one and the short one: what is neither was set by the target since, and stays. The
    descriptor is any.
    """

    def hurry(*, on: bool) -> None:
        if intervals and sys.getswitchinterval() == intervals[not on]:
            # It cuts off fractions of a microsecond: what it returned itself may become one less (ceval.c).
            sys.setswitchinterval(intervals[on] + 5e-7)
            if not on:
                # A thread that began to wait for the GIL before this asks for it after the short interval still. It is
                # woken when the GIL is let go, finds it taken again, and waits anew, as long as it is used to.
                try:  # noqa: SIM105 - contextlib would be one more module in the target
                    posix.fstat(descriptor)
                except failed:
                    pass

    return hurry


def forgetter(close: Any, silence: Any, hurry: Any, give_back: Any) -> Any:
    """Return what a forked child does: it has our files, and maybe our filter, switch interval and monitoring id."""

    def forget() -> None:
        close()
        give_back()
        silence(on=False)
        hurry(on=False)

    return forget


def start(sys: Any, posix: Any) -> None:
    """Start the agent's thread with every signal blocked, so that the kernel gives the target's signals to others.

    May be called again after a signal handler of the target has raised somewhere in here.
    """
    stub = settings["stub"] = find_stub(posix, OSError)
    if "forget" not in settings:
        if stub.launched == settings["nonce"]:
            return
        settings["intervals"] = []
        settings["hurry"] = hurrier(sys, posix, OSError, settings["intervals"], settings["descriptor"])
        silence, give_back = settings["silence"], settings["unheard"][1]
        settings["forget"] = forgetter(settings["close"], silence, settings["hurry"], give_back)
    stub.launched = settings["nonce"]
    for listed, action in ((stub.disarms, settings["forget"]), (stub.silences, settings["silence"])):
        if (settings["pid"], action) not in listed:
            listed.append((settings["pid"], action))
    # A fork may be under way, whose hooks run this text.
    settings["silence"](on=True)
    signal = sys.modules.get("_signal")
    names = {"__builtins__": __builtins__, "frozen": frozen, "settings": settings}
    begin, arguments = settings["unheard"][0](exec, (bootstrap, names))
    # Asked for before it is changed: the call that changes it may run a signal handler and return nothing.
    mask = settings.setdefault("usual_mask", signal.pthread_sigmask(signal.SIG_BLOCK, ()) if signal else None)
    usual_s = settings.setdefault("usual_s", sys.getswitchinterval())
    stack_size = original(frozen["_thread"], "stack_size")
    usual_stack = settings.setdefault("usual_stack", stack_size())
    try:
        if signal:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        # The target's own threads may make do with 32 KiB.
        stack_size(_STACK_BYTES)
        # The new thread must not wait 5 ms for its first turn; bootstrap.py puts it back.
        sys.setswitchinterval(min(usual_s, 0.0001))
        settings["intervals"][:] = [usual_s, sys.getswitchinterval()]
        original(frozen["_thread"], "start_new_thread")(begin, arguments)
    finally:
        # The mask first: what comes after it may be left out where a handler raises.
        if signal:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        stack_size(usual_stack)


def is_ours(error: BaseException) -> bool:
    """Tell an exception of something that we did: one of a signal handler comes with the handler's frame.

    That of Ctrl-C has none; an audit hook of the target has one, and the event's name in it.
    """
    trace: Any = error.__traceback__
    while trace and trace.tb_frame.f_globals is globals():
        trace = trace.tb_next
    if trace is None:
        return not isinstance(error, KeyboardInterrupt)
    return any(type(value) is str and value in _AUDITED for value in trace.tb_frame.f_locals.values())


def refuse(reason: str) -> None:
    """Tell the daemon that there will be no agent, and leave nothing."""
    if settings["turn"]:
        settings["turn"].clear()
        # A frame of the protocol (wire.py): FAILURE, of no request. The agent that would say it does not come to be.
        text = b'{"refused":true,"message":"%s"}' % reason.encode()
        frame = text.__len__().to_bytes(4, "little") + b"\4\0\0\0" + text
        settings["close"](settings["descriptor"], frame)
        # It may have come to an end before there was a stub.
        forget = settings.get("forget", settings["close"])
        if "stub" in settings:
            stub = settings["stub"]
            for listed, action in ((stub.disarms, forget), (stub.silences, settings["silence"])):
                if (settings["pid"], action) in listed:
                    listed.remove((settings["pid"], action))
        forget()
    if "let_go" in settings:
        settings["let_go"]()


def launch() -> None:
    """Start the agent's thread, be it in a second attempt."""
    sys, posix, handlers = frozen["sys"], frozen["_bootstrap_external"]._os, None
    settings["call"] = caller(posix, OSError, settings["files"], settings["marker"])
    settings["close"] = closer(posix, OSError, settings["files"], settings["call"])
    if posix.getpid() != settings["pid"]:
        # A child that was forked while the text was queued has it in its own queue.
        settings["close"]()
        return
    settings["silence"] = silencer(sys, posix, frozen["_warnings"])
    settings["bootstrap"] = bootstrap
    # Of two threads the second finds nothing to take, and ends.
    settings["turn"] = [True]
    replaced = replaced_functions(posix, frozen)
    if replaced:
        refuse(REPLACED + ", ".join(replaced))
        return
    # A forked child that is recorded too needs its own.
    unheard = unheard_by(sys, frozen["_bootstrap_external"].MAGIC_NUMBER)
    settings["makers"], settings["unheard"] = (caller, closer, silencer, hurrier, forgetter, unheard), unheard(is_ours)
    for _ in range(_ATTEMPTS):
        try:
            start(sys, posix)
            break
        except BaseException as error:  # noqa: BLE001 - the target's, and it gets it below
            if is_ours(error):
                refuse(_NO_THREAD)
                break
            handlers = handlers or error
    try:
        if handlers:
            raise handlers
    finally:
        # Its traceback holds this frame.
        handlers = None


def wipe(names: dict[str, Any]) -> None:
    """Empty this namespace."""
    for name in [*names]:
        if name != "__builtins__":
            del names[name]


launch()
# Functions and the namespace that they are defined in are a cycle. What stays for forked children keeps its builtins:
# C code of the target's that runs within it, as a remote debugger's script does, could else import nothing (import.c).
wipe(launch.__globals__)
