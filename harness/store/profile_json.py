"""A parsed profile as a file: ``harness-profile/1``, the fields of `harness.model.profile.Profile` as JSON.

Bundles hold profiles this way, because files of profilers cannot be relieved of what they say of values and paths.
"""

from __future__ import annotations

from functools import cache
from itertools import chain
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.model.profile import Profile

FORMAT = "harness-profile/1"
MARK = "kept_as"  # attribute of an artifact whose file is such a profile, with `FORMAT` as its value
_LARGEST_BYTES = 256 << 20


def dump_profile(profile: Profile) -> bytes:
    """The profile as JSON; the same bytes for the same profile."""
    return _adapter().dump_json(profile)


def read_profile(path: Path) -> Profile:
    """A profile written by `dump_profile`. ValueError for anything else, OSError when it cannot be read."""
    if path.stat().st_size > _LARGEST_BYTES:
        raise ValueError(f"the profile is larger than {_LARGEST_BYTES >> 20} MiB")
    try:
        profile = _adapter().validate_json(path.read_bytes())
    except (ValidationError, RecursionError) as error:
        raise ValueError(f"not a {FORMAT} profile") from error
    if not _sound(profile):
        raise ValueError(f"a {FORMAT} profile whose numbers do not fit each other")
    return profile


@cache
def _adapter() -> TypeAdapter[Profile]:
    return TypeAdapter(Profile)


def _sound(profile: Profile) -> bool:
    """Whether every index leads somewhere and every row has as many values as there are value types: readers rely on it."""
    frames, columns = len(profile.frames), len(profile.value_types)
    used = chain(
        (f.frame for f in profile.functions),
        (n.frame for n in profile.tree),
        (number for e in profile.edges for number in (e.caller, e.callee)),
        profile.peak.stack if profile.peak is not None else (),
    )
    rows = chain(
        (values for f in profile.functions for values in (f.self_values, f.inclusive_values)),
        (values for n in profile.tree for values in (n.self_values, n.inclusive_values)),
        (e.inclusive_values for e in profile.edges),
        (line.values for line in profile.lines),
        (group.values for group in profile.objects),
    )
    return (
        all(0 <= number < frames for number in used)
        and all(-1 <= node.parent < index for index, node in enumerate(profile.tree))
        and all(len(values) == columns for values in rows)
    )
