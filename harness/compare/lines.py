"""Lines and functions that keep more or less than before, as the same tool says of the same endpoint. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from harness.compare.facts import LineFact, RunFacts
from harness.compare.model import LineChange

_LEAST_BYTES = 512
_LEAST_SHARE = 0.2
_MOST = 40
_TAIL = 3  # parts of a path that stay when a project is checked out elsewhere

_Place = tuple[str, str, str, str]  # tool, endpoint, end of the file's path, function


def line_changes(base: Sequence[RunFacts], head: Sequence[RunFacts]) -> tuple[LineChange, ...]:
    """Largest first. Only what both sides profiled with one tool, and only changes of 512 bytes and a fifth at least."""
    before, after = _by_place(base), _by_place(head)
    profiled = {place[:2] for place in before} & {place[:2] for place in after}
    found = []
    for place in dict.fromkeys([*after, *before]):
        if place[:2] not in profiled:
            continue
        old, new = before.get(place, []), after.get(place, [])
        change = LineChange(
            tool=place[0],
            endpoint=place[1],
            file=(new or old)[0].file,
            function=place[3],
            base_line=old[0].line if old else None,
            head_line=new[0].line if new else None,
            base_bytes=_middle(old),
            head_bytes=_middle(new),
        )
        larger = max(abs(change.base_bytes or 0), abs(change.head_bytes or 0))
        if abs(change.difference) >= max(_LEAST_BYTES, _LEAST_SHARE * larger):
            found.append(change)
    return tuple(sorted(found, key=lambda c: -abs(c.difference))[:_MOST])


def _by_place(runs: Sequence[RunFacts]) -> dict[_Place, list[LineFact]]:
    """Functions with what each profile says of them. A function that a profile does not mention kept nothing there, which the
    median of those that do would hide where several runs were profiled: then half of them must agree."""
    found: dict[_Place, list[LineFact]] = defaultdict(list)
    for run in runs:
        for line in run.lines:
            tail = "/".join(line.file.replace("\\", "/").split("/")[-_TAIL:])
            found[line.tool, line.endpoint, tail, line.function].append(line)
    return found


def _middle(lines: Sequence[LineFact]) -> int | None:
    return round(median(line.bytes for line in lines)) if lines else None
