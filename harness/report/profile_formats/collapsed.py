"""Collapsed (folded) stacks: one stack a line, outermost first, frames joined by ``;``, then the value.

What https://github.com/brendangregg/FlameGraph made common. There is no place for the name of the value: one file is one value.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.profile import Frame, Profile
from harness.plugins.exports import ProfileExport
from harness.report.profile_formats.stacks import place, stacks_of


def values(profile: Profile) -> Sequence[str]:
    """The names `write` takes. ValueError when the profile has no stacks."""
    return tuple(column.name for column in stacks_of(profile).columns)


def write(profile: Profile, value: str | None = None) -> bytes:
    """The lines, sorted, UTF-8: equal stacks are one. ValueError without stacks or such a value."""
    stacks = stacks_of(profile, expanded=True)
    stacks = stacks.only(stacks.column(value))
    names = [_name(frame) for frame in stacks.frames]
    sums: dict[str, int] = {}
    for node, own in enumerate(stacks.values[0]):
        if own:
            path = ";".join(names[frame] for frame in reversed(stacks.stack(node)))
            sums[path] = sums.get(path, 0) + own
    return "".join(f"{path} {total}\n" for path, total in sorted(sums.items())).encode("utf-8")


def _name(frame: Frame) -> str:
    where = place(frame)
    return (f"{frame.function} ({where})" if where else frame.function).replace(";", ",")


EXPORT = ProfileExport(
    "collapsed", "folded.txt", "collapsed stacks, one value a file", "flamegraph.pl, inferno, speedscope", write, values
)
