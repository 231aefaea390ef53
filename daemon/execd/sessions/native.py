"""What a native collector records, read where it records it: its target is not asked, and may have ended."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from execd.attach import process
from execd.attach.coremap import CoreMap
from execd.attach.table import CoreFacts, core_facts, read_tables
from execd.attach.text import read_core
from execd.errors import AttachBusy, ExecdError, TargetGone
from execd.model.collector import CALLS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from execd.attach.attacher import AgentLink
    from execd.model.profile import Header, Profile
    from execd.model.session import SessionSpec

_LOG = logging.getLogger("execd.sessions")
# How often is asked what stands beside the tables, and changes seldom.
_FACTS_S = 10.0
# What calls cost is measured in the first seconds.
_FIRST_FACTS_S = 1.0
# As the agent says it, of what it finds.
_IN_PYTHON = "recorded by the Python form, which costs more:"


class NativeTables:
    """The tables of one collector in a target, from its start to the end of its last session.

    Args:
        pid: of the target.
        tables: open.
        limit_bytes: how much memory a profile may come to.
        by_cpu: its threads are timed by their CPU clocks, not by one that we have too.
    """

    def __init__(self, pid: int, tables: CoreMap, limit_bytes: int, *, by_cpu: bool) -> None:
        self.tables = tables
        self._pid = pid
        self._limit_bytes = limit_bytes
        self._by_cpu = by_cpu
        self._facts = CoreFacts()
        self._is_over = False
        self._due = time.monotonic()

    @property
    def wants_facts(self) -> bool:
        """Whether it is time to ask."""
        return time.monotonic() >= self._due

    def hear(self, said: object, *, is_last: bool = False) -> None:
        """Take in what the agent tells beside the tables; `is_last`: it has stopped. Raises ProfileCorrupt."""
        was_first = not self._facts.told.get("extra")
        self._facts = core_facts(said)
        self._is_over = is_last
        self._due = time.monotonic() + (_FIRST_FACTS_S if was_first else _FACTS_S)

    def taken(self, header: Header) -> Callable[[], Profile]:
        """Take a copy, and return what makes a profile of it. Raises AttachBusy, ProfileCorrupt."""
        return self._made(self.tables.copy(), header)

    def last(self, header: Header, *, is_gone: bool = False) -> Callable[[], Profile]:
        """The same where nobody may be asked any more; `is_gone`: nor does anybody record. Raises ProfileCorrupt."""
        if is_gone:
            return self._made(self.tables.copy_last(), header)
        try:
            return self.taken(header)
        except AttachBusy:
            return self._made(self.tables.copy_last(), header)

    def close(self) -> None:
        """Let go of the tables."""
        self.tables.close()

    def _made(self, data: bytes, header: Header) -> Callable[[], Profile]:
        facts = self._facts
        if self._by_cpu and not self._is_over:
            facts = CoreFacts(facts.told, facts.names, _cpu_times(self._pid))
        return partial(read_tables, data, header, self._pid, facts, self._limit_bytes)


def core_for(link: AgentLink, pid: int, spec: SessionSpec) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the native core where it is of use and may be sent, and what to say where it may not."""
    if spec.collector != CALLS.name or spec.options.get("form") == "python":
        return None, ()
    core = read_core()
    if core is None:
        return None, (f"{_IN_PYTHON} execd was installed without its native core, or with a part of it",)
    if link.core_hindrance and process.status(pid).seccomp:
        return None, (f"{_IN_PYTHON} process {pid} runs under seccomp: {link.core_hindrance}",)
    return core, ()


def opened(
    pid: int, said: Mapping[str, object], options: Mapping[str, object], limit_bytes: int
) -> NativeTables | None:
    """Return the tables that a start has told of; None for no native form, and where we cannot read them.

    Args:
        pid: of the target.
        said: the answer to the start.
        options: of the session.
        limit_bytes: how much memory a profile may come to.
    """
    number = said.get("tables")
    if type(number) is not int or not 0 <= number < 1 << 31:
        return None
    try:
        # A copy is there once more where it is read into arrays.
        tables = CoreMap.open(pid, number, limit_bytes // 2)
    except ExecdError as error:
        # The agent copies them then, as long as there is one.
        _LOG.info("a core's tables cannot be read from here", extra={"facts": {"pid": pid, "why": error.message}})
        return None
    return NativeTables(pid, tables, limit_bytes, by_cpu=options.get("clock") == "cpu")


def _cpu_times(pid: int) -> dict[int, int]:
    """Return what the CPU clocks of a process's threads show; of one that has ended nobody knows."""
    try:
        return process.thread_cpu_ns(pid)
    except TargetGone:
        return {}
