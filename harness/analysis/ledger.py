"""The ledger's tables: processes, pools, the growth of each part, and how forked workers stop sharing. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from harness.diagnose.ledger.parts import Parts, parts_of
from harness.diagnose.ledger.pool import part_growth, summed
from harness.diagnose.ledger.sharing import sharing_curves
from harness.diagnose.pool import PoolView
from harness.model.report import LedgerRow, PartGrowthRow, PoolLedgerRow, SharingRow
from harness.model.timeline import FloorPoint, Timeline

Ledger = tuple[tuple[LedgerRow, ...], tuple[PoolLedgerRow, ...]]  # of processes, of pools

# As a report calls the summands of PSS.
_NAMES = {
    "live": "live",
    "allocator_held": "held",
    "other_native": "other_native",
    "image": "image",
    "file": "files",
    "shared": "shared",
    "stacks": "stacks",
    "thp": "thp_slack",
    "swap": "swap",
    "unexplained": "unexplained",
}


def ledger_rows(timeline: Timeline) -> Ledger:
    """One row per process and round floor, and one per pool and round floor. Programs beside the application, such as a proxy,
    need not have its runtime."""
    runtime, beside = timeline.manifest.runtime, frozenset(timeline.manifest.unmeasured_pools)
    pool_of = {worker.info.key: worker.info.pool for worker in timeline.workers}
    rows = []
    pools: dict[tuple[int, str], list[tuple[FloorPoint, Parts]]] = defaultdict(list)
    for floor in timeline.floors:
        if floor.block is not None:
            continue
        own = "any" if pool_of.get(floor.process) in beside else runtime
        parts = parts_of(floor.values, own)
        rows.append(_row(floor, parts, runtime))
        if floor.process in pool_of:
            pools[floor.t_ns, pool_of[floor.process]].append((floor, parts))
    return tuple(rows), tuple(_pool_row(pool, members) for (_, pool), members in sorted(pools.items()))


def _row(floor: FloorPoint, parts: Parts, runtime: str) -> LedgerRow:
    return LedgerRow(
        key=floor.process,
        runtime=runtime,
        phase=floor.phase,
        round=floor.round,
        t_ns=floor.t_ns,
        pss=_without_swap(parts.pss, parts.swap),
        live=parts.live,
        allocator_held=parts.held,
        file=parts.files,
        shared=parts.shared,
        stacks=parts.stacks,
        thp=parts.thp_slack,
        unexplained=parts.unexplained,
        other_native=parts.other_native,
        image=parts.image,
        swap=parts.swap,
        live_runtime=parts.live_runtime,
        live_native=parts.live_native,
        held_by=parts.held_by,
        anon_huge=parts.anon_huge,
        explained_share=parts.explained_share,
        source=parts.source,
    )


def _pool_row(pool: str, members: Sequence[tuple[FloorPoint, Parts]]) -> PoolLedgerRow:
    floor = members[0][0]
    total = summed(parts for _, parts in members)
    pss = _without_swap(total["pss"], total["swap"])
    parts = {name: total[own] for name, own in _NAMES.items()}
    return PoolLedgerRow(pool, floor.phase, floor.round, floor.t_ns, len(members), pss, parts)


def _without_swap(whole: int | None, swap: int | None) -> int | None:
    return None if whole is None else whole - (swap or 0)


def part_growth_rows(pools: Sequence[PoolView]) -> tuple[PartGrowthRow, ...]:
    """The stable workers of each pool, part by part."""
    reported = {own: name for name, own in _NAMES.items()}
    rows = []
    for pool in pools:
        for part, exact, growth in part_growth(pool):
            known = growth.known and math.isfinite(growth.high)
            rows.append(
                PartGrowthRow(
                    pool=pool.name,
                    part=reported.get(part, part),
                    exact=exact,
                    first=round(growth.levels[0]),
                    last=round(growth.levels[-1]),
                    bytes_per_round=growth.per_round if known else None,
                    interval=(growth.low, growth.high) if known else None,
                    shape=growth.shape.value,
                )
            )
    return tuple(rows)


def sharing_rows(timeline: Timeline) -> tuple[SharingRow, ...]:
    """The forked workers, by pool in order of their forks."""
    return tuple(
        SharingRow(c.key, c.pool, c.generation, c.source, c.unshared, c.points)
        for c in sorted(sharing_curves(timeline), key=lambda c: (c.pool, c.generation))
    )
