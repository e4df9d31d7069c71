"""The table for people. Everything is made safe to show here. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.doctor.model import Group, Line, State
from harness.targets.detect import printable

_MARKS = {
    State.OK: ("✓", "+", "32"),
    State.PARTLY: ("!", "!", "33"),
    State.MISSING: ("✗", "x", "31"),
    State.NONE: ("·", ".", None),
    State.UNCHECKED: ("?", "?", None),
}
_MOST_LETTERS = 700
_NAME_COLUMNS = 27


@dataclass(frozen=True, slots=True)
class Paper:
    """What may be written."""

    colour: bool = False
    unicode: bool = True


def render(groups: Sequence[Group], paper: Paper) -> str:
    """Every group under its name; below a line that lacks something: what that costs, and the fix."""
    return "".join(f"{line}\n" for group in groups for line in _group(group, paper))


def totals(groups: Sequence[Group]) -> str:
    """How many of each."""
    states = [line.state for group in groups for line in group.lines]
    words = (
        (State.OK, "there"),
        (State.PARTLY, "in part"),
        (State.MISSING, "missing"),
        (State.UNCHECKED, "not checked"),
    )
    return ", ".join(f"{states.count(state)} {word}" for state, word in words if states.count(state))


def _group(group: Group, paper: Paper) -> Iterator[str]:
    yield _styled(group.name, "1", paper)
    for line in group.lines:
        yield from _line(line, paper)


def _line(line: Line, paper: Paper) -> Iterator[str]:
    mark, plain, colour = _MARKS[line.state]
    shown = mark if paper.unicode else plain
    yield f"  {_styled(shown, colour, paper)} {safe(line.signal):<{_NAME_COLUMNS}} {safe(line.found)}"
    if line.costs:
        yield f"      without it: {safe(line.costs)}"
    if line.fix:
        yield f"      fix: {safe(line.fix)}"


def safe(text: str) -> str:
    """Foreign text on one line without control characters."""
    return printable(text, _MOST_LETTERS)


def _styled(text: str, code: str | None, paper: Paper) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if paper.colour and code is not None else text
