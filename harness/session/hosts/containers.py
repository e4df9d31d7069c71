"""Containers of the target while a run lasts: found at the start, followed over restarts, what befalls them put on the timeline.

The engine is asked at the start and when a first process has ended, never in between: in the meantime /proc (on other hosts the
sampler there) tells whether the container lives, and the sampler what the kernel accounts to it. See docs/containers.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from harness.clock import Clock
from harness.errors import TargetError
from harness.model.event import (
    CONTAINER_EXIT,
    CONTAINER_LIMIT,
    CONTAINER_OOM,
    CONTAINER_PROCESS,
    CONTAINER_START,
    INNER_PID,
    SINCE_NS,
    Event,
    Scalar,
)
from harness.model.host import HOST
from harness.model.process import ProcessInfo, ProcessKey
from harness.scenario.target import ContainerSpec, HostSpec, TargetSpec
from harness.session.background import in_background
from harness.session.hosts.grounds import Found, Ground
from harness.session.progress import Progress
from harness.session.pump import Pump
from harness.session.sampler_client import SamplerClient, TickView
from harness.store.writer import Recorder
from harness.targets.containers import ContainerState, Life
from harness.targets.engines.spec import EngineError, Knowing
from harness.units import format_bytes

ALONE = "app"  # pool of a single container without a role
_AGAIN_NS, _PATIENT_AGAIN_NS = 500_000_000, 2_000_000_000  # between two questions to the engine, at first and later
_ACCOUNT_NS = (
    5_000_000_000  # the sampler tells of an exit in its next sweep; the engine's word is waited for no longer than this
)
_MOST_INTRODUCED = 2000  # processes of a run: who forks for every request fills no run with this
_PAGES = 1 << 16  # limits are rounded to pages, which are not larger anywhere
_SIGNAL = 128
_KILL = 9
_MACHINE_KILLS = "system.vmstat.oom_kill"


@dataclass(frozen=True, slots=True)
class Contained:
    """A container of the target. ``found``: where it was looked for before."""

    spec: ContainerSpec
    pool: str
    ground: Ground
    role: str | None
    measured: bool
    version: str | None = None
    found: Found | None = None


@dataclass
class _Gone:
    """A life that has ended and has not been told of yet."""

    life: Life
    generation: int
    noticed_ns: int
    kills: int | None  # on this machine, when it was last seen alive
    ended_ns: int | None = None  # by the kernel's word
    code: int | None = None
    signal: int | None = None
    state: ContainerState | None = None  # as the engine describes the end; None while it does not, or it has begun anew


@dataclass
class _Watched:
    """One container. ``life`` is None while it is away."""

    of: Contained
    engine: Knowing
    life: Life | None
    generation: int = 1
    gone: _Gone | None = None
    asked: Future[Found | None] | None = None
    asked_ns: int = 0
    away_ns: int = 0
    limit: int | None = None
    machine_kills: int | None = None  # on this machine, in the last sweep before the one that may have seen it end
    kills: int | None = None  # of the group's counter
    kills_ns: int = 0
    told: tuple[int, int] = (0, 0)  # between which sweeps the counter rose last: that kill has been told of
    said: str = ""

    @property
    def pool(self) -> str:
        return self.of.pool

    @property
    def name(self) -> str:
        """For people."""
        host = self.of.ground.host
        return f"{self.of.spec.name} on {host}" if host else self.of.spec.name

    @property
    def lasts(self) -> bool:
        """Whether it lives, as far as that is known."""
        return self.life is not None and self.of.ground.lasts(self.life)

    def first(self, life: Life) -> ProcessKey:
        """The first process of a life."""
        return ProcessKey(self.of.ground.host, life.pid, life.begin)


def pools_on(host: HostSpec) -> list[str]:
    """As `pools_of`, of the containers of another host: the host's name where it has one only."""
    if len(host.in_containers) == 1:
        return [host.label]
    return [f"{host.label}-{pool}" for pool in pools_of(host.in_containers)]


def agents_on(host: HostSpec) -> list[tuple[PurePosixPath, str | None]]:
    """Directories of another host that hold an agent, and the pool of the container that each is mounted into; None: the agent
    is in none."""
    pools = dict(zip(host.in_containers, pools_on(host), strict=True)) if host.in_containers else {}
    return [(PurePosixPath(path), None if each is None else pools[each]) for path, each in host.agents]


def pools_here(target: TargetSpec) -> list[str]:
    """As `pools_of`, of the containers of this machine, where hosts have roles too."""
    return pools_of(target.in_containers, [host.role for host in (*target.elsewhere, *target.here)])


