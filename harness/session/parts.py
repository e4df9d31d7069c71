"""What every chapter of a run works with, and the plans that several of them make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from harness.clock import Clock
from harness.model.event import Missing, Window
from harness.model.span import PhaseName
from harness.plugins.spec import AdapterContext, LanguageAdapter, LaunchPlan, Prepared
from harness.sampling.protocol import Depth
from harness.scenario.schema import Scenario
from harness.session import compiling
from harness.session.agents.places import Places
from harness.session.background import in_background
from harness.session.floors import Floors
from harness.session.progress import Progress
from harness.session.pump import Pump
from harness.session.request import Request
from harness.session.sampler_client import SamplerClient
from harness.store.writer import Recorder

_PREPARED_SOON_S = 2.0


@dataclass(frozen=True)
class Parts:
    """Made at the start of a run, the same to its end. ``tools``: the profilers to use or to choose from. ``context``: of the
    run's own place."""

    request: Request
    recorder: Recorder
    progress: Progress
    clock: Clock
    pump: Pump
    adapter: LanguageAdapter | None
    tools: tuple[str, ...]
    context: AdapterContext
    places: Places
    floors: Floors

    @property
    def scenario(self) -> Scenario:
        """What is to be recorded."""
        return self.request.scenario

    def missing(self, what: str, why: str, costs: str) -> None:
        """Put on record what this run does not know."""
        self.recorder.missing(Missing(what, why, costs))

    @contextmanager
    def window(self, phase: PhaseName, sampler: SamplerClient | None = None) -> Iterator[None]:
        """A phase; with ``sampler`` it ends in a floor."""
        identifier = self.recorder.open_window(Window(phase, None, None, self.clock.monotonic_ns(), None, None))
        self.progress.live(phase)
        yield
        at = None if sampler is None else sampler.floor(Depth.HEAPS)
        self.recorder.close_window(identifier, self.clock.monotonic_ns(), at)

    def prepare(self, adapter: LanguageAdapter, plans: Sequence[LaunchPlan]) -> Prepared:
        """What the adapter makes of the plans; recording goes on while it fetches tools."""
        future = in_background(adapter.prepare, self.context, plans)
        if not self.pump.until(future.done, _PREPARED_SOON_S):
            self.progress.step(f"preparing the {adapter.name} tools; what has to be fetched is fetched once")
            self.pump.until(future.done)
        prepared = future.result()
        for name, text in prepared.experiments.items():
            self.recorder.facts({f"experiment.{name}": text})
            self.progress.log(f"experiment: {text}")
        return prepared

    def job(self) -> LaunchPlan:
        """The ``each_round`` command; where it is itself what is measured, it gets the agent."""
        plan = compiling.job_plan(self.scenario, self.context.scenario_dir, self.request.environ)
        return self.prepare(self.adapter, [plan]).plans[0] if plan.measured and self.adapter is not None else plan
