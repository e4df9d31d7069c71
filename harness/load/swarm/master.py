"""``python -m harness.load.swarm.master``: Locust's master, driven over standard input and output by our load process.

First line in: the order (`Order`). Then the commands of docs/architecture.md, "Session <-> load", but for ``plan`` and ``one``.
Lines out are those of that page too, and ``{"k":"listening","port":N,"socket":PATH}`` before anything else;
``socket`` is null where it listens on a port.
"""

from __future__ import annotations

import locust  # isort: skip  # first of all: it replaces parts of the standard library

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from gevent.fileobject import FileObjectPosix
from gevent.queue import Queue
from locust import User, task
from locust.argument_parser import get_parser
from locust.env import Environment
from locust.main import merge_locustfiles_content
from locust.runners import STATE_MISSING, MasterRunner

from harness.load.schedule import apportion, planned_arrivals, round_blocks
from harness.load.swarm import private, wire
from harness.load.swarm.heard import Rows, health, whole

_HEALTH_S = 1.0
_WATCH_S = 0.2
_START_SOON_NS = 50_000_000  # a stage begins when all workers have heard of it
_UNSENT_LINES = 1000
_MAX_TEXT_CHARS = 200
_MOST_PID = 1 << 22  # PID_MAX_LIMIT, include/linux/threads.h


@dataclass(frozen=True, slots=True)
class Order:
    """What to be. ``listen``: host and port; None for a socket of its own that only this user can reach. ``workers``: how many to
    wait for, local and remote. ``locustfile``: somebody's own, else a scenario's plan is sent: then ``weights`` of the mix,
    ``seed`` and ``digest`` are the plan's. ``target``: the address of users of a locustfile that name none."""

    listen: tuple[str, int] | None
    workers: int
    users: int
    spawn_rate: float
    locustfile: str | None
    weights: tuple[float, ...]
    seed: int
    digest: str
    target: str | None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Order:
        listen = data["listen"]
        return cls(**{**data, "weights": tuple(data["weights"]), "listen": None if listen is None else tuple(listen)})


@dataclass(slots=True)
class Worker:
    """A worker that has said hello. ``users`` are spawned in it."""

    identity: str
    number: int
    host: str
    pid: int
    same_host: bool
    clock_error_ns: int = -1
    ready: bool = False
    users: int = 0
    health: Mapping[str, int] = field(default_factory=dict)
    job: int = 0  # the last one it has drained

    @property
    def name(self) -> str:
        return f"{self.host}, pid {self.pid}"


class ScenarioUser(User):
    """Stands for the class of this name in the workers (`harness.load.swarm.crew`): Locust spawns users by names."""

    @task
    def take_part(self) -> None:
        """Never called here: a master has no users."""


class TroubleError(Exception):
    """Cannot go on; the text is for people."""


