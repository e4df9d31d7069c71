"""Load beyond one process, with real engines: Locust with workers here and on other clocks, an own locustfile, wrk, ab."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from load_process import Load, Target, until
from processes import DEADLINE_S, free_port, harness
from ssh_hosts import SshHosts

from harness.correlate.build import correlate
from harness.load.plan import CapturePlan, LoadPlan, RequestPlan
from harness.load.swarm import wire
from harness.load.swarm.export import HOOKS, LOCUSTFILE, write_plan
from harness.load.swarm.processes import HERE
from harness.model.run import RawRun, RunStatus
from harness.model.span import PhaseName
from harness.model.timeline import JoinMethod, Timeline
from harness.scenario.load import SenderHost
from harness.session.load_hosts import LoadHosts
from harness.store.reader import read_run
from harness.targets.detect import own_ports

pytestmark = pytest.mark.integration
PROGRAMS = Path(__file__).parents[1] / "programs"
HOME = RequestPlan("home", "/")
LOCUST = {"engine": "locust", "options": {"workers": 2}}
# A clock of its own: the host's CLOCK_MONOTONIC plus 1000 s (time_namespaces(7)).
OTHER_CLOCK = ("unshare", "--time", "--monotonic", "1000", "--fork", "--kill-child")


@pytest.fixture(name="target")
def _target() -> Iterator[Target]:
    server = Target()
    yield server
    server.close()


@pytest.fixture(name="start")
def _start() -> Iterator[Callable[..., Load]]:
    with ExitStack() as stack:

        def start(plan: LoadPlan | None = None, **engine: object) -> Load:
            load = Load(plan, **engine)
            stack.callback(load.finish)
            return load

        yield start


def shop(workers: int = 2) -> tuple[dict[str, Any], int]:
    """The target section of a gunicorn application that gets the agent, and its port."""
    port = free_port()
    command = f"{sys.executable} -m gunicorn --no-control-socket -w {workers} -b 127.0.0.1:{port} wsgi_shop:app"
    target = {"runtime": "python", "launch": command, "cwd": str(PROGRAMS), "ready": f"http://127.0.0.1:{port}/"}
    return target, port


def record(directory: Path, env: dict[str, str] | None = None, **scenario: object) -> tuple[RawRun, Timeline]:
    """Run a scenario that must succeed; the run as recorded, and joined."""
    data = {"name": "engines", "profile": "none", "sample": {"interval": "200ms"}, **scenario}
    (directory / "scenario.yaml").write_text(json.dumps(data))
    with harness("run", "scenario.yaml", cwd=directory, env=env) as run:
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 0, err
    raw = read_run(Path(out.splitlines()[-1]))
    assert raw.manifest.status is RunStatus.COMPLETE
    return raw, correlate(raw)


def helpers(load: Load) -> dict[int, str]:
    """Processes that the load process has started: pid -> command line."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == load.process.pid:
                found[int(stat.parent.name)] = (stat.parent / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found


# -- Locust ----------------------------------------------------------------------------------------------------------------


def test_a_scenario_with_two_workers(tmp_path: Path) -> None:
    target, _ = shop()
    load = {"rounds": 7, "requests_per_round": 60, "blocks": 3, "warmup_rounds": 1, "concurrency": 4, "settle": "20ms",
            "engine": "locust", "workers": 2}  # fmt: skip
    requests = [{"name": "home", "get": "/", "weight": 2}, {"name": "item", "get": "/item/7"}]
    raw, timeline = record(tmp_path, target=target, requests=requests, load=load)
    for number in range(7):
        spans = [s for s in raw.spans if s.phase is PhaseName.ROUNDS and s.round == number]
        assert Counter(s.endpoint for s in spans) == {"home": 40, "item": 20}
        assert sorted(Counter(s.block for s in spans).values()) == [10, 20, 30]
        assert {s.user for s in spans} == {0, 1, 2, 3}
    assert all(s.ok for s in raw.spans)
    sent = [j for j in timeline.spans if j.span.phase in (PhaseName.WARMUP, PhaseName.ROUNDS)]
    assert len(sent) == 8 * 60
    assert {j.method for j in sent} == {JoinMethod.SPAN_ID}
    blocks = [w for w in raw.windows if w.phase is PhaseName.ROUNDS and w.block is not None]
    assert len(blocks) == 21
    for window in blocks:
        inside = [s for s in raw.spans if (s.phase, s.round, s.block) == (window.phase, window.round, window.block)]
        assert window.start_ns <= min(s.start_ns for s in inside)
        assert max(s.end_ns for s in inside) <= (window.end_ns or 0) <= (window.floor_ns or 0)
    workers = {name: text for name, text in raw.manifest.facts.items() if name.startswith("load.worker.")}
    assert sorted(workers) == ["load.worker.1", "load.worker.2"]
    assert all("on the clock of this host" in str(text) for text in workers.values())


def test_the_same_requests_in_the_same_blocks_as_the_built_in_engine(
    target: Target, start: Callable[..., Load]
) -> None:
    requests = tuple(RequestPlan(f"r{n}", f"/none?{n}", weight=1.0 + n) for n in range(5))
    plan = LoadPlan(target.url, requests, users=3, seed=9)
    mixes = [
        [Counter((s["block"], s["endpoint"]) for s in load.round(number, requests=97, blocks=4)) for number in range(2)]
        for load in (start(plan), start(plan, **LOCUST))
    ]
    assert mixes[0] == mixes[1]


def test_the_kill_of_a_worker_is_noticed(target: Target, start: Callable[..., Load]) -> None:
    load = start(LoadPlan(target.url, (HOME,), users=4), **LOCUST)
    load.round(0, requests=20)
    pids = helpers(load)
    workers = [pid for pid, command in pids.items() if "--worker" in command]
    assert len(workers) == 2
    assert not [own_ports(pid) for pid in pids if own_ports(pid)], "nobody else can speak to them"
    load.send(cmd="round", phase="rounds", round=1, requests=10_000_000, blocks=1)
    until(lambda: len(target.log()) > 100)
    os.kill(workers[0], signal.SIGKILL)
    error = load.wait("error")
    assert "was killed by signal 9" in error["text"]
    assert load.finish() == 1
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("locustfile", [LOCUSTFILE, HOOKS])
def test_a_worker_that_finds_no_master_ends_with_its_line(locustfile: str, tmp_path: Path) -> None:
    """Locust goes on looking for one during five minutes."""
    files = str(HERE / locustfile)
    if locustfile == HOOKS:
        (tmp_path / "own.py").write_text("import locust\nclass Own(locust.HttpUser): pass\n")
        files += f",{tmp_path / 'own.py'}"
    words = ["-f", files, "--worker", "--master-host", "127.0.0.1", "--master-port", str(free_port())]
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", "locust", *words], stdin=subprocess.PIPE, env={**os.environ, wire.ORDER_FROM_STDIN: "x"}
    )  # fmt: skip
    plan = LoadPlan("http://127.0.0.1:9", (HOME,)).to_json()
    try:
        worker.communicate(json.dumps({"plan": plan}).encode() + b"\n", timeout=DEADLINE_S)
    finally:
        worker.kill()
        worker.wait()
    assert worker.returncode == 0


