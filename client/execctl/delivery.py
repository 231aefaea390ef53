"""Brings a rendering to where the user wants it: standard output or a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execctl import output
from execctl.files import save

if TYPE_CHECKING:
    from execctl.client import Rendering


def deliver(rendering: Rendering, form: str, file: str | None) -> None:
    """Print or save a rendering, made harmless, and tell its notes on stderr.

    Args:
        rendering: what the daemon rendered.
        form: its format, "text".
        file: the file to write; None or "-" for standard output.
    """
    data = output.printable(rendering.data, form)
    if file is None or file == "-":
        output.write_bytes(data)
    else:
        save(file, data)
        output.note(f"wrote {rendering.profile} to {file}: {len(data)} bytes")
    for sentence in rendering.notes:
        output.note(sentence)
