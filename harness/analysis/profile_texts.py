"""Rewrite the texts of a profile, each by what it is: places in source code, what objects are called, source lines. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from harness.model.profile import HolderChain, LineCost, Origin, Profile

_PLACE = re.compile(r"(.*?)((?::\d{1,9})?)", re.DOTALL)
_Text = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Texts:
    """``code``: names of functions, types and symbols; ``path``: files; ``label``: what objects are called and by what they are
    referred to; ``words``: sentences; ``source``: lines of source, None for a line that is not shown."""

    code: _Text
    path: _Text
    label: _Text
    words: _Text
    source: Callable[[str], str | None]


def rewritten(profile: Profile, texts: Texts) -> Profile:
    """The profile with every text in it rewritten; numbers and order stay."""
    return replace(
        profile,
        frames=tuple(replace(f, function=texts.code(f.function), file=texts.path(f.file)) for f in profile.frames),
        lines=tuple(_line(line, texts) for line in profile.lines),
        origins=tuple(_origin(origin, texts) for origin in profile.origins),
        objects=tuple(replace(group, kind=texts.code(group.kind)) for group in profile.objects),
        holders=_chains(profile.holders, texts),
        cycles=_chains(profile.cycles, texts),
        curve=tuple(replace(point, label=texts.label(point.label)) for point in profile.curve),
        collections=tuple(replace(run, function=texts.code(run.function)) for run in profile.collections),
        totals={texts.code(name): value for name, value in profile.totals.items()},
        notes=tuple(texts.words(note) for note in profile.notes),
    )


def _line(line: LineCost, texts: Texts) -> LineCost:
    source = None if line.source is None else texts.source(line.source)
    return replace(line, file=texts.path(line.file), function=texts.code(line.function), source=source)


def _origin(origin: Origin, texts: Texts) -> Origin:
    callers = tuple(_place(caller, texts) for caller in origin.callers)
    return replace(
        origin,
        file=texts.path(origin.file),
        function=texts.code(origin.function),
        via=_place(origin.via, texts),
        callers=callers,
    )


def _place(place: str, texts: Texts) -> str:
    """``orders.py:67`` is a file and a line; a symbol has none."""
    found = _PLACE.fullmatch(place)
    if found is None or not found.group(2):
        return texts.code(place)
    return texts.path(found.group(1)) + found.group(2)


def _chains(chains: Iterable[HolderChain], texts: Texts) -> tuple[HolderChain, ...]:
    return tuple(
        replace(
            chain,
            kind=texts.code(chain.kind),
            path=tuple(
                replace(holder, label=texts.label(holder.label), via=texts.label(holder.via)) for holder in chain.path
            ),
        )
        for chain in chains
    )
