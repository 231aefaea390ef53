"""The ELF images that a process has mapped: which there are, and what their files or its memory say of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from execd.attach import elf, rootfs
from execd.attach.memory import Memory, Unmapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.attach.process import Mapping

# The images of one process that are looked at, those of one file, and the files of all that are remembered.
_IMAGES_LIMIT = 1024
_COPIES_LIMIT = 4
_KNOWN_LIMIT = 4096
# What is looked at lies close together; a page of memory is there as a whole, or not at all.
_BLOCK = 4096
_BLOCKS_LIMIT = 256


class ImageReader:
    """Reads some symbols of images; remembers the files that it has read.

    Args:
        symbols: names of the dynamic symbols wanted.
        constants: those of them whose 4-byte value is wanted.
    """

    def __init__(self, symbols: Sequence[str], constants: Sequence[str]) -> None:
        self._symbols = symbols
        self._constants = constants
        self._known: dict[tuple[int, int, int, int], elf.Image | None] = {}
        # Of most files of a machine nothing is wanted: they are not opened for every process that has mapped them.
        self._unwanted: set[tuple[str, str, int]] = set()

    def loaded(self, memory: Memory, rows: list[Mapping]) -> elf.Image | None:
        """Read an image as it lies in a process's memory, None where it is none. Raises TargetGone, NotPermitted."""
        try:
            return elf.read_loaded(_Blocks(memory).read, rows[0].start, self._symbols, self._constants)
        except elf.NotAnElf:
            return None

    def read(self, pid: int, rows: list[Mapping]) -> elf.Image | None:
        """Read the file of an image, or what is loaded of it where that is gone; None where nothing is wanted of it.

        Raises:
            TargetGone, NotPermitted: as `loaded` does.
        """
        key = (rows[0].path, rows[0].device, rows[0].inode)
        if key in self._unwanted:
            return None
        image = self._read(pid, rows)
        if image is None or not image.symbols:
            if len(self._unwanted) >= _KNOWN_LIMIT:
                self._unwanted.clear()
            self._unwanted.add(key)
        return image

    def _read(self, pid: int, rows: list[Mapping]) -> elf.Image | None:
        descriptor = _open_mapped(pid, rows[0])
        if descriptor is None:
            return self.loaded(Memory(pid), rows)
        try:
            facts = os.fstat(descriptor)
            key = (facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size)
            if key not in self._known:
                if len(self._known) >= _KNOWN_LIMIT:
                    self._known.clear()
                self._known[key] = self._from_file(descriptor)
            return self._known[key]
        finally:
            os.close(descriptor)

    def _from_file(self, descriptor: int) -> elf.Image | None:
        try:
            return elf.read_image(descriptor, self._symbols, self._constants)
        except elf.NotAnElf:
            return None


class _Blocks:
    """A process's memory read page by page, each once. It lives for one image: what is there changes."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._blocks: dict[int, bytes] = {}

    def read(self, address: int, length: int) -> bytes:
        """Return so many bytes, or less than that where not all of them are there."""
        first = address // _BLOCK
        last = (address + length - 1) // _BLOCK
        if first == last:
            return self._block(first)[address % _BLOCK :][:length]
        return self._read(address, length)

    def _block(self, number: int) -> bytes:
        block = self._blocks.get(number)
        if block is None:
            block = self._read(number * _BLOCK, _BLOCK)
            if len(self._blocks) < _BLOCKS_LIMIT:
                self._blocks[number] = block
        return block

    def _read(self, address: int, length: int) -> bytes:
        try:
            return self._memory.read(address, length)
        except Unmapped:
            return b""


def candidates(mappings: list[Mapping], likely: tuple[str, ...]) -> list[list[Mapping]]:
    """Return the mapped images that hold code, each as its mappings by address.

    A process may map one file several times: as data, by dlmopen, or as two files that had one name after another.

    Args:
        mappings: the memory map.
        likely: what the names of those that are to come first begin with.
    """
    images: dict[tuple[str, int], list[list[Mapping]]] = {}
    for mapping in mappings:
        if not mapping.path.startswith("/") or not mapping.inode:
            continue
        copies = images.setdefault((mapping.path, mapping.inode), [])
        if mapping.offset == 0:
            copies.append([])
        if copies:
            copies[-1].append(mapping)
    code = []
    for copies in images.values():
        code += [rows for rows in copies if any(row.executable for row in rows)][:_COPIES_LIMIT]
    code.sort(key=lambda rows: not rows[0].path.rpartition("/")[2].startswith(likely))
    return code[:_IMAGES_LIMIT]


def addresses(image: elf.Image, rows: list[Mapping]) -> dict[str, int]:
    """Return where an image's symbols lie in the process that has mapped it at `rows`."""
    bias = rows[0].start - rows[0].offset - image.load_address
    return {name: value + bias for name, value in image.symbols.items()}


def _open_mapped(pid: int, mapping: Mapping) -> int | None:
    """Open the file of a mapping if it still is the one that was mapped."""
    for opener in (rootfs.open_in_root, _open_exe):
        try:
            descriptor = opener(pid, mapping.path)
        except FileNotFoundError:
            continue
        if os.fstat(descriptor).st_ino == mapping.inode:
            return descriptor
        os.close(descriptor)
    return None


def _open_exe(pid: int, _path: str) -> int:
    return rootfs.open_executable(pid)
