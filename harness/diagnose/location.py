"""From findings and the profiles of the run to the place in the source: file, line, function, and what holds the memory. Pure.

A place is named where a profile of the endpoint shows enough of what was measured from outside, beyond what the control leaves
too. Else the finding says why it names none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from harness.diagnose.holders import holding_variable
from harness.diagnose.place_words import (
    about_calls,
    about_choice,
    about_control,
    about_cycles,
    about_holder,
    about_host,
    about_line,
    about_lines_tool,
    context,
)  # fmt: skip
from harness.diagnose.places import FAIR_SHARE, MORE_LINES, Found, in_profile, of_jobs, place_words, short
from harness.diagnose.witnesses import Witnesses
from harness.model.event import PROFILE_PLAN, Event
from harness.model.finding import Cause, Finding, Location
from harness.model.report import ProfileView

_HOLDER_LETTERS = 100
_LOCATED = (
    Cause.LEAK_OBJECTS, Cause.LEAK, Cause.LEAK_NATIVE, Cause.LEAK_MMAP, Cause.THREADS, Cause.DESCRIPTORS,
    Cause.MAPPED_FILES, Cause.SHARED_MEMORY, Cause.FRAGMENTATION, Cause.RETENTION, Cause.GC_DELAY,
)  # fmt: skip


def locate(
    findings: Sequence[Finding],
    views: Sequence[ProfileView],
    events: Sequence[Event] = (),
    shares: Mapping[str, float] = MappingProxyType({}),
) -> tuple[Finding, ...]:
    """The findings, with a place where there is one. ``events`` hold why the session could not profile what it wanted to;
    ``shares``: endpoint -> its part of the growth as measured from outside: of several suspects the one that matters names the
    place."""
    profiled = [v for v in views if v.artifact.opens_with is None]
    refusals = {str(e.attributes.get("cause")): str(e.attributes["no_line"]) for e in events
                if e.kind == PROFILE_PLAN and e.attributes.get("no_line")}  # fmt: skip
    named = frozenset(f.subject.endpoint for f in findings if f.subject.endpoint is not None)
    return tuple(_located(finding, Witnesses(profiled, finding, named), refusals, shares) for finding in findings)


def summary_with_place(finding: Finding, holder: str = "", also: str = "") -> str:
    """The sentence of a finding, with the place and what holds the memory, where they are known, at its end. ``also``: another
    place that keeps a good part."""
    where = finding.subject.location
    if where is None:
        return f"{finding.summary} It is held by {holder}." if holder else finding.summary
    place = place_words(where.file, where.line, where.function)
    place = f"{place} and {also}" if also else place
    held = f", and is held by {holder}" if holder else ""
    return f"{finding.summary} {_VERBS.get(finding.cause, 'It comes from')} {place}{held}."


_VERBS = {
    Cause.GC_DELAY: "The cycles are made at",
    Cause.FRAGMENTATION: "What stays in between is allocated at",
    Cause.RETENTION: "The peak is reached at",
    Cause.THREADS: "They are started from",
    Cause.DESCRIPTORS: "They are opened at",
    Cause.MAPPED_FILES: "They are mapped at",
    Cause.SHARED_MEMORY: "It is filled at",
}


def _located(
    finding: Finding, profiles: Witnesses, refusals: Mapping[str, str], shares: Mapping[str, float]
) -> Finding:
    if finding.cause not in _LOCATED or finding.secondary or finding.subject.location is not None:
        return finding
    found = _best(finding, profiles, shares)
    if isinstance(found, str):
        why = refusals.get(finding.cause.value) or found
        if not why:
            return finding
        evidence = [context("profile.line", None, "", f"why no line: {why}"), *about_holder(profiles)]
        summary = summary_with_place(finding, _holder(finding, profiles))
        return replace(finding, summary=summary, evidence=[*finding.evidence, *evidence])
    where = Location(found.origin.file, found.origin.line, found.origin.function or None)
    told = [
        *about_line(found, finding),
        *about_host(found, finding),
        *about_choice(found),
        *about_calls(found),
        *about_control(found, profiles),
        *about_lines_tool(found, profiles),
        *about_holder(profiles),
        *(about_cycles(profiles) if finding.cause is Cause.GC_DELAY else ()),
    ]
    located = replace(finding, subject=replace(finding.subject, location=where), evidence=[*finding.evidence, *told])
    second = found.second if finding.cause is Cause.LEAK_OBJECTS else None
    also = "" if second is None else short(second)
    return replace(located, summary=summary_with_place(located, _holder(finding, profiles), also))


def _holder(finding: Finding, profiles: Witnesses) -> str:
    """What holds it, of a leak of objects; empty where that is not known."""
    if finding.cause is not Cause.LEAK_OBJECTS:
        return ""
    return holding_variable([p for _, p in profiles.suspects])[:_HOLDER_LETTERS]


def _best(finding: Finding, profiles: Witnesses, shares: Mapping[str, float]) -> Found | str:
    """The place, or why there is none."""
    if finding.cause is Cause.MAPPED_FILES and any(
        e.signal == "smaps.count" and (e.value or 0.0) <= 0 for e in finding.evidence
    ):
        return "no mapping was added, and to read on in a file that is mapped already makes no call that a profiler could see"
    reasons: list[str] = []
    found: list[Found] = []
    for artifact, profile in profiles.suspects:
        if profile.origins:
            each = in_profile(finding, artifact, profile, profiles, shares)
            if isinstance(each, Found):
                found.append(each)
            elif each:
                reasons.append(f"{each} ({profile.tool})")
    if found:
        return _main(finding, found, shares)
    if reasons:
        return "; ".join(dict.fromkeys(reasons))
    if profiles.suspects:
        tools = ", ".join(sorted({p.tool for _, p in profiles.suspects}))
        return f"{tools} cannot name lines of this kind of growth"
    details = [a.detail for a in profiles.tried if a.detail]
    if details:
        return f"there is no profile of it: {details[0]}"
    return "its profile could not be read" if profiles.tried else ""  # who profiles nothing, or others, knows


def _main(finding: Finding, found: Sequence[Found], shares: Mapping[str, float]) -> Found | str:
    """Of several places the one of most of the growth. Endpoints whose shares hardly differ are told apart by whether it is known
    what holds the memory there."""
    preferred = _preferred(finding.cause)
    share = {f.artifact.endpoint or "": shares.get(f.artifact.endpoint or "", 0.0) for f in found}
    much = FAIR_SHARE * max(share.values())

    def rank(each: Found) -> tuple[bool, bool, bool, float, int]:
        own = share[each.artifact.endpoint or ""]
        return each.profile.tool in preferred, own >= much, bool(each.holder), own, each.total

    main = max(found, key=rank)
    alike = [f for f in found if f.profile.tool == main.profile.tool and f is not main]
    if of_jobs(finding) and main.total < FAIR_SHARE * sum(f.total for f in (main, *alike)):
        names = ", ".join(short(f.origin) for f in (main, *alike[:MORE_LINES]))
        return f"several kinds of jobs kept something, none of them half of it: {names}"
    beside = [f for f in alike if share[f.artifact.endpoint or ""] >= much]
    return replace(main, beside=beside)


def _preferred(cause: Cause) -> tuple[str, ...]:
    return (
        ("memray",)
        if cause in (Cause.LEAK_NATIVE, Cause.LEAK_MMAP, Cause.RETENTION)
        else ("tracemalloc", "xdebug_trace")
    )
