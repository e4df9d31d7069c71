"""A recorder that keeps nothing, for looking without writing a byte."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.model.event import Anchor, Event, Missing, Window
from harness.model.host import RunHost
from harness.model.process import ProcessInfo, ProcessKey
from harness.model.profile import Artifact
from harness.model.run import RunManifest, RunStatus
from harness.model.span import PhaseName, Span
from harness.plugins.spec import ParsedRecord
from harness.store.writer import Recorder


class NoRecorder(Recorder):
    """Takes everything that `Recorder` takes and forgets it. Every public method is overridden; there is no database."""

    def __init__(self) -> None:
        self.path = Path(os.devnull)

    def manifest(self, manifest: RunManifest) -> None: ...

    def status(self, status: RunStatus, text: str, ended_ns: int | None) -> None: ...

    def unmeasured_pools(self, names: Sequence[str]) -> None: ...

    def hosts(self, hosts: Sequence[RunHost]) -> None: ...

    def costs(self, costs: Mapping[str, float | None]) -> None: ...

    def anchor(self, anchor: Anchor) -> None: ...

    def open_window(self, window: Window) -> int:
        return 0

    def close_window(self, identifier: int, end_ns: int, floor_ns: int | None) -> None: ...

    def replace_windows(self, phase: PhaseName, windows: Sequence[Window]) -> None: ...

    def process(self, info: ProcessInfo) -> None: ...

    def samples(
        self, t_ns: int, rows: Iterable[tuple[str, ProcessKey | None, int]], *, lane: str = "sampler"
    ) -> None: ...

    def object_counts(
        self, t_ns: int, process: ProcessKey, runtime: str, every: int, rows: Sequence[tuple[str, int, int]]
    ) -> None: ...

    def facts(self, facts: Mapping[str, str | int]) -> None: ...

    def spans(self, spans: Sequence[Span]) -> None: ...

    def records(self, file: str, offset: int, found: Sequence[ParsedRecord]) -> None: ...

    def tails(self) -> dict[str, int]:
        return {}

    def event(self, event: Event) -> None: ...

    def artifact(self, a: Artifact) -> None: ...

    def missing(self, missing: Missing) -> None: ...

    def tick(self, now_ns: int) -> None: ...

    def commit(self) -> None: ...

    def close(self) -> None: ...
