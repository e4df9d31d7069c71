"""Numbers and names in words, the same in every report. Names come from targets, so every one passes through `clean`."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from harness.model.finding import Cause, Confidence, Growth, Subject
from harness.model.report import EndpointRow, Report
from harness.model.run import RunManifest, RunStatus
from harness.model.timeline import JoinMethod
from harness.units import format_bytes, format_duration

_NAME_CAP = 200
# Cc, Cf and friends: terminal escapes, bidirectional overrides, zero-width characters; lone surrogates; line separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_BREAKS = re.compile(r"[\t\n\r]+ *")
_JOINERS = frozenset("\u200d")  # inside emoji sequences; harmless


def clean(text: str, limit: int = _NAME_CAP) -> str:
    """One line without control characters: they become visible escapes, long text ends in an ellipsis."""
    if len(text) <= limit and text.isprintable():  # of no category below: nearly every text, at a hundredth of the time
        return text
    text = _BREAKS.sub(" ", text[: limit + 1])
    shown = "".join(
        c
        if unicodedata.category(c) not in _UNSAFE or c in _JOINERS
        else ("\\x%02x" if ord(c) < 256 else "\\u%04x") % ord(c)
        for c in text
    )
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def lines(text: str, most: int, limit: int = 400) -> tuple[str, ...]:
    """The text's lines, each cleaned, indentation kept; those beyond ``most`` become an ellipsis."""
    found = [clean(line.rstrip(), limit) for line in text.strip("\n").splitlines()[: most + 1]]
    return tuple(found if len(found) <= most else [*found[: most - 1], "…"]) if text.strip() else ()


def known(value: float | None) -> float | None:
    """The number, or None for None, NaN and infinities: a statistic that broke down is not known."""
    return value if value is not None and math.isfinite(value) else None


def size(value: float | None) -> str:
    """``1.5 KiB``, ``unknown``."""
    return format_bytes(known(value))


def signed_bytes(value: float | None) -> str:
    """``+1.5 KiB``, ``-12 B``, ``unknown``."""
    return format_bytes(known(value), sign=True)


def grouped(value: int) -> str:
    """``1 443`` with a narrow space that does not break: the thousands of the page."""
    return f"{value:,}".replace(",", "\u202f")


def plain(value: float) -> str:
    """Four digits that count, no powers of ten: ``0.0085``, ``1 683``."""
    if abs(value) >= 1000:
        return grouped(round(value))
    shown = f"{value:.4f}" if abs(value) < 0.1 else f"{value:.4g}"
    shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return "0" if shown == "-0" else shown


def milliseconds(ns: int | None) -> str:
    """A latency: ``12.3 ms``, ``1.4 s``; a dash when there is none."""
    return "–" if ns is None else format_duration(ns)


def interval(ci95: tuple[float, float] | None) -> str:
    """``95 % CI 1.9 KiB to 2.3 KiB``; empty when there is none."""
    return "" if ci95 is None else f"95 % CI {size(ci95[0])} to {size(ci95[1])}"


def growth_parts(growth: Growth) -> tuple[str, ...]:
    """What is known of a growth, as short phrases."""
    parts = []
    if growth.bytes_per_request is not None:
        ci = interval(growth.ci95)
        parts.append(f"{signed_bytes(growth.bytes_per_request)} per request" + (f" ({ci})" if ci else ""))
    if growth.bytes_per_hour is not None:
        parts.append(f"{signed_bytes(growth.bytes_per_hour)} per hour")
    if growth.mdl_bytes_per_request is not None:
        parts.append(
            f"smallest growth that such a run finds nine times in ten: {size(growth.mdl_bytes_per_request)} per request"
        )
    elif growth.mdl_bytes_per_hour is not None:
        parts.append(
            f"smallest growth that such a run finds nine times in ten: {size(growth.mdl_bytes_per_hour)} per hour"
        )
    return tuple(parts)


def retained(row: EndpointRow) -> str:
    """Retained bytes per request with the interval, short: ``+2.1 KiB [1.9 KiB, 2.3 KiB]``; a dash when unknown."""
    if known(row.retained_bytes_per_request) is None:
        return "–"
    text = signed_bytes(row.retained_bytes_per_request)
    return text if row.ci95 is None else f"{text} [{size(row.ci95[0])}, {size(row.ci95[1])}]"


def subject_parts(subject: Subject) -> tuple[tuple[str, str], ...]:
    """The known parts of a subject as (label, text)."""
    location = subject.location
    where = None
    if location is not None:
        where = location.file if location.line is None else f"{location.file}:{location.line}"
        if location.function:
            where = f"{location.function} ({where})"
    parts = (
        ("endpoint", subject.endpoint),
        ("location", where),
        ("pool", subject.pool),
        ("pid", None if subject.pid is None else str(subject.pid)),
        ("runtime", subject.runtime),
        ("host", subject.host or None),
    )
    return tuple((label, clean(text)) for label, text in parts if text)


@dataclass(frozen=True, slots=True)
class Tone:
    """How a cause is announced: a word for the chip, a class for its colour, a sign so that colour is never alone."""

    word: str
    level: str  # good | bad | warn | unsure
    sign: str


