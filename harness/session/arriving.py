"""How a run gets to its target: who samples it and from where, what is started, what is attached to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.errors import TargetError
from harness.plugins.spec import CheckLevel, LaunchPlan, Stage
from harness.scenario.target import TargetSpec
from harness.scenario.variables import resolve
from harness.session.agents.asked_from_here import NO_AGENT, asked_from_here
from harness.session.agents.away import Inside, attached, launched
from harness.session.agents.mirror import Mirror
from harness.session.agents.presence import Agents
from harness.session.hosts.containers import Containers, agents_on
from harness.session.hosts.remote import RemoteHost
from harness.session.hosts.standing import Standing
from harness.session.options import tells_status
from harness.session.parts import Parts
from harness.session.sampler_client import SamplerClient
from harness.session.target import Patience, Target, attachments_of

_AGENT_COSTS = "nothing is known from inside the runtime there, and no request is tied to a worker by a record"
_KNOWN_S = 10.0
_EACH_SWEEP: Mapping[str, object] = {"host": "", "proc": "/proc", "roots": [], "exclude": []}


def preflight(parts: Parts, plans: Sequence[LaunchPlan]) -> None:
    """Have the adapter look whether all it needs is there. Raises TargetError."""
    adapter = parts.adapter
    target = parts.scenario.target
    if adapter is None:
        return
    if target is not None and target.elsewhere and not target.in_containers:
        if not (parts.context.options.get("xdebug") or tells_status(parts.context.options)):
            return  # other hosts are not looked at from here
        plans = ()  # what is started there is looked at there
    chosen = "; what to profile is decided after the rounds" if parts.context.automatic else ""
    chosen = chosen or (f" with {', '.join(parts.tools)}" if parts.tools else "")
    parts.progress.step(f"preflight: {adapter.name}{chosen}")
    checks = adapter.preflight(parts.context, plans)
    for check in checks:
        if check.level is CheckLevel.WARNING:
            parts.progress.step(f"warning: {check.message}")
        if check.costs:
            parts.missing(check.name, check.advice, check.costs)
    failed = [c for c in checks if c.level is CheckLevel.ERROR]
    if failed:
        raise TargetError(
            "; ".join(c.message for c in failed), hint="\n  ".join(c.fix for c in failed if c.fix) or None
        )


class Arriving:
    """What it has begun is in ``sampler``, ``hosts`` and ``target``, whatever goes wrong: clean-up ends it there."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.sampler: SamplerClient | None = None
        self._standing = Standing(parts, parts.scenario.target)
        self.target: Target | None = None
        self.mirrors: list[Mirror] = []  # of directories of agents on other hosts

    @property
    def hosts(self) -> tuple[RemoteHost, ...]:
        """Other hosts, and what else is reached over a line."""
        return self._standing.hosts

    def watch(self) -> Target:
        """Begin to sample. Raises TargetError when another host cannot be reached."""
        parts, scenario = self._parts, self._parts.scenario
        sample, spec = scenario.sample, scenario.target
        order = {
            **_EACH_SWEEP,
            "interval_ns": sample.interval_ns,
            "budget_percent": sample.budget * 100,
            "look": sample.heaps,
            "freeze": sample.freeze,
        }
        self.sampler = self._standing.stand(order)
        self.sampler.observers += parts.request.observers
        if sample.fast_ns is not None:
            self.sampler.sample_fast(sample.fast_ns)
        patience = Patience(interval_s=sample.interval_ns / 1e9)
        if spec is not None:
            patience = Patience(spec.start_timeout_ns / 1e9, spec.stop_timeout_ns / 1e9, sample.interval_ns / 1e9)
        for client in (self.sampler, *self.sampler.siblings):
            client.exit_observers.append(parts.places.ended)
        self.target = Target(parts.pump, parts.recorder, self.sampler, parts.progress, parts.request.environ, patience,
                             sample.own_cgroup, self.hosts[0] if self.hosts and spec and spec.launch else None,
                             self._standing.here)  # fmt: skip
        return self.target

    def launch(
        self, target: Target, plans: Sequence[LaunchPlan], agents: Agents
    ) -> tuple[tuple[LaunchPlan, ...], str | None]:
        """Start or attach; returns the plans kept for the profiled pass and the URL that traffic uses. Raises TargetError."""
        parts, spec = self._parts, self._parts.scenario.target
        base_url = parts.context.base_url
        if spec is None:
            return (), base_url
        if spec.elsewhere and spec.launch:
            plans, mirror = launched(parts, self.hosts[0], plans, lambda: target.sampler.alive)
            self.mirrors += [] if mirror is None else [mirror]
        elif self.hosts or spec.here or spec.in_containers:
            self._enter_places(target, spec)
        elif spec.attach is not None:
            target.attach(parts.request.attachments or attachments_of(spec.attach, parts.context.scenario_dir))
            agents.enter(target)
        elif spec.ways_in and parts.adapter is not None:
            prepared = parts.prepare(parts.adapter, plans)
            served = {} if plans else {k: resolve(v, parts.request.environ) for k, v in spec.env.items()}
            plans = tuple(replace(plan, env={**served, **plan.env}) for plan in prepared.plans)
            base_url = prepared.base_url or base_url
        if spec.ready is not None and spec.launch:
            target.expect_free(resolve(spec.ready, parts.request.environ))
        for plan in plans:
            if plan.stage is Stage.MAIN:
                target.start(plan)
        if spec.ready is not None:
            target.wait_ready(resolve(spec.ready, parts.request.environ))
        if parts.places.others:  # who is there and has announced an agent by now is asked from the first floor on
            target.sampler.floor()
            for mirror in self.mirrors:
                mirror.drain(parts.pump)
            parts.places.drain()
            agents.greet(target)
        return tuple(p for p in plans if p.stage is Stage.PROFILE), base_url

    def _enter_places(self, target: Target, spec: TargetSpec) -> None:
        """What runs already, wherever it is. Raises TargetError."""
        parts, standing = self._parts, self._standing
        if parts.adapter is not None:
            for far in self.hosts:
                there = far.spec
                for directory, pool in agents_on(there):
                    inside = None if pool is None else Inside(pool, standing.ground(far).read)
                    self.mirrors.append(attached(parts, far, directory, lambda: target.sampler.alive, inside))
                if there.agents:
                    continue
                if there.measured and not there.in_containers:
                    parts.missing(f"agent.{there.label}", NO_AGENT, _AGENT_COSTS)
                    if tells_status(parts.context.options):
                        asked_from_here(parts, far, lambda: target.sampler.alive)
        for host in spec.here:
            wanted = host.watched(spec.attach)
            assert wanted is not None  # the scenario was checked
            target.attach(attachments_of(wanted, parts.context.scenario_dir, host.label), measured=host.measured)
        if standing.attached:
            target.attach_elsewhere(standing.attached, spec.attach)
        if standing.contained:
            containers = Containers(parts.pump, parts.recorder, target.sampler, parts.progress, parts.clock,
                                    target.patience.start_s)  # fmt: skip
            target.contain(containers, standing.contained)
            holding = [(host, pool) for host in self.hosts for _, pool in agents_on(host.spec) if pool is not None]
            parts.pump.until(lambda: all(self._are_known(target, *each) for each in holding), _KNOWN_S)
            parts.places.drain()

    def _are_known(self, target: Target, host: RemoteHost, pool: str) -> bool:
        """Whether the processes of a container can be spoken of to its agents, who know them by other ids."""
        read = self._standing.ground(host).read
        return all(read(info.key.pid) is not None for info in target.sampler.alive if info.pool == pool)