def pools_of(specs: Sequence[ContainerSpec], others: Collection[str] = ()) -> list[str]:
    """What the pool of each is called: its role, with the name where several have it, ``others`` among them; without a role the
    name, or ``app`` where there is one container only."""
    roles = [spec.role or (ALONE if len(specs) == 1 else spec.name) for spec in specs]
    uses = Counter([*roles, *set(others)])
    return [role if uses[role] == 1 else f"{role}-{spec.name}" for role, spec in zip(roles, specs, strict=True)]


def options_in(options: Mapping[str, Any], specs: Sequence[ContainerSpec]) -> Mapping[str, Any]:
    """An adapter's options for a target in containers: Xdebug's files are in the one container of a target that has one only,
    unless the scenario says otherwise."""
    xdebug = options.get("xdebug")
    if (
        len(specs) != 1
        or not isinstance(xdebug, Mapping)
        or any(xdebug.get(k) for k in ("process", "container", "host"))
    ):
        return options
    return {**options, "xdebug": {**xdebug, "container": specs[0].name}}


@dataclass
class Containers:
    """All containers of a target. ``sampler``: knows all processes that are followed; ``patience_s``: how long one may
    be away."""

    pump: Pump
    recorder: Recorder
    sampler: SamplerClient
    progress: Progress
    clock: Clock
    patience_s: float
    _watched: list[_Watched] = field(default_factory=list)
    _machine_kills: dict[str, int] = field(
        default_factory=dict
    )  # by host: counter of the kernel, in the latest sweep that had it
    _exits: dict[ProcessKey, tuple[int, int | None, int | None]] = field(default_factory=dict)
    _introduced: set[ProcessKey] = field(default_factory=set)

    def begin(self, targets: Sequence[Contained]) -> None:
        """Find them and have them sampled. Raises TargetError when one is not there, does not run, or runs elsewhere."""
        futures = {each.pool: in_background(each.ground.find, each.spec.name) for each in targets if each.found is None}
        for each in targets:
            found = each.found
            if found is None:
                self.pump.until(futures[each.pool].done)
                found = futures[each.pool].result()
            if found.life is None:
                raise _not_running(each, found)
            watched = _Watched(each, found.engine, found.life)
            self._watched.append(watched)
            self._follow(watched, found.life)
            self.recorder.facts({f"container.{each.pool}": f"{found.state.name}, by {found.engine.label}"})
            self.progress.step(f"watching the container {watched.name} ({_limits(found.state)}) as {each.pool}")
        for ground in {each.ground.host: each.ground for each in targets}.values():
            ground.sampler.observers.append(partial(self._on_sweep, ground.host))
            ground.sampler.exit_observers.append(self._on_exit)

    @property
    def unmeasured(self) -> list[str]:
        """Pools that are only watched."""
        return [watched.pool for watched in self._watched if not watched.of.measured]

    def poll(self) -> None:
        """Look whether they live; to be called a few times a second."""
        now_ns = self.clock.monotonic_ns()
        for watched in self._watched:
            if watched.life is not None and not watched.lasts:
                if watched.gone is not None:
                    self._tell_of_end(watched, watched.gone)
                watched.gone = _Gone(watched.life, watched.generation, now_ns, watched.machine_kills)
                watched.life, watched.away_ns = None, now_ns
                told = self._exits.pop(watched.first(watched.gone.life), None)
                if told is not None:  # the sampler has seen it before
                    watched.gone.ended_ns, watched.gone.code, watched.gone.signal = told
            if watched.life is None:
                self._look(watched, now_ns)
            if watched.gone is not None and self._is_all_heard(watched, watched.gone, now_ns):
                self._tell_of_end(watched, watched.gone)
        self._introduce()

    def check(self) -> None:
        """Raise TargetError when one that is measured has been away for too long."""
        now_ns = self.clock.monotonic_ns()
        for watched in self._watched:
            if watched.life is None and watched.of.measured and now_ns - watched.away_ns > self.patience_s * 1e9:
                why = watched.said or "it ended"
                raise TargetError(
                    f"the container {watched.name} has been away for {self.patience_s:g} s: {why}",
                    hint="a restart policy, or a larger target.start_timeout",
                )

    def _introduce(self) -> None:
        """Say once of each process which id it has in its container, where people see that in its logs."""
        pools = {watched.pool: watched for watched in self._watched}
        new: dict[str, list[ProcessInfo]] = {}
        for info in self.sampler.alive:
            if info.pool in pools and info.key not in self._introduced:
                new.setdefault(info.pool, []).append(info)
        for pool, infos in new.items():
            watched = pools[pool]
            known = watched.of.ground.inner(infos)
            for info in infos:
                if info.key not in known:
                    continue
                self._introduced.add(info.key)
                inner = known[info.key]
                if inner is not None and inner != info.key.pid and len(self._introduced) <= _MOST_INTRODUCED:
                    text = f"{info.comm} (pid {info.key.pid}) has pid {inner} in the container {watched.name}"
                    at_ns = watched.of.ground.now_ns()
                    self._event(at_ns, CONTAINER_PROCESS, watched, info.key, text, {INNER_PID: inner})

    # -- lives ---------------------------------------------------------------------------------------------------------

    def _follow(self, watched: _Watched, life: Life) -> None:
        """From here on a life is sampled."""
        state, of = life.state, watched.of
        of.ground.follow(life, watched.pool)
        text = f"the container {watched.name} runs ({_limits(state)})"
        if watched.generation > 1:
            text = f"the container {watched.name} was started anew ({_limits(state)}), generation {watched.generation}"
            self.progress.step(text)
        self._event(of.ground.now_ns(), CONTAINER_START, watched, watched.first(life), text, {
            "generation": watched.generation, "role": of.role, "measured": of.measured, "version": of.version, "id": state.id,
            "container_image": state.image, "memory_bytes": state.memory_bytes,
            "memory_and_swap_bytes": state.memory_and_swap_bytes, "most_processes": state.most_processes,
        })  # fmt: skip
        watched.limit = state.memory_bytes
        watched.kills = None if watched.generation == 1 else 0  # a group that was made anew begins to count at 0
        watched.kills_ns = of.ground.now_ns()

    def _look(self, watched: _Watched, now_ns: int) -> None:
        """Ask the engine about one that is away; one question at a time, beside the recording."""
        if watched.asked is None:
            every_ns = _AGAIN_NS if now_ns - watched.away_ns < _ACCOUNT_NS else _PATIENT_AGAIN_NS
            if now_ns - watched.asked_ns >= every_ns:
                watched.asked_ns = now_ns
                watched.asked = in_background(watched.of.ground.look, watched.engine, watched.of.spec.name)
                watched.asked.add_done_callback(self.pump.wake)
            return
        if not watched.asked.done():
            return
        future, watched.asked = watched.asked, None
        try:
            found = future.result()
        except EngineError as error:
            watched.said = str(error)
            return
        if found is None:
            watched.said = "it was removed"
            return
        state, life = found.state, found.life
        if life is None:
            if watched.gone is not None and _is_of(state, watched.gone.life):
                watched.gone.state = state
            watched.said = _end_in_words(state.exit_code, None, state.oom_killed is True)
        elif watched.gone is None or (life.pid, life.begin) != (watched.gone.life.pid, watched.gone.life.begin):
            watched.generation += 1
            watched.life = life
            self._follow(watched, life)

    def _on_exit(self, info: ProcessInfo, code: int | None, signal: int | None) -> None:
        for watched in self._watched:
            assert info.ended_ns is not None
            if watched.life is not None and watched.first(watched.life) == info.key:
                self._exits[info.key] = (info.ended_ns, code, signal)
            elif watched.gone is not None and watched.first(watched.gone.life) == info.key:
                watched.gone.ended_ns, watched.gone.code, watched.gone.signal = info.ended_ns, code, signal

    @staticmethod
    def _is_all_heard(watched: _Watched, gone: _Gone, now_ns: int) -> bool:
        """Whether kernel and engine have said what they know of an end, or nobody is expected to say more."""
        heard = gone.ended_ns is not None and (gone.state is not None or watched.life is not None)
        return heard or now_ns - gone.noticed_ns > _ACCOUNT_NS

    def _tell_of_end(self, watched: _Watched, gone: _Gone) -> None:
        watched.gone = None
        noticed_ns = gone.noticed_ns - self.clock.monotonic_ns() + watched.of.ground.now_ns()
        t_ns = noticed_ns if gone.ended_ns is None else gone.ended_ns
        code = gone.code if gone.state is None or gone.state.exit_code is None else gone.state.exit_code
        by = self._killed_by(watched.of.ground.host, gone, code)
        key = watched.first(gone.life)
        words = _end_in_words(code, gone.signal, by is not None)
        self._event(t_ns, CONTAINER_EXIT, watched, key, f"the container {watched.name} ended: {words}", {
            "code": code, "signal": gone.signal, "oom": by is not None, "exact": gone.code is not None or gone.signal is not None,
            "generation": gone.generation,
        })  # fmt: skip
        self.progress.step(f"the container {watched.name} ended: {words}")
        if by is not None and not watched.told[0] <= t_ns <= watched.told[1]:
            self._tell_of_kill(watched, key, t_ns, None, 1, by)

    def _killed_by(self, host: str, gone: _Gone, code: int | None) -> str | None:
        """Who says that its first process was killed for lack of memory; None = nobody. The engine's word; else a kill that the
        kernel counted on its machine meanwhile, where this process died of SIGKILL and had a limit."""
        if gone.state is not None and gone.state.oom_killed is True:
            return "engine"
        killed = gone.signal == _KILL or code == _SIGNAL + _KILL
        counted = gone.kills is not None and self._machine_kills.get(host, 0) > gone.kills
        return "machine" if killed and counted and gone.life.state.memory_bytes is not None else None

    # -- what the kernel accounts --------------------------------------------------------------------------------------

    def _on_sweep(self, host: str, view: TickView) -> None:
        before = self._machine_kills.get(host)
        if _MACHINE_KILLS in view.system:
            self._machine_kills[host] = view.system[_MACHINE_KILLS]
        for watched in (each for each in self._watched if each.of.ground.host == host):
            if watched.lasts:
                watched.machine_kills = before
            prefix = f"cgroup.{watched.pool}.memory."
            kills = view.system.get(f"{prefix}events.oom_kill")
            if kills is not None:
                if watched.kills is not None and kills > watched.kills:
                    watched.told = (watched.kills_ns, view.t_ns)
                    self._tell_of_kill(watched, None, view.t_ns, watched.kills_ns, kills - watched.kills, "group")
                watched.kills, watched.kills_ns = kills, view.t_ns
                self._note_limit(watched, view.system.get(f"{prefix}max"), view.t_ns)

    def _note_limit(self, watched: _Watched, limit: int | None, t_ns: int) -> None:
        """``limit``: of the group in this sweep, None = none. The engine's figure at the start may be rounded to pages."""
        if watched.life is None or limit == watched.limit:
            return
        known = watched.limit
        watched.limit = limit
        if known is not None and limit is not None and abs(known - limit) < _PAGES:
            return
        now = "no limit" if limit is None else format_bytes(limit)
        before = "none" if known is None else format_bytes(known)
        text = f"the memory limit of the container {watched.name} is {now} now ({before} before)"
        self._event(t_ns, CONTAINER_LIMIT, watched, None, text, {"memory_bytes": limit, "before_bytes": known})

    def _tell_of_kill(
        self, watched: _Watched, key: ProcessKey | None, t_ns: int, since_ns: int | None, number: int, by: str
    ) -> None:
        limit = "" if watched.limit is None else f", which may use {format_bytes(watched.limit)}"
        what = "a process" if number == 1 else f"{number} processes"
        text = f"the kernel killed {what} of the container {watched.name}{limit}, for lack of memory"
        attributes = {"kills": number, "limit_bytes": watched.limit, SINCE_NS: since_ns, "told_by": by}
        self._event(t_ns, CONTAINER_OOM, watched, key, text, attributes)
        self.progress.step(text)

    def _event(
        self,
        t_ns: int,
        kind: str,
        watched: _Watched,
        key: ProcessKey | None,
        text: str,
        attributes: Mapping[str, Scalar],
    ) -> None:
        about: dict[str, Scalar] = {"container": watched.of.spec.name, "pool": watched.pool, **attributes}
        if watched.of.ground.host:
            about[HOST] = watched.of.ground.host
        self.recorder.event(Event(t_ns, kind, key, text, about))