def test_a_worker_that_cannot_start_says_why(target: Target, start: Callable[..., Load]) -> None:
    load = start()
    place = {"name": "load-1", "workers": 1, "command": ["sh", "-c", "echo 'No module named locust' >&2; exit 1"],
             "hold": [], "forward": []}  # fmt: skip
    options = {"workers": 0, "listen": f"127.0.0.1:{free_port()}", "places": [place]}
    load.send(cmd="plan", plan=LoadPlan(target.url, (HOME,)).to_json(), engine="locust", options=options)
    error = load.wait("error")
    assert error["text"].startswith("load worker on load-1 (pid ")
    assert error["text"].endswith(" ended with exit code 1: No module named locust")
    assert error["usage"]


def test_a_master_that_is_killed_leaves_no_directory(
    target: Target, start: Callable[..., Load], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # for the path of a socket
        monkeypatch.setenv("TMPDIR", short)
        load = start(LoadPlan(target.url, (HOME,), users=1), engine="locust", options={"workers": 1})
        [directory] = Path(short).glob("harness-load-*")
        assert (directory / "m").is_socket()
        [master] = [pid for pid, command in helpers(load).items() if "swarm.master" in command]
        os.kill(master, signal.SIGKILL)
        load.finish()
        assert not directory.exists()


def test_a_run_whose_load_worker_is_killed_keeps_what_was_recorded(tmp_path: Path) -> None:
    port = free_port()
    target = {"launch": f"{sys.executable} -m http.server -b 127.0.0.1 {port}", "ready": f"http://127.0.0.1:{port}/"}
    load = {"rounds": 500, "requests_per_round": 40, "blocks": 1, "settle": "20ms", "engine": "locust", "workers": 2}
    data = {"name": "x", "target": target, "requests": [{"name": "home", "get": "/"}], "load": load}
    (tmp_path / "scenario.yaml").write_text(json.dumps(data))
    with harness("run", "scenario.yaml", cwd=tmp_path) as run:
        run.read_until("rounds 2/500")
        (worker, *_) = [pid for pid, command in run.tree().items() if "--worker" in command]
        os.kill(worker, signal.SIGKILL)
        code, _, err = run.finish()
        run.assert_nothing_left()
    assert code == 3, err
    assert "the load cannot go on: load worker" in err
    assert "was killed by signal 9" in err
    assert "Traceback" not in err
    (directory,) = (tmp_path / "runs").iterdir()
    raw = read_run(directory)
    assert raw.manifest.status not in (RunStatus.RECORDING, RunStatus.COMPLETE)
    assert len([window for window in raw.windows if window.phase is PhaseName.ROUNDS]) >= 2


@pytest.mark.parametrize("how", ["end of file", "kill"])
def test_nothing_outlives_the_load_process(how: str, target: Target, start: Callable[..., Load]) -> None:
    load = start(LoadPlan(target.url, (RequestPlan("never", "/silence"),), users=4, timeout_s=1000), **LOCUST)
    load.send(cmd="round", phase="rounds", round=0, requests=100, blocks=1)
    until(lambda: len(target.log()) == 4)
    pids = helpers(load)
    assert len(pids) == 3
    if how == "kill":
        load.process.kill()
    load.finish()
    until(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()])


