"""Curves of a pool over each other as one inline SVG, drawn without script. Every curve also is a row of a table beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.compare.model import Curve
from harness.report.page.tables import esc
from harness.report.words import clean
from harness.units import format_bytes

_WIDTH, _HEIGHT = 960, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 12, 12, 34
_TICKS = 4
_MOST_CURVES = 40


def chart(pool: str, curves: Sequence[Curve]) -> str:
    """A figure; base is dashed, head is solid. Empty where nothing was measured."""
    drawn = [c for c in curves if c.at][:_MOST_CURVES]
    if not drawn:
        return ""
    low, high = min(min(c.pss) for c in drawn), max(max(c.pss) for c in drawn)
    margin = max(1, (high - low) // 20)
    low, high = max(0, low - margin), high + margin
    first, last = min(c.at[0] for c in drawn), max(max(c.at) for c in drawn)

    def x(at: float) -> float:
        return _LEFT + (at - first) / max(last - first, 1e-9) * (_WIDTH - _LEFT - _RIGHT)

    def y(size: float) -> float:
        return _HEIGHT - _BOTTOM - (size - low) / max(high - low, 1) * (_HEIGHT - _TOP - _BOTTOM)

    paths = "".join(
        f'<polyline class="{"head" if c.head else "base"}" points="'
        + " ".join(f"{x(at):.1f},{y(size):.1f}" for at, size in zip(c.at, c.pss, strict=True))
        + f'"><title>{esc(clean(c.run))}</title></polyline>\n'
        for c in sorted(drawn, key=lambda c: c.head)
    )
    levels = [low + (high - low) * step / _TICKS for step in range(_TICKS + 1)]
    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text class="axis" x="{_LEFT - 6}" y="{y(v) + 4:.1f}" text-anchor="end">{format_bytes(v)}</text>'
        for v in levels
    )
    every = max(1, math.ceil((last - first) / 16))
    rounds = "".join(
        f'<line class="{"zero" if at == 0 else "tick"}" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
        f'<text class="axis" x="{x(at):.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{at}</text>'
        for at in range(math.ceil(first), math.floor(last) + 1)
        if at % every == 0
    )
    name = esc(clean(pool))
    return (
        f'<figure><figcaption>{name}: <span class="key base">base, dashed</span> <span class="key head">head, solid</span>'
        f'</figcaption>\n<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="PSS of {name} by round">'
        f'{grid}{rounds}{paths}<text class="axis" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 2}" text-anchor="end">rounds</text>'
        f"</svg>\n{_numbers(name, drawn)}</figure>\n"
    )


def _numbers(name: str, curves: Sequence[Curve]) -> str:
    rows = "".join(
        f'<tr><td>{"head" if c.head else "base"}</td><th scope="row">{esc(clean(c.run))}</th>'
        + "".join(f'<td class="number">{format_bytes(v)}</td>' for v in (_at(c, 0.0), c.pss[-1], max(c.pss)))
        + "</tr>"
        for c in curves
    )
    return (
        f'<details><summary>The chart of {name} in numbers</summary><div class="scroll"><table><thead><tr>'
        '<th scope="col">side</th><th scope="col">run</th><th scope="col">first measured round</th><th scope="col">last</th>'
        f'<th scope="col">highest</th></tr></thead><tbody>{rows}</tbody></table></div></details>'
    )


def _at(curve: Curve, at: float) -> int:
    """The value nearest to a place on the axis."""
    return min(zip(curve.at, curve.pss, strict=True), key=lambda point: abs(point[0] - at))[1]
