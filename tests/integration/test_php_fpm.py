"""A php-fpm that somebody else runs, with a configuration of its own: its log, its status page, and its caches at floors."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from processes import DEADLINE_S, free_port, harness, wait_for

from adapters.php.accounts import pool_account
from adapters.php.adapter import ADAPTER
from adapters.php.fpm.fastcgi import Address, FastCgiError, ask
from adapters.php.fpm.pools import pools_among
from adapters.php.fpm.status import page_of, read_status
from adapters.php.installed import find_fpm, find_program
from harness.correlate.join import join_spans
from harness.correlate.lifetimes import Lifetimes
from harness.errors import TargetError
from harness.model.run import RawRun, RunStatus
from harness.model.span import FloorRecord, PhaseName, RequestRecord
from harness.model.timeline import JoinMethod
from harness.plugins.spec import AdapterContext, Check, CheckLevel, FloorDepth
from harness.sampling.outside.php.reader import attach
from harness.sampling.outside.process import Process
from harness.store.followed import Followed
from harness.store.reader import read_run

pytestmark = pytest.mark.integration
PROGRAM = Path(__file__).parents[1] / "programs" / "php_shop"
FORMAT = "%p %s %{bytes}M %{micro}d %{HTTP_TRACEPARENT}e %T %m %r"
WORKERS = 2
PARAMETERS = "include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME"


@dataclass
class Site:
    """php-fpm with two pools, and nginx before the first."""

    directory: Path
    master: int
    url: str

    @property
    def log(self) -> Path:
        return self.directory / "shop.access.log"

    def workers(self, pool: str) -> list[int]:
        children = Path(f"/proc/{self.master}/task/{self.master}/children").read_text().split()
        titles = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0 ") for pid in children}
        return sorted(pid for pid, title in titles.items() if title == f"php-fpm: pool {pool}".encode())

    def context(self, work: str, **fpm: str) -> AdapterContext:
        work_dir = self.directory / work
        work_dir.mkdir(mode=0o711, exist_ok=True)
        return AdapterContext(work_dir, "0" * 32, {"fpm": fpm, "floors": "look"}, (), scenario_dir=self.directory)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    fpm, nginx = find_fpm(), find_program("nginx")
    assert fpm is not None
    assert nginx is not None
    home = Path(tempfile.mkdtemp(prefix="harness-fpm-"))
    home.chmod(0o711)
    shutil.copytree(PROGRAM, home / "public")
    for path in (home / "public", *(home / "public").rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    account, port = pool_account([home / "public"]), free_port()
    as_whom = f"user = {account.user}\ngroup = {account.group}\n" if account.switch else ""
    (home / "fpm.conf").write_text(
        f"[global]\nerror_log = {home}/fpm.log\ndaemonize = no\ninclude = {home}/pool.d/*.conf\n"
    )
    (home / "pool.d").mkdir()
    common = (
        f"{as_whom}pm = static\nlisten = {home}/$pool.sock\nlisten.mode = 0666\naccess.log = {home}/$pool.access.log\n"
    )
    (home / "pool.d" / "shop.conf").write_text(
        f'[shop]\n{common}pm.max_children = {WORKERS}\npm.status_path = /fpm-status\naccess.format = "{FORMAT}"\n'
    )
    (home / "pool.d" / "strict.conf").write_text(
        f"[strict]\n{common}pm.max_children = 1\nsecurity.limit_extensions = .phtml\n"
    )
    (home / "pool.d" / "tight.conf").write_text(
        f"[tight]\n{common.replace('static', 'dynamic')}pm.max_children = 1\npm.status_path = /fpm-status\n"
        "pm.start_servers = 1\npm.min_spare_servers = 1\npm.max_spare_servers = 1\n"
    )
    user = f"user {account.user} {account.group};" if account.switch else ""
    (home / "nginx.conf").write_text(
        f"{user} daemon off; pid {home}/nginx.pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {home}/body; fastcgi_temp_path {home}/fastcgi;\n"
        f"proxy_temp_path {home}/proxy; scgi_temp_path {home}/scgi; uwsgi_temp_path {home}/uwsgi;\n"
        f"server {{ listen 127.0.0.1:{port};\n"
        f"location = /fpm-status {{ fastcgi_pass unix:{home}/shop.sock; {PARAMETERS} $fastcgi_script_name; }}\n"
        f'location / {{ fastcgi_pass unix:{home}/shop.sock; {PARAMETERS} "{home}/public/index.php"; }} }} }}\n'
    )
    with open(home / "output", "wb") as output:
        master = subprocess.Popen([fpm, "-F", "-y", home / "fpm.conf"], stdout=output, stderr=output)
        web = subprocess.Popen([nginx, "-c", home / "nginx.conf"], stdout=output, stderr=output)
    try:
        found = Site(home, master.pid, f"http://127.0.0.1:{port}")
        wait_for(lambda: answers(found.url) or master.poll() or web.poll(), "php-fpm and nginx")
        assert master.poll() is web.poll() is None, (home / "output").read_text()
        wait_for(lambda: len(found.workers("shop")) == WORKERS and found.workers("strict"), "the workers' titles")
        yield found
    finally:
        for process in (web, master):
            process.terminate()
            process.wait(DEADLINE_S)
        shutil.rmtree(home)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def ask_floor(
    context: AdapterContext, number: int, pids: list[int], depth: FloorDepth = FloorDepth.LOOK
) -> dict[int, FloorRecord]:
    """The answers to one question, by pid."""
    told = ADAPTER.ask_floor(context, number, depth, pids)
    found = {}
    for source in ADAPTER.record_sources(context):
        for file in context.work_dir.glob(source.pattern) if source.pattern else ():
            for line in file.read_bytes().splitlines():
                record = source.parse(line)
                if isinstance(record, FloorRecord) and record.number == number:
                    found[record.pid] = record
    assert set(told) == found.keys()
    return found


# --- floors ---------------------------------------------------------------------------------------------------------


def test_inside_and_outside_agree_about_the_shared_caches(site: Site) -> None:
    workers = site.workers("shop")
    for _ in range(4):
        httpx.get(f"{site.url}/any")
    context = site.context("agree")
    assert ADAPTER.speaks_for(context, [*workers, site.master, os.getpid()]) == workers
    first = ask_floor(context, 1, workers)[workers[0]].values
    process = Process("/proc", workers[1])
    try:
        php = attach(process)
        assert php is not None
        outside = {name.removeprefix("runtime.php."): value for name, value in php.walk().items()}
    finally:
        process.close()
    for name in ("opcache.size", "opcache.free", "opcache.wasted", "apcu.free"):
        assert first[f"{name}_bytes"] == outside[name]
    for name in ("opcache.hits", "opcache.restarts", "opcache.full"):
        assert first[name] == outside[name]
    assert outside["apcu.size"] - (first["apcu.size_bytes"] or 0) in range(4096)  # the segment's own header
    assert first["opcache.scripts"] == 1, "the question itself is in no cache"
    again = ask_floor(context, 2, workers)[workers[0]].values
    assert again["opcache.free_bytes"] == first["opcache.free_bytes"]
    httpx.get(f"{site.url}/one-more")
    more = ask_floor(context, 3, workers)[workers[0]].values
    assert (more["apcu.free_bytes"] or 0) < (first["apcu.free_bytes"] or 0)
    assert more["apcu.entries"] == (first["apcu.entries"] or 0) + 1


def test_each_worker_counts_its_requests(site: Site) -> None:
    workers, context = site.workers("shop"), site.context("counts")
    before = ask_floor(context, 1, workers)
    for _ in range(6):
        httpx.get(site.url)
    after = ask_floor(context, 2, workers)

    def requests(answers: dict[int, FloorRecord]) -> int:
        return sum(answers[pid].values["fpm.requests"] or 0 for pid in workers)

    assert before.keys() == after.keys() == set(workers)
    # the first look, the script that answered, the second look: one or two of them are counted in between
    assert requests(after) - requests(before) in (7, 8, 9)
    pool = after[workers[0]].values
    first = json.loads((context.work_dir / "php" / "pool-shop.json").read_text())
    assert first["fpm.accepted"] == before[workers[0]].values["fpm.accepted"], (
        "what came before the run is not held against it"
    )
    assert pool["fpm.total"] == WORKERS
    assert pool["fpm.max_children_reached"] == 0
    assert (pool["fpm.accepted"] or 0) - (before[workers[0]].values["fpm.accepted"] or 0) == 8
    memory = [after[pid].values.get("fpm.last_request_memory_bytes") for pid in workers]
    assert any(value is not None and value % (2 << 20) == 0 for value in memory), "whole chunks: no peak of a request"


def test_giving_memory_back_is_told_in_real_size(site: Site) -> None:
    workers = site.workers("shop")
    answers = ask_floor(site.context("trim"), 1, workers, FloorDepth.TRIM)
    [values] = [r.values for r in answers.values() if "trim.real_before_bytes" in r.values]
    assert values["trim.real_before_bytes"] is not None
    assert values["trim.real_after_bytes"] is not None
    assert values["trim.real_after_bytes"] <= values["trim.real_before_bytes"]
    assert values["realpath_cache_bytes"] is not None


def test_the_script_is_gone_afterwards_and_on_no_address(site: Site) -> None:
    context = site.context("gone")
    ask_floor(context, 1, site.workers("shop"))
    assert [path.name for path in (context.work_dir / "php").iterdir()] == ["pool-shop.json"]
    assert httpx.get(f"{site.url}/.harness/floor").text.startswith("pid "), "the application's own page"


def test_a_pool_that_runs_no_script_of_ours_says_why(site: Site) -> None:
    with pytest.raises(
        TargetError, match=r"pool strict: the pool cannot run a script .*status 403: .*limit_extensions"
    ):
        ADAPTER.ask_floor(site.context("strict"), 1, FloorDepth.LOOK, site.workers("strict"))


def test_what_is_known_of_one_pool_is_told_although_the_other_is_silent(site: Site) -> None:
    workers = [*site.workers("strict"), *site.workers("shop")]
    assert ask_floor(site.context("both"), 1, workers).keys() == set(site.workers("shop"))


# --- the status page ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["http", "fastcgi"])
def test_the_status_page_by_either_way(site: Site, way: str) -> None:
    text = f"{site.url}/fpm-status" if way == "http" else f"unix://{site.directory}/shop.sock?/fpm-status"
    status = read_status(page_of(text), 10)
    assert status.pool == "shop"
    assert sorted(w.pid for w in status.workers) == site.workers("shop")
    assert status.values["fpm.accepted"] > 0

    def busy() -> int:
        return sum(not w.idle for w in read_status(page_of(text), 10).workers)

    wait_for(lambda: busy() == 1, "the one that answers to be the only one: who answered before may still be at it")


def test_a_pool_that_runs_out_of_workers_says_so(site: Site) -> None:
    pool = Address(path=f"{site.directory}/tight.sock")
    page = {
        "SCRIPT_FILENAME": f"{site.directory}/public/index.php", "SCRIPT_NAME": "/index.php", "REQUEST_METHOD": "GET",
        "QUERY_STRING": "slow",
    }  # fmt: skip
    context = site.context("tight")
    [calm] = ask_floor(context, 1, site.workers("tight")).values()
    assert not any(what.startswith("pool.") for what in calm.missing)
    with ThreadPoolExecutor(5) as clients:  # the master looks once a second whether a worker is idle
        assert {answer.status for answer in clients.map(lambda _: ask(pool, page, 30), range(5))} == {200}
    [full] = ask_floor(context, 2, site.workers("tight")).values()
    assert full.missing["pool.workers"].startswith("during the run the pool was out of workers ")


def test_a_page_that_is_not_there(site: Site) -> None:
    with pytest.raises(TargetError, match="is no status page"):
        read_status(page_of(f"{site.url}/elsewhere"), 10)
    with pytest.raises(FastCgiError, match="status 404"):
        read_status(page_of(f"unix://{site.directory}/strict.sock?/fpm-status"), 10)
    with pytest.raises(FastCgiError, match="cannot be reached"):
        ask(Address(path=f"{site.directory}/no.sock"), {}, 10)


# --- the access log -------------------------------------------------------------------------------------------------


def test_the_log_is_followed_with_the_format_of_the_pool_and_through_rotation(site: Site) -> None:
    context = site.context("log", access_log="shop.access.log")
    [source] = [s for s in ADAPTER.record_sources(context) if s.follow is not None]
    assert source.follow == site.log
    followed = Followed(site.log)
    found: list[RequestRecord] = []

    def arrived(name: str) -> bool:
        parsed = [source.parse(line) for line in followed.lines()]
        found.extend(r for r in parsed if isinstance(r, RequestRecord))
        return any(r.name == name for r in found)

    span = "12" * 8
    httpx.get(f"{site.url}/before?secret=1", headers={"traceparent": f"00-{'ab' * 16}-{span}-01"})
    httpx.get(f"{site.url}/fpm-status")
    wait_for(lambda: arrived("GET /before"), "the first line")
    site.log.rename(site.directory / "rotated.log")
    os.kill(site.master, signal.SIGUSR1)  # opens the log again, and its workers anew
    wait_for(site.log.exists, "the new log")
    wait_for(lambda: httpx.get(f"{site.url}/after").status_code == 200, "an answer of a new worker")
    wait_for(lambda: arrived("GET /after"), "a line of the new log")
    followed.close()
    [record] = [r for r in found if r.name == "GET /before"]
    assert (record.source, record.status, record.span_id) == ("fpm-access-log", 200, span)
    assert record.wall_end_ns is not None
    assert record.wall_end_ns % 10**9 == 0
    assert (record.start_ns, record.end_ns, record.sequence) == (None, None, None)
    assert not any("fpm-status" in r.name for r in found)
    wait_for(lambda: len(site.workers("shop")) == WORKERS and site.workers("strict"), "the new workers' titles")


def checks(context: AdapterContext) -> dict[str, Check]:
    return {c.name: c for c in ADAPTER.preflight(context, ()) if c.name.startswith("php.fpm.")}


def test_preflight_says_what_the_log_will_not_tell(site: Site) -> None:
    page = f"unix://{site.directory}/shop.sock?/fpm-status"
    assert checks(site.context("good", access_log="shop.access.log", status=page)) == {}
    found = checks(site.context("default", access_log="strict.access.log", status=f"{site.url}/elsewhere"))
    log, status = found["php.fpm.access_log"], found["php.fpm.status"]
    assert log.level is status.level is CheckLevel.WARNING
    assert "do not say which worker answered; by the configuration of the pool strict" in log.message
    assert log.fix is not None
    assert "%{HTTP_TRACEPARENT}e" in log.fix
    assert "is no status page" in status.message
    bad = checks(site.context("bad", access_log="shop.access.log", access_format="%p%s", status="shop.sock"))
    assert {c.level for c in bad.values()} == {CheckLevel.ERROR}


# --- a whole run ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(site: Site) -> RawRun:
    scenario = {
        "name": "fpm",
        "target": {
            "runtime": "php",
            "attach": {"match": "php-fpm: pool shop"},
            "url": site.url,
            "php": {"fpm": {"access_log": str(site.log)}},
        },
        "profile": "none",
        "requests": [{"name": "shop", "get": "/shop"}],
        "load": {"rounds": 7, "requests_per_round": 20, "blocks": 1, "warmup_rounds": 1, "settle": "20ms", "concurrency": 2},
        "sample": {"interval": "200ms"},
    }  # fmt: skip
    (site.directory / "scenario.yaml").write_text(json.dumps(scenario))
    with harness("run", "scenario.yaml", cwd=site.directory) as running:
        code, out, err = running.finish()
        running.assert_nothing_left()
    assert code == 0, err
    raw = read_run(Path(out.splitlines()[-1]))
    assert raw.manifest.status is RunStatus.COMPLETE
    return raw


def test_every_request_is_tied_to_its_worker_without_code_in_php(site: Site, run: RawRun) -> None:
    assert {r.source for r in run.records} == {"fpm-access-log"}
    joined = join_spans(run.spans, run.records, (), Lifetimes(run.processes))
    assert {j.method for j in joined.spans} == {JoinMethod.ACCESS_LOG}
    assert joined.unmatched_records == 0, "neither the questions at floors nor the status page are requests"
    assert {j.worker.pid for j in joined.spans if j.worker is not None} == set(site.workers("shop"))


def test_the_shared_caches_are_known_at_every_floor(run: RawRun) -> None:
    asked = (PhaseName.WARMUP, PhaseName.ROUNDS)  # after the stretch without traffic nobody is
    floors = {w.floor_ns for w in run.windows if w.phase in asked and w.floor_ns is not None}
    shared = {n: s for (n, _), s in run.series.items() if n.startswith(("agent.php.apcu.", "agent.php.opcache."))}
    assert {
        "agent.php.apcu.free",
        "agent.php.apcu.size",
        "agent.php.opcache.free",
        "agent.php.opcache.wasted",
    } <= shared.keys()
    free = shared["agent.php.apcu.free"]
    assert floors <= set(free.t_ns.tolist())
    assert sorted(free.values.tolist(), reverse=True) == free.values.tolist(), "each page puts something into APCu"
    assert free.values[0] - free.values[-1] > 7 * 20 * 4096
    requests = [s for (n, _), s in run.series.items() if n == "agent.php.fpm.requests"]
    assert len(requests) == WORKERS
    assert not [m for m in run.missing if m.signal.startswith(("agent.php.", "log."))]


def test_the_run_says_that_these_workers_drop_their_heap(run: RawRun) -> None:
    facts = {name: text for name, text in run.manifest.facts.items() if name.startswith("php.")}
    assert set(facts.values()) == {"php-fpm", "dropped after each request"}
    assert {name.split(".")[1] for name in facts} == {"sapi", "heap"}


def test_pools_know_where_they_listen(site: Site) -> None:
    pools = {pool.name: pool for pool in pools_among([*site.workers("shop"), *site.workers("strict")])}
    assert pools["shop"].address == Address(path=f"{site.directory}/shop.sock")
    assert pools["shop"].status == (Address(path=f"{site.directory}/shop.sock"), "/fpm-status")
    assert pools["strict"].status is None
    assert pools["shop"].own_paths == {"/fpm-status"}
