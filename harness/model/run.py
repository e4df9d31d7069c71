"""A recorded run as read back from disk: raw facts, nothing derived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.model.event import Anchor, Event, Missing, Window
    from harness.model.host import RunHost
    from harness.model.objects import ObjectCount
    from harness.model.process import ProcessInfo, ProcessKey
    from harness.model.profile import Artifact
    from harness.model.span import BootRecord, RequestRecord, Span, ToolRecord


class RunStatus(StrEnum):
    """How the run ended. RECORDING found on disk means that the recorder was killed."""

    RECORDING = "recording"
    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    GUARD = "guard"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RunManifest:
    """Facts about a run. ``scenario`` is the scenario as resolved, secrets left as ``${NAME}``, JSON-compatible."""

    format: str
    run_id: str
    tool_version: str
    scenario_name: str
    scenario_path: str
    scenario: Mapping[str, object]
    host: Mapping[str, str | int | None]  # kernel, machine, cpus, memory_bytes, python, page_size_bytes
    runtime: str
    started_wall_ns: int
    started_ns: int
    ended_ns: int | None
    status: RunStatus
    status_text: str
    costs: Mapping[str, float | None]  # what measuring cost: sampler_cpu_percent, load_cpu_percent, ...
    unmeasured_pools: tuple[str, ...] = ()  # watched, but not the application: a proxy, a profiling companion
    hosts: tuple[RunHost, ...] = ()  # those watched over a line, in the order of the scenario but the first one first
    facts: Mapping[str, str | int] = field(default_factory=dict)  # settings of kernel and allocator that explain memory


@dataclass(frozen=True, slots=True)
class Series:
    """Measured points only: where nothing was measured there is no point, so no value ever means "missing".

    Both arrays are for reading: series of one sampler share the memory of their times, a constant is stored once.
    """

    metric: str
    process: ProcessKey | None  # None: system-wide
    t_ns: NDArray[np.int64]
    values: NDArray[np.int64]  # percent families are stored in 1/100 percent


@dataclass(frozen=True, slots=True)
class RawRun:
    """Everything a run directory holds."""

    manifest: RunManifest
    anchors: Sequence[Anchor]
    windows: Sequence[Window]
    processes: Sequence[ProcessInfo]
    series: Mapping[tuple[str, ProcessKey | None], Series]
    spans: Sequence[Span]
    records: Sequence[RequestRecord]
    boots: Sequence[BootRecord]
    tools: Sequence[ToolRecord]
    events: Sequence[Event]
    artifacts: Sequence[Artifact]
    missing: Sequence[Missing]
    object_counts: Sequence[ObjectCount] = ()
