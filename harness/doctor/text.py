"""The table for people. Everything is made safe to show here. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.doctor.model import Group, Line, State
from harness.doctor.setups import Setups
from harness.plugins.spec import Check, CheckLevel
from harness.targets.detect import printable

_MARKS = {
    State.OK: ("✓", "+", "32"),
    State.PARTLY: ("!", "!", "33"),
    State.MISSING: ("✗", "x", "31"),
    State.NONE: ("·", ".", None),
    State.UNCHECKED: ("?", "?", None),
}
_LEVELS = {CheckLevel.ERROR: ("✗", "x", "31"), CheckLevel.WARNING: ("!", "!", "33"), CheckLevel.INFO: ("·", ".", None)}
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


def render_setups(found: Sequence[Setups], paper: Paper, *, notes: bool) -> str:
    """The mistakes of each runtime, or one line that there are none; with ``notes`` what is no mistake as well."""
    return "".join(f"{line}\n" for setups in found for line in _setups(setups, paper, notes=notes))


def _setups(setups: Setups, paper: Paper, *, notes: bool) -> Iterator[str]:
    yield _styled(f"set-up of {safe(setups.runtime)}", "1", paper)
    for check in setups.checks if notes else setups.mistakes:
        yield from render_check(check, paper, "  ")
    rest = 0 if notes else len(setups.checks) - len(setups.mistakes)
    more = f"{rest} note{'s' if rest != 1 else ''} (--json)" if rest else ""
    if not setups.mistakes:
        yield f"  {'✓' if paper.unicode else '+'} no mistakes found{f'; {more}' if more else ''}"
    elif more:
        yield f"  {'·' if paper.unicode else '.'} {more}"


def render_check(check: Check, paper: Paper, indent: str = "") -> Iterator[str]:
    """One check: what was found, the lines to write, what is lost without."""
    mark, plain, colour = _LEVELS[check.level]
    shown = mark if paper.unicode else plain
    yield indent + _styled(f"{shown} {safe(check.name)}: {safe(check.message)}", colour, paper)
    for number, line in enumerate((check.fix or "").splitlines()):
        yield f"{indent}    {'fix: ' if number == 0 else '     '}{safe(line)}"
    if check.costs:
        yield f"{indent}    without it: {safe(check.costs)}"


def safe(text: str) -> str:
    """Foreign text on one line without control characters."""
    return printable(text, _MOST_LETTERS)


def _styled(text: str, code: str | None, paper: Paper) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if paper.colour and code is not None else text