def test_an_exported_worker_on_another_clock(target: Target, start: Callable[..., Load], tmp_path: Path) -> None:
    """As on another machine: nothing but the exported directory is importable, and its monotonic clock is another one."""
    token = CapturePlan("token", "home", header="content-type")
    use = RequestPlan("use", "/none?${token}&${KEY}", captures=(token,))
    plan = LoadPlan(target.url, (HOME, use), users=2, variables={"KEY": "s3cret"})
    write_plan(tmp_path / "out", plan)
    assert "s3cret" not in "".join(p.read_text() for p in (tmp_path / "out").rglob("*.*"))
    port = free_port()
    load = start()
    options = {"workers": 1, "remote_workers": 1, "listen": f"127.0.0.1:{port}"}
    load.send(cmd="plan", plan=plan.to_json(), engine="locust", options=options)
    note = load.wait("note")
    assert f"--master-port {port}" in note["text"]
    command = [*OTHER_CLOCK, sys.executable, "-P", "-m", "locust", "-f", str(tmp_path / "out" / "locustfile.py"), "--worker",
               "--master-host", "127.0.0.1", "--master-port", str(port)]  # fmt: skip
    with subprocess.Popen(
        command, env={**os.environ, "KEY": "s3cret"}, cwd=tmp_path, stderr=subprocess.DEVNULL
    ) as worker:
        try:
            load.wait("ready")
            spans = load.round(0, requests=40, blocks=2)
        finally:
            worker.kill()
    assert {line["same_host"] for line in load.workers} == {True, False}
    (error_ns,) = [line["clock_error"] for line in load.workers if not line["same_host"]]
    assert 0 < error_ns < 50_000_000
    mix = Counter(s["endpoint"] for s in spans)
    assert (mix["use"], mix["home"]) == (20, 20 + 2), "and the captures' own requests, once for each user"
    assert {s["user"] for s in spans} == {0, 1}
    for block in load.blocks:
        inside = [s for s in spans if s["block"] == block["block"]]
        assert all(block["start"] - error_ns <= s["start"] <= s["end"] <= block["end"] + error_ns for s in inside)
    assert {entry["target"] for entry in target.log()} == {"/", "/none?text/html&s3cret"}


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/silence", None, "read timeout"),
        ("/garbage", None, "protocol error: "),
        ("/drop?always=1", None, "connection closed without a response"),
        ("/truncated", 200, "protocol error: "),
        ("/redirect?to=/redirect%3Fto%3D/", 200, None),
        ("/redirect?to=http://127.0.0.2/", 302, "redirect to another host"),
        ("/redirect?to=//example.org", 302, "redirect to another host"),
        ("/size?n=70000000", 200, "body too large"),
    ],
)
def test_errors_have_the_same_names(
    target: Target, start: Callable[..., Load], path: str, status: int | None, error: str | None
) -> None:
    """But for what the parser says, which is another one."""
    request = RequestPlan("bad", path, follow_redirects=True, timeout_s=0.5 if path == "/silence" else 30)
    load = start(LoadPlan(target.url, (request, HOME), users=1), engine="locust", options={"workers": 1})
    spans = load.round(0, requests=4)
    bad = [s for s in spans if s["endpoint"] == "bad"]
    assert [s["status"] for s in bad] == [status] * 2
    for span in bad:
        assert span["error"] == error or (error is not None and error.endswith(" ") and span["error"].startswith(error))
    assert [(s["status"], s["error"]) for s in spans if s["endpoint"] == "home"] == [(200, None)] * 2


