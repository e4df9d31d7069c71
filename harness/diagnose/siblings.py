"""Hosts of one role compared: they do the same work, so what only some of them do is not in what they share.

Pure. A host is said to differ only where its growth and that of the others cannot be the same by their 95 % intervals; where one
could not be judged, that is said instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from harness.diagnose.growth import Shape
from harness.diagnose.pool import PoolView
from harness.model.event import CONTAINER_START, Event
from harness.model.finding import Cause, Evidence, Finding, Side
from harness.model.host import HOST, RunHost, Sibling, Siblings
from harness.units import format_bytes

SIGNAL = "siblings"
_ABOUT_GROWTH = frozenset(
    {Cause.LEAK, Cause.LEAK_OBJECTS, Cause.LEAK_NATIVE, Cause.LEAK_MMAP, Cause.GC_DELAY, Cause.FRAGMENTATION}
)


def compare(
    hosts: Sequence[RunHost], pools: Sequence[PoolView], events: Sequence[Event] = (), findings: Sequence[Finding] = ()
) -> tuple[Siblings, ...]:
    """Of every role with at least two measured hosts or containers, wherever these are; in the order of the scenario.
    ``findings``: those of the run, of which some may say that a pool grows where its curve alone does not."""
    found = {finding.subject.pool for finding in findings if finding.cause in _ABOUT_GROWTH}
    views = {pool.name: pool for pool in pools}
    contained = containers(events)
    inside = {event.attributes.get(HOST) for event in events if event.kind == CONTAINER_START}
    by_role: dict[str, list[Sibling]] = defaultdict(list)
    nouns: dict[str, dict[str, None]] = defaultdict(dict)
    plain = [host for host in hosts if host.name not in inside]
    for noun, places in (("hosts", plain), ("containers", contained)):
        for host in places:
            if host.measured:
                by_role[host.role].append(_sibling(host, views.get(host.name), found=host.name in found))
                nouns[host.role][noun] = None
    return tuple(
        _compared(role, " and ".join(nouns[role]), tuple(group)) for role, group in by_role.items() if len(group) > 1
    )


def containers(events: Sequence[Event]) -> tuple[RunHost, ...]:
    """Containers that the scenario gives roles, to be compared like hosts; their image is the version where it names none."""
    found: dict[str, RunHost] = {}
    for event in events:
        told = event.attributes
        if event.kind == CONTAINER_START and told.get("role") and isinstance(told.get("pool"), str):
            name, version = str(told["pool"]), str(told.get("version") or told.get("container_image") or "")
            found.setdefault(
                name, RunHost(name, "", str(told["role"]), told.get("measured") is True, False, 0, version)
            )
    return tuple(found.values())


def with_siblings(findings: Sequence[Finding], compared: Sequence[Siblings]) -> tuple[Finding, ...]:
    """Findings about growth of a host, with what its siblings do."""
    of = {sibling.host: each for each in compared for sibling in each.hosts}
    return tuple(
        replace(finding, evidence=(*finding.evidence, _evidence(of[finding.subject.pool])))
        if finding.cause in _ABOUT_GROWTH and finding.subject.pool in of
        else finding
        for finding in findings
    )


def _evidence(siblings: Siblings) -> Evidence:
    return Evidence(SIGNAL, float(len(siblings.hosts)), "hosts", siblings.text, Side.CONTEXT)


def _sibling(host: RunHost, pool: PoolView | None, *, found: bool) -> Sibling:
    growth = None if pool is None else pool.memory
    if growth is None or not growth.judged or not growth.known:
        return Sibling(host.name, host.version, None, None, None)
    grows: bool | None = growth.grows or (found and growth.low > 0)
    if not grows and not (growth.shape in (Shape.FLAT, Shape.SETTLED) and not growth.rises):
        grows = None  # it moves, and whether that goes on is open
    requests = pool.requests_per_round if pool is not None and pool.coverage else None  # else it is those of all hosts
    return Sibling(host.name, host.version, grows, growth.per_round, (growth.low, growth.high), requests)


def _compared(role: str, noun: str, hosts: tuple[Sibling, ...]) -> Siblings:
    growing = [h for h in hosts if h.grows]
    still = [h for h in hosts if h.grows is False]
    unknown = [h for h in hosts if h.grows is None]
    most = max((h.interval[1] for h in still if h.interval is not None), default=None)
    differ = tuple(h.host for h in growing if most is not None and h.interval is not None and h.interval[0] > most)
    return Siblings(role, hosts, differ, _sentence(f"{noun} of role {role}", hosts, growing, still, unknown, differ))


def _sentence(
    what: str, hosts: Sequence[Sibling], growing: Sequence[Sibling], still: Sequence[Sibling], unknown: Sequence[Sibling],
    differ: Sequence[str],
) -> str:  # fmt: skip
    left = f"; {_names(unknown)} could not be judged" if unknown else ""
    count = f"the {len(hosts)} {what}"
    if not growing and not still:
        return f"None of {count} could be judged."
    if not growing:
        return f"None of {count} grows{left}."
    if not still:
        whole = "All" if not unknown else "All that could be judged"
        return f"{whole} of {count} grow ({_rates(growing)}): look at what they share{left}."
    if len(differ) < len(growing):
        same = [h for h in growing if h.host not in differ]
        return (
            f"Of {count}, {_names(growing)} {_grow(growing)} ({_rates(growing)}), but whether {_names(same)} and {_names(still)} "
            f"really differ cannot be told from this run{left}."
        )
    version = _by_version(growing, still)
    where = f"; {version}" if version else ": look at what is different there (version, configuration, traffic)"
    odd = f"only {_names(growing)} {_grow(growing)} ({_rates(growing)}), {_names(still)} {_do(still)} not"
    return f"Of {count}, {odd}{where}{left}."


def _by_version(growing: Sequence[Sibling], still: Sequence[Sibling]) -> str:
    """Whether it goes with the version, where the scenario names versions."""
    new, old = {h.version for h in growing}, {h.version for h in still}
    if "" in new | old or new & old:
        return ""
    return f"those that grow run version {_and(sorted(new))}, those that do not run {_and(sorted(old))}"


def _rates(hosts: Sequence[Sibling]) -> str:
    return ", ".join(f"{h.host} by {format_bytes(round(h.bytes_per_round or 0))} a round" for h in hosts)


def _names(hosts: Sequence[Sibling]) -> str:
    return _and([h.host for h in hosts])


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _grow(hosts: Sequence[Sibling]) -> str:
    return "grows" if len(hosts) == 1 else "grow"


def _do(hosts: Sequence[Sibling]) -> str:
    return "does" if len(hosts) == 1 else "do"
