"""``/proc/vmstat``: what reclaim, swap, compaction and huge pages have been doing since boot.

::

    pswpin 0
    allocstall_normal 0
    thp_fault_fallback 12

The kernel folds its per-CPU parts together once a second (``vm.stat_interval``), so reading faster tells nothing.
"""

from __future__ import annotations

from .numbers import LIMIT, to_int
from .system import SystemSource, Values

PREFIX = "system.vmstat."
# Counters only: the nr_* lines are levels, and meminfo has those that matter. Listed in docs/sampling.md.
SELECTED = (
    "allocstall", "balloon_", "compact_", "drop_", "kswapd_", "numa_pages_migrated", "oom_kill", "pageoutrun", "pgdemote_",
    "pgfault", "pginodesteal", "pglazyfree", "pgmajfault", "pgmigrate_", "pgpromote_success", "pgrefill", "pgscan_", "pgsteal_",
    "pswpin", "pswpout", "slabs_scanned", "swap_ra", "swpin_zero", "swpout_zero", "thp_", "workingset_activate",
    "workingset_nodereclaim", "workingset_refault", "workingset_restore", "zone_reclaim_", "zswpin", "zswpout", "zswpwb",
)  # fmt: skip


def parse(data: bytes) -> Values:
    """The counters whose name begins with one of `SELECTED`."""
    values: Values = {}
    for line in data.splitlines():
        fields = line.split()
        if len(fields) != 2:
            continue
        name, value = fields[0].decode("ascii", "replace"), to_int(fields[1])
        if value is not None and name.startswith(SELECTED):
            values[PREFIX + name] = value
    return values


class Selection:
    """`parse`, in a fifth of the time while the file has the same counters in the same places, which is always."""

    def __init__(self) -> None:
        self._names: list[bytes] = []
        self._wanted: list[tuple[int, str]] = []

    def __call__(self, data: bytes) -> Values:
        fields = data.split()
        names, numbers = fields[::2], fields[1::2]
        if names != self._names or len(names) != len(numbers):
            return self._learn(data, names)
        try:
            values = {metric: int(numbers[position]) for position, metric in self._wanted}
        except ValueError:
            return parse(data)
        return values if all(0 <= value <= LIMIT for value in values.values()) else parse(data)

    def _learn(self, data: bytes, names: list[bytes]) -> Values:
        self._names = names
        text = [name.decode("ascii", "replace") for name in names]
        self._wanted = [(position, PREFIX + name) for position, name in enumerate(text) if name.startswith(SELECTED)]
        return parse(data)


def source() -> SystemSource:
    """The source to register."""
    return SystemSource(
        signal="system.vmstat",
        path="vmstat",
        every_ns=1_000_000_000,
        parse=Selection(),
        costs="swapping, reclaim and compaction during the run cannot be told from a quiet machine",
    )
