"""Python servers launched as the session launches them: with the adapter's agent, in a work directory of their own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
from processes import DEADLINE_S

from adapters.python import deploy
from adapters.python.adapter import ADAPTER
from harness.model.profile import Artifact, Profile
from harness.model.span import BootRecord, FloorRecord, RequestRecord, ToolRecord
from harness.plugins.spec import AdapterContext, LaunchPlan, ProfiledResponse

PROGRAMS = Path(__file__).parents[1] / "programs"
TOKEN = "5f" * 16
_ANNOUNCED = re.compile(
    r"port (\d+)\n|(?:Listening at:|Running on|running on|Serving on) http://127\.0\.0\.1:(\d+)"
    r"|Listening on TCP address 127\.0\.0\.1:(\d+)|bound to TCP address 127\.0\.0\.1:(\d+)"  # daphne, uWSGI
)

Record = RequestRecord | BootRecord | ToolRecord | FloorRecord


class Service:
    """One launched server. Its port is what it announces in its output, or the one it was given."""

    def __init__(
        self,
        work_dir: Path,
        plan: LaunchPlan,
        tools: Sequence[str] = ("tracemalloc",),
        functions: Sequence[str] = (),
        options: Mapping[str, object] | None = None,
        user: int | None = None,
        port: int | None = None,
    ) -> None:
        self.context = AdapterContext(work_dir, TOKEN, options or {}, tuple(tools), tuple(functions))
        prepared, *companions = ADAPTER.prepare(self.context, [plan]).plans
        self.companions = [start_companion(companion) for companion in companions]
        self._log = (work_dir / "target.log").open("w+b")
        env = set_only({**os.environ, **prepared.env})
        self.process = subprocess.Popen(
            prepared.argv, env=env, cwd=prepared.cwd, stdin=subprocess.DEVNULL, stdout=self._log,
            stderr=subprocess.STDOUT, start_new_session=True, user=user,
        )  # fmt: skip
        self.http = httpx.Client(timeout=DEADLINE_S)
        self._spans = 0
        port = self._await_port() if port is None else self._await_listener(port)
        self.http.base_url = f"http://127.0.0.1:{port}"  # type: ignore[assignment]  # the setter takes text

    def output(self) -> str:
        self._log.flush()
        return (self.context.work_dir / "target.log").read_text("utf-8", "replace")

    def _await_port(self) -> int:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            match = _ANNOUNCED.search(self.output())
            if match:
                return self._await_connection(int(next(filter(None, match.groups()))))
            assert self.process.poll() is None, self.output()
            time.sleep(0.02)
        raise AssertionError(f"no port announced: {self.output()}")

    def _await_connection(self, port: int) -> int:
        """uvicorn announces a port before it listens."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            with suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
                return port
            time.sleep(0.02)
        raise AssertionError(f"nobody listens on {port}: {self.output()}")

    def _await_listener(self, port: int) -> int:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            try:
                self.http.get(f"http://127.0.0.1:{port}/")
            except httpx.TransportError:
                assert self.process.poll() is None, self.output()
                time.sleep(0.02)
                continue
            return port
        raise AssertionError(f"nobody listens on {port}: {self.output()}")

    def stop(self) -> None:
        self.http.close()
        for companion in self.companions:
            stop_companion(companion)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(10)
        self._log.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None, span: str | None = None) -> httpx.Response:
        self._spans += 1
        span = span or f"{self._spans:016x}"
        response = self.http.get(path, headers={"traceparent": f"00-{'c' * 32}-{span}-01", **(headers or {})})
        response.extensions["span"] = span
        return response

    def measure(
        self, tool: str, path: str, warmups: int | None = None
    ) -> tuple[httpx.Response, Artifact, Profile | None]:
        """A triggered request, collected and parsed."""
        trigger = ADAPTER.trigger(self.context, tool)
        for _ in range(trigger.warmups if warmups is None else warmups):
            self.get(path, trigger.headers)
            trigger = ADAPTER.trigger(self.context, tool)
        start = time.monotonic_ns()
        response = self.get(path, trigger.headers)
        answer = ProfiledResponse(
            response.extensions["span"], path, response.status_code, start, time.monotonic_ns(), dict(response.headers)
        )
        destination = self.context.work_dir / "artifacts"
        artifact, *_ = ADAPTER.collect(self.context, trigger, answer, destination)
        profile = ADAPTER.parse(tool, destination / artifact.path) if artifact.path else None
        return response, artifact, profile

    def records(self) -> list[Record]:
        [source] = ADAPTER.record_sources(self.context)
        lines = record_lines(self.context)
        parsed = [source.parse(line) for line in lines]
        assert all(record is not None for record in parsed), lines
        return [record for record in parsed if record is not None]

    def requests(self, count: int) -> list[RequestRecord]:
        """Request records, once there are ``count`` of them: a streamed response is recorded at its close."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            found = [r for r in self.records() if isinstance(r, RequestRecord)]
            if len(found) >= count or time.monotonic() > deadline:
                assert len(found) == count, found
                return found
            time.sleep(0.01)


def start_companion(plan: LaunchPlan) -> subprocess.Popen[bytes]:
    """A companion of the profiled pass that says on its output when it listens."""
    process = subprocess.Popen(
        plan.argv, env=set_only({**os.environ, **plan.env}), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert b"listening" in process.stdout.readline()
    return process


def stop_companion(process: subprocess.Popen[bytes]) -> None:
    """It ends with its input."""
    process.communicate(timeout=DEADLINE_S)


class Services:
    """Launches servers for one test; `stop` ends all of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.started: list[Service] = []

    def serve(
        self,
        argv: Sequence[str],
        *,
        tools: Sequence[str] = ("tracemalloc",),
        functions: Sequence[str] = (),
        options: Mapping[str, object] | None = None,
        port: int | None = None,
        **env: str,
    ) -> Service:
        """Any server; the test programs are importable in it."""
        work_dir = self.directory / f"work{len(self.started)}"
        work_dir.mkdir()
        plan = LaunchPlan("app", tuple(argv), {"PYTHONPATH": str(PROGRAMS), **env}, cwd=self.directory)
        service = Service(work_dir, plan, tools, functions, options, port=port)
        self.started.append(service)
        return service

    def wsgiref(
        self,
        python: str = sys.executable,
        *,
        tools: Sequence[str] = ("tracemalloc",),
        functions: Sequence[str] = (),
        options: Mapping[str, object] | None = None,
    ) -> Service:
        """The plain WSGI test application, which any Python runs without packages."""
        argv = [python, str(PROGRAMS / "python_wsgi_app.py")]
        return self.serve(argv, tools=tools, functions=functions, options=options)

    def gunicorn(
        self,
        app: str,
        *flags: str,
        python: str = sys.executable,
        tools: Sequence[str] = ("tracemalloc",),
        functions: Sequence[str] = (),
        options: Mapping[str, object] | None = None,
    ) -> Service:
        """An application of the test programs behind gunicorn."""
        # The control socket of recent versions has one fixed name for each user; old ones do not know the option.
        known = subprocess.run([python, "-m", "gunicorn", "--help"], capture_output=True, text=True, check=True).stdout
        quiet = ["--no-control-socket"] if "--no-control-socket" in known else []
        argv = [python, "-m", "gunicorn", app, "-b", "127.0.0.1:0", *quiet, *flags]
        return self.serve(argv, tools=tools, functions=functions, options=options)

    def stop(self) -> None:
        for service in self.started:
            service.stop()


def prepared(
    directory: Path,
    argv: Sequence[str],
    options: Mapping[str, object] | None = None,
    tools: Sequence[str] = ("tracemalloc",),
    **env: str,
) -> tuple[AdapterContext, dict[str, str]]:
    """The context and the environment of a launch that the test starts itself."""
    work_dir = directory / "work"
    work_dir.mkdir(parents=True)
    context = AdapterContext(work_dir, TOKEN, options or {}, tuple(tools))
    [plan] = ADAPTER.prepare(context, [LaunchPlan("app", tuple(argv), env)]).plans
    return context, set_only({**os.environ, **plan.env})


def record_lines(context: AdapterContext) -> list[bytes]:
    """What agents have written so far, line by line."""
    return [line for path in context.work_dir.glob(deploy.RECORDS_PATTERN) for line in path.read_bytes().splitlines()]


def set_only(env: Mapping[str, str | None]) -> dict[str, str]:
    """The variables that are to be set; None removes one."""
    return {k: v for k, v in env.items() if v is not None}
