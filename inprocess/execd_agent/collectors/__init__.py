"""The collectors: each one way to measure, behind start, snapshot and stop.

A collector has a name, takes its options as a dict of JSON values and offers start() -> caveats, poll(), snapshot()
-> a bulk payload, mark() -> a snapshot after which another session counts anew, stop(), free() and memory_bytes.
`agent.py` chooses by the table there.
"""

from __future__ import annotations


class Refused(Exception):
    """A collector cannot run here now; the text says who or what is in the way."""


class NeedsConsent(Refused):
    """It would hold the target up for long, and nobody has said yes to that."""
