"""Sweeps as an observer of the sampler sees them, made up."""

from __future__ import annotations

from collections.abc import Mapping

from harness.model.event import Missing
from harness.model.process import ProcessInfo, ProcessKey
from harness.session.sampler_client import TickView

SECOND = 1_000_000_000
MIB = 1 << 20


def process(pid: int, pool: str = "app", comm: str = "worker", born_s: float = 0) -> ProcessInfo:
    """A living process that has been there since ``born_s``."""
    born = int(born_s * SECOND)
    return ProcessInfo(ProcessKey("", pid, pid), 1, comm, comm, 0, pool, born, born, born, None)


def tick(
    t_s: float,
    sizes: Mapping[ProcessInfo, int | None],
    system: Mapping[str, int] | None = None,
    *,
    metric: str = "process.memory.pss",
    late_ns: int = 0,
    missed: int = 0,
    cpu_ns: int = 0,
    missing: tuple[Missing, ...] = (),
) -> TickView:
    """One sweep ``t_s`` seconds after boot; a size of None: alive and not measured in this sweep."""
    measured = {info.key: {metric: size} for info, size in sizes.items() if size is not None}
    alive = {info.key: info for info in sizes}
    return TickView(int(t_s * SECOND), late_ns, missed, cpu_ns, alive, measured, system or {}, missing)
