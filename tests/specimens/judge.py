"""Compares what `harness report` says about a recorded run with the truth about it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .model import Specimen, Truth
from .run import is_recorded, run_directory

LEAKS = ("leak", "leak.objects", "leak.native", "leak.mmap")
ENDPOINT_BYTES = 1024  # from here on the endpoint of a leak has to be found


@dataclass(frozen=True, slots=True)
class Judgement:
    """One recorded run against its truth. None in a check: the truth expects nothing there.

    ``growth_error``: relative, of the bytes that a request to the guilty endpoint keeps. ``seconds``: wall time of the run.
    ``mdl``, ``mix``: smallest growth per request of the traffic that the run could have seen, and the true one.
    ``reasons``: one sentence for each check that failed.
    """

    specimen: Specimen
    verdict: str
    confidence: str
    summary: str
    cause_ok: bool
    endpoint: str | None
    endpoint_ok: bool | None
    line: str | None
    line_ok: bool | None
    growth_error: float | None
    mdl: float | None
    mix: float | None
    also: tuple[str, ...]
    stray: tuple[str, ...]
    seconds: float | None
    reasons: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Every check that applies holds."""
        return not self.reasons

    @property
    def false_alarm(self) -> bool:
        """A leak is called where nothing leaks."""
        return self.specimen.truth.healthy and self.verdict in LEAKS

    @property
    def missed(self) -> bool:
        """A run in which memory leaks is called healthy, although the leak is above the MDL that is printed."""
        grows = self.specimen.truth.cause in LEAKS
        fine = self.verdict in ("healthy", "warmup")
        return grows and fine and (self.mdl is None or self.mix is None or self.mix >= self.mdl)


def judge_all(specimens: Sequence[Specimen], keep: Path) -> tuple[list[Judgement], list[str]]:
    """All that are recorded in their present form, and the names of those that are not."""
    there = [s for s in specimens if is_recorded(s, keep)]
    with ThreadPoolExecutor(max_workers=2) as pool:
        judged = list(pool.map(lambda s: judge(s, keep), there))
    return judged, [s.name for s in specimens if s not in there]


def judge(specimen: Specimen, keep: Path) -> Judgement:
    """Analyse the recorded run again, and compare."""
    meta = json.loads((keep / specimen.name / "meta.json").read_text(encoding="utf-8"))
    return compare(specimen, report_of(run_directory(keep, specimen.name)), meta.get("seconds"))


