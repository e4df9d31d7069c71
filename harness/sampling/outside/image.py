"""A loaded ELF64 file, read where the loader mapped it: segments and exported symbols.

The dynamic symbol table and its GNU hash table are part of the loaded image, also of stripped files. Sources: elf(5);
"ELF: symbol hash sections", the DT_GNU_HASH layout of binutils and glibc (elf/dl-lookup.c).
"""

from __future__ import annotations

import re
import struct
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

from .mappings import Mapping
from .memory import Memory
from .refusal import Refused, Torn

_PT_LOAD, _PT_DYNAMIC, _PT_NOTE = 1, 2, 4
_PF_W = 2
_DT_STRTAB, _DT_SYMTAB, _DT_GNU_HASH = 5, 6, 0x6FFFFEF5
_HEADER = struct.Struct("<IIQQQQQ")  # type flags offset vaddr paddr filesz memsz, of a 56-byte program header
_MOST_HEADERS, _MOST_DYNAMIC, _LONGEST_CHAIN, _MOST_NOTES = 64, 512, 4096, 4096
_BUILD_ID = 3  # NT_GNU_BUILD_ID
_PAGE = 4096
_CHUNK_BYTES = 1 << 20
OVERLAP = 256


class Symbol(NamedTuple):
    """Where an exported symbol is in the process, and how large."""

    address: int
    size: int


class Image:
    """One file as the process has it loaded. Raises Refused when it is not an ELF64 image of this machine's byte order."""

    def __init__(self, memory: Memory, mappings: Sequence[Mapping]) -> None:
        """``mappings``: those of one file, the one with offset 0 among them."""
        self._memory = memory
        first = next((m for m in mappings if m.offset == 0), None)
        if first is None:
            raise Refused("its first page is not mapped")
        head = memory.read(first.start, 64)
        if head[:6] != b"\x7fELF\x02\x01":
            raise Refused("not an ELF64 little-endian image")
        place, count = struct.unpack_from("<Q", head, 32)[0], struct.unpack_from("<H", head, 56)[0]
        if not count <= _MOST_HEADERS or place > first.size:
            raise Refused("implausible program headers")
        raw = memory.read(first.start + place, 56 * count)
        headers = [_HEADER.unpack_from(raw, 56 * k) for k in range(count)]
        loads = [h for h in headers if h[0] == _PT_LOAD]
        dynamic = next((h for h in headers if h[0] == _PT_DYNAMIC), None)
        if not loads or dynamic is None:
            raise Refused("no dynamic section: a static program")
        self.path = first.path
        lowest = [h[3] - h[2] for h in loads if h[2] // _PAGE == 0]
        if not lowest:
            raise Refused("implausible program headers")
        self.bias = first.start - min(lowest)
        self.segments: Tuple[Tuple[int, int], ...] = tuple((h[3] + self.bias, h[6]) for h in loads)
        notes = [(h[3] + self.bias, min(h[5], _MOST_NOTES)) for h in headers if h[0] == _PT_NOTE]
        self._notes: Tuple[Tuple[int, int], ...] = tuple(notes)
        # Writable data, address and size rounded down to whole words: .data and .bss
        self.writable: Tuple[Tuple[int, int], ...] = tuple((h[3] + self.bias, h[6] & -8) for h in loads if h[1] & _PF_W)
        tags = self._tags(dynamic[3] + self.bias, min(dynamic[5], 16 * _MOST_DYNAMIC))
        try:
            self._hash, self._symbols, self._strings = (
                self._inside(tags[t]) for t in (_DT_GNU_HASH, _DT_SYMTAB, _DT_STRTAB)
            )
        except KeyError as error:
            raise Refused("no GNU hash table of its symbols") from error

    def contains(self, address: int) -> bool:
        """Whether the address lies in one of the image's segments."""
        return any(start <= address < start + size for start, size in self.segments)

    def symbol(self, name: str) -> Symbol | None:
        """An exported symbol that is defined here. Raises Torn when the tables cannot be read."""
        encoded = name.encode() + b"\0"
        wanted = _gnu_hash(encoded[:-1])
        buckets, first, bloom_words = struct.unpack("<3I", self._memory.read(self._hash, 12))
        if not buckets:
            return None
        chains = self._hash + 16 + 8 * bloom_words
        index = self._word32(chains + 4 * (wanted % buckets))
        chains += 4 * buckets
        for _ in range(_LONGEST_CHAIN):
            if index < first:
                return None
            link = self._word32(chains + 4 * (index - first))
            if link | 1 == wanted | 1:
                at, _, _, section, value, size = struct.unpack(
                    "<IBBHQQ", self._memory.read(self._symbols + 24 * index, 24)
                )
                if section and self._memory.read(self._strings + at, len(encoded)) == encoded:
                    return Symbol(value + self.bias, size)
            if link & 1:
                return None
            index += 1
        raise Torn("the symbol chain does not end")

    def build_id(self) -> str:
        """In hexadecimal, as ``file`` and debuggers name it; empty when there is none."""
        for address, size in self._notes:
            try:
                data = self._memory.read(address, size)
            except Torn:
                continue
            found = _build_id(data)
            if found:
                return found
        return ""

    def text(self, pattern: "re.Pattern[bytes]") -> str:
        """Group 1 of the first match anywhere in the image, which may be `OVERLAP` bytes long; empty when there is none."""
        for address, size in self.segments:
            before = b""
            for at in range(address, address + size, _CHUNK_BYTES):
                try:
                    data = self._memory.read(at, min(_CHUNK_BYTES, address + size - at))
                except Torn:
                    break
                found = pattern.search(before + data)
                if found:
                    return found.group(1).decode("ascii", "replace")
                before = data[-OVERLAP:]
        return ""

    def _tags(self, address: int, size: int) -> Dict[int, int]:
        tags: Dict[int, int] = {}
        for tag, value in struct.iter_unpack("<QQ", self._memory.read(address, size & -16)):
            tags.setdefault(tag, value)
        return tags

    def _inside(self, value: int) -> int:
        """The loader (glibc's) writes addresses over the file's offsets; both forms occur, musl leaves offsets."""
        return value if self.contains(value) else value + self.bias

    def _word32(self, address: int) -> int:
        return int.from_bytes(self._memory.read(address, 4), "little")


def images(memory: Memory, mappings: Sequence[Mapping], wanted: Callable[[str], bool]) -> List[Image]:
    """The loaded files whose path is ``wanted``, in the order of their addresses; files that are no images are left out."""
    files: Dict[str, List[Mapping]] = {}
    for mapping in mappings:
        if mapping.path.startswith("/") and wanted(mapping.path):
            files.setdefault(mapping.path, []).append(mapping)
    found = []
    for parts in files.values():
        try:
            found.append(Image(memory, parts))
        except Refused:
            continue
    return found


def _build_id(notes: bytes) -> str:
    """Out of a segment of notes: name size, description size and type, then both, each padded to four bytes."""
    position = 0
    while position + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<3I", notes, position)
        name, start = notes[position + 12 : position + 12 + name_size], position + 12 + (name_size + 3 & -4)
        if kind == _BUILD_ID and name == b"GNU\0" and start + size <= len(notes):
            return notes[start : start + size].hex()
        position = start + (size + 3 & -4)
    return ""


def _gnu_hash(name: bytes) -> int:
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value
