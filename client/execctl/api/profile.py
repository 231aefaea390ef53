"""A profile as a value: what all of them have. Each collector's own has a class in the file of its noun."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from execctl.files import save, save_below

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execctl.api.origin import Origin
    from execctl.api.processes import TreeProcess
    from execctl.api.rendering import Rendering
    from execctl.query import ReportQuery


class Renderer(Protocol):
    """What makes renderings: a client."""

    def render(self, query: ReportQuery) -> Rendering:
        """Return a rendering of a stored profile."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile: a value, and equal to what has the same content.

    What is in it is here. What another format is made of it, the daemon makes: `render` and `write` need the client to
    be open.

    Attributes:
        origin: where it comes from.
        processes: of a tree those that are in it, its root first; () of one process.
        query: what asks for it again.
        renderer: whom.
    """

    origin: Origin
    processes: tuple[TreeProcess, ...]
    query: ReportQuery = field(repr=False, compare=False)
    renderer: Renderer = field(repr=False, compare=False)

    @property
    def id(self) -> str:
        """Its name in the store, "p34"; of a sum that of the first part, of a tree its root's session, or snapshot."""
        return self.query.subject

    def render(self, format: str = "text", settings: Mapping[str, object] | None = None) -> bytes:  # noqa: A002 - its name
        """Return it in another format, as `execctl report` and `execctl export` print it.

        Args:
            format: "text", "json", "pstats", or another that profiles of its collector have (docs/reports.md).
            settings: what is asked of reports of its collector alone, by the names there with underscores.

        Raises:
            UsageError: there is no such format, or a setting does not fit it.
            NotFound: it was removed meanwhile.
        """
        return self.renderer.render(
            replace(self.query, form=format, settings={**self.query.settings, **(settings or {})})
        ).data

    def write(
        self,
        path: str | os.PathLike[str],
        format: str,  # noqa: A002 - its name
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Write it to a file in another format; the file is whole or not there.

        Args:
            path: of the file.
            format: as in `render`.
            settings: likewise.

        Raises:
            CannotWrite: the file cannot be written.
            UsageError: as of `render`.
            NotFound: likewise.
        """
        save(os.fsdecode(path), self.render(format, settings))

    def write_files(self, directory: str | os.PathLike[str], settings: Mapping[str, object] | None = None) -> list[str]:
        """Write a listing of each source below a directory, and return their names; no link below it is followed.

        Args:
            directory: made where there is none.
            settings: as in `render`.

        Raises:
            CannotWrite: a file cannot be written.
            UsageError: profiles of its collector have no listings, or a setting does not fit.
        """
        asked = {**self.query.settings, **(settings or {})}
        found = self.renderer.render(replace(self.query, form="cover", files=True, settings=asked))
        for name, data in found.files:
            save_below(os.fsdecode(directory), name, data)
        return [name for name, _ in found.files]
