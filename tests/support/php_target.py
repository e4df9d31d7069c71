"""A target of the PHP adapter for tests: started from the plans it returns, asked, profiled."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from processes import DEADLINE_S, wait_for

from adapters.php.adapter import ADAPTER
from harness.model.profile import Artifact, ArtifactStatus, Profile
from harness.model.span import BootRecord, CostRecord, FloorRecord, RequestRecord
from harness.plugins.spec import AdapterContext, LaunchPlan, Prepared, ProfiledResponse, Trigger

PROGRAMS = Path(__file__).parents[1] / "programs"
TOKEN = "0123456789abcdef" * 2


def environment(plan: LaunchPlan) -> dict[str, str]:
    env = dict(os.environ)
    for name, value in plan.env.items():
        env.pop(name, None)
        if value is not None:
            env[name] = value
    return env


@contextmanager
def started(plan: LaunchPlan, log: Path, **extra_env: str) -> Iterator[subprocess.Popen[bytes]]:
    """One program in a process group of its own, ready; the group is ended at the end."""
    with open(log, "ab") as output:
        process = subprocess.Popen(
            plan.argv, env={**environment(plan), **extra_env}, cwd=plan.cwd, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        if plan.ready is not None:
            wait_ready(plan.ready, process, log)
        yield process
    finally:
        end_group(process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Interrupt, wait for every process of the group, kill what is left."""
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(5)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait(DEADLINE_S)


def wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    def answers() -> bool:
        assert process.poll() is None, log.read_text(errors="replace")
        try:
            if url.startswith("tcp://"):
                return httpx.get(url.replace("tcp", "http"), timeout=5).status_code > 0
            return httpx.get(url, timeout=5).status_code < 500
        except httpx.TransportError:
            return False

    wait_for(answers, url, DEADLINE_S)


class Target:
    """A prepared run: context, plans, and what can be asked of it."""

    def __init__(
        self, work_dir: Path, options: Mapping[str, object], scenario_dir: Path, tools: Sequence[str] = ("xdebug",)
    ) -> None:
        work_dir.mkdir(parents=True, exist_ok=True)
        work_dir.chmod(0o711)
        self.context = AdapterContext(work_dir, TOKEN, options, tuple(tools), scenario_dir=scenario_dir)
        self.log = work_dir / "target.log"
        self.artifacts = work_dir / "artifacts"
        self.prepared = Prepared(())

    def prepare(self, *plans: LaunchPlan) -> Prepared:
        self.prepared = ADAPTER.prepare(self.context, plans)
        return self.prepared

    @property
    def profiles(self) -> list[Path]:
        return sorted((self.context.work_dir / "php" / "profiles").glob("*/*"))

    def get(self, path: str, span: str | None = None, **cookies: str) -> httpx.Response:
        headers = {} if span is None else {"traceparent": f"00-{'ab' * 16}-{span}-01"}
        return httpx.get(f"{self.prepared.base_url}{path}", headers=headers, cookies=cookies, timeout=DEADLINE_S)

    def records(self) -> list[RequestRecord | BootRecord | FloorRecord | CostRecord]:
        found: list[RequestRecord | BootRecord | FloorRecord | CostRecord] = []
        for source in ADAPTER.record_sources(self.context):
            for file in self.context.work_dir.glob(source.pattern):
                for line in file.read_bytes().splitlines():
                    record = source.parse(line)
                    assert isinstance(record, RequestRecord | BootRecord | FloorRecord | CostRecord), line
                    found.append(record)
        return found

    def record_of(self, span: str) -> RequestRecord:
        found: list[RequestRecord] = []

        def arrived() -> bool:
            found.extend(r for r in self.records() if isinstance(r, RequestRecord) and r.span_id == span)
            return bool(found)

        wait_for(arrived, f"the record of {span}", DEADLINE_S)
        return found[0]

    def profiled(
        self, path: str, trigger: Trigger | None = None, *, tool: str = "xdebug", mark: str | None = None
    ) -> tuple[Artifact, httpx.Response]:
        """One triggered request and its only artifact. ``mark`` is its span."""
        trigger = trigger or ADAPTER.trigger(self.context, tool)
        answer, response = self.triggered(path, trigger, mark or span())
        [artifact] = ADAPTER.collect(self.context, trigger, answer, self.artifacts)
        return artifact, response

    def triggered(
        self,
        path: str,
        trigger: Trigger,
        mark: str,
        warmups: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> tuple[ProfiledResponse, httpx.Response]:
        """One request with a trigger and a span, as the adapter gets it and as the client does."""
        start_ns = time.monotonic_ns()
        headers = {**({"traceparent": f"00-{'ab' * 16}-{mark}-01"} if mark else {}), **(headers or {})}
        base_url = trigger.base_url or self.prepared.base_url
        response = httpx.get(f"{base_url}{path}", headers=headers, cookies=dict(trigger.cookies), timeout=DEADLINE_S)
        answer = ProfiledResponse(
            mark, f"page {path}", response.status_code, start_ns, time.monotonic_ns(),
            {name.lower(): value for name, value in response.headers.items()}, tuple(warmups),
        )  # fmt: skip
        return answer, response

    def parsed(self, artifact: Artifact) -> Profile:
        assert artifact.status is ArtifactStatus.COMPLETE, artifact
        assert artifact.path is not None
        return ADAPTER.parse(artifact.tool, self.artifacts / artifact.path)


def functions(profile: Profile) -> set[str]:
    return {frame.function for frame in profile.frames}


def span() -> str:
    return secrets.token_hex(8)