def _is_of(state: ContainerState, life: Life) -> bool:
    """Whether it is how this life ended, and not a later one."""
    return not state.running and (state.id, state.started) == (life.state.id, life.state.started)


def _limits(state: ContainerState) -> str:
    return "no memory limit" if state.memory_bytes is None else f"at most {format_bytes(state.memory_bytes)}"


def _end_in_words(code: int | None, signal: int | None, oom: bool) -> str:
    why = " for lack of memory" if oom else ""
    if signal is not None:
        return f"killed by signal {signal}{why}"
    if code is not None and code > _SIGNAL:
        return f"exit code {code} (signal {code - _SIGNAL}){why}"
    return f"exit code {'unknown' if code is None else code}{why}"


def _not_running(each: Contained, found: Found) -> TargetError:
    name, state = each.spec.name, found.state
    machine = each.ground.host or "this machine"
    if state.running:
        return TargetError(
            f"the container {name} has just ended, or it does not run on {machine}: its first process is another one there",
            hint="run the harness, or name the host, where the containers run; the engine there may be of a virtual machine",
        )
    words = _end_in_words(state.exit_code, None, state.oom_killed is True)
    where = f" on {each.ground.host}" if each.ground.host else ""
    return TargetError(f"the container {name} does not run{where}: {words}", hint=f"docker start {name}")
