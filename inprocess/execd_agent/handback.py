"""Runs in the interrupted thread when an exception came out of launch.py: that of a signal handler of the target.

It belongs to the target, so it is raised there again once the thread is out of the injected text: within it the
interpreter would print it and drop it. A thread of our own waits for that instant. Executed inside of an except clause,
with the globals of launch.py and `launch`, its source: where the exception came before it began, it is run from here,
as it is where the text's bytecode is not that of this interpreter.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    frozen: dict[str, Any]
    bootstrap: bytes
    settings: dict[str, Any]
    launch: bytes

# Events of the text and of what it loads, of which a hook may refuse one.
_AUDITED = ("marshal.loads", "compile", "code.__new__", "function.__new__", "object.__getattr__")


def hand_back(error: BaseException, turn: list[bool]) -> None:
    """Raise an exception of the target's signal handler again, in the interrupted thread, once we are out of it."""
    thread, sys = frozen["_thread"], frozen["sys"]
    # This function, this file, the lambda that executes it (execd.attach.text), the text.
    text = sys._getframe(3)
    monkey = sys.modules.get("gevent.monkey")
    saved = getattr(monkey, "saved", {}).get("_thread", {}) if monkey else {}
    start = saved.get("start_new_thread") or thread.start_new_thread
    try:
        start(raise_outside, (error, thread.get_ident(), text, turn))
    except RuntimeError:  # no more threads; not the exception that it is, but not lost
        thread.interrupt_main()


def find_ctypes() -> Any:
    """Return the interpreter's own _ctypes, None where it has none: `import` may be the target's, and find anything."""
    sys, external = frozen["sys"], frozen["_bootstrap_external"]
    folder = "%s/%s/python%d.%d/lib-dynload" % (sys.base_exec_prefix, sys.platlibdir, *sys.version_info[:2])
    loader = external.ExtensionFileLoader, frozen["_imp"].extension_suffixes()
    spec = frozen["BuiltinImporter"].find_spec("_ctypes") or external.FileFinder(folder, loader).find_spec("_ctypes")
    present = sys.modules.get("_ctypes")
    if spec is None or getattr(getattr(present, "__spec__", None), "origin", None) == spec.origin:
        return present if spec else None
    module = frozen["module_from_spec"](spec)
    spec.loader.exec_module(module)
    sys.modules["_ctypes"] = present or module
    return module


def raise_outside(error: BaseException, ident: int, text: Any, turn: list[bool]) -> None:
    """Wait in a thread of our own until the interrupted one has left the text's frame, then raise there."""
    sys = frozen["sys"]
    while True:
        frame = sys._current_frames().get(ident)
        while frame is not None and frame is not text:
            frame = frame.f_back
        if frame is None:
            break
    # A thread that was started and has not begun goes by the number of the one that started it (pystate.c, to 3.11):
    # the agent's would get the exception. Bounded: it may not have come to be.
    waits = 2000
    while turn and waits:
        waits -= 1
        frozen["_bootstrap_external"]._os.stat("/")
    # SetAsyncExc takes a class: this one turns into the exception when it is instantiated.
    members = {"__new__": lambda *_: error, "__init__": lambda *_: None}
    carrier = type("carrier", (type(error),), members)
    ctypes = find_ctypes()
    if ctypes is None:
        # Without it only the commonest of them can be raised from here.
        frozen["_thread"].interrupt_main()
        return
    pointer = type("pointer", (ctypes._SimpleCData,), {"_type_": "L"})
    instance = type("instance", (ctypes._SimpleCData,), {"_type_": "O"})
    flags = {"_flags_": ctypes.FUNCFLAG_CDECL | ctypes.FUNCFLAG_PYTHONAPI, "_restype_": pointer}
    prototype = type("prototype", (ctypes.CFuncPtr,), {**flags, "_argtypes_": (pointer, instance)})
    prototype(ctypes.dlsym(ctypes.dlopen(None, 0), "PyThreadState_SetAsyncExc"))(ident, carrier)


def make_up(error: BaseException) -> Any:
    """Start the agent where launch.py did not come to it. Returns what is empty once the agent's thread has begun."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_name == "launch":
            return trace.tb_frame.f_globals["settings"].get("turn")
        trace = trace.tb_next
    builtins = frozen["__builtins__"]
    names = {"__builtins__": builtins, "frozen": frozen, "bootstrap": bootstrap, "settings": settings}
    function: Any = make_up.__class__
    try:  # noqa: SIM105 - contextlib would be one more module in the target
        function(builtins["compile"](launch, "<execd_agent>", "exec"), names)()
    except BaseException:  # noqa: BLE001, S110 - one more of the target's; the first is the one that it gets
        pass
    return settings.get("turn")


def is_ours(error: BaseException) -> bool:
    """Tell an exception of something that the text did: an audit hook of the target has the event's name in it.

    One of a signal handler comes with the handler's frame; that of Ctrl-C, or of another thread's, has none, and is
    none of those that code without a fault of its own does not raise. Code of `python -c` has the text's file name too.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in ("<string>", "<execd_agent>"):
        frame = trace.tb_frame
        if "frozen" not in frame.f_globals and frame.f_code.co_name not in ("<module>", "<lambda>"):
            return False
        trace = trace.tb_next
    if trace is None:
        return type(error) in (AttributeError, KeyError, NameError, TypeError, ValueError)
    return any(type(value) is str and value in _AUDITED for value in trace.tb_frame.f_locals.values())


begun = make_up(frozen["sys"].exc_info()[1])
if not is_ours(frozen["sys"].exc_info()[1]):
    hand_back(frozen["sys"].exc_info()[1], begun)
