"""From findings and the profiles of the run to the place in the source: file, line, function, and what holds the memory. Pure.

A place is named where a profile of the endpoint shows enough of what was measured from outside, beyond what the control leaves
too. Else the finding says why it names none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from types import MappingProxyType

from harness.diagnose.holders import circle_name, holder_name, largest_circle, of_module
from harness.diagnose.kept import amount, beyond, place_of
from harness.diagnose.profiling import CAUSE, ROLE, Role
from harness.model.event import PROFILE_PLAN, Event
from harness.model.finding import EXPLAINS, Cause, Evidence, Finding, Location, Side
from harness.model.holding import first_own, largest_chain, own_names
from harness.model.profile import Artifact, HolderChain, Origin, Owner, Profile
from harness.model.report import ProfileView
from harness.units import format_bytes

_COUNTED = (Cause.LEAK_OBJECTS, Cause.LEAK, Cause.LEAK_NATIVE)  # what a tool counts is what grows, object by object
_BY_BYTES = (
    *_COUNTED, Cause.LEAK_MMAP, Cause.THREADS, Cause.DESCRIPTORS, Cause.MAPPED_FILES, Cause.SHARED_MEMORY,
    Cause.FRAGMENTATION, Cause.RETENTION,
)  # fmt: skip
_LOCATED = (*_BY_BYTES, Cause.GC_DELAY)
_NATIVE = (Cause.LEAK_NATIVE, Cause.LEAK_MMAP)
_NOT_BYTES = (Cause.THREADS, Cause.DESCRIPTORS, Cause.MAPPED_FILES)
_LEAST = 64  # bytes: less is a number that was counted up, or the like
_PAGE = 4096  # bytes: less than this holds nothing open worth a word
_SHOWN = 0.25  # of what is measured from outside: with less, what grows is not what the profile shows
_FAIR_SHARE = 0.5  # the same, where blocks are large and the tool counts each of them as the kernel does
_MUCH_MORE = 4.0
_CLEAR = 0.25  # of what a request keeps, by one line: with less, no line is the place
_GOOD_PART, _ALMOST_ALL = 0.4, 0.75
_FITS = 0.15
_AGREE = (0.5, 2.0)
_MORE_LINES = 2
_MOST_JOBS = (
    1000  # that one run of a command starts: a job that keeps less than that part of the growth is not what grows
)
_COMMAND = "each_round"  # what runs of a scenario's command are called: what they start is profiled by names of its own
_CHAIN_STEPS = 6
_LABEL_LETTERS = 60


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
    return tuple(_located(finding, _Profiles(profiled, finding, named), refusals, shares) for finding in findings)


def summary_with_place(finding: Finding) -> str:
    """The sentence of a finding, with the place at its end."""
    where = finding.subject.location
    if where is None:
        return finding.summary
    return f"{finding.summary} {_VERBS.get(finding.cause, 'It comes from')} {_place(where.file, where.line, where.function)}."


_VERBS = {
    Cause.GC_DELAY: "The cycles are made at",
    Cause.FRAGMENTATION: "What stays in between is allocated at",
    Cause.RETENTION: "The peak is reached at",
    Cause.THREADS: "They are started from",
    Cause.DESCRIPTORS: "They are opened at",
    Cause.MAPPED_FILES: "They are mapped at",
    Cause.SHARED_MEMORY: "It is filled at",
}


# -- which profiles ----------------------------------------------------------------------------------------------------


class _Profiles:
    """The profiles that bear on one finding: of the endpoints it is about, and of the control."""

    def __init__(self, views: Sequence[ProfileView], finding: Finding, named: frozenset[str]) -> None:
        parsed = [(v.artifact, v.profile) for v in views if v.profile is not None]
        about = {a.endpoint for a, _ in parsed if self._is_about(a, finding)}
        others = [(a, p) for a, p in parsed if a.endpoint not in about]
        # Where the session took the guilty one itself for the control, the others show what every request leaves.
        control = [(a, p) for a, p in others if self._is_control(a, named)] or others
        self.suspects = [(a, p) for a, p in parsed if a.endpoint in about]
        self.control = [p for _, p in control]
        self.control_names = sorted({a.endpoint or "" for a, _ in control})
        self.tried = [v.artifact for v in views if self._is_about(v.artifact, finding)]

    def of(self, artifact: Artifact) -> list[Profile]:
        """All profiles of the endpoint of one of the suspects."""
        return [p for a, p in self.suspects if a.endpoint == artifact.endpoint]

    def beside(self, artifact: Artifact) -> list[Profile]:
        """Those of the other suspects."""
        return [p for a, p in self.suspects if a.endpoint != artifact.endpoint]

    @staticmethod
    def _is_about(artifact: Artifact, finding: Finding) -> bool:
        role = artifact.attributes.get(ROLE)
        if finding.subject.endpoint not in (None, _COMMAND):
            return artifact.endpoint == finding.subject.endpoint
        if role is not None:
            return role == Role.SUSPECT and artifact.attributes.get(CAUSE) == finding.cause.value
        return True

    @staticmethod
    def _is_control(artifact: Artifact, named: frozenset[str]) -> bool:
        role = artifact.attributes.get(ROLE)
        return role == Role.CONTROL if role is not None else bool(named) and artifact.endpoint not in named


# -- one finding -------------------------------------------------------------------------------------------------------


def _located(
    finding: Finding, profiles: _Profiles, refusals: Mapping[str, str], shares: Mapping[str, float]
) -> Finding:
    if finding.cause not in _LOCATED or finding.secondary or finding.subject.location is not None:
        return finding
    found = _best(finding, profiles, shares)
    if isinstance(found, str):
        why = refusals.get(finding.cause.value) or found
        if not why:
            return finding
        evidence = [_context("profile.line", None, "", f"why no line: {why}"), *_holding(profiles)]
        return replace(finding, evidence=[*finding.evidence, *evidence])
    where = Location(found.origin.file, found.origin.line, found.origin.function or None)
    told = [
        *_about_line(found, finding),
        *_about_choice(found),
        *_about_control(found, profiles),
        *_about_lines_tool(found, profiles),
        *_holding(profiles),
        *(_about_cycles(profiles) if finding.cause is Cause.GC_DELAY else ()),
    ]
    located = replace(finding, subject=replace(finding.subject, location=where), evidence=[*finding.evidence, *told])
    return replace(located, summary=summary_with_place(located))


@dataclass(frozen=True, slots=True)
class _Found:
    """The origin chosen of a profile. ``own``: all that are left without the control; ``total``: their bytes; ``expected``: bytes
    that a request keeps as measured from outside; ``looked_at``: requests that were sent until one kept this. ``holder``: what
    holds the survivors, where that is in the module of this line; ``instead_of``: the line that would have been chosen without
    knowing it; ``beside``: places of other endpoints that keep memory too."""

    artifact: Artifact
    profile: Profile
    origin: Origin
    own: Sequence[Origin]
    total: int
    expected: float | None
    looked_at: int
    holder: str = ""
    instead_of: Origin | None = None
    beside: Sequence[_Found] = ()

    @property
    def size(self) -> int:
        return max(self.origin.through, amount(self.origin))

    @property
    def whole(self) -> bool:
        """Whether a program was measured, and not a request."""
        return self.artifact.span_id is None

    @property
    def what(self) -> str:
        return "the measured work" if self.whole else "a profiled request"


def _best(finding: Finding, profiles: _Profiles, shares: Mapping[str, float]) -> _Found | str:
    """The place, or why there is none."""
    if finding.cause is Cause.MAPPED_FILES and any(
        e.signal == "smaps.count" and e.value == 0 for e in finding.evidence
    ):
        return "no mapping was added, and to read on in a file that is mapped already makes no call that a profiler could see"
    reasons: list[str] = []
    found: list[_Found] = []
    for artifact, profile in profiles.suspects:
        if profile.origins:
            each = _in_profile(finding, artifact, profile, profiles, shares)
            if isinstance(each, _Found):
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


def _main(finding: Finding, found: Sequence[_Found], shares: Mapping[str, float]) -> _Found | str:
    """Of several places the one of most of the growth. Endpoints whose shares hardly differ are told apart by whether it is known
    what holds the memory there."""
    preferred = _preferred(finding.cause)
    share = {f.artifact.endpoint or "": shares.get(f.artifact.endpoint or "", 0.0) for f in found}
    much = _FAIR_SHARE * max(share.values())

    def rank(each: _Found) -> tuple[bool, bool, bool, float, int]:
        own = share[each.artifact.endpoint or ""]
        return each.profile.tool in preferred, own >= much, bool(each.holder), own, each.total

    main = max(found, key=rank)
    alike = [f for f in found if f.profile.tool == main.profile.tool and f is not main]
    if _of_jobs(finding) and main.total < _FAIR_SHARE * sum(f.total for f in (main, *alike)):
        names = ", ".join(_short(f.origin) for f in (main, *alike[:_MORE_LINES]))
        return f"several kinds of jobs kept something, none of them half of it: {names}"
    beside = [f for f in alike if share[f.artifact.endpoint or ""] >= much]
    return replace(main, beside=beside)


def _preferred(cause: Cause) -> tuple[str, ...]:
    return (
        ("memray",)
        if cause in (Cause.LEAK_NATIVE, Cause.LEAK_MMAP, Cause.RETENTION)
        else ("tracemalloc", "xdebug_trace")
    )


def _in_profile(
    finding: Finding, artifact: Artifact, profile: Profile, profiles: _Profiles, shares: Mapping[str, float]
) -> _Found | str:
    """The place in one profile; else why there is none, empty where the profile has nothing to do with such a growth."""
    cause = finding.cause
    if any(o.takes == cause.value for o in profile.origins):
        return _caller(finding, artifact, profile, profiles.control)
    if cause is Cause.RETENTION:
        return _at_peak(finding, artifact, profile)
    # Each kind of job is compared with the others: what all of them leave is the queue's own.
    control = [*profiles.control, *(profiles.beside(artifact) if _of_jobs(finding) else ())]
    own = [o for o in beyond(profile, control) if not o.takes]
    if artifact.span_id is None and any(o.calls is not None for o in own):
        return _in_program(finding, artifact, profile, own)
    alike = profiles.of(artifact)
    material = _Material(own, sum(amount(o) for o in own), holder_name(alike))
    if cause is Cause.GC_DELAY:
        in_cycles = _garbage(own, alike) or _garbage_to_be(finding, artifact, own, shares)
        if in_cycles is None:
            return "no garbage in cycles was left by the profiled request" if "garbage_bytes" in profile.totals else ""
        material = in_cycles
    if cause in _NOT_BYTES:  # what comes with them is little, and servers have threads and sockets of their own
        own = [o for o in own if o.owner is Owner.APPLICATION]
        material = _Material(own, sum(amount(o) for o in own), material.holder)
    looked_at = _whole(artifact.attributes.get("requests_looked_at")) or 1
    if not material.own or material.total < _least(finding):
        return _too_little(material, _expected(finding, artifact), looked_at)
    choice = _choose(finding, material, profile.origins, control)
    if isinstance(choice, str):
        return choice
    chosen, instead = choice
    held_by = material.holder if chosen in of_module(material.own, material.holder) else ""
    expected = _expected(finding, artifact)
    return _Found(artifact, profile, chosen, material.own, material.total, expected, looked_at, held_by, instead)


@dataclass(frozen=True, slots=True)
class _Material:
    """What the place is chosen from. ``total``: bytes of all of it; ``holder``: the application's holder of what lives, a dotted
    name or empty; ``counted``: bytes of the objects that a collection found in cycles, None where that is not known."""

    own: Sequence[Origin]
    total: int
    holder: str
    counted: int | None = None


def _garbage(own: Sequence[Origin], alike: Sequence[Profile]) -> _Material | None:
    """What a collection freed; None where there was none. Where no object was found in a cycle, what looks like garbage is memory
    that the runtime keeps for reuse and lets go of when it collects."""
    total = sum(o.freed for o in own if o.freed > 0)
    if not total or any(p.totals.get("garbage_objects") == 0 for p in alike):
        return None
    freed = [replace(o, kept=0, through=min(o.through, total)) for o in own if o.freed > 0]
    counted = [p.totals.get("garbage_bytes") for p in alike if p.totals.get("garbage_objects")]
    return _Material(freed, total, circle_name(alike), max((c for c in counted if c), default=None))


def _garbage_to_be(
    finding: Finding, artifact: Artifact, own: Sequence[Origin], shares: Mapping[str, float]
) -> _Material | None:
    """What a request keeps and lets go of later, if that can be what piles up as garbage: as much as that, or more, of the
    endpoint that most of it goes with."""
    total, grown = sum(o.kept for o in own if o.kept > 0), finding.growth.bytes_per_request or 0.0
    kept = [replace(o, freed=0, through=min(o.through, total)) for o in own if o.kept > 0]
    mostly = artifact.endpoint == finding.subject.endpoint or shares.get(artifact.endpoint or "", 0.0) >= _FAIR_SHARE
    return _Material(kept, total, "") if mostly and 0 < grown <= total else None


def _choose(
    finding: Finding, material: _Material, all_of_them: Sequence[Origin], control: Sequence[Profile]
) -> tuple[Origin, Origin | None] | str:
    """The line, and the one that it is named instead of; else why there is none."""
    own, total, counted = material.own, material.total, material.counted
    plain = _one_of(own, total, all_of_them, control)
    held = of_module(own, material.holder)
    there = sum(amount(o) for o in held)
    if held and there >= _GOOD_PART * min(total, counted or total):
        chosen = _one_of(held, there, of_module(all_of_them, material.holder), control) or max(held, key=amount)
        instead = plain if plain is not None and amount(plain) > amount(chosen) and plain not in held else None
        return chosen, instead
    if counted is not None and total > _AGREE[1] * counted:
        return (
            f"a collection gave back {format_bytes(total)}, and only {format_bytes(counted)} of it were objects in cycles: the "
            "rest is memory that the runtime had kept for reuse, and has nothing to do with them"
        )
    if plain is None:
        top = max(own, key=amount)
        return f"what the profiled request kept is spread over many lines; {_short(top)} kept most, {format_bytes(amount(top))}"
    size = max(plain.through, amount(plain))
    if finding.cause in _NATIVE and size < _least(finding):
        return f"{_short(plain)} kept {format_bytes(size)} in the profiled request, which is too little for what grows"
    return plain, None


def _least(finding: Finding) -> float:
    """Bytes that a profile must show, or what grows is something else."""
    if finding.cause in _NOT_BYTES:
        return 0.0
    if _of_jobs(finding):  # how many jobs a run of the command starts is not known
        return max(_LEAST, (finding.growth.bytes_per_request or 0.0) / _MOST_JOBS)
    if finding.cause is Cause.FRAGMENTATION:
        return _PAGE
    share = _FAIR_SHARE if finding.cause in _NATIVE else _SHOWN
    return max(_LEAST, share * (_average(finding) or 0.0))


def _too_little(material: _Material, expected: float | None, looked_at: int) -> str:
    about = "" if expected is None else f" of the {format_bytes(expected)} to be expected"
    most = f", most of it at {_short(max(material.own, key=amount))}" if material.own else ""
    if looked_at == 1:
        return f"the profiled request kept {format_bytes(material.total)}{about}{most}"
    return f"none of the {looked_at} profiled requests kept more than {format_bytes(material.total)}{about}{most}"


def _of_jobs(finding: Finding) -> bool:
    """Whether growth was measured by runs of a command, which start work of other names."""
    return finding.subject.endpoint == _COMMAND


def _in_program(finding: Finding, artifact: Artifact, profile: Profile, own: Sequence[Origin]) -> _Found | str:
    """The place in a trace of a whole worker. There, functions that return something seem to keep it; so only one fits that grew
    by what the worker grew by while it did the same work, and no two that have nothing to do with each other."""
    expected = finding.numbers.get("live_bytes_per_round") or finding.numbers.get(EXPLAINS)
    expected = expected or finding.growth.bytes_per_request
    if finding.cause is Cause.GC_DELAY:  # how much of it the collector found meanwhile is not known
        expected = max((o.kept for o in own if (o.calls or 0) > 1), default=0)
    if not expected:
        return "how much the traced worker should have kept is not known"
    often = [o for o in own if (o.calls or 0) > 1 and abs(o.kept - expected) <= _FITS * expected]
    if not often:
        return f"no function in the trace grew by about the {format_bytes(expected)} that the worker keeps each time"
    chosen = max(often, key=lambda o: (len(o.callers), o.via != "", -abs(o.kept - expected)))
    way = {*chosen.callers, chosen.function}
    others = [o for o in often if o.function not in way]
    if others:
        names = ", ".join(dict.fromkeys(_short(o) for o in (chosen, *others[:_MORE_LINES])))
        return f"several functions in the trace grew by about what the worker keeps each time: {names}"
    return _Found(artifact, profile, chosen, [chosen], chosen.kept, expected, 1)


def _one_of(
    own: Sequence[Origin], total: int, all_of_them: Sequence[Origin], control: Sequence[Profile]
) -> Origin | None:
    """The line that keeps a good part of it. Where it is kept in many lines, the innermost that almost all of it goes through:
    not the application's outermost one, nor one that the control goes through too, for these hand out everybody's requests."""
    largest = max(own, key=lambda o: (o.owner == own[0].owner, amount(o)))
    if amount(largest) >= _GOOD_PART * total:
        return largest
    everybodys = {place_of(o) for profile in control for o in profile.origins}
    common = [
        o for o in all_of_them if o.through >= _ALMOST_ALL * total and o.callers and place_of(o) not in everybodys
    ]
    if common:
        return max(common, key=lambda o: len(o.callers))
    return largest if amount(largest) >= _CLEAR * total else None


def _caller(finding: Finding, artifact: Artifact, profile: Profile, control: Sequence[Profile]) -> _Found | str:
    """Who calls what takes it, where bytes are not counted: the calls that the control does not make."""
    usual = {place_of(o) for p in control for o in p.origins if o.takes}
    calls = [o for o in profile.origins if o.takes == finding.cause.value and place_of(o) not in usual]
    if not calls:
        return "all calls that could do this are made by the control as well"
    chosen = max(calls, key=lambda o: (o.owner == calls[0].owner, o.calls or 0))
    return _Found(artifact, profile, chosen, calls, 0, None, 1)


def _at_peak(finding: Finding, artifact: Artifact, profile: Profile) -> _Found | str:
    """What was held when most was held: by line, or the stack that was running."""
    held = [o for o in profile.origins if o.peak]
    if not held and profile.peak is None:
        return ""
    rose = finding.numbers.get("step_bytes", 0.0)
    total = sum(o.peak or 0 for o in held)
    reached = max(total, 0 if profile.peak is None else profile.peak.bytes)
    if reached < _SHOWN * rose:  # of all workers together: several may have had such a request
        return (
            f"{'the profiled request' if artifact.span_id else 'the measured work'} held {format_bytes(reached)} at its peak, "
            f"where memory had risen by {format_bytes(rose)} at once: what did so was not done again"
        )
    if held:
        top = max(held, key=lambda o: o.peak or 0)
        if (top.peak or 0) < _GOOD_PART * total:
            return f"what was held at the peak is spread over many lines; {_short(top)} held most, {format_bytes(top.peak or 0)}"
        return _Found(artifact, profile, top, held, total, None, 1)
    if profile.peak is None or not profile.peak.stack:
        return ""
    frames = [profile.frames[n] for n in profile.peak.stack]
    frame = next((f for f in reversed(frames) if f.file and ":" not in f.file), None)
    if frame is None:
        return ""
    owner = profile.origins[0].owner
    origin = Origin(owner, frame.file, frame.line, frame.function, 0, peak=profile.peak.bytes)
    return _Found(artifact, profile, origin, [origin], profile.peak.bytes, None, 1)


def _expected(finding: Finding, artifact: Artifact) -> float | None:
    """Bytes that the profiled request should have kept, where its endpoint is named."""
    named = finding.subject.endpoint is not None and artifact.endpoint == finding.subject.endpoint
    return _average(finding) if named else None


def _average(finding: Finding) -> float | None:
    """Bytes that a request keeps as measured from outside. Of a mix in which others keep nothing the guilty keep more."""
    return finding.growth.bytes_per_request if finding.cause in (*_COUNTED, Cause.LEAK_MMAP) else None


# -- in words ----------------------------------------------------------------------------------------------------------


def _about_line(found: _Found, finding: Finding) -> Iterator[Evidence]:
    origin, tool = found.origin, found.profile.tool
    where = _short(origin)
    via = f", by {origin.via}" if origin.via else ""
    called = f"; called from {' -> '.join(origin.callers)}" if origin.callers else ""
    if origin.takes:
        text = f"{tool}: {where} calls {origin.via}{'' if origin.calls is None else f', {origin.calls} times in one request'}"
        yield Evidence("profile.line", origin.calls, "calls", f"{text}; the control does not")
        return
    if finding.cause is Cause.RETENTION:
        at_peak = origin.peak or 0
        yield Evidence(
            "profile.line",
            at_peak,
            "bytes",
            f"{tool}: at the peak of the request {where} held {format_bytes(at_peak)}{via}{called}",
        )
        return
    garbage = finding.cause is Cause.GC_DELAY and (found.whole or origin.kept <= 0)
    size, total = format_bytes(found.size), format_bytes(found.total)
    share = f"makes {size} of garbage in cycles, of the {total}" if garbage else f"keeps {size} of the {total}"
    text = f"{tool}: {where} {share} that {found.what} left{via}{called}"
    yield Evidence("profile.line", float(found.size), "bytes" if found.whole else "bytes/request", text)
    told = {place_of(o) for o in (origin, found.instead_of) if o is not None}
    others = [o for o in found.own if place_of(o) not in told and amount(o) > 0][:_MORE_LINES]
    if others:
        listed = ", ".join(f"{_short(o)} ({format_bytes(amount(o))})" for o in others)
        yield _context("profile.lines", None, "", f"further lines that keep some of it: {listed}")
    if finding.cause is Cause.GC_DELAY and not garbage:
        yield _context(
            "profile.kind", None, "", "none of it is garbage yet: it can pile up as such only once it is let go of"
        )
    yield from _compared(found)
    if finding.cause is Cause.LEAK_NATIVE and tool == "tracemalloc":
        text = "Python's own allocator handed this memory out: it is an object, though from outside it looks like a library's"
        yield Evidence("profile.kind", None, "", text, Side.AGAINST)


def _about_choice(found: _Found) -> Iterator[Evidence]:
    """Other lines that have as good a share, and why they are not the place."""
    other = found.instead_of
    if other is not None:
        holds = "what is in cycles is of" if found.origin.freed > 0 else "what holds the survivors is in"
        text = (
            f"{_short(other)} seems to keep {format_bytes(max(other.through, amount(other)))}, but {holds} "
            f"{found.holder[:_LABEL_LETTERS]}: memory that the runtime reuses is counted where it was first asked for"
        )
        yield _context("profile.instead", None, "", text)
    for each in found.beside[:_MORE_LINES]:
        text = f"requests to {each.artifact.endpoint} keep {format_bytes(each.size)} at {_short(each.origin)}"
        yield Evidence("profile.beside", float(each.size), "bytes/request", text, Side.CONTEXT)


def _compared(found: _Found) -> Iterator[Evidence]:
    """Measured by the tool against measured from outside."""
    left, expected = format_bytes(found.total), found.expected
    outside = "" if not expected else f"; measured from outside {format_bytes(expected)} are kept"
    if found.looked_at > 1:
        text = f"one of {found.looked_at} profiled requests left {left}{outside}: not every request keeps something"
        yield Evidence("profile.agreement", float(found.looked_at), "requests", text)
    elif expected:
        ratio = found.total / expected
        each, meaning, side = "", "the two differ", Side.AGAINST
        if found.whole:
            each = " each time"
        if ratio > _MUCH_MORE and not found.whole:
            each, meaning, side = " on average", "not every request keeps as much", Side.FOR
        elif _AGREE[0] <= ratio <= _AGREE[1]:
            meaning, side = "the two agree", Side.FOR
        yield Evidence("profile.agreement", ratio, "ratio", f"{found.what} left {left}{outside}{each}: {meaning}", side)


def _about_control(found: _Found, profiles: _Profiles) -> Iterator[Evidence]:
    same_tool = [p for p in profiles.control if p.tool == found.profile.tool]
    if not same_tool or found.origin.takes:
        return
    there = max((amount(o) for p in same_tool for o in p.origins if place_of(o) == place_of(found.origin)), default=0)
    names = ", ".join(profiles.control_names)
    text = f"requests to {names}, the control, keep {format_bytes(there) if there else 'nothing'} there"
    yield Evidence("profile.control", float(there), "bytes/request", text)


def _about_lines_tool(found: _Found, profiles: _Profiles) -> Iterator[Evidence]:
    """What the tool that measures line by line says of the same line."""
    for artifact, profile in profiles.suspects:
        if profile.tool != "lines" or artifact.endpoint != found.artifact.endpoint:
            continue
        for line in profile.lines:
            if (line.file, line.line) != (found.origin.file, found.origin.line) or not line.values[0]:
                continue
            ratio = line.values[0] / max(1, found.size)
            agrees = _AGREE[0] <= ratio <= _AGREE[1]
            said = "agrees" if agrees else "differs"
            text = f"lines, measured by itself, {said}: {format_bytes(line.values[0])} net at this line"
            side = Side.FOR if agrees else Side.CONTEXT
            yield Evidence("profile.second", float(line.values[0]), "bytes/request", text, side)
            return


def _holding(profiles: _Profiles) -> Iterator[Evidence]:
    own = own_names(p for _, p in profiles.suspects)
    chain = largest_chain([p for _, p in profiles.suspects], own)
    if chain is not None:
        text = f"{chain.objects} {chain.kind[:_LABEL_LETTERS]} of one request held by {_chain(chain, first_own(chain, own))}"
        yield Evidence("profile.holder", float(chain.objects), "objects", text)


def _about_cycles(profiles: _Profiles) -> Iterator[Evidence]:
    suspects = [p for _, p in profiles.suspects]
    circle = largest_circle(suspects, own_names(suspects))
    if circle is not None:
        text = f"{circle.objects} {circle.kind[:_LABEL_LETTERS]} of one request in cycles: {_chain(circle, 0)}"
        yield Evidence("profile.cycle", float(circle.objects), "objects", text)


def _chain(chain: HolderChain, first: int) -> str:
    """A path in words, its middle left out where it is long."""
    steps = [f"{h.label[:_LABEL_LETTERS]} {h.via[:_LABEL_LETTERS]}".strip() for h in chain.path[first:]]
    if len(steps) > _CHAIN_STEPS:
        steps = [*steps[: _CHAIN_STEPS // 2], "…", *steps[-(_CHAIN_STEPS // 2) :]]
    return " -> ".join(steps)


def _short(origin: Origin) -> str:
    return _place(origin.file, origin.line, origin.function)


def _place(file: str, line: int | None, function: str | None) -> str:
    """``shop/orders.py:95 (render_receipt)``: the last two parts of the path."""
    where = "/".join(PurePosixPath(file).parts[-2:]).lstrip("/") if file else ""
    where = where if line is None or not where else f"{where}:{line}"
    name = (function or "").rpartition(":")[2] if ".py:" in f"{where}:" else (function or "")
    if not where:
        return name
    return f"{where} ({name})" if name else where


def _context(signal: str, value: float | None, unit: str, text: str) -> Evidence:
    return Evidence(signal, value, unit, text, Side.CONTEXT)


def _whole(value: object) -> int | None:
    return value if type(value) is int else None
