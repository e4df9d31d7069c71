"""Where the parts of a target are: this machine, other hosts, containers of either; and who samples each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.errors import TargetError
from harness.model.host import LOCAL, RunHost
from harness.model.process import ProcessInfo, host_key
from harness.scenario.target import AttachSpec, ContainerSpec, HostSpec, TargetSpec
from harness.session.background import in_background
from harness.session.host import host_facts
from harness.session.hosts.containers import Contained, pools_here, pools_on
from harness.session.hosts.grounds import Found, Here, There
from harness.session.hosts.remote import RemoteHost, remote_hosts
from harness.session.parts import Parts
from harness.session.sampler_client import SamplerClient
from harness.targets.connectors.choose import connector_to
from harness.targets.connectors.container import ContainerConnector
from harness.targets.connectors.spec import Connector
from harness.targets.engines.api import ApiEngine
from harness.targets.engines.command import CommandEngine

_LOOKS = 2  # at a container whose first process is not to be seen: it may just have been started anew
_INSIDE = (
    "its starts and ends are not on the timeline, processes that exec started are not seen, the kernel's accounts of it hold the "
    "sampler too, and what does not belong to the user of its image may not be readable"
)


@dataclass
class Standing:
    """Begun by `stand`. ``hosts``: every place that is reached over a line, also where something went wrong on the way, so that
    clean-up finds it. ``here``: who samples this machine, None where nothing of the target is on it."""

    parts: Parts
    spec: TargetSpec | None
    hosts: tuple[RemoteHost, ...] = ()
    here: SamplerClient | None = None
    _clients: dict[str, SamplerClient] = field(default_factory=dict)  # by host
    _found: dict[str, Found] = field(default_factory=dict)  # containers of this machine, by pool
    _grounds: dict[str, There] = field(default_factory=dict)  # other hosts that containers run on
    _inside: set[str] = field(default_factory=set)  # pools of containers that are read from inside

    # -- who samples ---------------------------------------------------------------------------------------------------

    def stand(self, order: Mapping[str, object]) -> SamplerClient:
        """Begin to sample everywhere; the result is that of the place whose own values are judged, which has the others as its
        siblings: this machine where something measured is on it, else the first host with something measured. Raises
        TargetError."""
        parts, spec = self.parts, self.spec
        inside = self._containers_here() if spec is not None else {}
        here = self._measured_here()
        first_here = bool(here and (any(here) or not self._measured_elsewhere(inside)))
        places = [] if spec is None else [(host, connector_to(host.host)) for host in spec.elsewhere]
        self.hosts = remote_hosts(
            [*places, *inside.values()], parts.pump, parts.recorder, parts.progress, parts.clock, first=not first_here
        )
        if not self.hosts:
            self.here = SamplerClient(parts.pump, parts.recorder, order)
            return self.here
        for arrive in [host.set_out() for host in self.hosts]:
            arrive()
        local = () if spec is None else tuple(_as_host(host, first=first_here) for host in spec.here)
        parts.recorder.hosts([*local, *(host.described for host in self.hosts)])
        if here and not first_here:  # what carries its values comes first
            now_ns = parts.clock.monotonic_ns()
            parts.recorder.process(
                ProcessInfo(host_key(""), 0, "", "", None, "this machine", now_ns, now_ns, now_ns, None)
            )
        several = bool(here) or len(self.hosts) > 1
        if here:
            self.here = SamplerClient(parts.pump, parts.recorder, order, second=not first_here, several=several)
        for host in self.hosts:
            self._clients[host.spec.label] = host.sampler(
                order, lambda given, away: SamplerClient(parts.pump, parts.recorder, given, away, several=several)
            )
        return self._joined(first_here)

    def _joined(self, first_here: bool) -> SamplerClient:
        """One of them with the others as its siblings."""
        remote = [(host.spec.label, self._clients[host.spec.label]) for host in self.hosts]
        local = [] if self.here is None else [("this machine", self.here)]
        (judged, first), *others = [*local, *remote] if first_here else [*remote, *local]
        first.siblings += [client for _, client in others]
        if others:
            names = ", ".join(name for name, _ in others)
            why = f"the kernel of {judged} is judged; values of {names} are recorded and shown"
            self.parts.missing("system of further hosts", why, "what ails only their kernels is not found")
        return first

    def _measured_here(self) -> list[bool]:
        """Of each part of the target that is on this machine, whether it is measured."""
        spec = self.spec
        if spec is None:
            return [True]
        pools = zip(spec.in_containers, pools_here(spec), strict=True)
        contained = [each.measured for each, pool in pools if pool not in self._inside]
        here = [host.measured for host in spec.here]
        launched = [] if spec.elsewhere or spec.in_containers or spec.here else [True]
        return [*contained, *here, *launched]

    def _measured_elsewhere(self, inside: Mapping[str, tuple[HostSpec, Connector]]) -> bool:
        assert self.spec is not None
        return any(host.measured for host in (*self.spec.elsewhere, *(host for host, _ in inside.values())))

    # -- containers of this machine ------------------------------------------------------------------------------------

    def _containers_here(self) -> dict[str, tuple[HostSpec, Connector]]:
        """Look for them; those whose engine has them elsewhere, as Docker Desktop does, are places that are reached by exec.
        Raises TargetError."""
        assert self.spec is not None
        parts, specs = self.parts, self.spec.in_containers
        ground = Here(parts.request.environ, parts.clock, self._here)
        inside: dict[str, tuple[HostSpec, Connector]] = {}
        for spec, pool in zip(specs, pools_here(self.spec), strict=True):
            for _ in range(_LOOKS):
                future = in_background(ground.find, spec.name)
                future.add_done_callback(parts.pump.wake)
                parts.pump.until(future.done)
                found = self._found[pool] = future.result()
                if found.life is not None or not found.state.running:
                    break
            else:
                inside[pool] = self._from_inside(spec, pool, found)
                self._inside.add(pool)
        return inside

    def _from_inside(self, spec: ContainerSpec, pool: str, found: Found) -> tuple[HostSpec, Connector]:
        engine = found.engine
        assert isinstance(engine, ApiEngine | CommandEngine)  # of this machine
        why = f"the container {spec.name} does not run on this machine: {engine.label} has its processes elsewhere"
        if spec.agent is not None:
            hint = (
                "without `agent` it is read from inside; run the harness on the machine, virtual or not, where it runs"
            )
            raise TargetError(f"{why}, so the agent in it cannot be used from here", hint=hint)
        self.parts.progress.step(f"warning: {why}; they are read from inside it, by exec")
        self.parts.missing("container", f"{why}, so it is read from inside", _INSIDE)
        host = HostSpec.model_construct(
            host=f"container:{spec.name}", name=pool, role=spec.role or "app", measured=spec.measured, version=None,
            attach=AttachSpec(pid=1), agent=None, container=None, containers=(),
        )  # fmt: skip
        return host, ContainerConnector(engine, spec.name, self.parts.request.environ)

    def _here(self) -> SamplerClient:
        assert self.here is not None
        return self.here

    # -- what is watched -----------------------------------------------------------------------------------------------

    @property
    def contained(self) -> list[Contained]:
        """All containers that are watched from the machine they run on."""
        parts, spec, found = self.parts, self.spec, list[Contained]()
        if spec is None:
            return found
        ground = Here(parts.request.environ, parts.clock, self._here)
        for each, pool in zip(spec.in_containers, pools_here(spec), strict=True):
            if pool not in self._inside:
                found.append(Contained(each, pool, ground, each.role, each.measured, None, self._found.get(pool)))
        for host in self.hosts:
            of = host.spec
            found += [
                Contained(
                    each, pool, self.ground(host), each.role or of.role, of.measured and each.measured, of.version
                )
                for each, pool in zip(of.in_containers, pools_on(of), strict=True)
            ]
        return found

    def ground(self, host: RemoteHost) -> There:
        """Another host, as one that containers run on."""
        label = host.spec.label
        if label not in self._grounds:
            self._grounds[label] = There(host, self._clients[label], self.parts.missing)
        return self._grounds[label]

    @property
    def attached(self) -> list[tuple[RemoteHost, SamplerClient]]:
        """Other hosts whose processes are attached to."""
        return [(host, self._clients[host.spec.label]) for host in self.hosts if not host.spec.in_containers]


def _as_host(spec: HostSpec, *, first: bool) -> RunHost:
    """This machine, as one of several."""
    return RunHost(spec.label, LOCAL, spec.role, spec.measured, first, 0, spec.version or "", host_facts())
