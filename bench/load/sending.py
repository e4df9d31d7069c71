"""The same requests to the same server by everybody in turn, and the CPU time of whoever sent them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tables import spread, table

from harness.load.plan import LoadPlan, RequestPlan

_TICKS = os.sysconf("SC_CLK_TCK")
_SERVER = """
daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log; worker_rlimit_nofile 1024;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {directory}/b; proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ default_type text/plain; return 200 "hello"; }} }}
}}
"""
_THEIRS = """
from locust import FastHttpUser, constant, task
class Shopper(FastHttpUser):
    host = "{url}"
    wait_time = constant(0)
    @task
    def home(self):
        self.client.get("/", name="home")
"""


class Plan(NamedTuple):
    """How much. ``requests``: of each contestant in each turn."""

    requests: int
    users: int
    turns: int


class Cost(NamedTuple):
    """Of one turn: CPU time per request, and requests per second."""

    cpu_us: float
    per_second: float


@contextmanager
def server() -> Iterator[str]:
    """nginx with one process; its address. Raises RuntimeError where there is none."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if nginx is None:
        raise RuntimeError("nginx is not installed: apt install nginx-light")
    with tempfile.TemporaryDirectory() as directory, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        configuration = Path(directory) / "nginx.conf"
        configuration.write_text(_SERVER.format(directory=directory, port=port))
        with subprocess.Popen([nginx, "-p", directory, "-c", configuration, "-e", f"{directory}/error.log"]) as process:
            try:
                _wait(lambda: socket.create_connection(("127.0.0.1", port)).close())
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()


def _wait(attempt: Callable[[], object]) -> None:
    for _ in range(500):
        try:
            attempt()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("nginx does not listen")


class Engine:
    """Our load process with one engine, kept for all turns."""

    def __init__(self, url: str, plan: Plan, engine: str = "builtin", **options: object) -> None:
        self._plan = plan
        self._number = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        requests = LoadPlan(url, (RequestPlan("home", "/"),), users=plan.users)
        self._send(cmd="plan", plan=requests.to_json(), engine=engine, options=options)
        self._until("ready")
        self.turn()  # connections, users, and what is loaded once

    def turn(self) -> Cost:
        """One round."""
        before, began = self._cpu_s(), time.monotonic()
        self._send(cmd="round", phase="rounds", round=self._number, requests=self._plan.requests, blocks=1)
        self._until("block")
        seconds, cpu_s = time.monotonic() - began, self._cpu_s() - before
        self._send(cmd="continue")
        self._until("round")
        self._number += 1
        return Cost(cpu_s / self._plan.requests * 1e6, self._plan.requests / seconds)

    def close(self) -> None:
        self._process.communicate()

    def _send(self, **line: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()

    def _until(self, kind: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            line: dict[str, Any] = json.loads(text)
            if line["k"] == kind:
                return line
            if line["k"] == "error":
                raise RuntimeError(line["text"])
        raise RuntimeError("the load process ended")

    def _cpu_s(self) -> float:
        """Of the load process and of all that it started."""
        own = str(self._process.pid)
        total = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if own in (stat.parent.name, fields[1]):
                total += int(fields[11]) + int(fields[12])
        return total / _TICKS


class Command:
    """A program that is started for each turn. ``done``: how many requests its output says it sent, and in how many seconds.
    ``idle``: a run of it that sends nothing, whose CPU time is taken off."""

    def __init__(self, argv: list[str], done: Callable[[str], tuple[int, float]], idle: list[str]) -> None:
        self._argv = argv
        self._done = done
        self._start_s = self._run(idle)[0]

    def turn(self) -> Cost:
        cpu_s, output = self._run(self._argv)
        requests, seconds = self._done(output)
        return Cost((cpu_s - self._start_s) / requests * 1e6, requests / seconds)

    def close(self) -> None:
        """Nothing is left."""

    @staticmethod
    def _run(argv: list[str]) -> tuple[float, str]:
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            output = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_utime + usage.ru_stime, output


def _wrk(url: str, plan: Plan) -> Command:
    def done(output: str) -> tuple[int, float]:
        line = next(line for line in output.splitlines() if " requests in " in line)
        count, _, _, seconds, *_ = line.replace(",", "").split()
        return int(count), float(seconds.removesuffix("s"))

    argv = ["wrk", "-t1", f"-c{plan.users}", f"-d{_seconds(plan)}s", f"{url}/"]
    return Command(argv, done, ["wrk", "-v"])


def _ab(url: str, plan: Plan) -> Command:
    def done(output: str) -> tuple[int, float]:
        values = {
            name: value.split()[0]
            for name, _, value in (line.partition(":") for line in output.splitlines())
            if value.split()
        }
        return int(values["Complete requests"]), float(values["Time taken for tests"])

    argv = ["ab", "-q", "-k", "-n", str(plan.requests), "-c", str(plan.users), f"{url}/"]
    return Command(argv, done, ["ab", "-V"])


def _locust_alone(url: str, plan: Plan, directory: Path) -> Command:
    """Its fastest users, in one process, without anything of ours."""
    file = directory / "theirs.py"
    file.write_text(_THEIRS.format(url=url))
    seconds = _seconds(plan)

    def done(output: str) -> tuple[int, float]:
        return sum(entry["num_requests"] for entry in json.loads(output)), float(seconds)

    locust = [sys.executable, "-m", "locust", "-f", str(file)]
    users = ["-u", str(plan.users), "-r", str(plan.users), "-t", f"{seconds}s"]
    return Command([*locust, "--headless", *users, "--json", "--loglevel", "ERROR"], done, [*locust, "--list"])


def _seconds(plan: Plan) -> int:
    """For those that know times only: about as long as the others take."""
    return max(1, plan.requests // 4000)


def report(plan: Plan, url: str) -> str:
    """The table."""
    contestants: dict[str, Callable[[], Engine | Command]] = {
        "built-in": lambda: Engine(url, plan),
        "Locust, 1 worker": lambda: Engine(url, plan, "locust", workers=1),
        "Locust, 2 workers": lambda: Engine(url, plan, "locust", workers=2),
        "Locust alone, FastHttpUser": lambda: _locust_alone(url, plan, directory),
        "ab": lambda: _ab(url, plan),
        "wrk": lambda: _wrk(url, plan),
    }
    missing = {name: f"not installed: apt install {package}" for name, package in (("ab", "apache2-utils"), ("wrk", "wrk"))
               if shutil.which(name) is None}  # fmt: skip
    costs: dict[str, list[Cost]] = {name: [] for name in contestants if name not in missing}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        running = {name: contestants[name]() for name in costs}
        for each in running.values():
            stack.callback(each.close)
        for turn in range(plan.turns):
            for name in sorted(running, key=list(running).index, reverse=turn % 2 == 1):
                costs[name].append(running[name].turn())
    rows = []
    for name in contestants:
        if name in missing:
            rows.append([name, missing[name], "", ""])
            continue
        ratios = [mine.cpu_us / ours.cpu_us for mine, ours in zip(costs[name], costs["built-in"], strict=True)]
        rows.append(
            [name, spread([c.cpu_us for c in costs[name]], 0), f"{statistics.median(ratios):.3f}",
             spread([c.per_second for c in costs[name]], 0)]
        )  # fmt: skip
    text = f"{plan.requests} requests by {plan.users} users in each of {plan.turns} turns; nginx, on the same machine, answers."
    return f"{text}\n\n{table(['sender', 'CPU us per request', 'of built-in', 'requests per second'], rows)}"
