"""The machines that containers run on, this one or another host: who knows them there, whether they live, what time it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from harness.clock import Clock
from harness.errors import TargetError
from harness.model.process import ProcessInfo, ProcessKey
from harness.session.background import in_background
from harness.session.hosts.remote import RemoteHost
from harness.session.sampler_client import SamplerClient
from harness.targets.connectors.spec import Connector
from harness.targets.containers import ContainerState, Life, find, inside_pid, is_here, life_of, look_again
from harness.targets.engines.choose import engines
from harness.targets.engines.spec import Knowing
from harness.targets.engines.there import engines_of
from harness.targets.there import Shown, life_there, show

_INTRODUCED_S = 10.0  # within it the sampler there tells of a process that it was told to follow
_ASK_EVERY_S = 2.0
_MOST_ASKED = 200  # processes in one question


@dataclass(frozen=True, slots=True)
class Found:
    """A container. ``life`` is None while it does not run, or where its processes are none of that machine's."""

    engine: Knowing
    state: ContainerState
    life: Life | None


Inner = Mapping[ProcessKey, int | None]


class Ground(Protocol):
    """One machine with containers on it. `find` and `look` may take their time and are called beside the recording; the others
    answer at once."""

    @property
    def host(self) -> str:
        """As in `ProcessKey`: empty for this machine."""
        ...

    @property
    def sampler(self) -> SamplerClient:
        """Who samples there."""
        ...

    def now_ns(self) -> int:
        """The time as events of that machine are recorded."""
        ...

    def find(self, name: str) -> Found:
        """Raises TargetError when no engine knows it."""
        ...

    def look(self, engine: Knowing, name: str) -> Found | None:
        """What it is now; None while the engine knows no such container. Raises EngineError."""
        ...

    def lasts(self, life: Life) -> bool:
        """Whether its first process is still there, as far as that is known here."""
        ...

    def follow(self, life: Life, pool: str) -> None:
        """Have it sampled."""
        ...

    def inner(self, infos: Sequence[ProcessInfo]) -> Inner:
        """Their ids in their own namespace, of those of which that has been found out (None: it cannot be)."""
        ...


@dataclass
class Here:
    """This machine; see `Ground`."""

    environ: Mapping[str, str]
    clock: Clock
    client: Callable[[], SamplerClient]

    host = ""

    @property
    def sampler(self) -> SamplerClient:
        """See `Ground`."""
        return self.client()

    def now_ns(self) -> int:
        """See `Ground`."""
        return self.clock.monotonic_ns()

    def find(self, name: str) -> Found:
        """See `Ground`."""
        engine, state = find(name, engines(self.environ))
        return self._found(engine, state)

    def look(self, engine: Knowing, name: str) -> Found | None:
        """See `Ground`."""
        state = look_again(engine, name)
        return None if state is None else self._found(engine, state)

    def _found(self, engine: Knowing, state: ContainerState) -> Found:
        life = life_of(state)
        return Found(engine, state, life if life is not None and is_here(life) else None)

    def lasts(self, life: Life) -> bool:
        """See `Ground`."""
        return life.lasts()

    def follow(self, life: Life, pool: str) -> None:
        """See `Ground`."""
        self.sampler.follow_container(life.pid, life.state.id, pool)

    def inner(self, infos: Sequence[ProcessInfo]) -> Inner:
        """See `Ground`."""
        return {info.key: inside_pid(info.key.pid) for info in infos}


@dataclass
class There:
    """Another host; see `Ground`. That a first process has ended is heard from the sampler there, so a broken line delays it."""

    on: RemoteHost
    client: SamplerClient
    tell: Callable[[str, str, str], None]  # what this run does not know: signal, reason, costs
    _seen: dict[ProcessKey, float] = field(default_factory=dict)  # when it was first asked for; inf: it was introduced
    _inner: dict[ProcessKey, int | None] = field(default_factory=dict)
    _newest: dict[int, tuple[ProcessKey, int | None]] = field(default_factory=dict)  # by their ids there
    _asked: Future[Mapping[ProcessKey, int | None]] | None = None
    _asked_at: float = -_ASK_EVERY_S

    @property
    def host(self) -> str:
        """See `Ground`."""
        return self.on.spec.label

    @property
    def sampler(self) -> SamplerClient:
        """See `Ground`."""
        return self.client

    def now_ns(self) -> int:
        """See `Ground`."""
        return self.on.recorded_now_ns()

    def find(self, name: str) -> Found:
        """See `Ground`."""
        engine, state = find(name, engines_of(self.on.connector))
        return Found(engine, state, life_there(self.on.connector, state))

    def look(self, engine: Knowing, name: str) -> Found | None:
        """See `Ground`."""
        state = look_again(engine, name)
        return None if state is None else Found(engine, state, life_there(self.on.connector, state))

    def lasts(self, life: Life) -> bool:
        """See `Ground`."""
        key, now = ProcessKey(self.host, life.pid, life.begin), time.monotonic()
        if self.client.follows(key):
            self._seen[key] = float("inf")
            return True
        since = self._seen.setdefault(key, now)
        if since == float("inf"):
            return False
        if not self.on.up:  # nothing can be heard of it
            since = self._seen[key] = now
        return now - since < _INTRODUCED_S

    def follow(self, life: Life, pool: str) -> None:
        """See `Ground`."""
        if self.on.has_python:
            self.client.follow_container(life.pid, life.state.id, pool)
            return
        self.client.follow(life.pid, pool)
        why = f"{self.host} has no Python: the tree below the first process of {life.state.name} is followed instead of its group"
        self.tell(
            "container.group", why, "what is started in it by exec is not seen, nor is what the kernel accounts to it"
        )

    def inner(self, infos: Sequence[ProcessInfo]) -> Inner:
        """See `Ground`. Many are asked for at once, every two seconds."""
        if self._asked is not None and self._asked.done():
            found, self._asked = self._asked.result(), None
            self._inner.update(found)
            self._newest.update({key.pid: (key, inner) for key, inner in sorted(found.items())})
        now = time.monotonic()
        unknown = [info.key for info in infos if info.key not in self._inner]
        if unknown and self._asked is None and self.on.up and now - self._asked_at >= _ASK_EVERY_S:
            self._asked_at = now
            self._asked = in_background(_inner_there, self.on.connector, unknown[:_MOST_ASKED])
        return {info.key: self._inner.pop(info.key) for info in infos if info.key in self._inner}

    def read(self, pid: int) -> int | None:
        """The id in its own namespace of the process that is followed by this one there; None while that is not known."""
        key, inner = self._newest.get(pid, (None, None))
        return inner if key is not None and self.client.follows(key) else None


def _inner_there(connector: Connector, keys: Sequence[ProcessKey]) -> Mapping[ProcessKey, int | None]:
    """None for those that are there no more, or not to be seen: they are not asked for again."""
    try:
        shown = show(connector, [key.pid for key in keys])
    except TargetError:
        return {}  # the line may be down
    return {key: _id_of(shown.get(key.pid), key) for key in keys}


def _id_of(shown: Shown | None, key: ProcessKey) -> int | None:
    return shown.inner if shown is not None and shown.begin == key.start_ticks else None
