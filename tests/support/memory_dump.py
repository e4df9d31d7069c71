"""The memory of a real process, copied: what reads processes can be tested on the copy, again and again, and damaged."""

from __future__ import annotations

import subprocess
from bisect import bisect_right
from collections.abc import Sequence

from harness.sampling.outside.image import Image, images
from harness.sampling.outside.mappings import Mapping
from harness.sampling.outside.memory import LARGEST_READ_BYTES, Memory
from harness.sampling.outside.process import Process
from harness.sampling.outside.refusal import Torn


class DumpedMemory(Memory):
    """Pieces of an address space: [(address, bytes)]. Counts what is asked of it; `poke` changes bytes until `restore`."""

    def __init__(self, pieces: Sequence[tuple[int, bytes]]) -> None:
        self._pieces = [(address, bytearray(data)) for address, data in sorted(pieces)]
        self._starts = [address for address, _ in self._pieces]
        self._changed: list[tuple[int, bytes]] = []
        self.reads = 0
        self.bytes_read = 0
        self.asked: set[int] | None = None  # set it to an empty set to learn which addresses are read

    def read(self, address: int, size: int) -> bytes:
        if not 0 <= size <= LARGEST_READ_BYTES:
            raise Torn("size")
        self.reads += 1
        if self.asked is not None:
            self.asked.add(address)
        out = bytearray()
        position = bisect_right(self._starts, address) - 1
        while position >= 0 and len(out) < size:
            if position == len(self._pieces):
                break
            start, data = self._pieces[position]
            at = address + len(out) - start
            if not 0 <= at < len(data):
                break
            out += data[at : at + size - len(out)]
            position += 1
        if len(out) != size:
            raise Torn(f"nothing at {address:#x}")
        self.bytes_read += size
        return bytes(out)

    def poke(self, address: int, data: bytes) -> None:
        """Overwrite bytes of one piece."""
        position = bisect_right(self._starts, address) - 1
        start, piece = self._pieces[position]
        at = address - start
        assert at + len(data) <= len(piece)
        self._changed.append((address, bytes(piece[at : at + len(data)])))
        piece[at : at + len(data)] = data

    def restore(self) -> None:
        """Undo all pokes."""
        changed, self._changed = self._changed[::-1], []
        for address, data in changed:
            self.poke(address, data)
        self._changed = []


class DumpedProcess(Process):
    """A process whose memory is a dump: nothing of it is alive."""

    def __init__(self, pieces: Sequence[tuple[int, bytes]], mappings: list[Mapping], program: str, tasks: int) -> None:
        self.mount, self.pid = "/nonexistent", 0
        self.memory = DumpedMemory(pieces)
        self.mappings = mappings
        self._program, self._tasks = program, tasks

    def reload(self) -> None:
        pass

    def images(self, wanted) -> list[Image]:
        return images(self.memory, self.mappings, wanted)

    def executable(self) -> str:
        return self._program

    def tasks(self) -> int:
        return self._tasks

    def close(self) -> None:
        pass


def dump(pid: int) -> DumpedProcess:
    """Copy what can be read of a living process: its own memory, its images."""
    process = Process("/proc", pid)
    try:
        pieces = []
        for mapping in process.mappings:
            if not mapping.permissions.startswith("r") or mapping.path.startswith(("[v", "/dev")):
                continue
            if not mapping.permissions.startswith("rw") and "python" not in mapping.path:
                continue
            data = b"".join(
                process.memory.read(at, min(LARGEST_READ_BYTES, mapping.end - at))
                for at in range(mapping.start, mapping.end, LARGEST_READ_BYTES)
            )
            pieces.append((mapping.start, data))
        return DumpedProcess(pieces, list(process.mappings), process.executable(), process.tasks())
    finally:
        process.close()


def dump_of(command: list[str], handshake: bytes) -> DumpedProcess:
    """Start a program, wait for a word of it on stdout, dump it, end it."""
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdin is not None
        line = child.stdout.readline()
        assert line.strip() == handshake, line
        return dump(child.pid)
    finally:
        child.kill()
        child.communicate()