def test_a_worker_that_nobody_asked_for_is_sent_away(
    target: Target, start: Callable[..., Load], tmp_path: Path
) -> None:
    plan = LoadPlan(target.url, (HOME,), users=4)
    port = free_port()
    load = start(plan, engine="locust", options={"workers": 2, "listen": f"127.0.0.1:{port}"})
    load.round(0, requests=20)
    for other, why in ((plan, "too many"), (LoadPlan(target.url, (RequestPlan("other", "/"),)), "another scenario")):
        directory = tmp_path / why.replace(" ", "-")
        write_plan(directory, other)
        command = [sys.executable, "-P", "-m", "locust", "-f", str(directory / "locustfile.py"), "--worker",
                   "--master-host", "127.0.0.1", "--master-port", str(port)]  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=DEADLINE_S, check=False)
        assert done.returncode == 0
        assert why in load.wait("note")["text"]
    spans = load.round(1, requests=40, blocks=2)
    assert Counter(s["endpoint"] for s in spans) == {"home": 40}
    assert {s["user"] for s in spans} == {0, 1, 2, 3}


STRANGER = """
import json, sys, time
from locust.rpc import Message
from locust.rpc.zmqrpc import Client
port, messages = int(sys.argv[1]), json.loads(sys.argv[2])
client = Client("127.0.0.1", port, "stranger")
client.send(Message("client_ready", "2.0.0", "stranger"))
for kind, data in messages:
    client.send(Message(kind, data, "stranger"))
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([], "something that is no load worker came"),
        ([["harness.clock", {"error": "x"}]], "said something that no worker says (harness.clock: ValueError"),
        ([["harness.health", {"cpu": "x"}]], "said something that no worker says (harness.health: ValueError"),
        (
            [["harness.spans", {"rows": [["\x1b[2J"] * 13]}]],
            "said something that no worker says (harness.spans: ValueError",
        ),
        ([["harness.spans", [1]]], "said something that no worker says (harness.spans: TypeError"),
        ([["harness.trouble", {"text": "\x1b[2J" * 1000}]], "cannot go on:  [2J"),
    ],
)
def test_what_passes_for_a_worker_is_believed_nothing(
    target: Target, start: Callable[..., Load], said: list[object], told: str
) -> None:
    """Anybody who reaches the port may speak Locust's language: it ends in words, and none of it is recorded."""
    port = free_port()
    plan = LoadPlan(target.url, (HOME,))
    load = start()
    options = {"workers": 0, "remote_workers": 1, "listen": f"127.0.0.1:{port}", "wait_s": 30.0}
    load.send(cmd="plan", plan=plan.to_json(), engine="locust", options=options)
    load.wait("note")
    hello = {"version": wire.VERSION, "host": "x\x1b[2J", "pid": 5, "clock": "", "digest": wire.digest(plan.to_json())}
    messages = [["harness.hello", hello], *said] if said else [["harness.spans", None], ["harness.hello", {"host": 1}]]
    stranger = subprocess.Popen([sys.executable, "-c", STRANGER, str(port), json.dumps(messages)])
    try:
        line = load.wait("error" if said else "note")
        assert told in line["text"]
        assert line["text"].isprintable()
    finally:
        stranger.kill()
        stranger.wait()


