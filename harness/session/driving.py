"""What a run does to its target: the load, its rounds, the probes after them."""

from __future__ import annotations

from collections.abc import Callable

from harness.errors import UsageError
from harness.model.event import PROBE_COLLECT_AGAIN
from harness.sampling.protocol import Depth
from harness.scenario.load import EngineLoad, LocustfileLoad
from harness.session import compiling
from harness.session.load_client import LoadClient
from harness.session.load_hosts import LoadHosts
from harness.session.parts import Parts
from harness.session.target import Target
from harness.session.workload import Feed, Jobs, Rounds, Shaped, Watch, Workload


def start_load(parts: Parts, base_url: str | None) -> LoadClient | None:
    """Start who sends; None for a scenario that sends nothing. Raises UsageError when there is no address to send to."""
    spec, scenario = parts.scenario.load, parts.scenario
    if not scenario.requests and not isinstance(spec, LocustfileLoad):
        return None
    plan = None
    if scenario.requests:
        if base_url is None:
            raise UsageError("the scenario has requests but no address", hint="add target.url or target.ready")
        try:
            plan = compiling.load_plan(scenario, base_url, parts.request.environ).to_json()
        except ValueError as error:
            raise UsageError(f"{parts.request.scenario_path}: {error}") from error
    engine, options = compiling.load_engine(scenario)
    if isinstance(spec, LocustfileLoad):
        options = {**options, "target": base_url}
    if not isinstance(spec, EngineLoad) or not spec.hosts:
        return LoadClient(parts.pump, parts.recorder, plan, engine, options, parts.progress.step)
    hosts = LoadHosts(spec.hosts, tunnels=spec.listen is None)
    options = {**options, "places": hosts.places}
    try:
        return LoadClient(parts.pump, parts.recorder, plan, engine, options, parts.progress.step, hosts.close)
    except BaseException:
        hosts.close()
        raise


class Driving:
    """``load``: who sends, None where nothing is sent."""

    def __init__(self, parts: Parts, target: Target, load: LoadClient | None) -> None:
        self._parts = parts
        self._target = target
        self._load = load

    def workload(self) -> None:
        """All of it, as the scenario says."""
        parts, target, load = self._parts, self._target, self._load
        spec = compiling.workload(parts.scenario)
        driver = self._driver(parts.floors.at_round_end)
        if isinstance(spec, Jobs):
            plan = parts.job()
            driver.jobs(spec, lambda: target.start(plan))
        elif isinstance(spec, Watch):
            driver.watch(spec)
        elif isinstance(spec, Feed):
            command = parts.job()
            driver.feed(spec, lambda: target.start(command))
        elif load is None:
            raise UsageError("the scenario's load needs requests", hint="add requests:, or use load: {observe: 10m}")
        elif isinstance(spec, Rounds):
            driver.rounds(load, spec)
        elif isinstance(spec, Shaped):
            driver.shaped(load, spec)
        else:
            driver.stages(load, spec)

    def collect(self) -> None:
        """The probe for garbage. Where a collection frees enough to explain growth, some of that was there before the rounds:
        one more round and another collection tell how much a round leaves. Walks come before and after each collection."""
        parts, target = self._parts, self._target
        if not parts.floors.collect(target.sampler.floor(Depth.HEAPS)):
            return
        spec = compiling.workload(parts.scenario)
        driver = self._driver(lambda _floor_ns: None)
        if isinstance(spec, Rounds) and self._load is not None:
            target.sampler.floor(Depth.HEAPS)
            driver.once_more(self._load, spec)
        elif isinstance(spec, Jobs) and not parts.job().measured:
            target.sampler.floor(Depth.HEAPS)
            plan = parts.job()
            driver.job_once_more(spec, lambda: target.start(plan))
        else:
            return
        parts.floors.collect(target.sampler.floor(Depth.HEAPS), PROBE_COLLECT_AGAIN)

    def _driver(self, at_round_end: Callable[[int | None], None]) -> Workload:
        parts = self._parts
        return Workload(
            parts.pump, parts.recorder, self._target.sampler, parts.progress, parts.clock, at_round_end,
            self._target.unmeasured,
        )  # fmt: skip
