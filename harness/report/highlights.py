"""What the profiles say, in two lines for each endpoint: the line that keeps most, and what holds what is left of a request.

Where a finding names a line that keeps some, it is that one: of a line that calls it some tools say that it keeps as much. What
belongs to the application is preferred, not alone shown: a library may hold the memory (`harness.model.holding`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.finding import Location
from harness.model.holding import PREFERRED, first_own, is_unseen, largest_chain, own_file, own_names
from harness.model.profile import Holder, HolderChain, LineCost, Profile
from harness.model.report import Report
from harness.report import words
from harness.units import format_bytes

_ENDPOINTS = 3
_HELD = ("inuse_space", "net")  # value types of lines that say what is still there
_PATH_COLUMNS = 40
_PIECE_COLUMNS = 48
_TAIL = 8  # holders at the end of a path that are looked at: more never fit
_CHAIN_COLUMNS = 70  # with the count before it and the label a line of a terminal


@dataclass(frozen=True, slots=True)
class Highlight:
    """One endpoint: ``kept`` names the line that keeps most bytes, ``held`` the path to most of what survived; each one line
    without control characters, None where no profile tells."""

    endpoint: str
    kept: str | None
    held: str | None

    @property
    def lines(self) -> tuple[str, ...]:
        """What there is to say."""
        return tuple(text for text in (self.kept, self.held) if text is not None)


def highlights(report: Report) -> tuple[Highlight, ...]:
    """Of the endpoints that findings name; where they name none that was profiled, of the three that keep most. Pure."""
    by_endpoint: dict[str, list[Profile]] = defaultdict(list)
    for view in report.profiles:
        if view.profile is not None and view.artifact.endpoint is not None:
            by_endpoint[view.artifact.endpoint].append(view.profile)
    own = own_names(view.profile for view in report.profiles if view.profile is not None)
    named: dict[str, Location | None] = {}
    for subject in (f.subject for f in report.findings):
        if subject.endpoint is not None and subject.endpoint in by_endpoint:
            named[subject.endpoint] = named.get(subject.endpoint) or subject.location
    found = [_highlight(e, by_endpoint[e], own, where) for e, where in named.items()]
    if not any(h.lines for h, _ in found):
        every = [_highlight(e, profiles, own, None) for e, profiles in by_endpoint.items()]
        found = sorted(every, key=lambda each: -each[1])
    return tuple(h for h, _ in found if h.lines)[:_ENDPOINTS]


def _highlight(
    endpoint: str, profiles: Sequence[Profile], own: frozenset[str], where: Location | None
) -> tuple[Highlight, int]:
    """The highlight and the bytes that its line keeps. ``where``: the line that a finding names."""
    kept, size = _largest_line(profiles, where)
    return Highlight(words.clean(endpoint), kept, _held_by(profiles, own)), size


# -- lines -------------------------------------------------------------------------------------------------------------


def _largest_line(profiles: Sequence[Profile], where: Location | None) -> tuple[str | None, int]:
    best: tuple[tuple[bool, int], int, LineCost, Profile] | None = None
    for profile in profiles:
        column = next((i for i, t in enumerate(profile.value_types) if t.name in _HELD and t.unit == "bytes"), None)
        if column is None:
            continue
        for line in profile.lines:
            value = line.values[column] or 0
            found = where is not None and (line.file, line.line) == (where.file, where.line)
            weight = (found, value * (PREFERRED if own_file(line.file) else 1))
            if value > 0 and (best is None or weight > best[0]):
                best = (weight, value, line, profile)
    if best is None:
        return None, 0
    _, value, line, profile = best
    function = f" in {words.clean(line.function, _PIECE_COLUMNS)}" if line.function else ""
    partly = "" if profile.complete else ", incomplete"
    tool = words.clean(profile.tool, 20)
    return f"{_short(line.file)}:{line.line}{function} keeps {format_bytes(value)} ({tool}{partly})", value


def _short(path: str) -> str:
    """The end of a path: whole names, at least the last."""
    path = words.clean(path[-4 * _PATH_COLUMNS :], 4 * _PATH_COLUMNS)
    if len(path) <= _PATH_COLUMNS:
        return path
    parts = path.split("/")
    while len(parts) > 1 and len("/".join(parts)) > _PATH_COLUMNS - 2:
        parts.pop(0)
    end = "/".join(parts)
    return "…/" + (end if len(end) <= _PATH_COLUMNS else "…" + end[1 - _PATH_COLUMNS :])


# -- what holds the rest -----------------------------------------------------------------------------------------------


def _held_by(profiles: Sequence[Profile], own: frozenset[str]) -> str | None:
    chain = largest_chain(profiles, own)
    if chain is None:
        return None
    counted = words.counted(chain.objects, "object")
    if is_unseen(chain.path[0].label) and first_own(chain, own) == 0:
        was, them = ("was", "it") if chain.objects == 1 else ("were", "them")
        return f"{counted} {was} left, and what holds {them} cannot be seen: a variable of another thread, or C code"
    return f"{counted} held by {_path(chain, own)}"


def _path(chain: HolderChain, own: frozenset[str]) -> str:
    """From the first holder of the application on; of a long path both ends."""
    path, first = chain.path, first_own(chain, own)
    after = path[first + 1 :]
    head, rest = _piece(path[first]), [_piece(holder) for holder in after[-_TAIL:]]
    cut = len(after) > _TAIL
    while len(rest) > 1 and len(" -> ".join((head, *rest))) > _CHAIN_COLUMNS:
        rest.pop(0)
        cut = True
    return " -> ".join([*(["…"] if first else []), head, *(["…"] if cut else []), *rest])


def _piece(holder: Holder) -> str:
    """Of a long name the end: it is what people know it by."""
    text = words.clean(f"{holder.label} {holder.via}".strip(), 400)
    return text if len(text) <= _PIECE_COLUMNS else "…" + text[1 - _PIECE_COLUMNS :]
