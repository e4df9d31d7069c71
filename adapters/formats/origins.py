"""Stacks of allocations -> the lines of the application that the memory is kept from. Pure; knows no language."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from harness.model.profile import Origin, Owner

ORIGINS_CAP = 200
_CALLERS_CAP = 12
_LIMIT = 2**62  # what forged numbers add up to must still be storable


@dataclass(frozen=True, slots=True)
class Place:
    """One step of a stack: a line of source, or a native function (``line`` 0 then, or where it is not known)."""

    file: str
    line: int
    function: str


@dataclass(frozen=True, slots=True)
class Held:
    """What one stack keeps: its places, outermost first, and bytes as in `Origin`."""

    stack: Sequence[Place]
    kept: int
    freed: int = 0
    peak: int | None = None


@dataclass(slots=True)
class _Sum:
    place: Place
    owner: Owner
    kept: int = 0
    freed: int = 0
    peak: int | None = None
    through: int = 0
    via: dict[str, int] = field(default_factory=dict)
    callers: tuple[str, ...] = ()
    most: int = -1  # of one stack through it

    def add(self, held: Held, via: str) -> None:
        self.kept = _within(self.kept + held.kept)
        self.freed = _within(self.freed + held.freed)
        if held.peak is not None:
            self.peak = _within((self.peak or 0) + held.peak)
        self.via[via] = _within(self.via.get(via, 0) + _weight(held))

    def pass_through(self, held: Held, callers: Sequence[Place]) -> None:
        self.through = _within(self.through + held.kept + held.freed)
        if _weight(held) > self.most:
            self.most = _weight(held)
            self.callers = tuple(short(place.file, place.line) for place in callers[-_CALLERS_CAP:])

    def origin(self) -> Origin:
        via = max(self.via, key=lambda name: self.via[name], default="")
        place = self.place
        return Origin(
            self.owner, place.file, place.line or None, place.function,
            self.kept, self.freed, self.peak, self.through, via, self.callers,
        )  # fmt: skip


def origins(stacks: Iterable[Held], owner_of: Callable[[Place], Owner | None]) -> tuple[Origin, ...]:
    """``owner_of``: whose a place is, None for places that are no source (native functions, generated code). Largest first."""
    sums: dict[tuple[str, int, str], _Sum] = {}
    for held in stacks:
        way, owner, via = _own_way(held.stack, owner_of)
        for number, place in enumerate(way):
            key = (place.file, place.line, place.function)
            if key not in sums:
                sums[key] = _Sum(place, owner)
            if place not in way[:number]:  # of a recursion once
                sums[key].pass_through(held, way[:number])
            if number == len(way) - 1:
                sums[key].add(held, via)
    largest = sorted((s.origin() for s in sums.values()), key=_size, reverse=True)
    return tuple(largest[:ORIGINS_CAP])


def short(file: str, line: int) -> str:
    """The last two parts of a path, and the line."""
    return f"{'/'.join(PurePosixPath(file).parts[-2:])}:{line}"


def _size(origin: Origin) -> int:
    return max(abs(origin.kept), abs(origin.freed), abs(origin.through), origin.peak or 0)


def _weight(held: Held) -> int:
    return abs(held.kept) + abs(held.freed)


def _own_way(stack: Sequence[Place], owner_of: Callable[[Place], Owner | None]) -> tuple[list[Place], Owner, str]:
    """The places of the application on a stack, or of packages, or of the runtime, where there are none of those before; and
    what took the memory below the last of them."""
    owners = [owner_of(place) for place in stack]
    for wanted in (Owner.APPLICATION, Owner.PACKAGE, Owner.RUNTIME):
        numbers = [number for number, owner in enumerate(owners) if owner is wanted]
        if numbers:
            return [stack[n] for n in numbers], wanted, _via(stack[numbers[-1] + 1 :])
    return [], Owner.RUNTIME, ""


def _via(below: Sequence[Place]) -> str:
    """The innermost of the steps below the line, in words."""
    if not below:
        return ""
    last = below[-1]
    return short(last.file, last.line) if last.line and last.file.endswith(".py") else last.function


def _within(value: int) -> int:
    return max(-_LIMIT, min(_LIMIT, value))
