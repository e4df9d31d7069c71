"""Restart policies compared, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.report import RecyclingPolicy, RecyclingRow
from harness.report.page.tables import Cell, Column, esc, number, table, text
from harness.units import format_bytes, format_duration

_COLUMNS = (
    Column("A worker is replaced"),
    Column("Average", numeric=True, hint="private memory of all workers together"),
    Column("Peak", numeric=True),
    Column("Cold starts an hour", numeric=True),
    Column("More than there is", numeric=True, hint="after so long the pool no longer fits into memory"),
)


def recycling(rows: Sequence[RecyclingRow]) -> str:
    """The section; nothing where no policies were compared."""
    if not rows:
        return ""
    return (
        '<section id="recycling" aria-labelledby="h-recycling"><h2 id="h-recycling">Restart policies</h2>'
        '<p class="lead">Simulated on the memory that the workers of this run had, by the requests since their start.</p>'
        f"{''.join(_pool(i, row) for i, row in enumerate(rows))}</section>"
    )


def _pool(index: int, row: RecyclingRow) -> str:
    cold = "" if row.cold_start_s is None else f", a cold start costs {format_duration(row.cold_start_s * 1e9)}"
    said = (
        f"{row.workers} workers of {row.pool}: {format_bytes(row.fresh_bytes)} each at the start, {format_bytes(row.warm_bytes)} "
        f"when warm, then {format_bytes(row.growth_bytes_per_request)} more with each request{cold}. {row.reason[:1].upper()}"
        f"{row.reason[1:]}."
    )
    horizon = format_duration(row.horizon_s * 1e9)
    cells = [_policy(policy, horizon, chosen=i == row.chosen) for i, policy in enumerate(row.policies)]
    return (
        f"<p>{esc(said, 1000)}</p>{table(f't-recycling-{index}', f'Restart policies of {row.pool}', _COLUMNS, cells)}"
    )


def _policy(policy: RecyclingPolicy, horizon: str, *, chosen: bool) -> tuple[Cell, ...]:
    name = policy.text if policy.policy != "none" else f"{policy.text}, within {horizon}"
    full = policy.hours_to_budget
    return (
        Cell(f"<b>✓ {esc(name)}</b>") if chosen else text(name),
        number(policy.average_bytes, format_bytes(policy.average_bytes)),
        number(policy.peak_bytes, format_bytes(policy.peak_bytes)),
        number(policy.cold_starts_per_hour, f"{policy.cold_starts_per_hour:.3g}"),
        number(full, "–" if full is None else f"after {format_duration(full * 3.6e12)}"),
    )
