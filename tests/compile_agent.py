"""Compiles the agent for every CPython of this machine, into the package: what `make` does before it runs or builds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import execd_agent
from execd.attach import bytecode, text
from interpreters import find_interpreters


def main() -> None:
    """Write a file a version, and remove those of other agents."""
    package = Path(execd_agent.__file__).parent
    folder = package / bytecode.FOLDER
    folder.mkdir(exist_ok=True)
    agent = text.read_agent()
    interpreters = find_interpreters(os.environ).values()
    made = set()
    for interpreter in interpreters:
        path = folder / bytecode.file_name(interpreter.version_info, package)
        made.add(path)
        path.write_bytes(bytecode.compile_sources((agent.launch, agent.bootstrap), agent.sources, interpreter.argv))
    for path in set(folder.glob("*.bin")) - made:
        path.unlink()
    sys.stdout.write("the agent is compiled for " + ", ".join(one.full_version for one in interpreters) + "\n")


if __name__ == "__main__":
    main()
