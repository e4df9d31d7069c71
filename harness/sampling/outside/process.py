"""One process to look into: its identity, its mappings, its memory."""

from __future__ import annotations

import os
from typing import Callable, List

from ..reading import GONE, process_directory, why
from ..sources import pid_stat
from . import mappings
from .image import Image, images
from .mappings import Mapping
from .memory import ProcessMemory
from .refusal import Gone, Unreadable


class Process:
    """Opened once, read many times. Raises Unreadable when it is gone or may not be looked into.

    A pid may come to mean another process or another program: `same` says whether it still is what was opened.
    """

    def __init__(self, mount: str, pid: int) -> None:
        self.mount = mount
        self.pid = pid
        self.mappings: List[Mapping] = []
        # First, so that a program executed from here on makes `same` say no.
        try:
            stat = pid_stat.read(mount, pid)
        except OSError as error:
            raise _unreadable(error, mount, pid, "stat") from error
        if stat is None:
            raise Gone
        self._identity = (stat.start_ticks, stat.image)
        self.memory = ProcessMemory(mount, pid)
        try:
            self.reload()
        except BaseException:
            self.memory.close()
            raise

    def reload(self) -> None:
        """Read the mappings again: allocators map and unmap. Raises Unreadable."""
        try:
            found = mappings.read(self.mount, self.pid)
        except OSError as error:
            raise _unreadable(error, self.mount, self.pid, "maps") from error
        if not found:
            raise Unreadable("the process has no memory of its own (any more)")
        self.mappings = found

    def same(self, start_ticks: int, image: "tuple[int | None, int | None]") -> bool:
        """Whether a reading of its stat file is of the process and the program that were opened."""
        return self._identity == (start_ticks, image)

    def images(self, wanted: Callable[[str], bool]) -> List[Image]:
        """Loaded files by path."""
        return images(self.memory, self.mappings, wanted)

    def executable(self) -> str:
        """Path of the program, as the kernel names it; empty when it may not be known."""
        try:
            return os.readlink("{}/{}/exe".format(self.mount, self.pid))
        except OSError:
            return ""

    def task_ids(self) -> List[int]:
        """Its threads. Raises Unreadable."""
        try:
            return [int(name) for name in os.listdir("{}/{}/task".format(self.mount, self.pid))]
        except (OSError, ValueError) as error:
            raise Gone from error

    def tasks(self) -> int:
        """Number of its threads. Raises Unreadable."""
        return len(self.task_ids())

    def close(self) -> None:
        """Give the descriptor back."""
        self.memory.close()


def _unreadable(error: OSError, mount: str, pid: int, name: str) -> Unreadable:
    if error.errno in GONE:
        return Gone()
    return Unreadable(why(error, "{}/{}".format(process_directory(mount, pid), name)))
