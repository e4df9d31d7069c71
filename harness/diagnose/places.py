"""From one profile to the line in it that a finding is about, or to why it shows none. Pure.

Constants and their reasons: docs/profiling-auto.md, "The place".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from harness.diagnose.holders import circle_name, holder_name, of_module
from harness.diagnose.kept import amount, beyond, place_of
from harness.diagnose.witnesses import Witnesses
from harness.model.finding import EXPLAINS, Cause, Finding
from harness.model.profile import Artifact, Origin, Owner, Profile
from harness.model.span import COMMAND
from harness.units import format_bytes

_COUNTED = (Cause.LEAK_OBJECTS, Cause.LEAK, Cause.LEAK_NATIVE)  # what a tool counts is what grows, object by object
_NATIVE = (Cause.LEAK_NATIVE, Cause.LEAK_MMAP)
_NOT_BYTES = (Cause.THREADS, Cause.DESCRIPTORS, Cause.MAPPED_FILES)
_LEAST = 64  # bytes: less is a number that was counted up, or the like
_PAGE = 4096  # bytes: less than this holds nothing open worth a word
_SHOWN = 0.25  # of what is measured from outside, by all lines: with less, what grows is not what the profile shows
FAIR_SHARE = (
    0.5  # of the same, by one line; native blocks are large, and both sides count them alike: by all lines as well
)
_CLEAR = 0.25  # of what a request keeps, by one line: with less, no line is the place
_GOOD_PART, _ALMOST_ALL = 0.4, 0.75
_FITS = 0.15
AGREE = (0.5, 2.0)
MORE_LINES = 2
_MOST_JOBS = 1000  # that a run of a command starts: what keeps less than that part of its growth is not what grows


@dataclass(frozen=True, slots=True)
class Found:
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
    beside: Sequence[Found] = ()

    @property
    def size(self) -> int:
        return max(self.origin.through, amount(self.origin))

    @property
    def second(self) -> Origin | None:
        """Another line that keeps a good part, where this one is not nearly all of it: both belong to the answer."""
        if self.origin.takes or self.size >= _ALMOST_ALL * self.total:
            return None
        told = {place_of(o) for o in (self.origin, self.instead_of) if o is not None}
        others = [o for o in self.own if place_of(o) not in told]
        largest = max(others, key=amount, default=None)
        return largest if largest is not None and amount(largest) >= _CLEAR * self.total else None

    @property
    def whole(self) -> bool:
        """Whether a program was measured, and not a request."""
        return self.artifact.span_id is None

    @property
    def what(self) -> str:
        return "the measured work" if self.whole else "a profiled request"


def in_profile(
    finding: Finding, artifact: Artifact, profile: Profile, profiles: Witnesses, shares: Mapping[str, float]
) -> Found | str:
    """The place in one profile; else why there is none, empty where the profile has nothing to do with such a growth."""
    cause = finding.cause
    if any(o.takes == cause.value for o in profile.origins):
        return _caller(finding, artifact, profile, profiles.control)
    if cause is Cause.RETENTION:
        return _at_peak(finding, artifact, profile)
    # Each kind of job is compared with the others: what all of them leave is the queue's own.
    control = [*profiles.control, *(profiles.beside(artifact) if of_jobs(finding) else ())]
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
    return Found(artifact, profile, chosen, material.own, material.total, expected, looked_at, held_by, instead)


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
    mostly = artifact.endpoint == finding.subject.endpoint or shares.get(artifact.endpoint or "", 0.0) >= FAIR_SHARE
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
    if counted is not None and total > AGREE[1] * counted:
        return (
            f"a collection gave back {format_bytes(total)}, and only {format_bytes(counted)} of it were objects in cycles: the "
            "rest is memory that the runtime had kept for reuse, and has nothing to do with them"
        )
    if plain is None:
        top = max(own, key=amount)
        return f"what the profiled request kept is spread over many lines; {short(top)} kept most, {format_bytes(amount(top))}"
    size = max(plain.through, amount(plain))
    average = _average(finding) or 0.0
    few = finding.cause not in _NATIVE and _few(own, total, average)
    if not of_jobs(finding) and size < FAIR_SHARE * average and not few:
        return (
            f"{short(plain)} kept most in the profiled request, {format_bytes(size)}, and that is less than half of the "
            f"{format_bytes(_average(finding) or 0.0)} that grow"
        )
    return plain, None


def _few(own: Sequence[Origin], total: int, average: float) -> bool:
    """Whether two or three lines are together what is kept, so that the largest of them is told with the others beside it."""
    sizes = [size for size in map(amount, own) if size >= _CLEAR * total]
    return len(sizes) > 1 and sum(sizes) >= _ALMOST_ALL * max(average, total)


def _least(finding: Finding) -> float:
    """Bytes that a profile must show, or what grows is something else."""
    if finding.cause in _NOT_BYTES:
        return 0.0
    if of_jobs(finding):  # how many jobs a run of the command starts is not known
        return max(_LEAST, (finding.growth.bytes_per_request or 0.0) / _MOST_JOBS)
    if finding.cause is Cause.FRAGMENTATION:
        return _PAGE
    share = FAIR_SHARE if finding.cause in _NATIVE else _SHOWN
    return max(_LEAST, share * (_average(finding) or 0.0))


def _too_little(material: _Material, expected: float | None, looked_at: int) -> str:
    about = "" if expected is None else f" of the {format_bytes(expected)} to be expected"
    most = f", most of it at {short(max(material.own, key=amount))}" if material.own else ""
    if looked_at == 1:
        return f"the profiled request kept {format_bytes(material.total)}{about}{most}"
    return f"none of the {looked_at} profiled requests kept more than {format_bytes(material.total)}{about}{most}"


def of_jobs(finding: Finding) -> bool:
    """Whether growth was measured by runs of a command, which start work of other names."""
    return finding.subject.endpoint == COMMAND


def _in_program(finding: Finding, artifact: Artifact, profile: Profile, own: Sequence[Origin]) -> Found | str:
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
        names = ", ".join(dict.fromkeys(short(o) for o in (chosen, *others[:MORE_LINES])))
        return f"several functions in the trace grew by about what the worker keeps each time: {names}"
    return Found(artifact, profile, chosen, [chosen], chosen.kept, expected, 1)


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


def _caller(finding: Finding, artifact: Artifact, profile: Profile, control: Sequence[Profile]) -> Found | str:
    """Who calls what takes it, where bytes are not counted: the calls that the control does not make."""
    usual = {place_of(o) for p in control for o in p.origins if o.takes}
    calls = [o for o in profile.origins if o.takes == finding.cause.value and place_of(o) not in usual]
    if not calls:
        return "all calls that could do this are made by the control as well"
    chosen = max(calls, key=lambda o: (o.owner == calls[0].owner, o.calls or 0))
    return Found(artifact, profile, chosen, calls, 0, None, 1)


def _at_peak(finding: Finding, artifact: Artifact, profile: Profile) -> Found | str:
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
            return f"what was held at the peak is spread over many lines; {short(top)} held most, {format_bytes(top.peak or 0)}"
        return Found(artifact, profile, top, held, total, None, 1)
    if profile.peak is None or not profile.peak.stack:
        return ""
    frames = [profile.frames[n] for n in profile.peak.stack]
    frame = next((f for f in reversed(frames) if f.file and ":" not in f.file), None)
    if frame is None:
        return ""
    owner = profile.origins[0].owner
    origin = Origin(owner, frame.file, frame.line, frame.function, 0, peak=profile.peak.bytes)
    return Found(artifact, profile, origin, [origin], profile.peak.bytes, None, 1)


def _expected(finding: Finding, artifact: Artifact) -> float | None:
    """Bytes that the profiled request should have kept, where its endpoint is named."""
    named = finding.subject.endpoint is not None and artifact.endpoint == finding.subject.endpoint
    return _average(finding) if named else None


def _average(finding: Finding) -> float | None:
    """Bytes that a request keeps as measured from outside. Of a mix in which others keep nothing the guilty keep more."""
    return finding.growth.bytes_per_request if finding.cause in (*_COUNTED, Cause.LEAK_MMAP) else None


def short(origin: Origin) -> str:
    return place_words(origin.file, origin.line, origin.function)


def place_words(file: str, line: int | None, function: str | None) -> str:
    """``shop/orders.py:95 (render_receipt)``: the last two parts of the path."""
    where = "/".join(PurePosixPath(file).parts[-2:]).lstrip("/") if file else ""
    where = where if line is None or not where else f"{where}:{line}"
    name = (function or "").rpartition(":")[2] if ".py:" in f"{where}:" else (function or "")
    if not where:
        return name
    return f"{where} ({name})" if name else where


def _whole(value: object) -> int | None:
    return value if type(value) is int else None
