"""The agent's thread: answers the daemon's requests, owns the collectors, and leaves nothing behind when it ends.

It ends when the channel closes, when the daemon is silent for `dead_man_s`, or on a detach; whichever comes, every hook
is off before the thread is gone.
"""

from __future__ import annotations

import posix
import sys
from marshal import loads
from time import thread_time_ns

from execd_agent import port, wire
from execd_agent.collectors import NeedsConsent, Refused
from execd_agent.haste import Haste
from execd_agent.originals import native_thread_id, new_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


# The class of each collector, in the module of its name below `collectors`; only those that are used are loaded.
_COLLECTORS = {
    "calls": "Calls",
    "callers": "Callers",
    "functions": "Functions",
    "lines": "Lines",
    "cover": "Cover",
    "trace": "Trace",
    "memory": "Memory",
    "census": "Census",
}

# The classes of native forms, in modules that are named after them.
_NATIVE = {"calls": "NativeCalls"}
_IN_PYTHON = "recorded by the Python form, which costs more: "


def run(settings: dict[str, Any], importer: Any) -> None:
    """Serve one daemon until it lets go. Called by bootstrap.py in the agent's thread."""
    agent = Agent(settings, importer)
    try:
        agent.serve()
    except (port.ChannelClosed, wire.ProtocolError):
        pass  # the end of a session is not an error of the target's
    finally:
        agent.say_no_more()
        agent.disarm()


