"""Reports of sessions that go on wait for the sources, for a time, and say which were not there."""

from __future__ import annotations

import threading
from array import array
from typing import TYPE_CHECKING

import pytest
from compiling_agents import CompilingAgent
from execd.errors import NotFound
from execd.rpc.reports import ReportsServicer
from execd.sessions import recorder
from execd_api.v1.reports_pb2 import RenderRequest
from fake_daemons import LINES
from lies import rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from execd_api.v1.reports_pb2 import RenderChunk
    from fake_daemons import Daemon

TEXT = "def work():\n    return 1\n"
HITS = rows(
    1,
    text_bytes=("u1", b"workapp.py"),
    text_lengths=("i4", array("i", (4, 6)).tobytes()),
    functions=("i4", array("i", (0, 0, 1, 1)).tobytes()),
    locations=("i4", array("i", (0, 2)).tobytes()),
    hits=("i8", array("q", (3,)).tobytes()),
)


class Service:
    """A program that records the lines of app.py; its agent compiles once `go_on` is set."""

    def __init__(self, daemon: Daemon) -> None:
        self.go_on = threading.Event()
        self.is_asked = threading.Event()
        self._reports = ReportsServicer(daemon.registry, daemon.store)
        pid = daemon.target()
        daemon.attacher.agents[pid] = CompilingAgent(bulk=HITS, before=self._before)
        self.session = daemon.attach(pid, (LINES,)).sessions[0].id

    def _before(self, operation: str) -> None:
        if operation == "executable_lines":
            self.is_asked.set()
            assert self.go_on.wait(30.0)

    def rendered(self, form: str, *, files: bool = False) -> list[RenderChunk]:
        """What a client gets."""
        request = RenderRequest(subject=self.session, format=form, files=files)
        return list(self._reports.Render(request, None))  # type: ignore[arg-type]


@pytest.fixture
def service(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    (tmp_path / "app.py").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    found = Service(daemon)
    yield found
    found.go_on.set()


@pytest.mark.parametrize(("form", "files"), [("cover", True), ("lcov", False), ("source", False)])
def test_a_report_of_a_session_that_goes_on_waits_for_its_sources(service: Service, form: str, files: bool) -> None:  # noqa: FBT001 - a case
    found: list[RenderChunk] = []
    asking = threading.Thread(target=lambda: found.extend(service.rendered(form, files=files)), daemon=True)
    asking.start()
    assert service.is_asked.wait(30.0)
    assert found == []
    service.go_on.set()
    asking.join(30.0)
    shown = b"".join(chunk.data for chunk in found)
    # The line that did not run is told by the target's compiler alone.
    assert {"cover": b"    3:     return 1", "lcov": b"DA:1,0\nDA:2,3", "source": b"1 of 2 ran"}[form] in shown
    assert [note for note in found[0].notes if "app.py" in note] == []


def test_what_was_not_there_in_time_is_named(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder.Recorder.store_checkpoint, "__defaults__", (0.0,))
    (note,) = [note for note in service.rendered("lcov")[0].notes if "app.py" in note]
    assert note.endswith(" before the profile was stored")


def test_who_waits_for_sources_keeps_nobody_waiting(service: Service, daemon: Daemon) -> None:
    """A snapshot waits for the compiler; another operator's session of the same target ends meanwhile."""
    refused: list[str] = []

    def snapshot() -> None:
        try:
            daemon.registry.snapshot(service.session, "")
        except NotFound as error:
            refused.append(error.message)

    asking = threading.Thread(target=snapshot, daemon=True)
    asking.start()
    assert service.is_asked.wait(30.0)
    (live,) = daemon.registry.live_targets()
    assert live.lock.acquire(timeout=3.0)
    try:
        running = live.running[service.session]
        live.forget(running)
    finally:
        live.lock.release()
    assert asking.is_alive()
    service.go_on.set()
    asking.join(30.0)
    assert refused == [f"session {service.session} has ended (running)"]
    assert daemon.store.stored_profiles() == []
