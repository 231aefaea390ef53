"""Every question of the agent about the interpreter's version, named after the behaviour."""

from __future__ import annotations

import sys

# PEP 669. Below it there are only profile functions, one a thread.
HAS_MONITORING = sys.version_info >= (3, 12)
# A thread with a profile function looks at it at each instruction; on 3.11 it leaves the specialised ones as well.
SLOWS_BYTECODE = not HAS_MONITORING
# co_qualname. Below it a method's name does not say its class.
HAS_QUALNAME = sys.version_info >= (3, 11)
# co_lines. Below it there is co_lnotab.
HAS_LINE_RANGES = sys.version_info >= (3, 10)
# The instruction that every function begins with, so that its first line is in its table.
HAS_RESUME = sys.version_info >= (3, 11)
# compile takes the name that filters of warnings look at. Below it that is made of the file's.
COMPILES_BY_MODULE = sys.version_info >= (3, 15)
# Ids that no well-known tool uses: 0 debugger, 1 coverage, 2 profiler, 5 optimizer (PEP 669).
MONITORING_TOOL_IDS = (3, 4)
# Whose one of them is from 3.14 on while nothing hears events: see unheard.py.
AGENT_TOOL_NAME = "execd's agent"
