"""The first code of the agent's own thread: receives the agent's modules over the channel and runs them.

Executed with `frozen` and `settings` as globals (see launch.py). Where its bytecode is not known it is compiled in
the target, so it is short.
settings: descriptor (our end of the channel), peer (the daemon's end, taken over by now), marker (an open memfd);
call (calls a function with one of them, where that is ours still); close (closes one of them, or all), stub and forget
(what a forked child calls); unheard (how this thread was started, and what that has taken: see unheard.py); silence (of
os.fork's warning, here and at each fork); hurry (shortens the switch interval, see haste.py); turn (empty where another
thread of the same launch is the agent's); let_go (of a program that waits for us, see startup.py; an attach has none);
sizes (of the bytecode, 0 where there is none, and of the sources).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    frozen: dict[str, Any]
    settings: dict[str, Any]

_PACKAGE = "execd_agent"


def receive(descriptor: int, count: int) -> bytes:
    """Return so many bytes of what the daemon sends."""
    read, call, hurry, data = frozen["_bootstrap_external"]._os.read, settings["call"], settings["hurry"], b""
    while len(data) < count:
        hurry(on=True)
        part = call(read, descriptor, count - len(data))
        hurry(on=False)
        if not part:
            raise EOFError
        data += part
    return data


def from_sources(sources: dict[str, str]) -> tuple[dict[str, Any], Any]:
    """Return the modules as they are and the function that compiles one, by name."""
    return sources, lambda name: compile(sources[name], "<" + name + ">", "exec", dont_inherit=True)


def from_bytecode(bytecode: bytes, loads: Any) -> tuple[dict[str, Any], Any]:
    """Return the directory of the modules, and the function that makes the code object of one, by name."""
    view = memoryview(bytecode)[4:]
    directory = loads(view)
    start = int.from_bytes(view[-4:], "little")
    codes: dict[str, Any] = {}

    def decode(name: str) -> Any:
        # A forked child that is recorded too has them from its parent.
        if name not in codes:
            codes[name] = loads(view[start + directory[name] :])
        return codes[name]

    return directory, decode


def read_modules(descriptor: int) -> tuple[dict[str, Any], Any]:
    """Return the agent's modules by name, and the function that makes the code object of one.

    The bytecode is taken where this interpreter would take a .pyc file of it: where its magic number is the same.
    """
    external = frozen["_bootstrap_external"]
    bytecode_size, sources_size = settings["sizes"]
    if bytecode_size:
        bytecode = receive(descriptor, bytecode_size)
        if bytecode[:4] == external.MAGIC_NUMBER:
            return from_bytecode(bytecode, external.marshal.loads)
        # What the helper knows from a hello (delivery.py).
        settings["call"](external._os.write, descriptor, b"\0\0\0\0\7\0\0\0")
    # Not hostile: the daemon could as well have sent code.
    return from_sources(eval(receive(descriptor, sources_size), {"__builtins__": {}}))  # noqa: S307


def main() -> None:
    """Run the agent until the channel closes. Nothing may surface: this thread's errors are nobody's in the target."""
    try:
        settings["turn"].pop()
    except IndexError:
        return
    importer = None
    namespace: dict[str, Any] = {"__builtins__": __builtins__}
    try:
        settings["close"](settings["peer"])
        settings["hurry"](on=False)
        # A forked child has what its parent has read.
        settings["modules"] = modules, decode = settings.get("modules") or read_modules(settings["descriptor"])
        name = _PACKAGE + ".importer"
        exec(decode(name), namespace)  # noqa: S102 - the one module that no importer can load
        importer = namespace["PrivateImporter"](frozen, modules, decode, settings["hurry"])
        importer.load(_PACKAGE)
        importer.load(_PACKAGE + ".agent").run(settings, importer)
    except BaseException:  # noqa: BLE001, S110 - the daemon sees the closed channel; the target must see nothing
        pass
    finally:
        settings["hurry"](on=False)
        if "let_go" in settings:
            settings["let_go"]()
        if importer:
            importer.forget(settings["stub"].pause)
        namespace.clear()
        # From here on a fork waits until this thread is gone; one that has begun has counted it, and may warn yet.
        stub, turns = settings["stub"], 2000
        stub.leaving.append(frozen["_thread"].get_native_id())
        # Those that no fork has waited for are long gone.
        del stub.leaving[:-8]
        while stub.forks > 0 and turns:
            turns -= 1
            stub.pause.acquire(True, 0.0005)
        if stub.forked:
            # One whose hooks are over may stand before its warning, and wait for the GIL.
            stub.pause.acquire(True, 0.01)
        if (settings["pid"], settings["silence"]) in stub.silences:
            stub.silences.remove((settings["pid"], settings["silence"]))
        settings["silence"](on=False)
        settings["unheard"][1]()
        # When the daemon sees it closed, nothing of ours is open any more.
        settings["close"]()
        stub.disarms.remove((settings["pid"], settings["forget"]))


main()
# Functions and the namespace that they are defined in are a cycle. What stays for forked children keeps its builtins:
# C code of the target's that runs within it, as a remote debugger's script does, could else import nothing (import.c).
[globals().pop(name) for name in list(globals()) if name != "__builtins__"]
