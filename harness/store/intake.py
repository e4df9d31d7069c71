"""Follow the files that agents append to, and store what parses.

The files are written by the target: nothing about them is trusted. A file is followed only if it is a regular file directly
matching the adapter's pattern; at most `FILE_CAP` bytes of each are read per run; a line without an end stays unread until
it has one or grows past the cap of the parser.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from harness.model.span import BootRecord, RequestRecord
from harness.plugins.records import LINE_CAP
from harness.plugins.spec import ParsedRecord, RecordSource
from harness.store.writer import Recorder

FILE_CAP = 4 << 30
_CHUNK = 4 << 20


class Intake:
    """Tail the record files of one run into its recorder."""

    def __init__(self, recorder: Recorder, work_dir: Path, sources: Sequence[RecordSource]) -> None:
        self._recorder = recorder
        self._work_dir = work_dir
        self._sources = sources
        self._offsets = recorder.tails()
        self.requests = 0
        self.boots = 0
        self.unparsed = 0

    def poll(self) -> list[ParsedRecord]:
        """Read what was appended since the last call; returns it after storing it."""
        fresh: list[ParsedRecord] = []
        for source in self._sources:
            for path in sorted(self._work_dir.glob(source.pattern)):
                fresh += self._read(path, source)
        return fresh

    def _read(self, path: Path, source: RecordSource) -> list[ParsedRecord]:
        name = str(path.relative_to(self._work_dir))
        offset = self._offsets.get(name, 0)
        if offset >= FILE_CAP:
            return []
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return []
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) or status.st_size <= offset:
                return []
            data = os.pread(file, min(_CHUNK, FILE_CAP - offset), offset)
        finally:
            os.close(file)
        end = data.rfind(b"\n") + 1
        if end == 0:
            if len(data) <= LINE_CAP:
                return []  # a line still being written
            end = len(data)  # not a line of ours: skip it
        found: list[ParsedRecord] = []
        for line in data[:end].split(b"\n"):
            parsed = source.parse(line) if line else None
            if parsed is not None:
                found.append(parsed)
                self.requests += isinstance(parsed, RequestRecord)
                self.boots += isinstance(parsed, BootRecord)
            elif line:
                self.unparsed += 1
        self._offsets[name] = offset + end
        self._recorder.records(name, offset + end, found)
        return found
