"""One look at all threads of a process, from outside: it needs no agent, and waits for nothing in the process."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from execd import _sampler
from execd.attach import access, refusals, syscalls
from execd.attach.interpreter import Finder
from execd.attach.subject import Subject
from execd.errors import AttachBusy, NotPermitted
from execd.model.dump import Dump, StackFrame, ThreadStack
from execd.model.views import LEFT_OUT
from execd.sampling.code_reader import CodeObject
from execd.sampling.sampler import ProcessSampler
from execd.sampling.samples import STATES, SYSTEM_CALL, THREAD, TOO_DEEP, UNSETTLED
from execd.sampling.tasks import FoundTasks, find_tasks
from execd.sampling.thread_names import ThreadName, thread_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd.attach.interpreter import Interpreter
    from execd.model.target import Target
    from execd.sampling.samples import Node, Samples

# Where a thread moved while it was read, all are looked at again, so often at most.
_TURNS: Final = 10
_PAUSE_S: Final = 0.0005
_SPECIAL: Final = {UNSETTLED: StackFrame("(unsettled)"), TOO_DEEP: StackFrame(LEFT_OUT)}
_UNREADABLE: Final = StackFrame("(unreadable)")


def take_dump(target: Target, interpreter: Interpreter, *, never_stop: bool = False, with_tasks: bool = False) -> Dump:
    """Return where the threads of a process are.

    Args:
        target: the process.
        interpreter: in it.
        never_stop: running threads are not stopped while they are read, which else takes some 50 us of each.
        with_tasks: with the tasks of its event loops.

    Raises:
        NotPermitted: the kernel does not let us read it.
        NotSupported: what is known of its version does not fit it.
        AttachBusy: no thread of it runs Python, or they come and go too fast.
        TargetGone: it has ended.
    """
    pid = target.key.pid
    access.require_access(pid, access.yama_scope())
    subject = Subject(pid, "", Finder())
    taken_at, notes = time.time(), tuple(_notes(subject))
    tasks = find_tasks(interpreter) if with_tasks else FoundTasks((), 0)
    if tasks is None:
        notes = (*notes, "no event loop's module, _asyncio, was found in it")
    elif tasks.left_out:
        notes = (*notes, f"{tasks.left_out} tasks ended or changed while they were read, and are left out")
    look = _Look(interpreter)
    # A call that a stop interrupts is begun again by restart_syscall, for which a filter may end the process.
    stopping = _sampler.STOP_NEVER if never_stop or subject.status.seccomp else _sampler.STOP_ALWAYS
    # The kernel lets go of whatever a thread traces when that thread ends: this one ends in any case.
    with ThreadPoolExecutor(1, thread_name_prefix="execd-dump") as once:
        once.submit(look.take, stopping).result()
    threads = tuple(look.stacks())
    if not threads:
        interpreter.memory.read_u64(interpreter.runtime)
        raise AttachBusy(f"the threads of process {pid} come and go too fast to be read", remedy="try again")
    version = interpreter.version_text or ".".join(map(str, interpreter.version))
    named = replace(target, python_version=version)
    return Dump(named, taken_at, threads, look.stopped, notes, tasks.tasks if tasks else ())


def _notes(subject: Subject) -> Iterator[str]:
    """Yield what keeps a process from going on by itself; it can be read all the same."""
    for check in (refusals.check_tracer, refusals.check_running):
        try:
            check(subject)
        except (NotPermitted, AttachBusy) as error:
            # A sampler of ours holds a thread for an instant.
            if error.facts.get("tracer_pid") != str(os.getpid()):
                yield error.message


@dataclass(frozen=True, slots=True)
class _Met:
    """Where a thread was met, within one interpreter: the innermost of its nodes, and its state."""

    node: int
    state: str


class _Look:
    """A look that goes on until every thread was read whole, or has been tried often enough.

    Args:
        interpreter: in the process.
    """

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        self._samples: Samples
        self._names: dict[int, ThreadName] = {}
        self._met: dict[int, list[_Met]] = {}

    def take(self, stopping: int) -> None:
        """Look. Raises as ProcessSampler does."""
        sampler = ProcessSampler(self._interpreter.memory.pid, self._interpreter, stopping)
        self._samples = sampler.samples
        try:
            for _ in range(_TURNS):
                sampler.turn()
                sampler.drain()
                self._add()
                if self._names and all(self._is_settled(native_id) for native_id in self._names):
                    return
                time.sleep(_PAUSE_S)
        finally:
            sampler.close()

    @property
    def stopped(self) -> int:
        """How often a thread was stopped."""
        return self._samples.figures["stopped"]

    def stacks(self) -> Iterator[ThreadStack]:
        """Yield the threads that are there at the end, by the kernel's number."""
        for native_id, name in sorted(self._names.items()):
            met = self._met.get(native_id, [])
            # Within another interpreter it may have no frame at all.
            shown = [one for one in met if self._frames(one.node)] or met[:1]
            if not shown:
                yield self._stack(native_id, name, None)
            for one in shown:
                yield self._stack(native_id, name, one)

    def _add(self) -> None:
        """Take over what the last turn met; who was read whole before stays where he was, and who has ended goes."""
        met: dict[int, list[_Met]] = {}
        for node, state in self._samples.take_counts():
            *_, thread = self._samples.path(node)
            met.setdefault(thread.where, []).append(_Met(node, STATES[state]))
        for native_id, states in met.items():
            if not self._is_settled(native_id):
                self._met[native_id] = sorted(states, key=lambda one: one.node)
        named = thread_names(self._interpreter, self._names)
        # A list that was read in the midst of a change may lack one that was met.
        self._names = {native_id: one for native_id, one in self._names.items() if native_id in met} | named

    def _is_settled(self, native_id: int) -> bool:
        met = self._met.get(native_id, [])
        return bool(met) and not any(self._moved(one.node) for one in met)

    def _moved(self, node: int) -> bool:
        return any(one.code == UNSETTLED for one in self._samples.path(node))

    def _stack(self, native_id: int, name: ThreadName, met: _Met | None) -> ThreadStack:
        frames = self._frames(met.node) if met else ()
        return ThreadStack(
            native_id=native_id,
            thread_id=name.thread_id,
            name=name.name,
            interpreter=name.interpreter,
            state=met.state if met else "",
            system_call=self._system_call(met.node) if met else "",
            frames=frames,
            is_settled=met is not None and not self._moved(met.node),
        )

    def _system_call(self, node: int) -> str:
        innermost = self._samples.nodes[node]
        return syscalls.name(innermost.where) if innermost.code == SYSTEM_CALL else ""

    def _frames(self, node: int) -> tuple[StackFrame, ...]:
        """Return the frames of a node and those above it, innermost first."""
        path = self._samples.path(node)
        return tuple(self._frame(one) for one in path if one.code not in (SYSTEM_CALL, THREAD))

    def _frame(self, node: Node) -> StackFrame:
        if node.code in _SPECIAL:
            return _SPECIAL[node.code]
        code = self._samples.codes[node.code]
        if not isinstance(code, CodeObject):
            return _UNREADABLE
        return StackFrame(code.qualname, code.filename, code.lines.line(node.where) or 0)
