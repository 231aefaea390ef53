"""Symbols and sections of ELF files, read from a file descriptor. A stranger's file: every failure is NotAnElf."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

if TYPE_CHECKING:
    from collections.abc import Iterable

_MACHINE = "EM_X86_64"


class NotAnElf(Exception):
    """The file is not an ELF file of this machine, or lies about itself."""


@dataclass(frozen=True, slots=True)
class Image:
    """What is needed of one ELF file.

    Attributes:
        symbols: dynamic symbols found, by name: their virtual addresses.
        sections: sections found, by name: their virtual addresses.
        load_address: the virtual address of its first byte, to be subtracted for the load bias.
    """

    symbols: dict[str, int]
    sections: dict[str, int]
    load_address: int


def read_image(descriptor: int, symbols: Iterable[str], sections: Iterable[str]) -> Image:
    """Read the addresses of the named symbols and sections.

    Args:
        descriptor: of the file; it stays open.
        symbols: names of dynamic symbols to look up through the hash table (a scan costs 100 ms on a libpython).
        sections: names of sections.

    Raises:
        NotAnElf: it cannot be read as one.
    """
    with os.fdopen(os.dup(descriptor), "rb") as file:
        try:
            return _read(file, symbols, sections)
        except NotAnElf:
            raise
        # pyelftools meets a hostile file with whatever its parsing runs into: no list of classes is complete.
        except Exception as error:
            raise NotAnElf(f"{type(error).__name__}: {error}") from error


def _read(file: BinaryIO, symbols: Iterable[str], sections: Iterable[str]) -> Image:
    elf = ELFFile(file)
    if elf["e_machine"] != _MACHINE:
        raise NotAnElf(f"it is for {elf['e_machine']}")
    loads = [segment["p_vaddr"] - segment["p_offset"] for segment in elf.iter_segments("PT_LOAD")]
    if not loads:
        raise NotAnElf("it has nothing to load")
    found_sections = {}
    for name in sections:
        section = elf.get_section_by_name(name)
        if section is not None:
            found_sections[name] = int(section["sh_addr"])
    return Image(_look_up(elf, symbols), found_sections, int(min(loads)))


def _look_up(elf: ELFFile, names: Iterable[str]) -> dict[str, int]:
    table: Any = elf.get_section_by_name(".gnu.hash") or elf.get_section_by_name(".hash")
    if table is None:
        raise ELFError("no hash table of dynamic symbols")
    found = {}
    for name in names:
        symbol = table.get_symbol(name)
        if symbol is not None and symbol["st_shndx"] != "SHN_UNDEF":
            found[name] = int(symbol["st_value"])
    return found