_TONES: Mapping[Cause, Tone] = {
    Cause.HEALTHY: Tone("healthy", "good", "✓"),
    Cause.WARMUP: Tone("still warming up", "good", "✓"),
    Cause.INCONCLUSIVE: Tone("inconclusive", "unsure", "?"),
    Cause.LEAK: Tone("leak", "bad", "✗"),
    Cause.LEAK_OBJECTS: Tone("leak: objects", "bad", "✗"),
    Cause.LEAK_NATIVE: Tone("leak: native memory", "bad", "✗"),
    Cause.LEAK_MMAP: Tone("leak: mappings", "bad", "✗"),
}


def tone(cause: Cause) -> Tone:
    """The announcement of a cause."""
    return _TONES.get(cause) or Tone(cause.value.replace("-", " ").replace(".", ": "), "warn", "!")


def confidence(value: Confidence) -> str:
    """``high confidence``."""
    return f"{value.value} confidence"


def joined_share(report: Report, say: Callable[[int], str] = str) -> str:
    """How many requests could be tied to the worker that answered them, and by which facts; ``say`` writes the numbers."""
    coverage = report.timeline.coverage
    if not coverage.spans:
        return "no requests were sent"
    methods = ", ".join(
        f"{say(count)} unknown" if method is JoinMethod.NONE else f"{say(count)} by {method.value}"
        for method, count in coverage.by_method.items()
        if count
    )
    share = 100 * coverage.joined / coverage.spans
    return f"{share:.1f} % of {say(coverage.spans)} requests tied to their worker" + (
        f" ({methods})" if methods else ""
    )


_AGENT = ("agent_us_per_request", "agent_us_per_request_p95")
_OVERHEAD_TITLES = {
    "sampler_cpu_percent": ("sampler", "% of one CPU"),
    "load_cpu_percent": ("load generator", "% of one CPU"),
    "session_cpu_percent": ("session", "% of one CPU"),
    "keeper_cpu_percent": ("keeping and sending home what was recorded", "% of one CPU"),
    "agent_us_per_request": ("agent", "µs per request, median"),
    "agent_us_per_request_p95": ("agent, of one request in twenty", "µs or more"),
    "agent_requests_timed": ("requests that timed the agent", ""),
    "agent_floors_asked": ("questions to agents at floors", ""),
    "agent_floors_answered": ("answered", ""),
    "agent_floors_waited_s": ("waited for the answers", "s"),
    "agent_floor_longest_ms": ("longest answer of a process", "ms"),
    "load_max_lag_ms": ("load generator's worst lag", "ms"),
    "sampler_ticks": ("sweeps, floors included", ""),
    "sampler_ticks_planned": ("sweeps planned", ""),
    "sampler_ticks_taken": ("sweeps taken", ""),
    "sampler_ticks_late": ("sweeps late by over a tenth of the interval", ""),
    "sampler_missed_ticks": ("sweeps missed", ""),
    "sampler_floors": ("floors", ""),
    "sampler_floors_cpu_s": ("CPU time of the sampler at floors", "s"),
    "sampler_longest_stall_ms": ("longest stall of a process", "ms"),
}


def overhead_parts(overhead: Mapping[str, float | None]) -> tuple[tuple[str, str], ...]:
    """What measuring cost as (what, how much), unknown ones included."""
    return tuple(overhead_part(name, value) for name, value in overhead.items())


