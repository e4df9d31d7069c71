"""What a made-up machine counts while a made-up application runs on it: for `timelines.App.machine`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

MIB = 1024 * 1024
_HEALTHY_BLOCKS = (4000, 3000, 2000, 1000, 800, 600, 400, 300, 200, 150, 900)


@dataclass(frozen=True)
class Machine:
    """``group``: whether the application has a memory cgroup, of ``version`` 1 or 2; ``own``: made for the run.

    What the application does in a round, bytes charged to its group: ``files`` of page cache, ``names`` of directory entries,
    ``sockets`` of unread data, ``tmpfs`` files. ``others``: what somebody else does in a round, by meminfo field.
    ``noise_bytes``: standard deviation by which the levels of a busy machine wander from sweep to sweep (random walks).

    Pressure, in a round: ``hits`` of the group's limit, ``refaults`` and ``swaps`` in pages, ``stalls`` of direct reclaim,
    ``compactions``, huge pages that were ``wanted`` and the ``fallbacks`` among them. ``waiting``: share of the time in which the
    group's tasks wait, ``machine_waiting``: those of the machine (None: the kernel does not say). ``killed``: rounds in which the
    kernel kills. ``pace_s``: seconds a round takes, for what is counted in time. ``blocks``: free blocks by order.
    """

    group: bool = True
    own: bool = True
    version: int = 2
    memory: int = 16 * 1024 * MIB
    available: int = 12 * 1024 * MIB
    charged_besides: int = 0
    files: int = 0
    names: int = 0
    sockets: int = 0
    tmpfs: int = 0
    others: Mapping[str, int] = field(default_factory=dict)
    noise_bytes: float = 0.0
    limit: int | None = None
    hits: int = 0
    refaults: int = 0
    swaps: int = 0
    stalls: int = 0
    compactions: int = 0
    wanted: int = 0
    fallbacks: int = 0
    waiting: float | None = 0.0
    machine_waiting: float | None = 0.0
    killed: tuple[int, ...] = ()
    pace_s: float = 10.0
    blocks: tuple[int, ...] = _HEALTHY_BLOCKS


_WANDERING = ("Cached", "SReclaimable", "SUnreclaim", "Shmem", "MemAvailable")


class Counters:
    """The machine as it goes from sweep to sweep."""

    def __init__(self, machine: Machine, pool: str, seed: int) -> None:
        self._machine = machine
        self._prefix = f"cgroup.{pool}.memory."
        self._rng = np.random.default_rng(seed + 77)
        self._wandered = dict.fromkeys(_WANDERING, 0.0)

    def at(self, rounds: float, added: Mapping[str, int], used: Mapping[str, int]) -> dict[str, int]:
        """All values after so many rounds. ``added``: what requests left behind, by metric; ``used``: sums over the application's
        processes, by metric."""
        values = self._of_machine(rounds)
        if self._machine.group:
            values |= self._of_group(rounds, used)
        for metric, value in added.items():
            values[metric] = values.get(metric, 0) + value
        return values

    def _of_machine(self, rounds: float) -> dict[str, int]:
        m = self._machine
        for name in _WANDERING:
            self._wandered[name] += self._rng.standard_normal() * m.noise_bytes
        grown = {
            "Cached": m.files + m.tmpfs,
            "SReclaimable": m.names,
            "SUnreclaim": m.sockets,
            "Shmem": m.tmpfs,
            "MemAvailable": -m.tmpfs - m.sockets,
        }
        start = {
            "Cached": 2048 * MIB,
            "SReclaimable": 500 * MIB,
            "SUnreclaim": 100 * MIB,
            "Shmem": 50 * MIB,
            "MemAvailable": m.available,
        }
        values = {
            f"system.meminfo.{name}": int(
                start[name] + (grown[name] + m.others.get(name, 0)) * rounds + self._wandered[name]
            )
            for name in _WANDERING
        }
        values["system.meminfo.MemTotal"] = m.memory
        values["system.meminfo.Buffers"] = 100 * MIB
        values["system.slab.dentry"] = int(200 * MIB + (m.names + m.others.get("SReclaimable", 0)) * rounds)
        values["system.slab.sock_inode_cache"] = int(MIB + m.sockets * rounds / 16)
        values["system.slab.inode_cache"] = 20 * MIB
        counters = {
            "pswpout": m.swaps,
            "pswpin": m.swaps,
            "allocstall_normal": m.stalls,
            "pgscan_direct": 100 * m.stalls,
            "workingset_refault_file": m.refaults,
            "compact_stall": m.compactions,
            "compact_fail": m.compactions // 2,
            "thp_fault_alloc": m.wanted - m.fallbacks,
            "thp_fault_fallback": m.fallbacks,
        }
        values |= {f"system.vmstat.{name}": int(1000 + each * rounds) for name, each in counters.items()}
        values["system.vmstat.oom_kill"] = sum(number < rounds for number in m.killed)
        if m.machine_waiting is not None:
            values["system.psi_total.memory.some"] = int(m.machine_waiting * m.pace_s * 1e9 * rounds)
        values |= {f"system.buddyinfo.0.Normal.{order}": count for order, count in enumerate(m.blocks)}
        return values

    def _of_group(self, rounds: float, used: Mapping[str, int]) -> dict[str, int]:
        m = self._machine
        shared = used["process.memory.pss_shmem"] + int(m.tmpfs * rounds)
        file = 10 * MIB + used["process.memory.pss_file"] + shared + int(m.files * rounds)
        anon = used["process.memory.pss_anon"] + m.charged_besides
        kept, freed = MIB + int(m.sockets * rounds), MIB + int(m.names * rounds)
        values = {
            "current": anon + file + kept + freed,
            "stat.anon": anon,
            "stat.file": file,
            "stat.shmem": shared,
            "events.oom_kill": sum(number < rounds for number in m.killed),
        }
        if m.version == 1:
            values["stat.kernel"] = kept + freed
            values["events.failcnt"] = int(m.hits * rounds)
        else:
            values["stat.slab_reclaimable"], values["stat.slab_unreclaimable"] = freed, MIB
            values["stat.sock"] = kept - MIB
            values["events.max"] = int(m.hits * rounds)
            values["stat.workingset_refault_file"] = int(m.refaults * rounds)
            if m.waiting is not None:
                values["pressure_total.some"] = int(m.waiting * m.pace_s * 1e9 * rounds)
        if m.limit is not None:
            values["max"] = m.limit
        return {self._prefix + name: value for name, value in values.items()}
