"""What must be alike in runs that are compared: the traffic, the host, the phases, what was measured and how. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from harness.compare.model import Mismatch
from harness.model.run import RunStatus
from harness.model.span import PhaseName
from harness.model.timeline import Timeline
from harness.scenario.shape import METHODS

# Of a request: what of it reaches the application.
_SENT = (*METHODS, "query", "form", "json", "body", "headers", "cookies", "follow_redirects", "once")
_HOST = ("cpus", "cpu_model", "machine", "kernel", "page_size_bytes", "libc", "thp")
_MEMORY_STEP = 0.02  # of the host's memory: what a kernel keeps for itself differs from boot to boot
_RUNTIMES = ("python", "php", "glibc", "native")
_PHASES = (PhaseName.WARMUP, PhaseName.ROUNDS, PhaseName.IDLE)
_UNKNOWN = "not known"
_MOST = 160  # characters of a value that are shown

_KERNEL = "settings of the kernel"
# What is only told. Everything else that `conditions_of` names refuses.
_TOLD = ("seed of the traffic", "version of harness", "how it is launched", _KERNEL, "sampling budget", "pools")
_SETTINGS = ("vm.", "thp.", "ksm.run", "zswap.", "cmdline.")
_STATUS = "how it ended"
_SENT_TO = "what is sent to "
_ALL_SENT = "what was sent"  # only of bundles, which do not hold it
_NOT_HELD = "not in a bundle"
_BUNDLE = "bundle"  # what is missing in every one
# Commands, headers, bodies and environments may hold secrets, so only that they differ is shown.
_DURATION = re.compile(r"\b([0-9]{1,18})ns\b")
_HIDDEN = ("how it is launched", "load: each_round", "load: command")


def conditions_of(timeline: Timeline) -> Mapping[str, str]:
    """Name -> value as text; what is not known is left out. Same names and values: comparable."""
    return dict(_conditions(timeline))


def mismatches(runs: Sequence[tuple[str, Mapping[str, str]]], sides: Sequence[bool]) -> tuple[Mismatch, ...]:
    """What differs between runs, each (name, conditions). ``sides``: whether it belongs to head, run by run.

    Where one side does not agree with itself, its values are all shown.
    """
    bundles = [_ALL_SENT in conditions for _, conditions in runs]
    found = [_unknown_in_bundles(bundles, sides)] if any(bundles) else []
    for name in dict.fromkeys(name for _, conditions in runs for name in conditions):
        if name == _ALL_SENT or (name.startswith(_SENT_TO) and len(set(bundles)) > 1):
            continue
        values = [conditions.get(name, _UNKNOWN) for _, conditions in runs]
        unfinished = name == _STATUS and any(v != RunStatus.COMPLETE.value for v in values)
        if _alike(name, values) and not unfinished:
            continue
        known = (
            _UNKNOWN not in values or name.startswith(_SENT_TO) or name == _STATUS
        )  # what a run does not tell is no difference
        found.append(Mismatch(name, *_shown(name, values, sides), refuses=known and name not in _TOLD))
    return tuple(sorted(found, key=lambda m: not m.refuses))


def _unknown_in_bundles(bundles: Sequence[bool], sides: Sequence[bool]) -> Mismatch:
    """Runs of which one is a bundle may have been sent anything; that bundles alone are compared is only told."""
    every = [_NOT_HELD if bundle else "known" for bundle in bundles]
    return Mismatch(_ALL_SENT, *_shown(_ALL_SENT, every, sides), refuses=not all(bundles))


def _conditions(timeline: Timeline) -> Iterator[tuple[str, str]]:
    manifest = timeline.manifest
    yield _STATUS, manifest.status.value
    if any(missing.signal == _BUNDLE for missing in timeline.missing):
        yield _ALL_SENT, _NOT_HELD
    yield from _traffic(manifest.scenario)
    for name in _HOST:
        value = manifest.host.get(name)
        if value is not None:
            yield f"host: {name}", str(value)
    memory = manifest.host.get("memory_bytes")
    if memory is not None:
        yield "host: memory_bytes", str(memory)
    yield "runtime", manifest.runtime
    yield from _versions(timeline)
    yield "phases", ", ".join(_phases(timeline))
    yield from _sampling(manifest.scenario.get("sample"))
    yield "what is read at floors", ", ".join(_read(timeline))
    yield "pools", ", ".join(sorted({w.info.pool for w in timeline.workers}))
    yield "version of harness", manifest.tool_version
    settings = {k: v for k, v in manifest.facts.items() if k.startswith(_SETTINGS)}
    if settings:
        yield _KERNEL, _text(settings)


def _traffic(scenario: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    requests = scenario.get("requests")
    if isinstance(requests, Sequence) and not isinstance(requests, str) and requests:
        rows = [r for r in requests if isinstance(r, Mapping)]
        yield "endpoints", ", ".join(sorted(str(r.get("name")) for r in rows))
        yield "weights", ", ".join(sorted(f"{r.get('name')} {r.get('weight', 1)}" for r in rows))
        for row in rows:
            yield f"{_SENT_TO}{row.get('name')}", _text({k: row[k] for k in _SENT if row.get(k)})
    load = scenario.get("load")
    if isinstance(load, Mapping):
        for key, value in load.items():
            name = {"seed": "seed of the traffic", "each_round": "load: each_round"}.get(str(key), f"load: {key}")
            yield name, value if isinstance(value, str) else _text(value)
    elif load is not None:
        yield "load", _text(load)
    target = scenario.get("target")
    if isinstance(target, Mapping):
        yield (
            "how it is launched",
            _text({k: target.get(k) for k in ("launch", "attach", "host", "container", "containers") if target.get(k)}),
        )


def _versions(timeline: Timeline) -> Iterator[tuple[str, str]]:
    """Of the interpreters that were found in the processes of the application."""
    found: dict[str, set[str]] = {}
    for event in timeline.events:
        runtime, version = event.attributes.get("runtime"), event.attributes.get("version")
        if event.kind == "process.runtime" and runtime in _RUNTIMES and version is not None:
            found.setdefault(str(runtime), set()).add(str(version))
    for runtime, versions in sorted(found.items()):
        yield f"version of {runtime}", ", ".join(sorted(versions))


def _phases(timeline: Timeline) -> Iterator[str]:
    """Those before and with the measured rounds, and how many rounds each has: what comes later changes nothing of them."""
    for phase in _PHASES:
        windows = [w for w in timeline.windows if w.phase is phase and w.block is None]
        if windows:
            yield f"{len(windows)} x {phase.value}" if phase is not PhaseName.IDLE else phase.value


def _sampling(sample: object) -> Iterator[tuple[str, str]]:
    if not isinstance(sample, Mapping):
        return
    for key in ("interval", "heaps", "freeze"):
        if key in sample:
            yield f"sample: {key}", str(sample[key])
    if "budget" in sample:
        yield "sampling budget", str(sample["budget"])


def _read(timeline: Timeline) -> Sequence[str]:
    """Which measures of memory there are at floors: growth of RSS is not growth of PSS."""
    names = {
        name for floor in timeline.floors if floor.block is None for name, v in floor.values.items() if v is not None
    }
    chosen = ("process.memory.pss_anon", "process.memory.pss", "process.memory.uss", "process.memory.rss")
    return [name.removeprefix("process.memory.") for name in chosen if name in names]


def _alike(name: str, values: Sequence[str]) -> bool:
    if len(set(values)) == 1:
        return True
    if name == "host: memory_bytes" and _UNKNOWN not in values:
        sizes = [float(v) for v in values]
        return max(sizes) - min(sizes) <= _MEMORY_STEP * max(sizes)
    return False


def _shown(name: str, values: Sequence[str], sides: Sequence[bool]) -> tuple[str, str]:
    """Base and head in words."""
    base, head = (
        list(dict.fromkeys(v for v, of_head in zip(values, sides, strict=True) if of_head is side))
        for side in (False, True)
    )
    if name.startswith(_SENT_TO) or name in _HIDDEN:
        return "", ""
    if name == _KERNEL:
        return _settings(values, base), _settings(values, head)
    shown = [_DURATION.sub(_in_words, " | ".join(side))[:_MOST] for side in (base, head)]
    return shown[0], shown[1]


def _in_words(duration: re.Match[str]) -> str:
    """In seconds, and none that differ alike."""
    return f"{int(duration[1]) / 1e9:.10g}s"


def _settings(values: Sequence[str], side: Sequence[str]) -> str:
    """Of the settings those that differ."""
    every = [json.loads(v) for v in values if v != _UNKNOWN]
    names = dict.fromkeys(name for each in every for name in each)
    differing = [name for name in names if len({str(each.get(name)) for each in every}) > 1]
    own = [json.loads(v) for v in side if v != _UNKNOWN]
    return "; ".join(", ".join(f"{name} = {each.get(name)}" for name in differing) for each in own)[:_MOST]


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
