"""Hosts of one role compared: they do the same work, so what only some of them do is not in what they share.

Pure. A host is said to differ only where such a growth would have shown on the others, by their MDL or by their intervals
(`harness.diagnose.sight`); where it would not, or one could not be judged, that is said instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.diagnose.account import account_of
from harness.diagnose.growth import Shape
from harness.diagnose.pool import PoolView
from harness.diagnose.sight import least_seen
from harness.model.event import CONTAINER_START, Event
from harness.model.finding import Cause, Evidence, Finding, Side
from harness.model.host import HOST, RunHost, Sibling, Siblings
from harness.units import format_bytes

SIGNAL = "siblings"
_ABOUT_GROWTH = frozenset(
    {Cause.LEAK, Cause.LEAK_OBJECTS, Cause.LEAK_NATIVE, Cause.LEAK_MMAP, Cause.GC_DELAY, Cause.FRAGMENTATION}
)
_NEARLY_ALL = 0.95  # of the requests are tied to a process: who answered none of these did not answer


@dataclass(frozen=True, slots=True)
class Place:
    """A host or a container, and what runs on it: ``version`` as the scenario names it, ``image`` of a container; else empty."""

    name: str
    role: str
    measured: bool
    version: str
    image: str = ""


def compare(
    hosts: Sequence[RunHost], pools: Sequence[PoolView], events: Sequence[Event] = (), findings: Sequence[Finding] = ()
) -> tuple[Siblings, ...]:
    """Of every role with at least two measured hosts or containers, wherever these are; in the order of the scenario.
    ``findings``: those of the run. Some may say that a pool grows where its curve alone does not, or that it cannot be told."""
    views = {pool.name: pool for pool in pools}
    inside = {event.attributes.get(HOST) for event in events if event.kind == CONTAINER_START}
    by_role: dict[str, list[Sibling]] = defaultdict(list)
    nouns: dict[str, dict[str, None]] = defaultdict(dict)
    plain = [Place(h.name, h.role, h.measured, h.version) for h in hosts if h.name not in inside]
    for noun, places in (("hosts", plain), ("containers", containers(events))):
        for place in places:
            if place.measured:
                said = frozenset(finding.cause for finding in findings if finding.subject.pool == place.name)
                by_role[place.role].append(_sibling(place, views.get(place.name), said))
                nouns[place.role][noun] = None
    stretch = next((pool.stretch for pool in pools), "round")
    return tuple(
        _compared(role, " and ".join(nouns[role]), tuple(group), stretch)
        for role, group in by_role.items()
        if len(group) > 1
    )


def containers(events: Sequence[Event]) -> tuple[Place, ...]:
    """Containers that the scenario gives roles, to be compared like hosts."""
    found: dict[str, Place] = {}
    for event in events:
        told = event.attributes
        if event.kind == CONTAINER_START and told.get("role") and isinstance(told.get("pool"), str):
            name, version, image = (str(told.get(key) or "") for key in ("pool", "version", "container_image"))
            found.setdefault(name, Place(name, str(told["role"]), told.get("measured") is True, version, image))
    return tuple(found.values())


def with_siblings(findings: Sequence[Finding], compared: Sequence[Siblings]) -> tuple[Finding, ...]:
    """Findings about growth of a host, with what its siblings do; where it is not known by how much it grows there is nothing to
    say."""
    of = {sibling.host: each for each in compared for sibling in each.hosts if sibling.grows}
    return tuple(
        replace(finding, evidence=(*finding.evidence, _evidence(of[finding.subject.pool])))
        if finding.cause in _ABOUT_GROWTH and finding.subject.pool in of
        else finding
        for finding in findings
    )


def _evidence(siblings: Siblings) -> Evidence:
    return Evidence(SIGNAL, float(len(siblings.hosts)), "hosts", siblings.text, Side.CONTEXT)


def _sibling(place: Place, pool: PoolView | None, said: frozenset[Cause]) -> Sibling:
    version = place.version or place.image
    growth = None if pool is None else pool.memory
    if pool is None or growth is None or not growth.judged or not growth.known:
        return Sibling(place.name, version, None, None, None, image=place.image)
    found = bool(said & _ABOUT_GROWTH)
    account = account_of(pool) if found else None
    if account is not None and account.grows:  # an exact counter grows with it, say: then less is told from chance
        growth = account.curve
    grows: bool | None = growth.grows or (found and growth.low > 0)
    undecided = found or Cause.INCONCLUSIVE in said or growth.rises or growth.shape not in (Shape.FLAT, Shape.SETTLED)
    if not grows and undecided:
        grows = None  # it moves, and whether that goes on is open; or something finer than the curve is in doubt
    seen = least_seen(pool, growth) if grows is False else None
    interval = (growth.low, growth.high)
    return Sibling(place.name, version, grows, growth.per_round, interval, _requests(pool), place.image, seen)


def _requests(pool: PoolView) -> float | None:
    """A round, that its stable workers answered. None where nobody knows: else it would be those of all hosts."""
    if not pool.coverage:
        return None
    idle = pool.coverage >= _NEARLY_ALL and bool(pool.stable) and not pool.measured_spans
    return 0.0 if idle else pool.requests_per_round


def _compared(role: str, noun: str, hosts: tuple[Sibling, ...], stretch: str) -> Siblings:
    if not any(h.requests_per_round for h in hosts):  # their work is something else
        hosts = tuple(replace(h, requests_per_round=None) for h in hosts)
    growing = [h for h in hosts if h.grows]
    seeing = [h for h in hosts if h.grows is False and (not growing or any(_would_show(each, h) for each in growing))]
    blind = tuple(h.host for h in hosts if h.grows is False and h not in seeing)
    differ = tuple(each.host for each in growing if seeing and all(_would_show(each, h) for h in seeing))
    hosts = tuple(replace(h, grows=None) if h.host in blind else h for h in hosts)
    told = Siblings(role, hosts, differ, "", blind)
    return replace(told, text=_sentence(f"the {len(hosts)} {noun} of role {role}", told, stretch))


def _would_show(growing: Sibling, still: Sibling) -> bool:
    """Whether growth such as that of one would have shown on the other: by the round, and where it is known who answered how many
    requests, by the request as well."""
    if growing.interval is None or still.least_seen is None:
        return False
    least, own, other = growing.interval[0], growing.requests_per_round, still.requests_per_round
    if own and other is not None:
        least *= min(1.0, other / own)
    return least > still.least_seen


def _sentence(count: str, told: Siblings, stretch: str) -> str:
    growing, still = ([h for h in told.hosts if h.grows is grows] for grows in (True, False))
    left, rates = _left(told), _rates(growing, stretch)
    if not growing and not still:
        return f"None of {count} could be judged."
    if not growing:
        return f"None of {count} grows." if not left else f"None of {count} is seen to grow{left}."
    if not still:
        if told.blind:
            return f"Of {count}, {_names(growing)} {_grow(growing)} ({rates}){left}."
        whole = "All" if not left else "All that could be judged"
        return f"{whole} of {count} grow ({rates}): look at what they share{left}."
    if len(told.differ) < len(growing):
        same = [h for h in growing if h.host not in told.differ]
        return (
            f"Of {count}, {_names(growing)} {_grow(growing)} ({rates}), but whether {_names(same)} and {_names(still)} "
            f"really differ cannot be told from this run{left}."
        )
    only = "" if left else "only "
    odd = f"{only}{_names(growing)} {_grow(growing)} ({rates}), {_names(still)} {_do(still)} not"
    return f"Of {count}, {odd}{_why(told, [*growing, *still])}{left}."


def _left(told: Siblings) -> str:
    """Of whom nothing is said, and why."""
    blind = [h for h in told.hosts if h.host in told.blind]
    idle = [h for h in blind if h.requests_per_round == 0]
    little = [h for h in blind if h.requests_per_round != 0]
    unknown = [h for h in told.hosts if h.grows is None and h.host not in told.blind]
    parts = (
        f"such a growth would not have shown on {_names(little)}" if little else "",
        f"{_names(idle)} answered no requests" if idle else "",
        f"{_names(unknown)} could not be judged" if unknown else "",
    )
    return "".join(f"; {part}" for part in parts if part)


def _why(told: Siblings, judged: Sequence[Sibling]) -> str:
    """What it goes with, where that is known; else where to look."""
    split = told.split
    if split is None:
        return ": look at what is different there (version, configuration, traffic)"
    what = "version" if split.kind == "version" else "the image"
    text = f"; those that grow run {what} {_and(split.growing)}, those that do not run {_and(split.still)}"
    alike = all(h.requests_per_round for h in judged)
    return text if alike else f"{text} (whether they had as much to do is not known)"


def _rates(hosts: Sequence[Sibling], stretch: str) -> str:
    return ", ".join(f"{h.host} by {format_bytes(round(h.bytes_per_round or 0))} a {stretch}" for h in hosts)


def _names(hosts: Sequence[Sibling]) -> str:
    return _and([h.host for h in hosts])


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _grow(hosts: Sequence[Sibling]) -> str:
    return "grows" if len(hosts) == 1 else "grow"


def _do(hosts: Sequence[Sibling]) -> str:
    return "does" if len(hosts) == 1 else "do"
