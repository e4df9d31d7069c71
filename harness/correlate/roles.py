"""What each process is to its pool."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from harness.model.process import ProcessInfo, ProcessKey, Role

# What multiprocessing starts beside the workers, with their name and parent, to clean up after them.
_TRACKERS = ("from multiprocessing.resource_tracker import main", "from multiprocessing.semaphore_tracker import main")


def assign_roles(
    processes: Sequence[ProcessInfo], answered: Mapping[ProcessKey, int], unmeasured: frozenset[str]
) -> dict[ProcessKey, Role]:
    """The role of every process.

    Worker: answered requests, or looks like one that did (same parent and name), or, in a pool of which no request could be
    joined, a leaf. Master: has had children of its own pool that are more than programs run by the way, such as the `stty` that a
    console application looks at its terminal with. Helper: everything else, what cleans up after workers, and all of
    an unmeasured pool.
    """
    parents = _parents(processes)
    siblings = {(p.key.host, p.pool, p.ppid, p.comm) for p in processes if answered.get(p.key)}
    joined_pools = {p.pool for p in processes if answered.get(p.key)}
    roles: dict[ProcessKey, Role] = {}
    for process in processes:
        roles[process.key] = _role(process, answered, unmeasured, parents, siblings, joined_pools)
    return roles


def _role(
    process: ProcessInfo,
    answered: Mapping[ProcessKey, int],
    unmeasured: frozenset[str],
    parents: frozenset[ProcessKey],
    siblings: set[tuple[str, str, int, str]],
    joined_pools: set[str],
) -> Role:
    if process.pool in unmeasured:
        return Role.HELPER
    if answered.get(process.key):
        return Role.WORKER
    if _cleans_up(process):
        return Role.HELPER
    if process.key in parents:
        return Role.MASTER
    looks_like_worker = (process.key.host, process.pool, process.ppid, process.comm) in siblings
    return Role.WORKER if looks_like_worker or process.pool not in joined_pools else Role.HELPER


def _cleans_up(process: ProcessInfo) -> bool:
    return any(tracker in process.cmdline for tracker in _TRACKERS)


def _parents(processes: Sequence[ProcessInfo]) -> frozenset[ProcessKey]:
    """Processes with a child of the same pool, born while they lived, that may do their work for them."""
    by_pid: dict[tuple[str, str, int], list[ProcessInfo]] = defaultdict(list)
    for process in processes:
        by_pid[process.key.host, process.pool, process.key.pid].append(process)
    found = set()
    for child in (p for p in processes if not _cleans_up(p)):
        for parent in by_pid.get((child.key.host, child.pool, child.ppid), ()):
            born_there = parent.born_ns <= child.born_ns and (
                parent.ended_ns is None or child.born_ns <= parent.ended_ns
            )
            if born_there and (child.comm == parent.comm or _stayed(child, parent)):
                found.add(parent.key)
    return frozenset(found)


def _stayed(child: ProcessInfo, parent: ProcessInfo) -> bool:
    """Whether a child of another name was there for half of what is known of its parent's life, or is there still."""
    return child.ended_ns is None or 2 * (child.ended_ns - child.born_ns) >= parent.last_seen_ns - parent.born_ns
