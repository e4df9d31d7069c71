"""A scenario in a Locust worker: its users, and what they do when the master says so.

What a user sends before a request, its captures, checks and spans are `harness.load.user`, as in the built-in engine.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
from gevent.pool import Group
from gevent.queue import Queue
from locust import User, constant, events, task
from locust.env import Environment
from locust.runners import WorkerRunner

from harness.load.cookies import CookieJar
from harness.load.exchange import Base, Counters
from harness.load.plan import LoadPlan
from harness.load.render import compile_plan
from harness.load.schedule import arrival_offsets_ns, endless_mix
from harness.load.swarm import private, wire
from harness.load.swarm.gevent_client import GeventClient, drive, tls_context
from harness.load.swarm.member import Member, end_with_the_line
from harness.load.user import Slot, VirtualUser
from harness.model.span import PhaseName, Span

_REFUSED_PAUSE_S = 0.05
_CANCEL_LATENCY_S = 0.1
PLAN_FILE = "plan.json"


def read_plan(directory: Path) -> tuple[LoadPlan, str]:
    """The plan and its digest: from standard input, else from the file beside the locustfile, with constants of the environment.

    Ends the process with a text for people where one of them is not.
    """
    if os.environ.get(wire.ORDER_FROM_STDIN):
        data = json.loads(sys.stdin.buffer.readline())["plan"]
    else:
        data = json.loads((directory / PLAN_FILE).read_text(encoding="utf-8"))
        missing = sorted(name for name in data["variables"] if name not in os.environ)
        if missing:
            sys.exit(
                f"the scenario needs ${{{missing[0]}}}: set {', '.join(missing)} in the environment of this worker"
            )
        data["variables"] = {name: os.environ[name] for name in data["variables"]}
    plan = LoadPlan.from_json(data)
    return plan, wire.digest(plan.to_json())


@dataclass(slots=True)
class Job:
    """Part of a round or stage for this worker. ``indexes``: what to request; all users take from it. ``busy``: users at it."""

    number: int
    slot: Slot
    indexes: Iterator[int]
    busy: int
    done: int = 0


class Crew:
    """All virtual users of this process."""

    def __init__(self, environment: Environment, runner: WorkerRunner, plan: LoadPlan, digest: str) -> None:
        self.counters = Counters()
        self._environment = environment
        self._compiled = compile_plan(plan)
        self._base = Base.parse(plan.base_url)
        self._tls = tls_context(verify=plan.verify, ca_file=plan.ca_file)
        self._users: list[VirtualUser] = []
        self._inboxes: list[Queue] = []
        self._spare: list[VirtualUser] = []  # made for stages that needed more
        self._cancelled = False
        self.member = Member(runner, digest, self.counters)
        self.member.on(wire.BLOCK, self._block)
        self.member.on(wire.PREPARE, self._prepare)
        self.member.on(wire.STAGE, self._stage)
        self.member.on(wire.CANCEL, self._cancel)

    def join(self) -> tuple[VirtualUser, Queue]:
        """A user that Locust has spawned, and where its jobs come from."""
        user, inbox = self._new_user(), Queue()
        self._users.append(user)
        self._inboxes.append(inbox)
        return user, inbox

    def work(self, user: VirtualUser, job: Job) -> None:
        """One user's part of a job; the last one at it says that it is over."""
        try:
            drive(user.prepare(job.slot))  # also where nothing is left to send: all of it belongs to the first round
            for index in job.indexes:
                if self._cancelled:
                    break
                span = drive(user.request(self._compiled.weighted[index], job.slot))
                job.done += 1
                if span.error == "connection refused":
                    gevent.sleep(_REFUSED_PAUSE_S)  # a dead target costs a pause, not a busy loop
        except asyncio.CancelledError:
            raise gevent.GreenletExit from None
        except Exception as error:
            self.member.trouble(f"{type(error).__name__}: {error}")
            raise
        job.busy -= 1
        if job.busy == 0:
            self.member.drained(job.number, job.done)

    # -- what the master says ------------------------------------------------------------------------------------------

    def _block(self, data: Mapping[str, Any]) -> None:
        slot = Slot(PhaseName(data["phase"]), data["round"], data["block"])
        self._hand_out(data, slot, data["indexes"])

    def _prepare(self, data: Mapping[str, Any]) -> None:
        self._hand_out(data, Slot(PhaseName(data["phase"])), ())

    def _hand_out(self, data: Mapping[str, Any], slot: Slot, indexes: list[int] | tuple[()]) -> None:
        self.member.align()
        self._cancelled = False
        job = Job(data["job"], slot, iter(indexes), len(self._users))
        if not self._users:
            self.member.drained(job.number, 0)
        for number, (user, inbox) in enumerate(zip(self._users, self._inboxes, strict=True)):
            user.number = data["first_user"] + number
            inbox.put(job)

    def _stage(self, data: Mapping[str, Any]) -> None:
        """This worker's share of the arrivals: every n-th, of the same schedule and the same mix."""
        self.member.align()
        start_ns = data["start"] - self.member.alignment.offset_ns
        offsets = arrival_offsets_ns(data["rate_from"], data["rate_to"], data["seconds"])
        plan = self._compiled.plan
        arrivals = zip(offsets, endless_mix(self._compiled.weights, plan.seed, data["number"]), strict=False)
        slot = Slot(PhaseName(data["phase"]))
        idle = deque([*self._users, *self._spare])
        group = Group()
        active = done = 0

        def iteration(user: VirtualUser, index: int, intended_ns: int) -> None:
            nonlocal active
            try:
                drive(user.request(index, slot, intended_ns))
            finally:
                active -= 1
                idle.append(user)

        for offset_ns, index in itertools.islice(arrivals, data["share"], None, data["shares"]):
            if not self._wait_until(start_ns + offset_ns):
                break
            if active >= data["max_in_flight"]:
                self.counters.dropped += 1
                continue
            active += 1
            done += 1
            group.spawn(iteration, self._idle_user(idle, data), self._compiled.weighted[index], start_ns + offset_ns)
        self._wait_until(start_ns + int(data["seconds"] * 1e9))  # the last arrival is not the end
        group.join()
        self.member.drained(data["job"], done)

    def _cancel(self, data: Mapping[str, Any]) -> None:
        self._cancelled = True

    # -- parts -----------------------------------------------------------------------------------------------------------

    def _idle_user(self, idle: deque[VirtualUser], data: Mapping[str, Any]) -> VirtualUser:
        if idle:
            return idle.popleft()
        user = self._new_user()
        self._spare.append(user)
        user.number = data["spare_user"] + (len(self._spare) - 1) * data["shares"] + data["share"]
        return user

    def _wait_until(self, t_ns: int) -> bool:
        """Until ``t_ns``, on the clock of this process; False when cancelled before."""
        while not self._cancelled:
            seconds = (t_ns - time.monotonic_ns()) / 1e9
            gevent.sleep(min(max(seconds, 0.0), _CANCEL_LATENCY_S))
            if seconds <= 0:
                return True
        return False

    def _new_user(self) -> VirtualUser:
        client = GeventClient(self._tls, CookieJar(self._base.host), self.counters)
        return VirtualUser(0, self._compiled, self._base, client, self.counters, self._record)

    def _record(self, span: Span) -> None:
        self.member.span(span)
        failure = span.error or (f"failed: {', '.join(span.failed_checks)}" if span.failed_checks else None)
        self._environment.events.request.fire(  # type: ignore[no-untyped-call]
            request_type=_METHODS[span.endpoint],
            name=span.endpoint,
            response_time=span.latency_ns / 1e6,
            response_length=span.body_bytes,
            exception=None if failure is None else RuntimeError(failure),
            context={},
        )


class ScenarioUser(User):
    """A simulated user as Locust counts them: takes part in whatever the master announces."""

    wait_time = constant(0)

    def on_start(self) -> None:
        """Be one of the crew."""
        assert _crew is not None
        self._user, self._inbox = _crew.join()

    @task
    def take_part(self) -> None:
        """Wait for the next job and do what is left of it."""
        assert _crew is not None
        _crew.work(self._user, self._inbox.get())


_crew: Crew | None = None
_METHODS: dict[str, str] = {}


def serve(directory: Path) -> None:
    """What the locustfile does when it is read: have a crew ready when Locust is. ``directory``: where the plan may be."""
    private.join()
    plan, digest = read_plan(directory)
    end_with_the_line()
    _METHODS.update({request.name: request.method for request in plan.requests})
    ScenarioUser.host = plan.base_url

    def init(environment: Environment, **_: object) -> None:
        global _crew  # noqa: PLW0603  Locust makes the users, and hands them nothing of ours
        if not isinstance(environment.runner, WorkerRunner):
            sys.exit("this locustfile is for workers: add --worker --master-host HOST --master-port PORT")
        _crew = Crew(environment, environment.runner, plan, digest)

    events.init.add_listener(init)  # type: ignore[no-untyped-call]