def test_workers_that_do_not_come_are_not_waited_for_forever(target: Target, start: Callable[..., Load]) -> None:
    options = {"workers": 0, "remote_workers": 1, "listen": f"127.0.0.1:{free_port()}", "wait_s": 3.0}
    load = start()
    load.send(cmd="plan", plan=LoadPlan(target.url, (HOME,)).to_json(), engine="locust", options=options)
    load.wait("note")
    error = load.wait("error")
    assert (error["text"], error["usage"]) == ("the load workers were not all there within 3 s", True)
    assert load.finish() == 1


def test_workers_started_on_another_host(hosts: SshHosts, tmp_path: Path) -> None:
    """A network and a clock of its own; one worker there and one here, who meet through the SSH connection."""
    host = hosts.add("load-1", ahead_s=1_000_000)
    port = free_port()
    command = f"{sys.executable} -m gunicorn --no-control-socket -w 2 -b {host._ours}:{port} wsgi_shop:app"
    target = {"runtime": "python", "launch": command, "cwd": str(PROGRAMS), "ready": f"http://{host._ours}:{port}/"}
    load = {"rounds": 7, "requests_per_round": 60, "blocks": 3, "warmup_rounds": 1, "concurrency": 4, "settle": "20ms",
            "engine": "locust", "workers": 1, "hosts": [{"host": "ssh://root@load-1", "python": sys.executable}]}  # fmt: skip
    requests = [{"name": "home", "get": "/", "headers": {"X-Key": "${KEY}"}}]
    raw, timeline = record(
        tmp_path, env={"PATH": hosts.path, "KEY": "s3cret"}, target=target, requests=requests, load=load
    )
    for number in range(7):
        spans = [s for s in raw.spans if s.phase is PhaseName.ROUNDS and s.round == number]
        assert len(spans) == 60
        assert {s.user for s in spans} == {0, 1, 2, 3}
    assert all(s.ok for s in raw.spans)
    sent = [j for j in timeline.spans if j.span.phase in (PhaseName.WARMUP, PhaseName.ROUNDS)]
    assert {j.method for j in sent} == {JoinMethod.SPAN_ID}, "the clocks agree well enough to tie each to its record"
    workers = [str(text) for name, text in raw.manifest.facts.items() if name.startswith("load.worker.")]
    clocks = sorted(text.split(", ")[2] for text in workers)
    assert clocks[1] == "on the clock of this host"
    assert clocks[0].startswith("its clock is known to ")
    assert not list(host.temporary.iterdir()), "nothing is left there"
    assert b"s3cret" not in b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


def test_a_worker_behind_a_cut_cable_is_noticed(hosts: SshHosts, target: Target, start: Callable[..., Load]) -> None:
    """The worker there talks to the master over the cable; what it sends requests to does not matter."""
    host = hosts.add("load-2")
    spec = SenderHost(host="ssh://root@load-2", python=sys.executable)
    listen = f"{host._ours}:{free_port()}"
    places = LoadHosts([spec], tunnels=False, program=str(hosts.program)).places
    options = {"workers": 1, "listen": listen, "places": places}
    load = start(LoadPlan(target.url, (HOME,), users=2), engine="locust", options=options)
    load.send(cmd="round", phase="rounds", round=0, requests=10_000_000, blocks=1)
    until(lambda: len(target.log()) > 100)
    host.cut()
    error = load.wait("error")
    assert "was lost" in error["text"]
    assert load.finish() == 1


def test_a_host_that_forwards_nothing_is_told(hosts: SshHosts, target: Target, start: Callable[..., Load]) -> None:
    host = hosts.add("load-4", config="AllowStreamLocalForwarding no\n")
    lines = LoadHosts([SenderHost(host="ssh://root@load-4")], tunnels=True, program=str(hosts.program))
    load = start()
    try:
        options = {"workers": 1, "places": lines.places}
        load.send(cmd="plan", plan=LoadPlan(target.url, (HOME,)).to_json(), engine="locust", options=options)
        error = load.wait("error")
        assert load.finish() == 1
    finally:
        lines.close()
    assert error["usage"]
    assert "load-4 does not let its workers speak through the SSH connection" in error["text"]
    assert "give load.listen" in error["text"]
    until(lambda: not list(host.temporary.iterdir()))


