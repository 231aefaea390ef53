"""How long a call to the daemon may take."""

from __future__ import annotations

# For what is only looked up: a list, the checks of a process.
LOOK_TIMEOUT_S = 30.0
# For what is done: storing a big profile takes seconds. One that does not answer must not hold a terminal for ever.
CALL_TIMEOUT_S = 120.0
# Reading a file in the daemon takes up to some seconds a MiB.
IMPORT_TIMEOUT_S = 900.0
# For a process to reach a point at which it can be attached to, where nothing else is said.
ATTACH_TIMEOUT_S = 10.0
