"""Which of several results of a profiled request is kept. Load generator and server are real; the adapter is the test's."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, cast

import pytest
from timelines import manifest

from harness.clock import SystemClock
from harness.model.event import Scalar
from harness.model.profile import Artifact, ArtifactStatus
from harness.model.run import RawRun
from harness.plugins.spec import AdapterContext, LanguageAdapter, ProfiledResponse, Trigger
from harness.scenario.reader import parse_scenario
from harness.session import compiling
from harness.session.agents.places import Places
from harness.session.agents.spread import Spread
from harness.session.load_client import LoadClient
from harness.session.profiling.requests import Enough, How, ProfiledPass
from harness.session.progress import Progress
from harness.session.pump import Pump
from harness.store import layout
from harness.store.reader import read_run
from harness.store.writer import Recorder

SCENARIO = """
name: shop
target: {launch: serve, ready: "http://127.0.0.1:1/"}
requests: [{name: home, get: /}]
load: {rounds: 7, requests_per_round: 60}
"""


class Handler(BaseHTTPRequestHandler):
    """Answers as often as it may, then hangs up without an answer."""

    answers: ClassVar[int] = 0

    def do_GET(self) -> None:
        type(self).answers -= 1
        if self.answers < 0:
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Tool:
    """An adapter with one tool, whose results say how many runs there were before: one number a request."""

    runs_before: list[int]
    name: str = "python"
    spans: list[str] = field(default_factory=list)
    thrown_away: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)

    def trigger(self, context: AdapterContext, tool: str) -> Trigger:
        return Trigger(tool, warmups=1)

    def collect(
        self, context: AdapterContext, trigger: Trigger, response: ProfiledResponse, destination: Path
    ) -> Sequence[Artifact]:
        destination.mkdir(exist_ok=True)
        self.spans.append(response.span_id)
        self.thrown_away += response.warmup_spans
        found = []
        for ending in ("json", "bin"):
            name = f"{response.span_id}.{ending}"
            (destination / name).write_text("{}")
            attributes: dict[str, Scalar] = (
                {"runs_before": self.runs_before[len(self.spans) - 1]} if ending == "json" else {}
            )
            if self.hosts:
                attributes["host"] = self.hosts[len(self.spans) - 1]
            found.append(
                Artifact(
                    trigger.tool, self.name, name, ArtifactStatus.COMPLETE, response.span_id, response.endpoint, 1, 1, 2, "",
                    attributes,
                )
            )  # fmt: skip
        return found


Profiling = Callable[..., RawRun]


@contextmanager
def serving(answers: int) -> Iterator[str]:
    Handler.answers = answers
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def profile(tmp_path: Path) -> Profiling:
    def run(tool: Tool, answers: int, enough: Enough | None = None) -> RawRun:
        recorder = Recorder(tmp_path)
        recorder.manifest(manifest())
        with serving(answers) as url, Pump(lambda: None) as pump:
            load = LoadClient(pump, recorder, compiling.load_plan(parse_scenario(SCENARIO), url, {}).to_json())
            adapter, context = cast("LanguageAdapter", tool), AdapterContext(tmp_path, "", {}, ())
            progress = Progress(io.StringIO(), quiet=True)
            try:
                profiled = ProfiledPass(
                    pump, recorder, progress, SystemClock(), Spread(adapter, Places(recorder, None, context))
                )
                if enough is None:
                    profiled.requests(load, ["toy"], ["home"])
                else:
                    profiled.request(load, "toy", "home", How(seconds=60), enough)
            finally:
                load.stop()
        recorder.close()
        return read_run(tmp_path)

    return run


def kept(tool: Tool, run: RawRun, directory: Path) -> int:
    """Which attempt's result is in the run, from 0; all others have left nothing behind."""
    [span] = {artifact.span_id for artifact in run.artifacts}
    assert {path.name for path in (directory / layout.ARTIFACTS).iterdir()} == {f"{span}.json", f"{span}.bin"}
    assert [event.attributes["span"] for event in run.events if event.kind == "profiled.request"] == [span]
    return tool.spans.index(str(span))


def test_a_worker_that_was_warmed_up_is_waited_for(profile: Profiling, tmp_path: Path) -> None:
    tool = Tool([0, 0, 1])
    assert kept(tool, profile(tool, 99), tmp_path) == 2


def test_the_adapter_learns_which_requests_were_thrown_away(profile: Profiling, tmp_path: Path) -> None:
    tool = Tool([1])
    run = profile(tool, 99)
    assert [*tool.thrown_away, *tool.spans] == [span.span_id for span in run.spans]
    assert len(tool.thrown_away) == 1


def test_a_try_that_fails_does_not_cost_the_result_before_it(profile: Profiling, tmp_path: Path) -> None:
    tool = Tool([0, 0])
    assert kept(tool, profile(tool, 1 + 2), tmp_path) == 1


def test_requests_that_another_host_answered_say_nothing_of_this_one(profile: Profiling, tmp_path: Path) -> None:
    """It may run another version, of which no request keeps anything: that is no reason to call the endpoint a rare one."""
    tool = Tool([1, 1, 1, 1], hosts=["web-1", "web-1", "web-1", "web-2"])
    run = profile(tool, 99, lambda found: found[0].attributes["host"] == "web-2")
    assert kept(tool, run, tmp_path) == 3
    assert {artifact.attributes["requests_looked_at"] for artifact in run.artifacts} == {1}
