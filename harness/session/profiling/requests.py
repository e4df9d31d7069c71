"""The profiled pass: triggered requests by tool and endpoint, after the measured rounds and never among them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.clock import Clock
from harness.errors import HarnessError, TargetError
from harness.model.event import Event, Missing
from harness.model.profile import Artifact, ArtifactStatus
from harness.model.span import Span
from harness.plugins.spec import ProfiledResponse, ToolUse, Trigger
from harness.session.agents.spread import Spread
from harness.session.background import in_background
from harness.session.load_client import LoadClient
from harness.session.progress import Progress
from harness.session.pump import Pump
from harness.store import layout
from harness.store.writer import Recorder

_REQUEST_TIMEOUT_S = 3600.0  # the load generator has one of its own for each request; this is for a chain of them
_TRIES = 8  # a pool of workers may answer a warm-up and the measured request from two different ones
_COLLECT_TIMEOUT_S = 120.0


Enough = Callable[[Sequence[Artifact]], bool]


@dataclass(frozen=True, slots=True)
class How:
    """``use``: as the adapter decided in this run. ``attributes``: what the artifacts say beside their own. ``seconds``: how long
    requests are sent again where one was not enough."""

    use: ToolUse | None = None
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    seconds: float = 0.0


class ProfiledPass:
    """Triggers, collects, records. One tool's failure is an artifact that says so, not the end of the run."""

    def __init__(
        self,
        pump: Pump,
        recorder: Recorder,
        progress: Progress,
        clock: Clock,
        agents: Spread,
    ) -> None:
        self._pump = pump
        self._recorder = recorder
        self._progress = progress
        self._clock = clock
        self._agents = agents
        self._destination = recorder.path / layout.ARTIFACTS

    def requests(self, load: LoadClient, tools: Sequence[str], endpoints: Sequence[str]) -> None:
        """Every tool on every endpoint."""
        for tool in tools:
            for endpoint in endpoints:
                self.request(load, tool, endpoint)

    def request(
        self, load: LoadClient, tool: str, endpoint: str, how: How | None = None, enough: Enough | None = None
    ) -> list[Artifact]:
        """One tool on one endpoint. ``enough``: whether what a request left will do, else another one is sent; see `How`."""
        self._progress.live(f"profiling {endpoint} with {tool}")
        try:
            found = self._one(load, tool, endpoint, how or How(), enough)
        except TargetError as error:
            found = [self._failed(tool, endpoint, str(error))]
        if how is not None:
            found = [replace(a, attributes={**a.attributes, **how.attributes}) for a in found]
        self.store(found)
        self._progress.step(
            f"profiled {endpoint} with {tool}: {', '.join(_describe(a) for a in found) or 'nothing found'}"
        )
        return found

    def _one(self, load: LoadClient, tool: str, endpoint: str, how: How, enough: Enough | None) -> list[Artifact]:
        """Profile one request. Where the result says that it was its worker's first under this tool, what is loaded once is in
        it: another one is sent, in the hope that a worker that was warmed up answers."""
        trigger = self._agents.trigger(tool, how.use)
        warmups: list[str] = []
        for _ in range(trigger.warmups):
            warmups.append(self._send(load, trigger, endpoint)[0].span_id)
            trigger = self._agents.trigger(tool, how.use)  # it may be good for a single request
        found: list[Artifact] = []
        looked_at: Counter[object] = Counter()  # by host: what answers requests elsewhere may be another version
        first = 0
        until_s = time.monotonic() + how.seconds
        while True:
            span, headers = self._send(load, trigger, endpoint)
            response = ProfiledResponse(
                span.span_id, endpoint, span.status, span.start_ns, span.end_ns, headers, tuple(warmups)
            )
            fresh = (
                self.collect(trigger, response)
                if span.error is None
                else [self._failed(tool, endpoint, f"the request failed: {span.error}")]
            )
            if _is_there(found) and not _is_there(fresh):
                break  # what there is already is better than nothing
            self._discard(found)
            found, kept = fresh, span
            if any(a.attributes.get("runs_before") == 0 for a in found):
                first += 1
                if first >= _TRIES:
                    break
            else:
                looked_at[_host(found)] += 1
                if enough is None or not _is_there(found) or enough(found) or time.monotonic() >= until_s:
                    break
            trigger = self._agents.trigger(tool, how.use)
        if kept.error is None:
            self._recorder.event(
                Event(kept.start_ns, "profiled.request", None, f"{endpoint} under {tool}", {"span": kept.span_id})
            )
        if enough is None:
            return found
        return [replace(a, attributes={**a.attributes, "requests_looked_at": looked_at[_host(found)]}) for a in found]

    def _discard(self, artifacts: Sequence[Artifact]) -> None:
        for artifact in artifacts:
            if artifact.path is not None:
                (self._destination / artifact.path).unlink(missing_ok=True)

    def _send(self, load: LoadClient, trigger: Trigger, endpoint: str) -> tuple[Span, Mapping[str, str]]:
        return load.one(endpoint, trigger.headers, trigger.cookies, trigger.base_url, _REQUEST_TIMEOUT_S)

    def collect(self, trigger: Trigger, response: ProfiledResponse) -> list[Artifact]:
        """Fetch what the request left behind while samples keep flowing."""
        future = in_background(self._agents.collect, trigger, response, self._destination)
        future.add_done_callback(self._pump.wake)
        if not self._pump.until(future.done, _COLLECT_TIMEOUT_S):
            return [self._failed(trigger.tool, response.endpoint, "collecting the profile did not end in time")]
        try:
            found = list(future.result())
        except (HarnessError, OSError) as error:
            return [self._failed(trigger.tool, response.endpoint, str(error))]
        return found or [self._failed(trigger.tool, response.endpoint, "the request left no profile behind")]

    def store(self, artifacts: Sequence[Artifact]) -> None:
        """Record artifacts, also those collected elsewhere (scripts)."""
        for artifact in artifacts:
            path = None if artifact.path is None else str(Path(layout.ARTIFACTS) / artifact.path)
            self._recorder.artifact(replace(artifact, path=path))
            if artifact.status is not ArtifactStatus.COMPLETE:
                self._recorder.missing(
                    Missing(
                        f"profile.{artifact.tool}.{artifact.endpoint}",
                        artifact.detail,
                        "this endpoint has no profile to open",
                    )
                )

    def _failed(self, tool: str, endpoint: str, why: str) -> Artifact:
        return Artifact(
            tool,
            self._agents.adapter.name,
            None,
            ArtifactStatus.MISSING,
            None,
            endpoint,
            None,
            self._clock.monotonic_ns(),
            None,
            why,
        )


def _is_there(artifacts: Sequence[Artifact]) -> bool:
    return any(artifact.path is not None for artifact in artifacts)


def _host(artifacts: Sequence[Artifact]) -> object:
    """Which host answered; None on this machine."""
    return next((a.attributes["host"] for a in artifacts if "host" in a.attributes), None)


def _describe(artifact: Artifact) -> str:
    if artifact.opens_with is not None:
        return f"{artifact.path} beside it"
    if artifact.status is ArtifactStatus.COMPLETE:
        return f"complete, but: {artifact.detail}" if artifact.detail else "complete"
    return f"{artifact.status} ({artifact.detail})"
