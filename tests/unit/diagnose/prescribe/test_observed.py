"""What rules get to see of a run: every number is the one that the run holds, and nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from timelines import App, simulate, six

from harness.correlate.build import correlate
from harness.diagnose.host import host_of
from harness.diagnose.pool import PoolView, pools_of
from harness.diagnose.prescribe.levels import budget_of, of_pool
from harness.diagnose.prescribe.observed import of_finding, of_host, of_run
from harness.diagnose.prescribe.restarts import of_recycling, recycling_table
from harness.diagnose.prescribe.servers import OTHER, server_of
from harness.diagnose.prescribe.vocabulary import ALL, SPACES
from harness.diagnose.recycling import recycling_of
from harness.model.event import Event
from harness.model.finding import TIME_SHARE, Cause, Confidence, Evidence, Finding, Growth, Location, Severity, Subject
from harness.model.process import ProcessInfo, ProcessKey, host_key
from harness.model.profile import Artifact, ArtifactStatus
from harness.model.run import RawRun, Series
from harness.model.span import COMMAND
from harness.model.timeline import Timeline

GIB = 1 << 30
LEAK = App(endpoints=six(cart_add={"leak_bytes": 20_480}))


def changed(raw: RawRun, **manifest: object) -> RawRun:
    return dataclasses.replace(raw, manifest=dataclasses.replace(raw.manifest, **manifest))  # type: ignore[arg-type]


def with_series(raw: RawRun, metric: str, *values: int) -> RawRun:
    """The same with a metric of the machine that goes through these values."""
    t_ns = np.linspace(raw.windows[0].start_ns, raw.windows[-1].end_ns or 0, len(values)).astype(np.int64)
    series = {**raw.series, (metric, None): Series(metric, None, t_ns, np.array(values, dtype=np.int64))}
    return dataclasses.replace(raw, series=series)


def looked_at(raw: RawRun) -> tuple[Timeline, PoolView]:
    timeline = correlate(raw)
    (pool,) = pools_of(timeline)
    return timeline, pool


def finding(**parts: object) -> Finding:
    base = Finding(
        Cause.LEAK_OBJECTS, Severity.WARNING, Confidence.HIGH, Subject(pool="app"), "", Growth(None, None, None, None),
        (), (), None,
    )  # fmt: skip
    return dataclasses.replace(base, **parts)  # type: ignore[arg-type]


def test_all_names_are_in_the_vocabulary() -> None:
    raw = changed(simulate(LEAK), facts={"vm.swappiness": 60, "thp.enabled": "always", "python.mode.app": "x"})
    timeline, pool = looked_at(with_series(raw, "system.meminfo.MemAvailable", GIB, GIB))
    row = recycling_of(pool)
    assert row is not None
    known = {
        **of_run(timeline, pool), **of_pool(pool), **of_host(host_of(timeline, [pool])), **of_finding(finding()),
        **of_recycling(row),
    }  # fmt: skip
    assert {n for n in known if "." not in n} - set(ALL) == set()
    assert {n.partition(".")[0] for n in known if "." in n} <= {*SPACES, "python"}
    assert known["pool.mode"] == "x"
    assert known["vm.swappiness"] == 60


def test_the_pool() -> None:
    timeline, pool = looked_at(simulate(LEAK))
    known = of_pool(pool)
    last = [f.values for f in timeline.floors if f.block is None and f.round == 7 and f.phase == "rounds"]
    assert known["workers"] == 4
    assert known["pss_bytes"] == sum(v["process.memory.pss"] or 0 for v in last)
    assert known["threads"] == 3
    first, end = known["worker_first_private_bytes"], known["worker_private_bytes"]
    assert isinstance(first, float)
    assert isinstance(end, float)
    assert end - first == pytest.approx(7 * 600 / 4 * 20_480 / 6, rel=0.1)
    assert known["apcu_size_bytes"] is None
    assert "affordable_workers" not in known


def test_what_may_be_used() -> None:
    raw = with_series(simulate(LEAK), "system.meminfo.MemAvailable", 10 * GIB, 5 * GIB)
    _, pool = looked_at(raw)
    known = of_pool(pool)
    pss = known["pss_bytes"]
    assert isinstance(pss, float)
    assert known["memory_limit_bytes"] is None
    assert known["memory_budget_bytes"] == pss + 0.8 * 5 * GIB
    peak = known["worker_peak_bytes"]
    assert isinstance(peak, float)
    assert known["affordable_workers"] == int((pss + 0.8 * 5 * GIB) / peak)
    limited = budget_of(looked_at(with_series(raw, "cgroup.app.memory.max", GIB))[1])
    assert (limited.limit, limited.usable) == (GIB, GIB)
    unlimited = budget_of(looked_at(with_series(raw, "cgroup.app.memory.max", 9223372036854771712))[1])
    assert unlimited.limit is None


def test_what_may_be_used_is_what_the_pools_own_machine_has() -> None:
    """This machine and another host may each say how much they have."""
    raw = with_series(simulate(LEAK), "system.meminfo.MemAvailable", 10 * GIB)
    _, before = looked_at(raw)
    processes = [dataclasses.replace(p, key=dataclasses.replace(p.key, host="web-2")) for p in raw.processes]
    keys = {p.key: q.key for p, q in zip(raw.processes, processes, strict=True)}
    moved = {(m, keys.get(k, k) if k else k): s for (m, k), s in raw.series.items()}
    for metric, value in (("system.meminfo.MemAvailable", GIB), ("cgroup.app.memory.max", 3 * GIB)):
        own = raw.series["system.meminfo.MemAvailable", None]
        moved[metric, host_key("web-2")] = dataclasses.replace(
            own, metric=metric, process=host_key("web-2"), values=own.values * 0 + value
        )
    _, pool = looked_at(dataclasses.replace(raw, processes=processes, series=moved))
    found, here = budget_of(pool), budget_of(before)
    assert found.limit == 3 * GIB
    assert found.usable is not None
    assert here.usable is not None
    assert here.usable - found.usable == pytest.approx(0.8 * 9 * GIB)


def test_the_run() -> None:
    raw = simulate(LEAK)
    scenario = {
        **raw.manifest.scenario,
        "load": {"rounds": 8},
        "target": {"launch": [{"run": "x", "env": {"LD_PRELOAD": "a.so"}}], "env": {"MALLOC_ARENA_MAX": "2"}},
    }
    worker = raw.processes[1].key
    told = [
        Event(0, "process.runtime", worker, "", {"runtime": "native", "allocator": "jemalloc"}),
        Event(0, "process.runtime", worker, "", {"runtime": "python", "version": "3.12.1"}),
        Event(0, "process.runtime", ProcessKey("", 9999, 1), "", {"runtime": "native", "allocator": "musl"}),
    ]
    known = of_run(*looked_at(dataclasses.replace(changed(raw, scenario=scenario), events=told)))
    assert (known["server"], known["runtime"], known["load_kind"]) == ("gunicorn", "python", "rounds")
    assert (known["launched"], known["watched"], known["preload"]) == (True, False, False)
    assert (known["env.MALLOC_ARENA_MAX"], known["env.LD_PRELOAD"]) == (2.0, "a.so")
    assert (known["allocator"], known["python_minor"]) == ("jemalloc", 12.0)
    assert (known["rounds"], known["requests_per_round"]) == (8, 600)
    assert known["requests_per_hour"] == pytest.approx(1_800_000)


@pytest.mark.parametrize(
    ("load", "kind"),
    [
        ({"observe": "10m"}, "observe"),
        ({"each_round": "x"}, "each_round"),
        ([{"rate": "5/s"}], "stages"),
        (None, "rounds"),
    ],
)
def test_kinds_of_load(load: object, kind: str) -> None:
    raw = simulate(App(requests=30, blocks=1))
    timeline, pool = looked_at(changed(raw, scenario={"load": load, "target": {"attach": {"pid": 1}}}))
    known = of_run(timeline, pool)
    assert known["load_kind"] == kind
    assert known["watched"] is (kind == "observe")
    assert known["launched"] is False
    assert of_run(timeline, None)["server"] == OTHER


def test_the_machine() -> None:
    raw = simulate(LEAK)
    for metric, values in {
        "system.meminfo.MemAvailable": (8 * GIB, 6 * GIB), "system.vmstat.pswpout": (100, 600),
        "system.vmstat.allocstall_normal": (1, 4), "system.vmstat.allocstall_movable": (10, 12),
        "system.psi.memory.some_avg10": (0, 2550, 0),
    }.items():  # fmt: skip
        raw = with_series(raw, metric, *values)
    timeline, pool = looked_at(changed(raw, facts={"page_size": 4096}))
    known = of_host(host_of(timeline, [pool]))
    assert known["memory_available_bytes"] in (8 * GIB, 6 * GIB)
    assert known["processors"] == 2
    assert "swap_used_bytes" not in known
    during = {n: known[n] for n in ("swapped_out_bytes", "direct_reclaims") if n in known}
    assert all(isinstance(v, float) for v in during.values())


def test_the_finding() -> None:
    known = of_finding(
        finding(
            subject=Subject(endpoint="cart", location=Location("shop/cart.py", 12, "add")),
            growth=Growth(2048.0, (1.0, 2.0), 1e6, 100.0),
            numbers={"held_bytes": 5.0, "garbage_share": float("nan")},
        )
    )
    assert known["where"] == "shop/cart.py:12 (add)"
    assert known["growth"] == "2.0 KiB per request, 976.6 KiB an hour"
    assert known["held_bytes"] == 5.0
    assert "garbage_share" not in known
    assert of_finding(finding(subject=Subject(endpoint="cart")))["where"] == "the handler of cart"
    assert of_finding(finding())["where"] == "the code that answers the requests"
    assert of_finding(finding(numbers={TIME_SHARE: 0.9}))["where"].startswith("what runs in the background")
    assert of_finding(finding())["growth"] is None


def test_the_table_of_policies() -> None:
    _, pool = looked_at(simulate(LEAK))
    row = recycling_of(pool, 2e9)
    assert row is not None
    lines = recycling_table(row).splitlines()
    assert lines[0].startswith("Simulated on the measured memory of 4 workers: ")
    assert lines[1].startswith("- never: ")
    assert "; more than there is after " in lines[1]
    (chosen,) = [line for line in lines if line.startswith("> ")]
    known = of_recycling(row)
    assert f"after {known['recycling_requests']} requests and up to {known['recycling_jitter_requests']} more" in chosen
    assert lines[-1].endswith(".")
    assert known["recycling_pays"] is True
    idle = recycling_of(looked_at(simulate(App()))[1])
    assert idle is not None
    assert of_recycling(idle)["recycling_pays"] is False
    assert "recycling_requests" not in of_recycling(idle)


@pytest.mark.parametrize(
    ("comm", "command", "server"),
    [
        ("gunicorn", "/venv/bin/python /venv/bin/gunicorn -k uvicorn.workers.UvicornWorker app:app", "gunicorn"),
        ("python3", "python3 -m uvicorn app:app", "uvicorn"), ("uwsgi", "uwsgi --ini x.ini", "uwsgi"),
        ("php-fpm8.2", "php-fpm: pool www", "php-fpm"), ("celery", "python -m celery -A app worker", "celery"),
        ("php", "php bin/console messenger:consume async", "messenger"), ("php", "php artisan queue:work", "queue-worker"),
        ("php8.2", "php8.2 -d x=1 -S 127.0.0.1:80 -t public", "php-server"), ("apache2", "/usr/sbin/apache2 -k start", "apache"),
        ("php", "php worker.php", "script"), ("python3.11", "python3.11 worker.py", "script"), ("ruby", "ruby app.rb", "other"),
    ],
)  # fmt: skip
def test_servers_are_known_by_their_command_lines(comm: str, command: str, server: str) -> None:
    info = ProcessInfo(ProcessKey("", 1, 1), 0, comm, command, 0, "app", 0, 0, 0, None)
    assert server_of([info]) == server


def test_what_holds_and_why_there_is_no_line_are_taken_from_the_profiles() -> None:
    held = Evidence("profile.holder", 3.0, "objects", "3 shop.Order of one request held by module shop.cache _ENTRIES")
    unseen = Evidence("profile.holder", 1.0, "objects", "1 cell of one request held by not to be seen: C code -> cell")
    none = Evidence("profile.line", None, "", "why no line: it is spread over many lines")
    line = Evidence("profile.line", 9.0, "bytes", "tracemalloc: shop/orders.py:9 keeps 9 B")
    assert of_finding(finding(evidence=[held, line]))["holder"] == "module shop.cache _ENTRIES"
    assert of_finding(finding(evidence=[held, line]))["why_no_line"] is None
    assert of_finding(finding(evidence=[unseen, none]))["holder"] is None
    assert of_finding(finding(evidence=[unseen, none]))["why_no_line"] == "it is spread over many lines"
    assert of_finding(finding())["holder"] is None


def test_the_tools_whose_profiles_were_collected() -> None:
    def collected(tool: str, status: ArtifactStatus) -> Artifact:
        return Artifact(tool, "python", "artifacts/1", status, None, "cart_add", 1, 1, 10, "")

    raw = dataclasses.replace(
        simulate(LEAK),
        artifacts=[
            collected("tracemalloc", ArtifactStatus.COMPLETE),
            collected("survivors", ArtifactStatus.COMPLETE),
            collected("tracemalloc", ArtifactStatus.COMPLETE),
            collected("memray", ArtifactStatus.MISSING),
        ],
    )
    timeline, pool = looked_at(raw)
    assert of_run(timeline, pool)["profiled_with"] == "survivors tracemalloc"
    assert of_run(correlate(simulate(LEAK)), None)["profiled_with"] == ""


def test_what_runs_as_a_job_has_no_handler() -> None:
    assert of_finding(finding(subject=Subject(endpoint=COMMAND)))["where"] == "the code that does the jobs"