def test_a_host_without_locust_is_told(hosts: SshHosts, tmp_path: Path) -> None:
    host = hosts.add("load-3")
    port = free_port()
    data = {"name": "x", "target": {"launch": f"{sys.executable} -m http.server -b 127.0.0.1 {port}",
                                    "ready": f"http://127.0.0.1:{port}/"},
            "requests": [{"name": "home", "get": "/"}],
            "load": {"engine": "locust", "listen": f"{host._ours}:{free_port()}",
                     "hosts": [{"host": "ssh://root@load-3", "python": "/no/such/python"}]}}  # fmt: skip
    (tmp_path / "scenario.yaml").write_text(json.dumps(data))
    with harness("run", "scenario.yaml", cwd=tmp_path, env={"PATH": hosts.path}) as run:
        code, _, err = run.finish()
        run.assert_nothing_left()
    assert code == 2, err
    assert "load worker on load-3" in err
    assert "ended with exit code 127" in err


# -- somebody's own locustfile ---------------------------------------------------------------------------------------------

THEIRS = """
from locust import FastHttpUser, HttpUser, constant, task

class Shopper(HttpUser):
    host = "{url}"
    wait_time = constant(0.05)

    @task(2)
    def home(self):
        self.client.get("/", name="home")

    @task
    def gone(self):
        with self.client.get("/none", name="gone", catch_response=True) as response:
            if response.status_code == 404:
                response.success()

class Robot(FastHttpUser):
    host = "{url}"
    wait_time = constant(0.05)

    @task
    def item(self):
        self.client.get("/item/5")

    @task
    def broken(self):
        self.client.request("GET", "/none", "broken")
"""


def test_a_locustfile_of_ones_own(tmp_path: Path) -> None:
    target, port = shop()
    path = tmp_path / "theirs.py"
    path.write_text(THEIRS.format(url=f"http://127.0.0.1:{port}"))
    load = {"locustfile": "theirs.py", "users": 6, "for": "4s", "warmup": "1s", "workers": 2}
    raw, timeline = record(tmp_path, target=target, load=load)
    measured = [s for s in raw.spans if s.phase is PhaseName.ROUNDS]
    assert {s.endpoint for s in measured} == {"home", "gone", "GET /item/5", "broken"}
    assert {s.phase for s in raw.spans} == {PhaseName.WARMUP, PhaseName.ROUNDS}
    results = {(s.endpoint, s.status, s.failed_checks) for s in measured}
    assert results == {("home", 200, ()), ("gone", 404, ()), ("GET /item/5", 200, ()), ("broken", 404, ("status",))}
    assert len({s.user for s in measured}) == 6
    sent = [j for j in timeline.spans if j.span.error is None]
    assert {j.method for j in sent} == {JoinMethod.SPAN_ID}
    assert path.read_text() == THEIRS.format(url=f"http://127.0.0.1:{port}")
    assert len([w for w in raw.windows if w.phase is PhaseName.ROUNDS]) >= 3


def test_users_without_a_host_get_the_target_and_a_shape_decides_over_users(tmp_path: Path) -> None:
    target, _ = shop(1)
    (tmp_path / "theirs.py").write_text(
        "from locust import FastHttpUser, LoadTestShape, constant, task\n"
        "class Shopper(FastHttpUser):\n"
        "    wait_time = constant(0.05)\n"
        "    @task\n"
        "    def home(self):\n"
        "        self.client.get('/', name='home')\n"
        "class Three(LoadTestShape):\n"
        "    def tick(self):\n"
        "        return 3, 3\n"
    )
    raw, _ = record(
        tmp_path, target=target, load={"locustfile": "theirs.py", "for": "3s", "warmup": "1s", "workers": 1}
    )
    assert {(s.endpoint, s.status, s.user) for s in raw.spans} == {("home", 200, number) for number in range(3)}


