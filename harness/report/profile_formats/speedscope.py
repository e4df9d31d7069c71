"""speedscope's JSON: https://github.com/jlfwong/speedscope/wiki/Importing-from-custom-sources. One profile in it for each value.

"Evented" profiles, because their size is that of the tree and not that of all stacks. The order is that of the file the profile
was read from; where equal calls were folded, as most tools do, it is no order in time.
"""

from __future__ import annotations

import json

from harness.model.profile import Profile
from harness.plugins.exports import ProfileExport
from harness.report.profile_formats.stacks import Stacks, stacks_of, walk
from harness.report.words import clean

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_UNITS = {"ns": "nanoseconds", "bytes": "bytes"}


def write(profile: Profile, value: str | None = None) -> bytes:
    """The file, ASCII. ValueError when the profile has no stacks."""
    stacks = stacks_of(profile, value)
    frames = []
    for frame in stacks.frames:
        shown: dict[str, object] = {"name": frame.function}
        if frame.file:
            shown["file"] = frame.file
        if frame.line:
            shown["line"] = frame.line
        frames.append(shown)
    title = clean(profile.tool, 80)
    head = {
        "$schema": SCHEMA,
        "exporter": "harness",
        "name": title,
        "activeProfileIndex": 0,
        "shared": {"frames": frames},
    }
    text = json.dumps(head, separators=(",", ":"))[:-1]
    profiles = ",\n".join(_profile(stacks, number) for number in range(len(stacks.columns)))
    return f'{text},"profiles":[\n{profiles}\n]}}\n'.encode("ascii")


def _profile(stacks: Stacks, number: int) -> str:
    column = stacks.columns[number]
    own, totals = stacks.values[number], stacks.totals(number)
    events: list[str] = []
    at = 0
    for node, entering in walk(stacks.children()):
        if not totals[node]:
            continue
        if entering:
            events.append(f'{{"type":"O","frame":{stacks.frame[node]},"at":{at}}}')
            at += own[node]
        else:
            events.append(f'{{"type":"C","frame":{stacks.frame[node]},"at":{at}}}')
    head = {
        "type": "evented",
        "name": f"{column.name} ({column.unit})",
        "unit": _UNITS.get(column.unit, "none"),
        "startValue": 0,
        "endValue": at,
    }
    return f'{json.dumps(head, separators=(",", ":"))[:-1]},"events":[{",".join(events)}]}}'


EXPORT = ProfileExport(
    "speedscope", "speedscope.json", "speedscope's JSON", "speedscope (https://www.speedscope.app, also offline)", write
)