def overhead_line(overhead: Mapping[str, float | None]) -> str:
    """The same in one line: the sampler first, its sweeps as one phrase; nothing of a load generator that was not there."""
    if not overhead:
        return "not measured"
    first = ("sampler_cpu_percent", "sampler_longest_stall_ms")
    phrases = [" ".join(overhead_part(name, overhead[name])) for name in first if name in overhead]
    planned, taken, late = (known(overhead.get(f"sampler_ticks_{what}")) for what in ("planned", "taken", "late"))
    if planned is not None and taken is not None:
        phrases.append(
            f"{taken:.0f} of {planned:.0f} sweeps taken{'' if late is None else f', {late:.0f} of them late'}"
        )
    floors, cpu_s = (known(overhead.get(name)) for name in ("sampler_floors", "sampler_floors_cpu_s"))
    if floors and cpu_s is not None:
        phrases.append(f"{floors:.0f} floors that took {cpu_s:.2g} s of CPU")
    timed = known(overhead.get("agent_requests_timed"))
    if timed and known(overhead.get("agent_us_per_request")) is not None:
        said = " ".join(overhead_part("agent_us_per_request", overhead["agent_us_per_request"]))
        phrases.append(f"{said} of {counted(round(timed), 'request')} that timed it")
    folded = {
        *first,
        *(_AGENT if timed else ()),
        "agent_requests_timed",
        *(name for name in overhead if name.startswith(("sampler_ticks", "sampler_floors", "sampler_missed"))),
    }
    rest = [name for name, value in overhead.items() if name not in folded and known(value) is not None]
    return ", ".join([*phrases, *(" ".join(overhead_part(name, overhead[name])) for name in rest)])


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """``1 process``, ``2 processes``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def overhead_part(name: str, value: float | None) -> tuple[str, str]:
    """One of them: ``("sampler", "0.4 % of one CPU")``; of one host ``("sampler on web-1", "0.4 % of one CPU")``."""
    what, _, host = name.partition(".")
    title, unit = _OVERHEAD_TITLES.get(what if host else name, (clean(name).replace("_", " "), ""))
    if host and what in _OVERHEAD_TITLES:
        title = f"{title} on {clean(host, 80)}"
    amount = known(value)
    return title, "unknown" if amount is None else f"{plain(amount)} {unit}".strip()


def run_seconds(manifest: RunManifest) -> float | None:
    """Length of the run in seconds; None while recording or after a kill."""
    return None if manifest.ended_ns is None else (manifest.ended_ns - manifest.started_ns) / 1e9


def version(manifest: RunManifest) -> str | None:
    """Of the application: the scenario's, else that of all measured hosts, where they have the same; None where nobody said, and
    where containers of this machine are part of it too, whose version is that of their image."""
    said = manifest.scenario.get("version")
    if isinstance(said, str) and said:
        return clean(said, 80)
    if containers_here(manifest):
        return None
    versions = {host.version for host in manifest.hosts if host.measured}
    return clean(versions.pop(), 80) or None if len(versions) == 1 else None


def containers_here(manifest: RunManifest) -> bool:
    """Whether the target is, in part, in containers of this machine that are more than watched."""
    target = manifest.scenario.get("target")
    if not isinstance(target, Mapping) or target.get("host"):
        return False
    listed = [target.get("container"), *(target.get("containers") or [])]
    return any(each.get("measured", True) for each in listed if isinstance(each, Mapping))


def started(manifest: RunManifest) -> datetime:
    """Start of the run on the wall clock, in the recording host's zone where it is recorded, else in UTC."""
    offset = manifest.host.get("utc_offset_s")
    zone = timezone(timedelta(seconds=offset)) if isinstance(offset, int) and abs(offset) < 86_400 else UTC
    seconds, rest_ns = divmod(manifest.started_wall_ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds, zone).replace(microsecond=rest_ns // 1000)


def status_text(manifest: RunManifest) -> str | None:
    """Why this run is not a complete one; None when it is."""
    reason = {
        RunStatus.COMPLETE: None,
        RunStatus.RECORDING: "the recorder was killed or is still running; this is what it had written",
        RunStatus.INTERRUPTED: "the run was interrupted",
        RunStatus.GUARD: "a guard rail ended the run early",
        RunStatus.FAILED: "the run failed",
    }[manifest.status]
    detail = clean(manifest.status_text)
    return reason if reason is None or not detail else f"{reason}: {detail}"


def _on_hosts(target: Mapping[str, object]) -> str:
    """`` on web-1, web-2``; empty for this machine. Of an address only the host is named."""
    hosts = target.get("hosts")
    places = [*(hosts if isinstance(hosts, list | tuple) else ()), target.get("host")]
    specs = [each if isinstance(each, Mapping) else {"host": each} for each in places]
    names = [
        str(spec.get("name") or spec["host"]).rpartition("://")[2].rpartition("@")[2]
        for spec in specs
        if spec.get("host")
    ]
    return f" on {', '.join(names)}" if names else ""


def _in_containers(target: Mapping[str, object]) -> str:
    """``in the containers shop-web-1, shop-db-1``; empty where the target names none."""
    several = target.get("containers")
    containers = [target.get("container"), *(several if isinstance(several, list | tuple) else ())]
    names = [str(c.get("name")) if isinstance(c, Mapping) else str(c) for c in containers if c]
    return f"in the container{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""


def command(scenario: Mapping[str, object]) -> str | None:
    """What was measured, as the resolved scenario names it: the commands launched, or what was attached to or served."""
    target = scenario.get("target")
    if not isinstance(target, Mapping):
        return None
    launch, attach = target.get("launch"), target.get("attach")
    if isinstance(launch, str):
        return clean(launch + _on_hosts(target), 400)
    if isinstance(launch, Sequence) and launch:
        lines = [str(p.get("run") if isinstance(p, Mapping) else p) for p in launch]
        return clean("; ".join(lines) + _on_hosts(target), 400)
    contained = _in_containers(target)
    if isinstance(attach, Mapping):
        said = "attached to " + ", ".join(f"{k} {v}" for k, v in attach.items() if v is not None)
        return clean(said + _on_hosts(target) + (f", and {contained}" if contained else ""), 400)
    if contained:
        # A container beside one host is on it; beside a list of hosts it is on this machine.
        return clean(contained + ("" if not target.get("hosts") else ", and") + _on_hosts(target), 400)
    if _on_hosts(target):
        return clean(f"watched{_on_hosts(target)}", 400)
    php = target.get("php")
    serve = php.get("serve") if isinstance(php, Mapping) else None
    return clean(f"php server for {serve.get('docroot')}", 400) if isinstance(serve, Mapping) else None
