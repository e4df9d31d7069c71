"""``profile: auto``: the session judges its own run so far, and what it suspects is profiled with the tools that fit.

The run goes on being recorded meanwhile. Whatever fails here costs the choice, not the run: then the adapter's default tools
are used, and what is missing says why.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.clock import Clock
from harness.correlate.build import correlate
from harness.diagnose.engine import Diagnosis, diagnose
from harness.diagnose.kept import enough, places_to_watch
from harness.diagnose.profiling import CAUSE, ROLE, Limits, Plan, Planned, Role, plan
from harness.errors import HarnessError
from harness.model.event import PROFILE_PLAN, Event, Missing
from harness.model.finding import Cause
from harness.model.profile import Artifact, ArtifactStatus, Profile
from harness.model.timeline import Timeline
from harness.plugins.spec import AdapterContext, LanguageAdapter, Shows, ToolUse
from harness.session.background import in_background
from harness.session.load_client import LoadClient
from harness.session.profiling.requests import How, ProfiledPass
from harness.session.progress import Progress
from harness.session.pump import Pump
from harness.store.reader import read_run
from harness.store.writer import Recorder

_JUDGE_S = 20.0  # a million samples take two seconds, on a busy machine five
_PASS_S = 20.0  # then no further request is begun
_AGAIN_S = 8.0  # one endpoint under one tool: some 150 requests
_PLACES = 8
FACT = "profile.auto"


@dataclass(frozen=True, slots=True)
class Judged:
    """The run as it stands: what to profile for it."""

    diagnosis: Diagnosis
    timeline: Timeline


@dataclass(frozen=True, slots=True)
class Auto:
    """Decides and acts. ``also``: the tools that watch functions, where the scenario names some; ``within_reach``: the tools that
    may be used at all, None: those of the adapter."""

    pump: Pump
    recorder: Recorder
    progress: Progress
    clock: Clock
    adapter: LanguageAdapter
    context: AdapterContext
    also: tuple[str, ...] = ()
    within_reach: tuple[str, ...] | None = None

    # -- deciding ------------------------------------------------------------------------------------------------------

    def judge(self) -> Judged | None:
        """What the rules say of the run so far; None, and the reason among what is missing, where that fails."""
        self.progress.live("judging the rounds, to decide what to profile")
        self.recorder.commit()
        future = in_background(_judge, self.recorder.path)
        future.add_done_callback(self.pump.wake)
        if not self.pump.until(future.done, _JUDGE_S):
            self._fall_back(f"judging the rounds did not end within {_JUDGE_S:.0f} s")
            return None
        error = future.exception()
        if error is not None:
            own = isinstance(error, HarnessError)
            self._fall_back(str(error) if own else f"judging the rounds failed: {type(error).__name__}: {error}")
            return None
        return future.result()

    def plan(self, endpoints: Sequence[str]) -> Plan | None:
        """What to profile with requests, and tells it; None where nothing could be decided."""
        judged = self.judge()
        if judged is None:
            return None
        found = plan(judged.diagnosis, judged.timeline, self._tools_for, self._default, Limits(endpoints))
        self._tell(found.cause, _in_words(found))
        return found

    def tools(self) -> Sequence[str] | None:
        """The tools for work that no request of ours starts; None where nothing could be decided."""
        judged = self.judge()
        if judged is None:
            return None
        cause = judged.diagnosis.verdict.cause
        fits = [use.tool for use in self._tools_for(cause) if not use.follows]
        chosen = fits if cause not in (Cause.HEALTHY, Cause.WARMUP) and fits else list(self.default_tools)
        chosen = list(dict.fromkeys((*chosen, *self.also)))
        self._tell(cause, [f"the jobs with {', '.join(chosen)}, because the rounds look like {cause.value}"])
        return chosen

    @property
    def default_tools(self) -> tuple[str, ...]:
        """For a healthy run, and where nothing can be decided."""
        tools = dict.fromkeys((*self.adapter.default_tools, *self.also))
        return tuple(tool for tool in tools if self._may_use(tool))

    @property
    def _default(self) -> Sequence[ToolUse]:
        return [ToolUse(tool, Shows.CALLS) for tool in self.default_tools]

    def _tools_for(self, cause: Cause) -> Sequence[ToolUse]:
        fits = self.adapter.tools_for(self.context, cause)
        uses = (*fits, *(ToolUse(tool, Shows.CALLS) for tool in self.also))
        return [use for use in uses if self._may_use(use.tool)]

    def _may_use(self, tool: str) -> bool:
        return self.within_reach is None or tool in self.within_reach

    def _tell(self, cause: Cause, sentences: Sequence[str]) -> None:
        for sentence in sentences:
            self.progress.step(f"profile: auto decided: {sentence}")
        text = "; ".join(sentences)
        no_line = self.adapter.why_no_line(self.context, cause)
        attributes = {"cause": cause.value, **({"no_line": no_line} if no_line else {})}
        self.recorder.event(Event(self.clock.monotonic_ns(), PROFILE_PLAN, None, text, attributes))
        self.recorder.facts({FACT: text})

    def _fall_back(self, why: str) -> None:
        self.progress.step(f"warning: {why}; the default tools are used")
        costs = "the tools of the profiled pass were not chosen to fit what grows"
        self.recorder.missing(Missing(FACT, why, costs))

    # -- acting --------------------------------------------------------------------------------------------------------

    def requests(self, profiled: ProfiledPass, load: LoadClient, chosen: Plan) -> None:
        """Carry the plan out, the control first, in bounded time."""
        until_s = time.monotonic() + _PASS_S
        seen = _Seen(chosen)
        for number, step in enumerate(chosen.steps):
            if time.monotonic() >= until_s:
                self._out_of_time(chosen.steps[number:])
                return
            self._request(profiled, load, step, seen, until_s)

    def _request(self, profiled: ProfiledPass, load: LoadClient, step: Planned, seen: _Seen, until_s: float) -> None:
        use, control = step.use, seen.control
        if use.follows:
            places = places_to_watch(seen.profiles[step.endpoint], control, _PLACES)
            if not places:
                return
            use = replace(use, places=places)
        attributes = {ROLE: step.role.value, CAUSE: step.cause.value}
        seconds = min(_AGAIN_S, max(0.0, until_s - time.monotonic()))
        # Objects that no collector tracks are not among survivors, so what they show proves nothing on its own.
        wanted = step.expected is not None and not enough(seen.profiles[step.endpoint], control, step.expected)
        sent_again = use.again and (wanted if use.shows is Shows.KEPT else step.endpoint in seen.rare)
        compare = step.expected is not None and step.role is Role.SUSPECT and not use.follows and sent_again

        def will_do(artifacts: Sequence[Artifact]) -> bool:
            read = [p for p in map(self._read, artifacts) if p is not None]
            return enough(read, control, step.expected or 0.0)

        found = profiled.request(
            load, use.tool, step.endpoint, How(use, attributes, seconds), will_do if compare else None
        )
        if any((_whole(a.attributes.get("requests_looked_at")) or 1) > 1 for a in found):
            seen.rare.add(step.endpoint)
        seen.profiles[step.endpoint] += [p for p in map(self._read, found) if p is not None]

    def _read(self, artifact: Artifact) -> Profile | None:
        """What was collected, parsed; None where that is not possible, which the report will say."""
        if artifact.path is None or artifact.status is not ArtifactStatus.COMPLETE or artifact.opens_with is not None:
            return None
        try:
            return self.adapter.parse(artifact.tool, self.recorder.path / "artifacts" / artifact.path)
        except (HarnessError, OSError, ValueError):
            return None

    def _out_of_time(self, left: Sequence[Planned]) -> None:
        steps = ", ".join(f"{step.endpoint} with {step.use.tool}" for step in left)
        why = f"the profiled pass had taken {_PASS_S:.0f} s, so it left out: {steps}"
        self.recorder.missing(Missing(f"{FACT}.time", why, "these have no profile to open"))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What has been profiled so far, by endpoint. ``rare``: endpoints of which not every request keeps something."""

    plan: Plan
    profiles: dict[str, list[Profile]] = field(default_factory=lambda: defaultdict(list))
    rare: set[str] = field(default_factory=set)

    @property
    def control(self) -> Sequence[Profile]:
        names = {step.endpoint for step in self.plan.steps if step.role is Role.CONTROL}
        return [profile for name in names for profile in self.profiles.get(name, ())]


def _judge(directory: Path) -> Judged:
    timeline = correlate(read_run(directory))
    return Judged(diagnose(timeline), timeline)


def _in_words(found: Plan) -> list[str]:
    """One sentence for each endpoint, with its tools."""
    tools: dict[str, list[str]] = defaultdict(list)
    reasons: dict[str, str] = {}
    for step in found.steps:
        if step.use.tool not in tools[step.endpoint]:
            tools[step.endpoint].append(step.use.tool)
        reasons[step.endpoint] = step.reason
    if not tools:
        return list(found.reasons)
    return [f"{name} with {', '.join(used)}, because {reasons[name]}" for name, used in tools.items()]


def _whole(value: object) -> int | None:
    return value if type(value) is int else None
