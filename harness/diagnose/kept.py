"""What profiles of one endpoint say that a request keeps, less what requests that keep nothing leave too. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from harness.model.profile import Origin, Owner, Profile

_SAME = 0.5  # of what a line keeps, seen in the control as well: then it is not what grows
_ENOUGH = 0.4  # of what is expected, as profiles count objects and not what allocators add to them
_RANK = (Owner.APPLICATION, Owner.PACKAGE, Owner.RUNTIME)

Place = tuple[str, int | None, str]


def place_of(origin: Origin) -> Place:
    """What makes two origins the same place."""
    return origin.file, origin.line, origin.function


def beyond(profile: Profile, control: Iterable[Profile]) -> tuple[Origin, ...]:
    """The origins of a profile that are not in the control of the same tool with half as much or more; the application's first,
    then the largest."""
    usual: dict[Place, int] = defaultdict(int)
    for other in control:
        if other.tool == profile.tool:
            for origin in other.origins:
                usual[place_of(origin)] = max(usual[place_of(origin)], amount(origin))
    own = [o for o in profile.origins if amount(o) > 0 and usual[place_of(o)] < _SAME * amount(o)]
    return tuple(sorted(own, key=lambda o: (_RANK.index(o.owner), -amount(o))))


def amount(origin: Origin) -> int:
    """Bytes that it kept, or left to the collector."""
    return max(origin.kept, 0) + max(origin.freed, 0)


def held_beyond(profile: Profile, control: Iterable[Profile]) -> int | None:
    """Bytes that are left of a request; None where the profile does not say. Where it has no lines, the objects count."""
    if profile.origins:
        return sum(amount(origin) for origin in beyond(profile, control))
    if profile.holders:
        counted = (profile.totals.get(key) for key in ("bytes", "buffer_bytes"))
        return sum(value for value in counted if value is not None)
    return None


def enough(profiles: Sequence[Profile], control: Sequence[Profile], expected: float) -> bool:
    """Whether this request kept about what was measured from outside, or more: a request in a hundred may keep what all of them
    seem to keep a hundredth of."""
    told = [held for held in (held_beyond(p, control) for p in profiles) if held is not None]
    return bool(told) and max(told) >= _ENOUGH * expected


def places_to_watch(profiles: Sequence[Profile], control: Sequence[Profile], most: int) -> tuple[tuple[str, int], ...]:
    """The lines of the application that kept most, in files that have functions."""
    found: dict[tuple[str, int], int] = {}
    for profile in profiles:
        for origin in beyond(profile, control):
            if origin.owner is Owner.APPLICATION and origin.line is not None and origin.function:
                key = (origin.file, origin.line)
                found[key] = max(found.get(key, 0), amount(origin))
    return tuple(sorted(found, key=lambda key: -found[key])[:most])
