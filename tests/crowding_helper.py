"""A helper process that lets its page end where a mapping of the target begins: there is no room for a page of code.

Started as the attach helper is, with its socket as standard input.
"""

from __future__ import annotations

import os
import socket
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

from execd.attach import helper, link
from execd.attach.interpreter import Finder
from execd.attach.ptrace import Ptrace
from execd.attach.text import read_agent

if TYPE_CHECKING:
    from execd.attach.process import Mapping

# [vsyscall] lies beyond it.
USER_END = 1 << 47


def crowded(_pid: int, mappings: list[Mapping]) -> int:
    """Returns where the largest gap ends, less the room that the page takes."""
    pairs = pairwise(one for one in mappings if one.end < USER_END)
    _, above = max(pairs, key=lambda pair: pair[1].start - pair[0].end)
    return above.start - link.PAGE_SIZE


if __name__ == "__main__":
    link._free_address = crowded  # noqa: SLF001 - where the page comes to lie is nobody else's to choose
    helper.serve(socket.socket(fileno=os.dup(sys.stdin.fileno())), helper.Kit(Finder(), read_agent(), Ptrace()))