class Master:
    """The conversation with all workers, and the one with the load process."""

    def __init__(self, order: Order, output: FileObjectPosix, socket: Path | None) -> None:
        """``socket``: where it listens when the order says nothing of it."""
        self._socket = socket
        self._order = order
        self._output = output
        self._lines: Queue = Queue(_UNSENT_LINES)  # who reads slowly holds the workers' messages back
        self._workers: dict[str, Worker] = {}
        self._changed = Event()  # something arrived that a job may wait for
        self._continue = Event()
        self._cancelled = Event()
        self._trouble: str | None = None
        self._all_ready = False
        self._spawned = False
        self._job = 0
        self._done = 0
        self._stages = 0
        self._rows = Rows()
        self._environment = self._make_environment()
        self._runner = self._make_runner()

    def _make_environment(self) -> Environment:
        path = self._order.locustfile
        if path is None:
            return Environment(user_classes=[ScenarioUser], events=locust.events)
        users, _, _, shape = merge_locustfiles_content([path])
        if not users:
            raise TroubleError(f"{path} has no user class")
        options = get_parser().parse_args(["-f", path, "--master", "--headless"])
        options.num_users, options.spawn_rate = self._order.users, self._order.spawn_rate
        nowhere = all(each.host is None for each in users.values())
        return Environment(
            user_classes=list(users.values()),
            shape_class=shape,
            events=locust.events,
            locustfile=os.path.basename(path),  # noqa: PTH119  as Locust itself says it
            parsed_options=options,
            host=options.host or (self._order.target if nowhere else None),
            stop_timeout=options.stop_timeout or 0.0,
        )

    def _make_runner(self) -> MasterRunner:
        runner: MasterRunner = self._environment.create_master_runner(*(self._order.listen or ("127.0.0.1", 0)))
        handlers = {wire.HELLO: self._hello, wire.PING: self._ping, wire.CLOCK: self._clock, wire.SPANS: self._spans,
                    wire.DRAINED: self._drained, wire.HEALTH: self._health, wire.TROUBLE: self._in_trouble}  # fmt: skip
        for kind, handler in handlers.items():
            runner.register_message(kind, self._listener(kind, handler))
        locust.events.init.fire(environment=self._environment, runner=runner, web_ui=None)  # type: ignore[no-untyped-call]
        return runner

    def serve(self, commands: FileObjectPosix) -> None:
        """Until the commands end."""
        gevent.spawn(self._write)
        gevent.spawn(self._watch)
        gevent.spawn(self._report)
        self.say(
            k="listening",
            port=self._runner.server.port,
            socket=None if self._socket is None else str(self._socket),
        )
        for line in commands:
            command = json.loads(line)
            name = command["cmd"]
            if name == "continue":
                self._continue.set()
            elif name == "cancel":
                self._cancelled.set()
                self._tell_all(wire.CANCEL)
                self._continue.set()
                self._changed.set()
            else:
                gevent.spawn(self._carry_out, command)

    def say(self, **line: object) -> None:
        """One line to the load process; waits when it does not read."""
        self._lines.put(json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") + b"\n")

    def _write(self) -> None:
        while True:
            self._output.write(self._lines.get())
            if self._lines.empty():
                self._output.flush()

    # -- commands --------------------------------------------------------------------------------------------------------

    def _carry_out(self, command: Mapping[str, Any]) -> None:
        self._cancelled.clear()
        try:
            if command["cmd"] == "round":
                self._round(command)
            elif command["cmd"] == "stage":
                self._stage(command)
            else:
                self._run(command)
        except TroubleError as trouble:
            self.say(k="error", text=str(trouble))
        except Exception as error:
            self.say(k="error", text=f"the master of the load workers failed: {type(error).__name__}: {error}")
            raise

    def _round(self, command: Mapping[str, Any]) -> None:
        """As `harness.load.traffic.Traffic.round`, the same requests, shared out over the workers."""
        number = command["round"]
        self._spawn_all()
        schedule = round_blocks(self._order.weights, command["requests"], command["blocks"], self._order.seed, number)
        began_ns = time.monotonic_ns()
        for block, indexes in enumerate(schedule):
            start_ns = time.monotonic_ns()
            job = {"phase": command["phase"], "round": number, "block": block}
            done = self._hand_out(wire.BLOCK, job, self._deal(indexes))
            if self._cancelled.is_set():
                break
            if done != len(indexes):
                raise TroubleError(
                    f"block {block} of round {number} had {len(indexes)} requests, and workers say that {done} were sent"
                )
            self._continue.clear()
            self.say(k="block", round=number, block=block, start=start_ns, end=time.monotonic_ns())
            self._continue.wait()
            if self._cancelled.is_set():
                break
        self.say(k="round", round=number, start=began_ns, end=time.monotonic_ns())

    def _stage(self, command: Mapping[str, Any]) -> None:
        self._spawn_all()
        dropped = self._total("dropped")
        phase, rates = command["phase"], {key: command[key] for key in ("rate_from", "rate_to", "seconds")}
        workers = list(self._workers.values())
        self._hand_out(wire.PREPARE, {"phase": phase}, {w.identity: {} for w in workers})
        start_ns = time.monotonic_ns() + _START_SOON_NS
        limits = apportion([1.0] * len(workers), command["max_in_flight"])
        common = {"phase": phase, **rates, "number": self._stages, "start": start_ns, "shares": len(workers),
                  "spare_user": self._order.users}  # fmt: skip
        self._stages += 1
        if not self._cancelled.is_set():
            shares = {w.identity: {"share": n, "max_in_flight": limit}
                      for n, (w, limit) in enumerate(zip(workers, limits, strict=True))}  # fmt: skip
            self._hand_out(wire.STAGE, common, shares)
        self.say(k="stage", start=start_ns, end=time.monotonic_ns(), planned=planned_arrivals(*rates.values()),
                 dropped=self._total("dropped") - dropped)  # fmt: skip

    def _run(self, command: Mapping[str, Any]) -> None:
        """Somebody's own users: spawned at the first command, stopped after the last."""
        self._tell_all(wire.PHASE, phase=command["phase"])
        start_ns = time.monotonic_ns()
        if not self._spawned:
            self._spawned = True
            if self._environment.shape_class:
                self._runner.start_shape()
            else:
                gevent.spawn(self._runner.start, self._order.users, self._order.spawn_rate)
        self._cancelled.wait(command["seconds"])
        if command["last"] or self._cancelled.is_set():
            self._runner.stop()
        self.say(k="stage", start=start_ns, end=time.monotonic_ns(), planned=0, dropped=0)

    # -- parts of them -----------------------------------------------------------------------------------------------------

    def _spawn_all(self) -> None:
        """Have Locust spawn the users, once; how many each worker got."""
        if self._spawned:
            return
        self._spawned = True
        self._runner.start(self._order.users, self._order.users)
        self._wait(lambda: sum(client.user_count for client in self._runner.clients.values()) >= self._order.users)
        self._runner._users_dispatcher = None  # a worker that comes now would make Locust share out the users anew
        for worker in self._workers.values():
            worker.users = self._runner.clients[worker.identity].user_count

    def _deal(self, indexes: Sequence[int]) -> dict[str, dict[str, object]]:
        """One request after the other to the users in turn, who live in the workers alternately."""
        seats = [
            worker.identity
            for turn in range(self._order.users)
            for worker in self._workers.values()
            if turn < worker.users
        ]
        hands: dict[str, list[int]] = {identity: [] for identity in self._workers}
        for place, index in enumerate(indexes):
            hands[seats[place % len(seats)]].append(index)
        return {identity: {"indexes": hand} for identity, hand in hands.items()}

    def _hand_out(self, kind: str, common: Mapping[str, Any], shares: Mapping[str, Mapping[str, object]]) -> int:
        """Give every worker its part and wait until all have done it; how many requests that were."""
        self._job += 1
        self._done = 0
        first_user = 0
        for worker in self._workers.values():
            data = {"job": self._job, "first_user": first_user, **common, **shares[worker.identity]}
            self._runner.send_message(kind, data, worker.identity)
            first_user += worker.users
        self._wait(lambda: all(worker.job == self._job for worker in self._workers.values()))
        return self._done

    def _wait(self, condition: Any) -> None:
        while not condition():
            if self._trouble is not None:
                raise TroubleError(self._trouble)
            self._changed.wait(_WATCH_S)
            self._changed.clear()

    def _tell_all(self, kind: str, **data: object) -> None:
        for identity in self._workers:
            self._runner.send_message(kind, dict(data), identity)

    def _total(self, name: str) -> int:
        return sum(worker.health.get(name, 0) for worker in self._workers.values())

    def _listener(self, kind: str, handler: Callable[[str, Mapping[str, Any]], None]) -> Any:
        def listen(environment: object, msg: Any, **_: object) -> None:
            known = self._workers.get(msg.node_id)
            if known is None and kind != wire.HELLO:
                return  # what strangers say is nothing to us
            try:
                handler(msg.node_id, msg.data)
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
                if known is None:
                    self._refuse(msg.node_id, "something that is no load worker came")
                else:
                    said = f"{kind}: {type(error).__name__}: {_shown(error)}"
                    self._give_up(f"the load worker on {known.name} said something that no worker says ({said})")

        return listen

    # -- what workers say --------------------------------------------------------------------------------------------------

    def _hello(self, identity: str, data: Mapping[str, Any]) -> None:
        host = _shown(data["host"])
        if data["version"] != wire.VERSION or data["digest"] != self._order.digest:
            self._refuse(
                identity, f"a load worker on {host} has another scenario: write it anew with `harness load export`"
            )
            return
        if len(self._workers) >= self._order.workers:
            self._refuse(identity, f"a load worker too many came, from {host}: {self._order.workers} were asked for")
            return
        if identity in self._workers:
            raise ValueError("a second greeting")
        same = data["clock"] == wire.clock_id()
        self._workers[identity] = Worker(identity, len(self._workers), host, whole(data["pid"], 1, _MOST_PID), same)
        self._runner.send_message(wire.WELCOME, {"clock": wire.clock_id()}, identity)

    def _refuse(self, identity: str, why: str) -> None:
        """Send a worker away; the others go on."""
        self.say(k="note", text=f"refused: {why}")
        self._runner.send_message("quit", None, identity)
        if identity in self._runner.clients:
            del self._runner.clients[identity]  # Locust would give it users

    def _ping(self, identity: str, data: Mapping[str, Any]) -> None:
        self._runner.send_message(wire.PONG, {"id": data["id"], "t": time.monotonic_ns()}, identity)

    def _clock(self, identity: str, data: Mapping[str, Any]) -> None:
        worker = self._workers[identity]
        self._introduce(worker, whole(data["error"]))
        worker.ready = True
        if len(self._workers) == self._order.workers and all(w.ready for w in self._workers.values()):
            self._all_ready = True
            self.say(k="ready")

    def _introduce(self, worker: Worker, error_ns: int) -> None:
        """Say who it is, and again when its clock is known less well than was said."""
        if error_ns > worker.clock_error_ns:
            error_ns += error_ns // 4  # it grows a little with time: not a line for each block
            worker.clock_error_ns = error_ns
            self.say(k="worker", number=worker.number, host=worker.host, pid=worker.pid, clock_error=error_ns,
                     same_host=worker.same_host)  # fmt: skip

    def _spans(self, identity: str, data: Mapping[str, Any]) -> None:
        for rows in self._rows.lines(data["rows"]):
            self.say(k="spans", rows=rows)

    def _drained(self, identity: str, data: Mapping[str, Any]) -> None:
        if data["job"] == self._job:
            worker = self._workers[identity]
            done = whole(data["done"])
            self._introduce(worker, whole(data["error"]))
            self._done += done if worker.job != self._job else 0  # said twice, it counts once
            worker.job = self._job
            self._changed.set()

    def _health(self, identity: str, data: Mapping[str, Any]) -> None:
        self._workers[identity].health = health(data)

    def _in_trouble(self, identity: str, data: Mapping[str, Any]) -> None:
        self._give_up(f"the load worker on {self._workers[identity].name} cannot go on: {_shown(data['text'])}")

    def _give_up(self, text: str) -> None:
        if self._trouble is None:
            self._trouble = text
            self.say(k="error", text=text)
            self._changed.set()

    # -- always going on ---------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Notice workers that are gone: without one, rounds are no longer alike."""
        while True:
            gevent.sleep(_WATCH_S)
            for identity, worker in self._workers.items():
                client = self._runner.clients.get(identity)
                if client is None or client.state == STATE_MISSING:
                    self._give_up(f"the load worker on {worker.name} was lost")

    def _report(self) -> None:
        while True:
            gevent.sleep(_HEALTH_S)
            local = [w.health for w in self._workers.values() if w.same_host and w.health]
            self.say(
                k="health",
                cpu=time.process_time_ns() + sum(h["cpu"] for h in local),
                rss=sum(h["rss"] for h in local),
                lag=max((w.health["lag"] for w in self._workers.values() if w.health), default=0),
                **{name: self._total(name) for name in ("in_flight", "dropped", "retried")},
            )


def _shown(text: object) -> str:
    """What another machine says, as one short printable line."""
    return "".join(c if c.isprintable() else " " for c in str(text))[:_MAX_TEXT_CHARS]


def main() -> None:
    """Read the order, then be the master until standard input ends."""
    output = FileObjectPosix(os.dup(1), "wb")
    os.dup2(2, 1)  # what others print goes to standard error from now on
    commands = FileObjectPosix(0, "rb")
    order = Order.from_json(json.loads(commands.readline()))
    socket: Path | None = None
    try:
        socket = private.listen() if order.listen is None else None
        master = Master(order, output, socket)
    except (Exception, SystemExit) as error:  # noqa: BLE001  it may be their file that raises, whatever that is
        text = str(error) if isinstance(error, TroubleError) else f"{type(error).__name__}: {error}"
        output.write(json.dumps({"k": "error", "text": f"Locust does not start: {_shown(text)}"}).encode() + b"\n")
        output.flush()
        private.forget(socket)
        os._exit(1)
    master.serve(commands)
    private.forget(socket)
    os._exit(0)  # Locust would say goodbye first, which takes a second; the workers end with their own pipes


if __name__ == "__main__":
    # Ctrl-C reaches the whole process group of the terminal; what happens then is the session's decision.
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
