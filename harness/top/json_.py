"""One snapshot as a JSON object: format ``harness-top/1``, schema in ``top.schema.json``. Fields may be added, not changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from harness.top.ledger import Ledger, ledger
from harness.top.model import Row, Snapshot, Sum

FORMAT = "harness-top/1"
_MACHINE = {
    "mem_total": "MemTotal", "mem_free": "MemFree", "mem_available": "MemAvailable", "buffers": "Buffers", "cached": "Cached",
    "slab": "Slab", "slab_reclaimable": "SReclaimable", "shmem": "Shmem", "anonymous": "AnonPages", "page_tables": "PageTables",
    "kernel_stacks": "KernelStack", "percpu": "Percpu", "swap_total": "SwapTotal", "swap_free": "SwapFree",
}  # fmt: skip


def line(snapshot: Snapshot, limit: int | None = None) -> str:
    """One line of ASCII, without its end."""
    return json.dumps(as_object(snapshot, limit), ensure_ascii=True, separators=(",", ":"))


def as_object(snapshot: Snapshot, limit: int | None = None) -> dict[str, Any]:
    """Sizes are bytes, times seconds, None is unknown."""
    look = snapshot.look
    rows = snapshot.rows if limit is None else snapshot.rows[:limit]
    over_ns = snapshot.growth_over_ns
    return {
        "format": FORMAT,
        "time": datetime.fromtimestamp(look.wall_ns / 1e9, UTC).isoformat(timespec="milliseconds"),
        "by": snapshot.by.value,
        "sort": snapshot.sort.value,
        "selection": snapshot.selection or None,
        "growth_over_s": None if over_ns is None else over_ns / 1e9,
        "rows": [_row(row) for row in rows],
        "rows_left_out": len(snapshot.rows) - len(rows),
        "totals": _figures(snapshot.totals),
        "machine": {f"{ours}_bytes": look.meminfo.get(name) for ours, name in _MACHINE.items()},
        "used": _used(ledger(look)),
        "cost": {"wall_s": look.took_ns / 1e9, "cpu_s": look.cpu_ns / 1e9},
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "pid": row.pid,
        "uid": row.uid,
        "user": row.user,
        "age_s": row.age_ns / 1e9,
        **_figures(row),
    }


def _figures(row: Row) -> dict[str, Any]:
    growth = row.growth
    return {
        "processes": row.processes,
        "unreadable": row.pss.missing,
        "threads": row.threads.total,
        **_sum("pss", row.pss),
        **_sum("uss", row.uss),
        **_sum("rss", row.rss),
        **_sum("swap", row.swap),
        **_sum("swap_pss", row.swap_pss),
        "pss_is_old": row.stale,
        "growth_bytes_per_minute": None if growth is None else growth.bytes_per_minute,
        "growth_of": None if growth is None else growth.basis,
    }


def _sum(name: str, value: Sum) -> dict[str, int | None]:
    return {f"{name}_bytes": value.total, f"{name}_at_least_bytes": value.known}


def _used(parts: Ledger | None) -> dict[str, Any] | None:
    if parts is None:
        return None
    return {
        "used_bytes": parts.used,
        "parts": [{"id": part.id, "bytes": part.bytes} for part in parts.parts],
        "unexplained_bytes": parts.rest,
    }
