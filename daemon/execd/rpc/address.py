"""Address: gRPC's name of a unix socket."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from pathlib import Path


def address(socket: Path) -> str:
    """Return what gRPC calls the unix socket at an absolute path; it decodes percent signs in that."""
    return "unix:" + quote(os.fsencode(socket))
