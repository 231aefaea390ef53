"""The one error that execctl raises on purpose; `cli.py` prints it and exits with its code."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class ClientError(Exception):
    """A command that failed for a reason that can be told: the daemon's own error, or that there is none.

    Attributes:
        kind: stable name, "target_gone".
        message: one sentence, what happened and to which thing; may hold text that came from a target.
        remedy: what the user can do about it, or "".
        facts: the facts behind the message, by name.
        exit_code: what execctl ends with.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        exit_code: int,
        remedy: str = "",
        facts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.remedy = remedy
        self.facts = dict(facts or {})
        self.exit_code = exit_code
