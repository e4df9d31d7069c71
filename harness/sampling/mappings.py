"""What kinds of memory a process has mapped, how it is spread over memory nodes, and how the kernel would pick it to kill.

All of it walks page tables or every mapping, so it is read at deep floors only.
"""

from __future__ import annotations

import os
from typing import Callable, Dict, Sequence

from .missing import MissingSignals
from .protocol import Identity, files_line, runtime_line
from .reading import GONE, process_directory, why
from .sources import pid_numa_maps, pid_oom_score, pid_smaps_classes
from .sources.pid_smaps_classes import MappedFile, SmapsClasses
from .sources.system import Values

PREFIX = "process.smaps."
_MOVED_BYTES = 1 << 20


def in_swap(values: Values) -> bool:
    """Whether some of the process is swapped out, going by what `Mappings.read` returned."""
    return any(value for name, value in values.items() if name.startswith(PREFIX) and name.endswith(".swap"))


class Mappings:
    """Reads the three files of one process after the other."""

    def __init__(self, mount: str, sys: str, missing: MissingSignals, emit: Callable[[bytes], None]) -> None:
        self._mount = mount
        self._missing = missing
        self._emit = emit
        self._nodes = _memory_nodes(sys)
        self._names: Dict[Identity, pid_smaps_classes.MappedNames] = {}
        self._files: Dict[Identity, Dict[str, int]] = {}  # Pss by name, as last announced

    def read(self, who: Identity, now_ns: int) -> Values:
        """``process.smaps.<class>.<field>``, ``process.numa.<node>``, ``process.oom_score`` and ``process.oom_score_adj``."""
        values: Values = {}
        classes = self._classes(who.pid)
        if classes is not None:
            values.update(classes.values())
            if self._have_moved(who, classes.data_files):
                self._emit(files_line(who, classes.data_files, now_ns))
            if self._names.get(who) != classes.names:
                self._names[who] = classes.names
                facts = {key: value for key, value in classes.names._asdict().items() if value is not None}
                self._emit(runtime_line(who, "native", facts, now_ns))
        if self._nodes > 1:
            values.update(self._numa(who.pid))
        values.update(self._oom_score(who.pid))
        return values

    def _have_moved(self, who: Identity, files: Sequence[MappedFile]) -> bool:
        """Whether there are others than were last announced, or one of them has grown or shrunk by a MiB."""
        now = {file.name: file.pss or 0 for file in files}  # a mark only: unknown counts as unmoved
        said = self._files.get(who, {})
        moved = now.keys() != said.keys() or any(abs(size - said[name]) >= _MOVED_BYTES for name, size in now.items())
        if moved:
            self._files[who] = now
        return moved and bool(files)

    def forget(self, who: Identity) -> None:
        """The process has ended."""
        self._names.pop(who, None)
        self._files.pop(who, None)

    def _classes(self, pid: int) -> SmapsClasses | None:
        try:
            return pid_smaps_classes.read(self._mount, pid)
        except OSError as error:
            self._failed(
                error,
                "process.smaps",
                pid,
                "/smaps",
                "memory cannot be told apart by kind (heap, stacks, files, shared)",
            )
            return None

    def _numa(self, pid: int) -> Values:
        try:
            maps = pid_numa_maps.read(self._mount, pid)
        except OSError as error:
            self._failed(error, "process.numa", pid, "/numa_maps", "which memory node a process uses is unknown")
            return {}
        return {} if maps is None else {"process.numa.{}".format(node): size for node, size in maps.by_node.items()}

    def _oom_score(self, pid: int) -> Values:
        try:
            score = pid_oom_score.read(self._mount, pid)
        except OSError as error:
            self._failed(
                error, "process.oom_score", pid, "/oom_score", "how the kernel would pick it to kill is unknown"
            )
            return {}
        found = {"process.oom_score": score.score, "process.oom_score_adj": score.adjustment}
        return {name: value for name, value in found.items() if value is not None}

    def _failed(self, error: OSError, signal: str, pid: int, name: str, costs: str) -> None:
        if error.errno not in GONE:
            self._missing.say(signal, why(error, process_directory(self._mount, pid) + name), costs)


def _memory_nodes(sys: str) -> int:
    try:
        return sum(name.startswith("node") and name[4:].isdigit() for name in os.listdir(sys + "/devices/system/node"))
    except OSError:
        return 1
