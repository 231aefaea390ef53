"""Render of several subjects: one report of their sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from execd import reports
from execd.errors import UsageError
from execd.model.origins import origins_of
from execd.rpc.reports import ReportsServicer
from execd_api.v1 import reports_pb2
from rpc_fakes import FakeRegistry, FakeStore

if TYPE_CHECKING:
    from execd.model.profile import Profile


def rendered(registry: Any, **fields: Any) -> list[reports_pb2.RenderChunk]:
    """The pieces of a rendering of s1 and others."""
    store: Any = FakeStore()
    context: Any = None
    request = reports_pb2.RenderRequest(subject="s1", format="text", **fields)
    return list(ReportsServicer(registry, store).Render(request, context))


def test_several_subjects_are_one_report_that_says_of_what(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def render(profile: Profile, *rest: object) -> bytes:
        *_, parts, of_the_earlier = rest
        assert isinstance(parts, tuple)
        assert of_the_earlier == ()
        asked.extend((len(origins_of(profile.header)), len(parts)))
        return b"summed"

    monkeypatch.setattr(reports, "render", render)
    registry = FakeRegistry()
    (only,) = rendered(registry, added=["s2", "s3"])
    assert asked == [3, 3]
    assert registry.asked == ["s1", "s2", "s3"]
    assert (only.data, only.profile, list(only.added)) == (b"summed", "p1", ["p1", "p1"])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"added": ["s2"], "compare": "prev"}, "of one profile"),
        ({"files": True, "compare": "prev"}, "one report"),
        ({"added": ["s2"] * 1000}, "1001 profiles are over the limit of 1000"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_looked_for(fields: dict[str, Any], said: str) -> None:
    registry = FakeRegistry()
    with pytest.raises(UsageError, match=said):
        rendered(registry, **fields)
    assert registry.asked == []
