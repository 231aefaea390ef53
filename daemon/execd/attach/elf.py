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
_WORD_SIZE = 4


class NotAnElf(Exception):
    """The file is not an ELF file of this machine, or lies about itself."""


@dataclass(frozen=True, slots=True)
class Image:
    """What is needed of one ELF file.

    Attributes:
        symbols: dynamic symbols found, by name: their virtual addresses.
        constants: the 4-byte values that some of them have in the file.
        load_address: the virtual address of its first byte, to be subtracted for the load bias.
    """

    symbols: dict[str, int]
    constants: dict[str, int]
    load_address: int


def read_image(descriptor: int, symbols: Iterable[str], constants: Iterable[str]) -> Image:
    """Read the addresses of symbols, and the values of constants.

    Args:
        descriptor: of the file; it stays open.
        symbols: names of dynamic symbols to look up through the hash table (a scan costs 100 ms on a libpython).
        constants: those of them that are read-only data whose value is wanted.

    Raises:
        NotAnElf: it cannot be read as one.
    """
    with os.fdopen(os.dup(descriptor), "rb") as file:
        try:
            return _read(file, symbols, constants)
        except NotAnElf:
            raise
        # pyelftools meets a hostile file with whatever its parsing runs into: no list of classes is complete.
        except Exception as error:
            raise NotAnElf(f"{type(error).__name__}: {error}") from error


def _read(file: BinaryIO, symbols: Iterable[str], constants: Iterable[str]) -> Image:
    elf = ELFFile(file)
    if elf["e_machine"] != _MACHINE:
        raise NotAnElf(f"it is for {elf['e_machine']}")
    loads = list(elf.iter_segments("PT_LOAD"))
    if not loads:
        raise NotAnElf("it has nothing to load")
    found = _look_up(elf, symbols)
    values = {name: _word(file, loads, found[name]) for name in constants if name in found}
    return Image(found, values, int(min(segment["p_vaddr"] - segment["p_offset"] for segment in loads)))


def _word(file: BinaryIO, loads: list[Any], address: int) -> int:
    for segment in loads:
        if 0 <= address - segment["p_vaddr"] <= segment["p_filesz"] - _WORD_SIZE:
            file.seek(address - segment["p_vaddr"] + segment["p_offset"])
            return int.from_bytes(file.read(_WORD_SIZE), "little")
    raise NotAnElf("a symbol that lies outside of what is loaded")


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
