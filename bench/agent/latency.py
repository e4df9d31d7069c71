"""What a profiler costs the request it measures, the requests beside it, and the process: ours and the stock tools, in turns."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
from contestants import BARE, NO_AGENT, OURS, UNTRIGGERED, Contestant, installed, stock
from launching import companion, context, environment, plans
from tables import spread, table

from adapters.python.adapter import ADAPTER
from harness.plugins.spec import LaunchPlan, ProfiledResponse

_WARM_UP = 5
_START_S = 60


class Plan(NamedTuple):
    """How much of it."""

    requests: int  # measured ones of a contestant's turn
    turns: int


class Turn(NamedTuple):
    """Medians of one turn: ms of a measured request, ms of ordinary requests afterwards, RSS of the server in bytes."""

    measured_ms: float
    after_ms: float
    rss: int
    start_s: float


@contextlib.contextmanager
def _serving(contestant: Contestant, directory: Path) -> Iterator[tuple[int, httpx.Client]]:
    """(pid of the server, client)."""
    env = {**os.environ, **contestant.env}
    companions: list[LaunchPlan] = []
    if contestant.tool != NO_AGENT:
        tools = () if contestant.tool == UNTRIGGERED else (contestant.tool,)
        plan, companions = plans(directory, contestant.argv, tools)
        env = {**environment(plan), **contestant.env}
    with (
        contextlib.ExitStack() as beside,
        (directory / "server.log").open("w") as log,
        subprocess.Popen(
            contestant.argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
            start_new_session=True,
        ) as server,
    ):  # fmt: skip
        assert server.stdout is not None
        try:
            for plan in companions:
                beside.enter_context(companion(plan))
            line = next((line for line in server.stdout if line.startswith("port ")), None)
            if line is None:
                raise RuntimeError(f"{contestant.name} did not start: {(directory / 'server.log').read_text()[-600:]}")
            with httpx.Client(base_url=f"http://127.0.0.1:{line.split()[1]}", timeout=_START_S) as client:
                yield server.pid, client
        finally:
            os.killpg(server.pid, signal.SIGKILL)


class _Requests:
    """Sends the requests of one turn."""

    def __init__(self, contestant: Contestant, directory: Path, client: httpx.Client) -> None:
        self._tool = contestant.tool
        self._context = context(directory, (contestant.tool,))
        self._client = client
        self._destination = directory / "artifacts"
        self._spans = 0

    def measured_ms(self) -> float:
        """One request that the contestant profiles; its result is awaited, so that it does not run beside the next one."""
        if self._tool in (NO_AGENT, UNTRIGGERED):
            return self.plain_ms()
        self._spans += 1
        span = f"{self._spans:016x}"
        trigger = ADAPTER.trigger(self._context, self._tool)
        headers = {**trigger.headers, "traceparent": f"00-{'c' * 32}-{span}-01"}
        begin = time.monotonic_ns()
        answer = self._client.get("/", headers=headers)
        end = time.monotonic_ns()
        response = ProfiledResponse(span, "/", answer.status_code, begin, end, {})
        artifact, *_ = ADAPTER.collect(self._context, trigger, response, self._destination)
        if artifact.path is None:
            raise RuntimeError(f"{self._tool}: {artifact.detail}")
        return (end - begin) / 1e6

    def plain_ms(self) -> float:
        """One ordinary request."""
        begin = time.monotonic_ns()
        self._client.get("/").raise_for_status()
        return (time.monotonic_ns() - begin) / 1e6


def _rss(pid: int) -> int:
    # memray and scalene may serve in a child
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return max(
        int(Path(f"/proc/{p}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") for p in [pid, *children]
    )


def _turn(contestant: Contestant, plan: Plan) -> Turn:
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        begin = time.monotonic()
        with _serving(contestant, directory) as (pid, client):
            requests = _Requests(contestant, directory, client)
            requests.plain_ms()
            start_s = time.monotonic() - begin
            for _ in range(_WARM_UP - 1):
                requests.plain_ms()
            requests.measured_ms()
            measured = statistics.median(requests.measured_ms() for _ in range(plan.requests))
            after = statistics.median(requests.plain_ms() for _ in range(plan.requests))
            return Turn(measured, after, _rss(pid), start_s)


def report(plan: Plan) -> str:
    """All contestants, as Markdown; ratios are taken within a turn."""
    with tempfile.TemporaryDirectory() as scratch:
        everybody = (BARE, *OURS, *stock(Path(scratch)))
        present = [c for c in everybody if installed(c)]
        turns: dict[str, list[Turn]] = {c.name: [] for c in present}
        for number in range(plan.turns):
            for contestant in present if number % 2 == 0 else reversed(present):
                turns[contestant.name].append(_turn(contestant, plan))
    rows = []
    for contestant in everybody:
        if contestant not in present:
            rows.append([contestant.name, f"not installed: {contestant.needs}", "", "", "", ""])
            continue
        pairs = list(zip(turns[contestant.name], turns[BARE.name], strict=True))
        rows.append(
            [
                contestant.name,
                spread([own.measured_ms for own, _ in pairs], 1),
                spread([own.measured_ms / bare.measured_ms for own, bare in pairs]),
                spread([own.after_ms / bare.after_ms for own, bare in pairs]),
                spread([(own.rss - bare.rss) / 1e6 for own, bare in pairs], 1),
                spread([own.start_s - bare.start_s for own, bare in pairs]),
            ]
        )
    head = ["", "profiled request, ms", "x alone", "other requests, x alone", "RSS added, MB", "start-up added, s"]
    return f"Medians of {plan.requests} requests, {plan.turns} turns each:\n\n{table(head, rows)}"
