"""The export that `tracemalloc.Snapshot.load` of every version reads: the pickle of such a snapshot, written by hand.

Protocol 2; a class of the standard library is named in it and none of ours. Blocks that are alike are one tuple, which
the pickle refers to.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.reports.memory.options import chosen_blocks, memory_options

if TYPE_CHECKING:
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

_MOST_BLOCKS = 20_000_000
_PROTOCOL = 2
_HEAD = b"\x80\x02"
_STOP = b"."


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the file.

    Raises:
        UsageError: a setting does not fit, or there are too many blocks for a file that lists each.
    """
    blocks = chosen_blocks(profile, options, memory_options(options))
    if sum(one.count for one in blocks) > _MOST_BLOCKS:
        raise UsageError(
            f"a file of tracemalloc's lists each block, and these are more than {_MOST_BLOCKS}",
            remedy="narrow them by --include and --exclude, or export json",
        )
    # Of more blocks than one, what their sizes do not share evenly is the last one's: no figure of ours is lost.
    traces: list[tuple[int, int, tuple[tuple[str, int], ...], int]] = []
    for one in blocks:
        size, rest = divmod(one.size, one.count)
        newest_first = one.frames[::-1]
        traces += [(one.domain, size, newest_first, one.total_frames)] * (one.count - 1)
        traces.append((one.domain, size + rest, newest_first, one.total_frames))
    inner = _object("_Traces", {"_traces": _plain(traces)})
    limit = profile.header.extra.get("traceback_limit", 1)
    return _HEAD + _object("Snapshot", {"traces": inner, "traceback_limit": _plain(limit)}) + _STOP


def _object(name: str, state: dict[str, bytes]) -> bytes:
    """Return the opcodes that make an object of tracemalloc's with these attributes."""
    made = b"ctracemalloc\n" + name.encode() + b"\n)\x81"
    items = b"".join(b"X" + len(key).to_bytes(4, "little") + key.encode() + value for key, value in state.items())
    return made + b"}(" + items + b"ub"


def _plain(value: object) -> bytes:
    """Return the opcodes that make a value of built-in types; only one of those in a file may use the memo."""
    return pickle.dumps(value, _PROTOCOL)[len(_HEAD) : -len(_STOP)]