@pytest.mark.parametrize(
    ("text", "said"),
    [("import nothing_of_this_name", "nothing_of_this_name"), ("x = 1", "has no user class"), ("def (", "SyntaxError")],
)
def test_a_locustfile_that_is_none(text: str, said: str, tmp_path: Path) -> None:
    target, _ = shop(1)
    (tmp_path / "theirs.py").write_text(text)
    data = {"name": "x", "target": target, "load": {"locustfile": "theirs.py", "for": "1s"}}
    (tmp_path / "scenario.yaml").write_text(json.dumps(data))
    with harness("run", "scenario.yaml", cwd=tmp_path) as run:
        code, _, err = run.finish()
        run.assert_nothing_left()
    assert code == 2, err
    assert said in err


# -- other programs --------------------------------------------------------------------------------------------------------


def test_a_command_once_a_round(tmp_path: Path) -> None:
    target, port = shop()
    command = f"ab -q -n 50 -c 2 http://127.0.0.1:{port}/item/3"
    raw, timeline = record(tmp_path, target=target, load={"command": command, "rounds": 7, "settle": "20ms"})
    assert raw.spans == []
    assert Counter(j.span.round for j in timeline.spans if j.span.phase is PhaseName.ROUNDS) == dict.fromkeys(
        range(7), 50
    )
    assert {(j.span.endpoint, j.method) for j in timeline.spans} == {("GET /item/{}", JoinMethod.RECORD)}
    assert {w.requests for w in timeline.workers if w.info.pool == "job"} <= {0}
    assert sum(w.requests for w in timeline.workers) == len(timeline.spans)
    assert ("rounds send the same requests", "all 7 rounds are identical") in timeline.coverage.checks


def test_a_leak_under_somebody_elses_traffic_is_found_to_the_line(tmp_path: Path) -> None:
    target, port = shop(1)
    url = f"http://127.0.0.1:{port}/keep?n=4096"
    data = {
        "name": "keep", "target": target, "load": {"command": f"ab -q -n 300 '{url}'", "rounds": 7, "settle": "50ms"},
        "requests": [{"name": "GET /keep", "get": "/keep?n=4096"}],
    }  # fmt: skip
    (tmp_path / "scenario.yaml").write_text(json.dumps(data))
    with harness("run", "scenario.yaml", cwd=tmp_path) as run:
        code, out, err = run.finish()
    assert code == 0, err
    report = json.loads((Path(out.splitlines()[-1]) / "report.json").read_text())
    finding = report["findings"][0]
    assert (finding["cause"], finding["subject"]["endpoint"]) == ("leak.objects", "GET /keep")
    assert 3500 < finding["growth"]["bytes_per_request"] < 5500
    location = finding["subject"]["location"]
    assert location["file"].endswith("wsgi_shop.py")
    keeps = next(
        n for n, line in enumerate((PROGRAMS / "wsgi_shop.py").read_text().splitlines(), 1) if "KEPT.append" in line
    )
    assert location["line"] == keeps


def test_one_command_all_the_time(tmp_path: Path) -> None:
    target, port = shop()
    command = f"wrk -t1 -c2 -d60s http://127.0.0.1:{port}/"
    raw, timeline = record(tmp_path, target=target, load={"command": command, "for": "4s", "warmup": "1s"})
    slices = [w for w in raw.windows if w.phase is PhaseName.ROUNDS]
    assert len(slices) >= 3
    assert all(w.floor_ns is not None for w in slices)
    told = [j for j in timeline.spans if j.span.phase is PhaseName.ROUNDS]
    assert len(told) > 100
    assert {(j.span.endpoint, j.method) for j in told} == {("GET /", JoinMethod.RECORD)}
    (ended,) = [e for e in raw.events if e.kind == "load.command"]
    assert ended.t_ns >= max(w.end_ns or 0 for w in slices)


def test_a_command_that_fails_is_said(tmp_path: Path) -> None:
    target, _ = shop(1)
    data = {"name": "x", "target": target, "load": {"command": "ab -n 1 http://127.0.0.1:1/"}}
    (tmp_path / "scenario.yaml").write_text(json.dumps(data))
    with harness("run", "scenario.yaml", cwd=tmp_path) as run:
        code, _, err = run.finish()
        run.assert_nothing_left()
    assert code == 3
    assert "the command of load.command failed" in err
    assert "Connection refused" in err
