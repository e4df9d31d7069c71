"""What sampled metrics are called and counted in, for programs that know base units only. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.metric import Kind, describe

_SCALES = {"percent": (100, "%"), "hundredths": (100, "1"), "ns": (1, "ns"), "bytes": (1, "bytes")}


@dataclass(frozen=True, slots=True)
class Scale:
    """Stored value / ``divisor`` is the value in ``unit``; ``rises``: it only ever rises (a counter)."""

    divisor: int
    unit: str
    rises: bool


def scale_of(metric: str) -> Scale:
    """Of a stored metric. One that is not known (a newer recording) is a level without a unit."""
    try:
        known = describe(metric)
    except KeyError:
        return Scale(1, "?", rises=False)
    divisor, unit = _SCALES.get(known.unit, (1, known.unit))
    return Scale(divisor, unit, known.kind is Kind.COUNTER)


def decimal(value: int, divisor: int) -> str:
    """``value / divisor``, a power of ten, as exact decimal text."""
    if divisor == 1:
        return str(value)
    whole, rest = divmod(abs(value), divisor)
    digits = f"{rest:0{len(str(divisor)) - 1}}".rstrip("0")
    return f"{'-' if value < 0 else ''}{whole}{'.' if digits else ''}{digits}"
