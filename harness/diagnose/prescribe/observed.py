"""The numbers that rules may use of one finding, of the run and of the machine (names: `vocabulary`)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from harness.diagnose.host import HostView
from harness.diagnose.pool import PoolView
from harness.diagnose.prescribe.language import Value
from harness.diagnose.prescribe.servers import OTHER, server_of
from harness.model.finding import TIME_SHARE, Finding, Growth
from harness.model.holding import is_unseen
from harness.model.process import ProcessKey
from harness.model.profile import ArtifactStatus
from harness.model.span import COMMAND
from harness.model.timeline import Timeline
from harness.units import format_bytes

Values = Mapping[str, Value]
_TIMES_MDL = 1.5  # what a repeated run should show of growth, over the least it could see

_AT_END = (
    ("memory_total_bytes", "meminfo.MemTotal"), ("memory_available_bytes", "meminfo.MemAvailable"),
    ("memory_free_bytes", "meminfo.MemFree"), ("cached_bytes", "meminfo.Cached"),
    ("sreclaimable_bytes", "meminfo.SReclaimable"), ("sunreclaim_bytes", "meminfo.SUnreclaim"),
    ("dentry_bytes", "slab.dentry"), ("swap_size_bytes", "swap.size"), ("swap_used_bytes", "swap.used"),
)  # fmt: skip
# Counters over the judged rounds: every metric that begins so, summed.
_COUNTED = (
    ("swapped_out_bytes", "vmstat.pswpout"), ("swapped_in_bytes", "vmstat.pswpin"), ("direct_reclaims", "vmstat.allocstall"),
    ("refaults", "vmstat.workingset_refault_file"), ("compaction_stalls", "vmstat.compact_stall"),
    ("compaction_failures", "vmstat.compact_fail"), ("huge_fallbacks", "vmstat.thp_fault_fallback"),
)  # fmt: skip


def of_finding(finding: Finding) -> Values:
    """What the finding itself says."""
    subject, growth, location = finding.subject, finding.growth, finding.subject.location
    return {
        **{name: value for name, value in finding.numbers.items() if math.isfinite(value)},
        "cause": finding.cause.value,
        "severity": finding.severity.value,
        "confidence": finding.confidence.value,
        "secondary": finding.secondary,
        "where": _where(finding),
        "growth": _growth(growth),
        "endpoint": subject.endpoint,
        "file": None if location is None else location.file,
        "line": None if location is None else location.line,
        "function": None if location is None else location.function,
        "holder": _holder(finding),
        "why_no_line": _why_no_line(finding),
        "growth_bytes_per_request": _finite(growth.bytes_per_request),
        "growth_bytes_per_hour": _finite(growth.bytes_per_hour),
        "mdl_bytes_per_request": _finite(growth.mdl_bytes_per_request),
    }


def of_run(timeline: Timeline, pool: PoolView | None) -> Values:
    """How the run was made, and with what."""
    scenario = timeline.manifest.scenario
    load, target = scenario.get("load"), scenario.get("target")
    members = [] if pool is None else [w.info for w in pool.members]
    oldest = min(members, key=lambda info: (info.born_ns, info.key), default=None)
    found: dict[str, Value] = {
        "runtime": timeline.manifest.runtime,
        "run_status": timeline.manifest.status.value,
        "load_kind": _load_kind(load),
        "watched": _load_kind(load) == "observe",
        "profiled_with": _profiled_with(timeline),
        "launched": isinstance(target, Mapping)
        and not any(target.get(k) for k in ("attach", "container", "containers")),
        "server": server_of(members) if members else OTHER,
        "command": None if oldest is None else oldest.cmdline,
        "preload": None if oldest is None else "--preload" in oldest.cmdline,
    }
    found.update({name: value for name, value in timeline.manifest.facts.items() if "." in name})
    found.update(_environment(target))
    if pool is not None:
        found.update(_facts_of_pool(timeline, pool.name))
        found.update(_runtimes(timeline, {info.key for info in members}))
        found.update(_rounds(pool))
    return found


def of_host(host: HostView) -> Values:
    """What the machine had, and what happened to it during the judged rounds."""
    told = {clock.host.name: clock.host.facts for clock in host.timeline.hosts}
    facts = told.get(host.name) or host.timeline.manifest.host
    found: dict[str, Value] = {
        "processors": _number(facts.get("cpus")),
        "memory_total_bytes": _number(facts.get("memory_bytes")),
    }
    for name, metric in _AT_END:
        values = host.at_floors(f"system.{metric}")
        if values is not None:
            found[name] = float(values[-1])
    page = _number(host.timeline.manifest.facts.get("page_size")) or 4096.0
    for name, prefix in _COUNTED:
        amounts = [a for a in (_increase(host, m) for m in _metrics(host, f"system.{prefix}")) if a is not None]
        if amounts:
            found[name] = sum(amounts) * (page if name.endswith("_bytes") else 1.0)
    pressure = host.during("system.psi.memory.some_avg10")
    if pressure is not None:
        found["pressure_share"] = float(pressure[1].max()) / 1e4
    return found


def _holder(finding: Finding) -> str | None:
    """The way by which references hold what is kept; None where it is not known, or begins where nobody can see."""
    text = next((e.text for e in finding.evidence if e.signal == "profile.holder"), "")
    held_by = text.partition(" held by ")[2]
    return held_by if held_by and not is_unseen(held_by) else None


def _why_no_line(finding: Finding) -> str | None:
    text = next((e.text for e in finding.evidence if e.signal == "profile.line"), "")
    said, _, why = text.partition("why no line: ")
    return why if why and not said else None


def _profiled_with(timeline: Timeline) -> str:
    """The tools whose profiles were collected, each once, with blanks between."""
    complete = {a.tool for a in timeline.artifacts if a.status is ArtifactStatus.COMPLETE and a.opens_with is None}
    return " ".join(sorted(complete))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _growth(growth: Growth) -> str | None:
    request, hour = _finite(growth.bytes_per_request), _finite(growth.bytes_per_hour)
    parts = [] if request is None else [f"{format_bytes(request)} per request"]
    parts += [] if hour is None else [f"{format_bytes(hour)} an hour"]
    return ", ".join(parts) or None


def _where(finding: Finding) -> str:
    """Where to look: the line if it is known, else the handler of the endpoint, else what answers requests or runs beside it."""
    location, endpoint = finding.subject.location, finding.subject.endpoint
    if location is not None:
        place = location.file if location.line is None else f"{location.file}:{location.line}"
        return f"{place} ({location.function})" if location.function else place
    if endpoint == COMMAND:
        return "the code that does the jobs"
    if TIME_SHARE in finding.numbers:
        return "what runs in the background (a thread, a timer)"
    return "the code that answers the requests" if endpoint is None else f"the handler of {endpoint}"


def _load_kind(load: object) -> str:
    if not isinstance(load, Mapping):
        return "stages" if isinstance(load, list | tuple) else "rounds"
    return next(
        (kind for kind in ("observe", "each_round", "command", "locustfile", "stages") if kind in load), "rounds"
    )


def _environment(target: object) -> Values:
    """``env.NAME``: what the scenario sets, for everything or for one program; a number where it is one."""
    if not isinstance(target, Mapping):
        return {}
    programs = target.get("launch")
    parts = (
        [target, *(p for p in programs if isinstance(p, Mapping))] if isinstance(programs, list | tuple) else [target]
    )
    found: dict[str, Value] = {}
    for part in parts:
        env = part.get("env")
        for name, text in env.items() if isinstance(env, Mapping) else ():
            found[f"env.{name}"] = float(text) if re.fullmatch(r"[0-9]{1,15}", str(text)) else str(text)
    return found


def _facts_of_pool(timeline: Timeline, pool: str) -> Values:
    """Facts ``<runtime>.<name>.<pool>`` as ``pool.<name>``."""
    prefix, suffix = f"{timeline.manifest.runtime}.", f".{pool}"
    return {
        f"pool.{name.removeprefix(prefix).removesuffix(suffix)}": value
        for name, value in timeline.manifest.facts.items()
        if name.startswith(prefix) and name.endswith(suffix) and len(name) > len(prefix) + len(suffix)
    }


def _runtimes(timeline: Timeline, own: set[ProcessKey]) -> Values:
    """The allocator in use and the version of Python; of the last process that told."""
    found: dict[str, Value] = {}
    for event in timeline.events:
        if event.kind != "process.runtime" or event.process not in own:
            continue
        if event.attributes.get("runtime") == "native" and event.attributes.get("allocator"):
            found["allocator"] = str(event.attributes["allocator"])
        version = re.match(r"3\.([0-9]{1,3})", str(event.attributes.get("version")))
        if event.attributes.get("runtime") == "python" and version is not None:
            found["python_minor"] = float(version[1])
    return found


def _rounds(pool: PoolView) -> Values:
    per_round, per_hour, curve = pool.requests_per_round, pool.rounds_per_hour, pool.memory
    found: dict[str, Value] = {
        "rounds": len(pool.rounds),
        "judged_requests_share": pool.stable_share,
        "requests_per_round": per_round,
        "requests_per_hour": None if per_round is None or per_hour is None else per_round * per_hour,
    }
    if curve is not None and per_round is not None and curve.judged and curve.per_round > 0:
        enough = per_round * max(1.0, _TIMES_MDL * curve.mdl_per_round / curve.per_round)
        step = int(10 ** max(1, math.floor(math.log10(enough))))
        found["enough_requests_per_round"] = math.ceil(enough / step) * step
    if curve is not None and curve.rounds_to_ceiling is not None:
        found["more_rounds"] = max(1, round(curve.rounds_to_ceiling))
    return found


def _metrics(host: HostView, prefix: str) -> Iterable[str]:
    return [m for m, key in host.timeline.series if key is None and m.startswith(prefix)]


def _increase(host: HostView, metric: str) -> float | None:
    during = host.during(metric)
    return None if during is None else max(0.0, float(during[1][-1] - during[1][0]))
