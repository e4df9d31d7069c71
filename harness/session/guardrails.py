"""Limits that end the run before it hurts the target or the host. Checked a few times a second; the run is kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import GuardRailError
from harness.units import format_bytes, format_duration

LATENCY_WINDOW_NS = 10_000_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What the scenario allows; None = not limited. Shares are of the host's total memory."""

    latency_p99_ns: int | None
    mem_available_bytes: int | None
    mem_available_share: float | None
    disk_free_bytes: int | None
    psi_some_share: float | None


@dataclass(frozen=True, slots=True)
class Readings:
    """What is being observed right now; None = unknown, which trips nothing."""

    latency_p99_ns: int | None
    mem_available_bytes: int | None
    mem_total_bytes: int | None
    disk_free_bytes: int | None
    psi_some_percent: float | None


def tripped(limits: Limits, seen: Readings) -> str | None:
    """The first limit that is crossed, in words, or None. Pure."""
    checks: tuple[Callable[[], str | None], ...] = (
        lambda: _above("latency p99", seen.latency_p99_ns, limits.latency_p99_ns, format_duration),
        lambda: _below("available memory", seen.mem_available_bytes, limits.mem_available_bytes, format_bytes),
        lambda: _below("available memory", seen.mem_available_bytes, _share(limits, seen), format_bytes),
        lambda: _below("free disk space", seen.disk_free_bytes, limits.disk_free_bytes, format_bytes),
        lambda: _above(
            "memory pressure (PSI some avg10)",
            seen.psi_some_percent,
            None if limits.psi_some_share is None else limits.psi_some_share * 100,
            lambda v: f"{v:.1f} %",
        ),
    )
    return next((said for check in checks if (said := check()) is not None), None)


@dataclass(frozen=True, slots=True)
class Rail:
    """One limit and how near it is: ``used`` is the share of the way to it, 1 at the limit; None = unknown."""

    name: str
    seen: str
    limit: str
    used: float | None


def rails(limits: Limits, seen: Readings) -> tuple[Rail, ...]:
    """Every limit that the scenario sets, with what is observed. Pure."""
    psi = None if limits.psi_some_share is None else limits.psi_some_share * 100
    found = (
        _upper("latency p99", seen.latency_p99_ns, limits.latency_p99_ns, format_duration),
        _lower("available memory", seen.mem_available_bytes, limits.mem_available_bytes),
        _lower("available memory", seen.mem_available_bytes, _share(limits, seen)),
        _lower("free disk space", seen.disk_free_bytes, limits.disk_free_bytes),
        _upper("memory pressure", seen.psi_some_percent, psi, lambda v: f"{v:.1f} %"),
    )
    return tuple(rail for rail in found if rail is not None)


def enforce(limits: Limits, seen: Readings) -> None:
    """Raise GuardRailError when a limit is crossed."""
    said = tripped(limits, seen)
    if said is not None:
        raise GuardRailError(
            f"guard rail: {said}", hint="the run so far is kept and can be reported; see guard: in the scenario"
        )


def disk_free_bytes(path: Path) -> int | None:
    """Free space of the file system that holds ``path``; None when it cannot be told."""
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return None


def _upper(what: str, value: float | None, limit: float | None, show: Callable[[float], str]) -> Rail | None:
    if limit is None:
        return None
    used = None if value is None or limit <= 0 else value / limit
    return Rail(what, "unknown" if value is None else show(value), f"at most {show(limit)}", used)


def _lower(what: str, value: float | None, limit: float | None) -> Rail | None:
    if limit is None:
        return None
    used = None if value is None or value <= 0 else limit / value
    return Rail(what, format_bytes(value), f"at least {format_bytes(limit)}", used)


def _share(limits: Limits, seen: Readings) -> int | None:
    if limits.mem_available_share is None or seen.mem_total_bytes is None:
        return None
    return int(limits.mem_available_share * seen.mem_total_bytes)


def _above(what: str, value: float | None, limit: float | None, show: Callable[[float], str]) -> str | None:
    if value is None or limit is None or value <= limit:
        return None
    return f"{what} is {show(value)}, the limit is {show(limit)}"


def _below(what: str, value: float | None, limit: float | None, show: Callable[[float], str]) -> str | None:
    if value is None or limit is None or value >= limit:
        return None
    return f"{what} is {show(value)}, the limit is {show(limit)}"