class Agent:
    """One attachment: from the hello to the last byte."""

    def __init__(self, settings: dict[str, Any], importer: Any) -> None:
        self._settings = settings
        self._importer = importer
        self._haste = Haste(settings["hurry"])
        self._port = port.Port(settings["descriptor"], self._haste)
        self._collectors: dict[str, Any] = {}
        self._attached = True
        self._pid = posix.getpid()
        # CPU time that the next answer to a ping tells of.
        self._paced_ns = 0
        # Of a program that is recorded from its beginning.
        self._entry: Any = None
        # Where its children are recorded too.
        self._offspring: Any = None

    def serve(self) -> None:
        """Say hello, then answer request after request."""
        self._settings["stub"].disarms.append((self._pid, self.disarm))
        if "start" in self._settings:
            self._enter()
        self._offspring = self._settings.pop("offspring", None)
        if self._offspring is not None:
            self._offspring.adopt(self._settings)
        self._port.send(wire.encode_frame(wire.HELLO, 0, wire.encode_json(self._hello())))
        # The daemon is busy with its books now; the start that follows finds the collector loaded, or says why not.
        _silently(lambda: self._collector("calls"))
        while self._attached:
            for collector in self._collectors.values():
                # One alone can record in time slices; it does so while there is nothing else to do.
                if getattr(collector, "slices", None) is not None:
                    self._port.wait(collector.slices.turn)
            frame = self._port.receive()
            if frame.kind != wire.REQUEST:
                raise wire.ProtocolError("kind %d is not for an agent" % frame.kind)
            self._haste.begin()
            self._port.send(*self._answer(frame))
            self._haste.end()

    def disarm(self) -> None:
        """Take every hook off. Safe to call twice, and in a forked child."""
        self._haste.end()
        if posix.getpid() == self._pid and self._offspring is not None:
            _silently(self._offspring.close)
            self._offspring = None
        for collector in list(self._collectors.values()):
            _silently(collector.stop)
        # A child needs its hooks off; to walk over what its parent has recorded would copy all of it.
        if posix.getpid() == self._pid:
            for collector in self._collectors.values():
                _silently(collector.free)
            self._collectors.clear()
            self._keep_retired()
        # Not before: a child forked until here has hooks. In a child the list is empty.
        disarms = self._settings["stub"].disarms
        if (self._pid, self.disarm) in disarms:
            disarms.remove((self._pid, self.disarm))

    def say_no_more(self) -> None:
        """Let nobody write to the channel, which may be closed."""
        if self._entry is not None:
            self._entry.close()

    def _tell_end(self, deadline: float) -> None:
        """Say, in the program's main thread, that it is about to end. Raises ChannelClosed."""
        self._port.tell(wire.encode_frame(wire.EVENT, 0, wire.encode_json({"event": "ending"})), deadline)

    def _keep_retired(self) -> None:
        """Let functions that were in a slot of threads' outlive us for some attachments."""
        hooks: Any = self._importer.private.get("execd_agent.collectors.slothooks")
        if hooks is not None:
            kept = self._settings["stub"].kept
            kept += hooks.retired
            # A detach disarms, and the agent's end again.
            del kept[: -hooks.RETIRED_KEPT], hooks.retired[:]

    def _hello(self) -> dict[str, Any]:
        version = sys.version_info
        return {
            "protocol": wire.VERSION,
            "nonce": self._settings["nonce"],
            "pid": posix.getpid(),
            "python_version": "%d.%d.%d" % tuple(version[:3]) + _release_suffix(version),
            "executable": str(sys.executable or ""),
            "collectors": sorted(_COLLECTORS),
            "loaded_modules": list(self._importer.loaded),
        }

    def _answer(self, frame: wire.Frame) -> list[bytes]:
        began_ns = thread_time_ns()
        try:
            # The daemon sent this. No eval: one of text has the interpreter forget that a Ctrl-C has ended the program
            # (run_eval_code_obj), whose exit status would not be that of SIGINT.
            message = loads(frame.payload)  # noqa: S302
            reply, bulk = self._handle(message)
            reply["cpu_ns"] = self._count(message, thread_time_ns() - began_ns)
        except Exception as error:  # noqa: BLE001 - the daemon is told, the target goes on
            failure = {
                "refused": isinstance(error, Refused),
                "consent": isinstance(error, NeedsConsent),
                "message": _describe(error),
            }
            return [wire.encode_frame(wire.FAILURE, frame.request, wire.encode_json(failure))]
        frames = [wire.encode_frame(wire.REPLY, frame.request, wire.encode_json(reply))]
        return frames + (wire.encode_bulk(frame.request, bulk) if bulk is not None else [])

    def _count(self, message: dict[str, Any], cpu_ns: int) -> int:
        """Return what an answer tells of the CPU time that it took: a ping tells of paced takes as well."""
        if message["op"] == "take" and message.get("paced"):
            self._paced_ns += cpu_ns
        elif message["op"] == "ping":
            cpu_ns, self._paced_ns = cpu_ns + self._paced_ns, 0
        return cpu_ns

    def _handle(self, message: dict[str, Any]) -> tuple[dict[str, Any], bytes | None]:
        for collector in self._collectors.values():
            # The daemon has taken what the answer to its start told of, or never will.
            if getattr(collector, "tables", -1) >= 0:
                collector.let_go()
        operation, session = message["op"], message.get("session", "")
        if operation == "stop" and message.get("reads_tables"):
            return {"facts": self._stopped(session)}, None
        if operation in ("snapshot", "mark", "take", "stop"):
            return {"bulk": True}, self._table(operation, session, message)
        return self._facts(operation, session, message), None

    def _facts(self, operation: str, session: str, message: dict[str, Any]) -> Any:
        if operation == "ping":
            for collector in self._collectors.values():
                collector.poll()
            collectors = self._collectors.items()
            broken = {name: one.broken for name, one in collectors if getattr(one, "broken", "")}
            wanted = message.get("facts", ())
            facts = {name: one.facts() for name, one in collectors if name in wanted and hasattr(one, "facts")}
            costs = {name: one.costs() for name, one in collectors if hasattr(one, "costs")}
            memory_bytes = {name: one.memory_bytes for name, one in collectors}
            return {"memory_bytes": memory_bytes, "broken": broken, "facts": facts, "costs": costs}
        if operation == "start":
            return self._start(session, message["collector"], message["options"], message.get("core"))
        if operation in ("arrive", "open", "follow"):
            return self._accompany(operation, message)
        if operation in ("ask", "switch_off", "slice"):
            return self._asked(operation, self._collectors[session], message)
        if operation == "executable_lines":
            tables = self._importer.load("execd_agent.collectors.linetables")
            return tables.executable_lines(message["source"], message["first_line"], message["file"])
        if operation == "detach":
            self._attached = False
            self.disarm()
            stub = self._settings["stub"]
            left = {"kept_functions": len(stub.kept), "cores": len(getattr(stub, "cores", ()))}
            return {"loaded_modules": list(self._importer.loaded), **left}
        raise ValueError("unknown operation " + str(operation))

    def _table(self, operation: str, session: str, message: dict[str, Any]) -> bytes:
        collector = self._collectors[session]
        if operation == "take":
            return bytes(collector.take(message["received"], is_paced=bool(message.get("paced"))))
        if operation == "mark":
            return bytes(collector.mark())
        if operation == "stop":
            collector.stop()
        table = collector.snapshot()
        if operation == "stop":
            del self._collectors[session]
            collector.free()
        return bytes(table)

    def _stopped(self, session: str) -> Any:
        """Stop a collector whose tables the daemon has, and return what it tells beside these."""
        collector = self._collectors[session]
        collector.stop()
        facts = collector.last_facts()
        del self._collectors[session]
        collector.free()
        return facts

    def _start(self, session: str, name: str, options: dict[str, Any], core: bytes | None) -> dict[str, Any]:
        if session in self._collectors:
            raise ValueError("session " + session + " runs already")
        if name not in _COLLECTORS:
            raise Refused("this agent has no collector " + name)
        collector, caveats = self._made(name, options, core)
        # Before it starts: a child forked meanwhile stops what has been armed.
        self._collectors[session] = collector
        try:
            caveats += collector.start()
        except BaseException:
            # Some of it may be on: an audit hook of the target's forbids the rest.
            _silently(collector.stop)
            _silently(collector.free)
            del self._collectors[session]
            raise
        said = {"form": getattr(collector, "form", "python"), "tables": getattr(collector, "tables", -1)}
        # What this thread takes is not the program's.
        said["native_thread_id"] = native_thread_id()
        return {**said, "caveats": caveats, "loaded_modules": list(self._importer.loaded)}

    def _made(self, name: str, options: dict[str, Any], core: bytes | None) -> tuple[Any, list[str]]:
        """Return a collector, in its native form where the daemon has sent a core, and why it is not in that."""
        python = self._collector(name)
        if core is None or name not in _NATIVE or options.get("timer"):
            return python(options), []
        cores = self._importer.load("execd_agent.core")
        module, why = cores.core_of(self._settings["stub"], core)
        if module is None:
            return python(options), [_IN_PYTHON + why]
        native = getattr(self._importer.load("execd_agent.collectors.native" + name), _NATIVE[name])
        try:
            return native(module, options), []
        except cores.Unfit as unfit:
            return python(options), [_IN_PYTHON + str(unfit)]

    def _asked(self, operation: str, collector: Any, message: dict[str, Any]) -> Any:
        """Have a collector that goes on do something more."""
        if operation == "ask":
            return collector.ask(message["question"])
        if getattr(collector, "form", "") != "native":
            raise Refused("functions are switched off, and slices recorded, in the native form of calls alone")
        if operation == "slice":
            return collector.slice(message["share"])
        return {"functions": collector.switch_off(message["functions"])}

    def _accompany(self, operation: str, message: dict[str, Any]) -> Any:
        """Let a program begin that waits for us; or have children that are forked from now on come to the daemon."""
        if operation != "follow":
            return self._entry.answer(operation, self._collectors.values())
        try:
            module = self._importer.load("execd_agent.offspring")
        except ImportError as error:
            raise Refused("this interpreter has no module " + str(error)) from None
        if self._offspring is not None:
            self._offspring.close()
        settings, frozen = self._settings, self._importer.frozen
        if self._entry is None:
            start = self._importer.load("execd_agent.waits").make_start(new_lock)
            settings["main_thread"] = 0
            module.watch_end(settings, start)
            self._enter()
        self._offspring = module.Offspring(settings, frozen, message["nonce"], message["dead_man_s"])
        self._offspring.open(self._port)
        return {}

    def _enter(self) -> None:
        entry = self._importer.load("execd_agent.entry")
        self._entry = entry.Entry(self._settings["start"], self._settings["main_thread"], self._tell_end)

    def _collector(self, name: str) -> Any:
        return getattr(self._importer.load("execd_agent.collectors." + name), _COLLECTORS[name])


def _silently(action: Any) -> None:
    """Do what the other collectors must not wait for; the agent leaves, and nobody is there to be told."""
    try:  # noqa: SIM105 - contextlib would be one more module in the target
        action()
    except Exception:  # noqa: BLE001, S110 - as it says
        pass


def _release_suffix(version: Any) -> str:
    marks = {"alpha": "a", "beta": "b", "candidate": "rc"}
    return marks[version[3]] + str(version[4]) if version[3] in marks else ""


def _describe(error: Exception) -> str:
    return str(error) if isinstance(error, Refused) else type(error).__name__ + ": " + str(error)