def report_of(run: Path) -> Any:
    """What `harness report --format json` says. RuntimeError: it failed."""
    command = [sys.executable, "-m", "harness", "report", str(run), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"harness report {run} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout)


def compare(specimen: Specimen, report: Any, seconds: float | None) -> Judgement:
    """Pure. ``report``: as `harness report --format json` writes it."""
    truth = specimen.truth
    verdict: str = report["verdict"]["cause"]
    findings = [f for f in report["findings"] if _of_pool(f, truth)]
    leading = _leading(findings, verdict)
    mix = mix_bytes(specimen)
    mdl = _mdl(leading, findings)
    cause_ok = _cause_ok(truth, verdict, mix, mdl)
    also = tuple(dict.fromkeys(f["cause"] for f in findings if f["cause"] != verdict))
    endpoint = None if leading is None else leading["subject"]["endpoint"]
    location = None if leading is None else leading["subject"]["location"]
    endpoint_ok = _endpoint_ok(truth, verdict, endpoint)
    line_ok = _line_ok(truth, verdict, location)
    line = None if location is None else f"{Path(location['file']).name}:{location['line']}"
    reasons = []
    if not cause_ok:
        reasons.append(f"called {verdict}, which is {truth.cause}" + _of_mdl(truth, verdict, mix, mdl))
    if endpoint_ok is False:
        wanted = truth.endpoint or "nobody"
        reasons.append(f"blames {endpoint or 'no endpoint'}, where it is {wanted}")
    if line_ok is False:
        reasons.append(f"names {line or 'no line'}, where it is {_wanted_line(truth)}")
    reasons += [f"does not find {cause}" for cause in truth.must_also if cause not in (verdict, *also)]
    return Judgement(
        specimen=specimen,
        verdict=verdict,
        confidence=report["verdict"]["confidence"],
        summary=report["verdict"]["summary"],
        cause_ok=cause_ok,
        endpoint=endpoint,
        endpoint_ok=endpoint_ok,
        line=line,
        line_ok=line_ok,
        growth_error=_growth_error(truth, verdict, report, leading),
        mdl=mdl,
        mix=mix,
        also=also,
        stray=_stray(truth, findings, verdict),
        seconds=seconds,
        reasons=tuple(reasons),
    )


def mix_bytes(specimen: Specimen) -> float | None:
    """What the average request of the traffic keeps; None where the truth does not say, or nobody sends requests."""
    kept = specimen.truth.endpoints
    requests: Any = specimen.scenario.get("requests")
    if not requests or not kept or any(value is None for value in kept.values()):
        return None
    weights: Mapping[str, float] = {r["name"]: r.get("weight", 1) for r in requests if not r.get("once")}
    return sum((kept.get(name) or 0) * weight for name, weight in weights.items()) / sum(weights.values())


def _of_pool(finding: Any, truth: Truth) -> bool:
    pool = finding["subject"]["pool"]
    return truth.pool is None or pool is None or bool(pool == truth.pool)


def _leading(findings: Sequence[Any], verdict: str) -> Any:
    """The finding that is the verdict."""
    return next((f for f in findings if f["cause"] == verdict and not f["secondary"]), None)


def _mdl(leading: Any, findings: Sequence[Any]) -> float | None:
    for finding in [leading, *findings]:
        if finding is not None and finding["growth"]["mdl_bytes_per_request"] is not None:
            return float(finding["growth"]["mdl_bytes_per_request"])
    return None


def _cause_ok(truth: Truth, verdict: str, mix: float | None, mdl: float | None) -> bool:
    if verdict in truth.causes:
        return True
    if not truth.below_mdl or verdict not in ("healthy", "warmup", "inconclusive"):
        return False
    return verdict == "inconclusive" or (mix is not None and mdl is not None and mdl > mix)


def _of_mdl(truth: Truth, verdict: str, mix: float | None, mdl: float | None) -> str:
    if verdict not in ("healthy", "warmup") or truth.healthy or mix is None or mdl is None:
        return ""
    return f" ({mix:.0f} B per request, and the printed MDL is {mdl:.0f} B)"


def _endpoint_ok(truth: Truth, verdict: str, endpoint: str | None) -> bool | None:
    """Judged where the cause is right: a leak of at least `ENDPOINT_BYTES` must be tied to it, less may be left open."""
    if verdict not in truth.causes or verdict == "inconclusive":
        return None
    if endpoint is not None:
        return endpoint in truth.endpoints
    kept = truth.bytes_per_request
    return False if kept is not None and kept >= ENDPOINT_BYTES and len(truth.endpoints) == 1 else None


def _line_ok(truth: Truth, verdict: str, location: Any) -> bool | None:
    """Of objects that are kept it must be named, of all else it may be, and must then be right."""
    if truth.place is None or verdict not in (truth.cause, truth.cause.split(".")[0]):
        return None
    if location is None:
        return False if truth.cause == "leak.objects" else None
    return _same_file(location["file"], truth.place.file) and location["line"] in truth.place.lines()


def _same_file(named: str, truth: str) -> bool:
    """Reports shorten paths from the left."""
    short, full = Path(named).parts, Path(truth).parts
    common = min(len(short), len(full))
    return bool(short[-common:] == full[-common:])


def _wanted_line(truth: Truth) -> str:
    assert truth.place is not None
    return f"{truth.place.file}:{' or '.join(map(str, truth.place.lines()))}"


def _growth_error(truth: Truth, verdict: str, report: Any, leading: Any) -> float | None:
    """Of the guilty endpoint's estimate; None where nothing grows by request, or no estimate is there."""
    kept = truth.bytes_per_request
    if not kept or verdict not in truth.causes or verdict in ("inconclusive", "healthy", "warmup"):
        return None
    estimate = next((e["retained_bytes_per_request"] for e in report["endpoints"] if e["name"] == truth.endpoint), None)
    if estimate is None and leading is not None and leading["subject"]["endpoint"] == truth.endpoint:
        estimate = leading["growth"]["bytes_per_request"]
    return None if estimate is None else estimate / kept - 1


def _stray(truth: Truth, findings: Sequence[Any], verdict: str) -> tuple[str, ...]:
    """Causes claimed beside the verdict, as their own and worth a warning, of which the truth knows nothing."""
    known = {verdict, *truth.causes, *truth.also, *truth.must_also, "healthy", "warmup", "inconclusive"}
    claimed = (f["cause"] for f in findings if not f["secondary"] and f["severity"] != "info")
    return tuple(dict.fromkeys(cause for cause in claimed if cause not in known))
