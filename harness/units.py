"""Sizes, durations, rates and shares as people write them, and back.

Inside the program sizes are integer bytes and times integer nanoseconds; only this module reads or writes other units.
"""

from __future__ import annotations

import re

_SIZE = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "k": 1024, "m": 1024**2, "g": 1024**3,
         "kib": 1024, "mib": 1024**2, "gib": 1024**3, "tib": 1024**4}  # fmt: skip
_TIME_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000,
            "min": 60_000_000_000, "h": 3_600_000_000_000}  # fmt: skip
_NUMBER_UNIT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*\Z", re.ASCII)


def parse_bytes(text: str) -> int:
    """``"256 MiB"`` -> 268435456. ``k``, ``m``, ``g`` alone are binary, as in php.ini. Raises ValueError."""
    return round(_parse(text, _SIZE, "a size such as 256 MiB"))


def parse_duration_ns(text: str) -> int:
    """``"1.5s"`` -> 1500000000; units ns us ms s m(in) h. A bare number is refused. Raises ValueError."""
    return round(_parse(text, _TIME_NS, "a duration such as 500ms, 30s or 10m"))


def parse_rate(text: str) -> float:
    """``"20/s"`` or ``"90/m"`` -> requests per second. Raises ValueError."""
    number, _, per = text.partition("/")
    seconds = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}.get(per.strip())
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if seconds is None or not 0 <= value < 1e9:
        raise ValueError(f"{text!r} is not a rate such as 20/s")
    return value / seconds


def parse_share(text: str) -> float:
    """``"10%"`` -> 0.1. Raises ValueError."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*", text, re.ASCII)
    if match is None or float(match[1]) > 100:
        raise ValueError(f"{text!r} is not a share such as 10%")
    return float(match[1]) / 100


def _parse(text: str, units: dict[str, int], wanted: str) -> float:
    match = _NUMBER_UNIT.match(text)
    factor = units.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"{text!r} is not {wanted}")
    return float(match[1]) * factor


def format_bytes(value: float | None, *, sign: bool = False) -> str:
    """1536 -> ``1.5 KiB``; None -> ``unknown``."""
    if value is None:
        return "unknown"
    plus = "+" if sign and value > 0 else ""
    size = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024 or unit == "GiB":
            return f"{plus}{size:.0f} B" if unit == "B" else f"{plus}{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


def format_duration(ns: float | None) -> str:
    """1500000000 -> ``1.5 s``; None -> ``unknown``."""
    if ns is None:
        return "unknown"
    for unit, factor in (("h", 3.6e12), ("min", 6e10), ("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if abs(ns) >= factor:
            return f"{ns / factor:.1f} {unit}"
    return f"{ns:.0f} ns"


def compact_bytes(value: float | None, *, sign: bool = False) -> str:
    """For columns, at most six characters and a sign: 1536 -> ``1.5K``, 0 -> ``0``, None -> ``?``. Binary units."""
    if value is None:
        return "?"
    plus = "+" if sign and value > 0 else ""
    size = float(value)
    for unit in ("", "K", "M", "G", "T", "P"):
        if abs(size) < 999.95 or unit == "P":
            return f"{plus}{size:.0f}" if unit == "" else f"{plus}{size:.1f}{unit}"
        size /= 1024
    raise AssertionError("unreachable")


def compact_duration(ns: float) -> str:
    """For columns, at most four characters up to 27 years: 5400000000000 -> ``90m``; whole units, cut."""
    seconds = int(ns) // 1_000_000_000
    for unit, factor in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * factor:
            return f"{seconds // factor}{unit}"
    return f"{seconds}s"
