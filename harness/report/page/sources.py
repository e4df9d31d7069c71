"""Which profile shows what a finding says: the line it names, and what holds what is left."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.model.finding import Cause, Finding, Location
from harness.model.profile import Profile
from harness.model.report import ProfileView, Report

LINES, CALLS, HELD = "Lines", "Calls", "What holds them"  # tabs of the page

_CALLS = re.compile(r" calls (\w{1,80})\(\)")


@dataclass(frozen=True, slots=True)
class Source:
    """``profile`` counts into `Report.profiles`; ``tab`` is one of this module's; ``search`` finds the row there, or is empty."""

    profile: int
    tab: str
    search: str


def sources(report: Report, finding: Finding) -> tuple[Source, ...]:
    """At most one profile for the line and one for what holds the objects; of the finding's endpoint first. Pure."""
    where, endpoint = finding.subject.location, finding.subject.endpoint
    opened = [(i, v, v.profile) for i, v in enumerate(report.profiles) if v.profile is not None]
    opened.sort(key=lambda each: each[1].artifact.endpoint != endpoint)  # stable: else in order of the list
    found: list[Source] = []
    called = _called(finding)
    into = next(((i, name) for i, _, p in opened if (name := _frame(p, called)) is not None), None) if called else None
    if into is not None:
        found.append(Source(into[0], CALLS, into[1]))
    elif where is not None:
        for tab, search in ((LINES, _line(where)), (CALLS, where.function or "")):
            at = next((i for i, _, p in opened if search and _shows(p, tab, where)), None)
            if at is not None:
                found.append(Source(at, tab, search))
                break
    held = next((i for i, v, p in opened if p.holders and _about(v, endpoint)), None)
    if held is not None:
        found.append(Source(held, HELD, ""))
    return tuple(found)


def _called(finding: Finding) -> str:
    """The function that takes shared memory, which the profile of its caller cannot show; empty for any other finding."""
    if finding.cause is not Cause.SHARED_MEMORY:
        return ""
    said = (_CALLS.search(e.text) for e in finding.evidence if e.signal == "profile.line")
    return next((match[1] for match in said if match), "")


def _frame(profile: Profile, function: str) -> str | None:
    """The name of a frame of that function; tools write ``php::`` before those of the interpreter."""
    return next((f.function for f in profile.frames if f.function.removeprefix("php::") == function), None)


def _about(view: ProfileView, endpoint: str | None) -> bool:
    return endpoint is not None and view.artifact.endpoint == endpoint


def _line(where: Location) -> str:
    return "" if where.line is None else f"{where.file.rpartition('/')[2]}:{where.line}"


def _shows(profile: Profile, tab: str, where: Location) -> bool:
    if tab == LINES:
        return any(line.line == where.line and _same_file(line.file, where.file) for line in profile.lines)
    names = {where.function}
    return any(frame.function in names and _same_file(frame.file, where.file) for frame in profile.frames)


def _same_file(a: str, b: str) -> bool:
    """Whether two paths may name one file: tools write the end of a path, or all of it."""
    return a == b or a.endswith(f"/{b}") or b.endswith(f"/{a}")
