"""A daemon whose helper attaches to nothing: agents that lie answer it. Run as `python -m execd` is."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from execd import __main__ as execd
from execd.attach import attacher

if __name__ == "__main__":
    helper = (sys.executable, str(Path(__file__).with_name("lying_helper.py")))
    attacher.Attacher = partial(attacher.Attacher, helper)  # type: ignore[assignment, misc]
    execd.main()
