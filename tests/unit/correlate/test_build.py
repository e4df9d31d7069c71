from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from timelines import App, empty_run, manifest, process, record, simulate, span

from harness.correlate.build import correlate
from harness.correlate.floors import collect_floors
from harness.correlate.roles import assign_roles
from harness.model.event import Anchor, Event, Window
from harness.model.process import Role
from harness.model.run import RunStatus, Series
from harness.model.span import PhaseName
from harness.model.timeline import JoinMethod, Timeline

S = 1_000_000_000
SMALL = App(requests=60, blocks=3, rounds=2, warmup=1)


def check(timeline: Timeline, start: str) -> str:
    return next(text for what, text in timeline.coverage.checks if what.startswith(start))


@pytest.mark.parametrize(
    ("records", "method"), [("span", JoinMethod.SPAN_ID), ("log", JoinMethod.ACCESS_LOG), ("time", JoinMethod.PID_TIME)]
)
def test_every_request_is_joined_and_the_method_said(records: str, method: JoinMethod) -> None:
    found = correlate(simulate(replace(SMALL, records=records)))
    assert found.coverage.spans == found.coverage.joined == found.coverage.by_method[method] == 180
    assert found.coverage.records_unmatched == 0
    assert sum(w.requests for w in found.workers) == 180
    assert found.missing == ()


def test_without_records_the_gap_is_counted_and_reported() -> None:
    found = correlate(simulate(replace(SMALL, records="none")))
    assert found.coverage.joined == 0
    assert found.coverage.by_method[JoinMethod.NONE] == 180
    assert "no request was recorded" in found.missing[0].reason


def test_checks_put_the_numbers_into_words() -> None:
    found = correlate(simulate(SMALL))
    assert "180 sent, 180 answered, 180 recorded" in check(found, "requests sent")
    assert check(found, "records lost") == "none of 180"
    assert check(found, "rounds send") == "all 2 rounds are identical"
    assert "largest difference 0.00 %" in check(found, "PSS")
    assert check(found, "floors") == "9 of 9"


def test_what_allocators_say_from_outside_and_inside_is_compared() -> None:
    raw = simulate(replace(SMALL, allocators=True))
    assert not [what for what, _ in correlate(raw).coverage.checks if what.startswith("live memory")]
    told = {
        ("agent.python.pymalloc.live", key): replace(series, values=series.values + (1 << 20))
        for (name, key), series in raw.series.items()
        if name == "runtime.python.pymalloc.live"
    }
    found = check(correlate(replace(raw, series={**raw.series, **told})), "live memory read")
    assert "median difference" in found
    assert "largest 1.0 MiB of" in found
    nothing = {key: replace(series, values=series.values * 0) for key, series in told.items()}
    outside = {("runtime.python.pymalloc.live", key): series for (_, key), series in nothing.items()}
    both = correlate(replace(raw, series={**raw.series, **nothing, **outside}))
    assert "median difference 0.00 %" in check(both, "live memory read")


def test_lost_records_show_as_gaps() -> None:
    raw = simulate(SMALL)
    victim = raw.records[0].pid
    mine = [r for r in raw.records if r.pid == victim]
    gone = {id(r) for r in mine[3:6]}
    found = correlate(replace(raw, records=[r for r in raw.records if id(r) not in gone]))
    assert check(found, "records lost") == "3 of 180 (1.7 %)"
    assert found.coverage.joined == 177


def test_a_pid_used_again_is_not_a_gap() -> None:
    old, new = process(11, born=S, ended=3 * S), process(11, born=4 * S)
    records = [replace(record(11, i, t * S, t * S + 1), sequence=n) for i, (t, n) in enumerate([(2, 7), (5, 0)])]
    found = correlate(empty_run(processes=[old, new], records=records))
    assert check(found, "records lost") == "none of 2"


def test_rounds_that_differ_are_said_to() -> None:
    raw = simulate(SMALL)
    found = correlate(replace(raw, spans=raw.spans[:-1]))
    assert "only 1 of 2 rounds" in check(found, "rounds send")


def test_growth_of_processes_is_compared_with_what_the_host_lost() -> None:
    raw = simulate(SMALL)
    times = np.array(
        [w.floor_ns for w in raw.windows if w.block is None and w.phase is PhaseName.ROUNDS], dtype=np.int64
    )
    memory = Series("system.meminfo.MemAvailable", None, times, np.array([10**9, 10**9 - 5 * 2**20], dtype=np.int64))
    found = correlate(replace(raw, series={**raw.series, ("system.meminfo.MemAvailable", None): memory}))
    assert "MemAvailable -5.0 MiB" in check(found, "growth of all")


def test_access_log_times_are_placed_with_their_error() -> None:
    found = correlate(simulate(replace(SMALL, records="log")))
    assert check(found, "access log times").startswith("180 lines placed within 500.0 ms")


def test_clock_steps_become_events_in_order() -> None:
    anchors = [Anchor("", 0, 0), Anchor("", 60 * S, 90 * S)]
    late = Event(70 * S, "x", None, "", {})
    found = correlate(empty_run(anchors=anchors, events=[late]))
    assert [e.kind for e in found.events] == ["clock.step", "x"]


def test_roles_by_tree_and_by_who_answered() -> None:
    master, worker, idle = process(10), process(11, ppid=10, born=S), process(12, ppid=10, born=S)
    helper = process(13, ppid=10, born=S, comm="tracker")
    children_of_worker = process(14, ppid=11, born=2 * S, comm="convert")
    proxy = process(20, pool="nginx", comm="nginx")
    everyone = [master, worker, idle, helper, children_of_worker, proxy]
    roles = assign_roles(everyone, {worker.key: 5}, frozenset({"nginx"}))
    assert [roles[p.key] for p in everyone] == [
        Role.MASTER, Role.WORKER, Role.WORKER, Role.HELPER, Role.HELPER, Role.HELPER,
    ]  # fmt: skip


def test_leaves_are_workers_while_nobody_is_known_to_have_answered() -> None:
    master, leaf = process(10), process(11, ppid=10, born=S)
    roles = assign_roles([master, leaf], {}, frozenset())
    assert roles == {master.key: Role.MASTER, leaf.key: Role.WORKER}


def test_what_multiprocessing_cleans_up_with_is_no_worker_and_makes_no_master() -> None:
    """It has the name and the parent of the workers that uvicorn spawns; and a single process may have one too."""
    master, worker = process(10), process(12, ppid=10, born=S)
    command = "python3 -B -c from multiprocessing.resource_tracker import main;main(8)"
    tracker = replace(process(11, ppid=10, born=S), cmdline=command)
    assert assign_roles([master, tracker, worker], {worker.key: 5}, frozenset()) == {
        master.key: Role.MASTER,
        tracker.key: Role.HELPER,
        worker.key: Role.WORKER,
    }
    alone = assign_roles([master, tracker], {}, frozenset())
    assert alone == {master.key: Role.WORKER, tracker.key: Role.HELPER}


def test_programs_run_by_the_way_make_no_master() -> None:
    """A console application looks at its terminal with ``sh -c stty`` when it starts, a job runs a converter."""
    worker = replace(process(10, comm="php"), last_seen_ns=100 * S)
    stty = process(11, ppid=10, born=S, ended=2 * S, comm="sh")
    converter = process(12, ppid=10, born=50 * S, ended=60 * S, comm="convert")
    roles = assign_roles([worker, stty, converter], {}, frozenset())
    assert roles[worker.key] is Role.WORKER


@pytest.mark.parametrize("ended", [None, 99 * S], ids=["still there", "to the end"])
def test_who_runs_a_worker_of_another_name_is_its_master(ended: int | None) -> None:
    shell = replace(process(10, comm="sh", ended=100 * S), last_seen_ns=100 * S)
    worker = process(11, ppid=10, born=S, ended=ended, comm="php")
    assert assign_roles([shell, worker], {}, frozenset())[shell.key] is Role.MASTER


def test_workers_that_are_replaced_often_have_a_master() -> None:
    master = replace(process(10), last_seen_ns=100 * S)
    worker = process(11, ppid=10, born=S, ended=2 * S)
    assert assign_roles([master, worker], {}, frozenset())[master.key] is Role.MASTER


def test_a_pool_launched_as_not_measured_has_no_workers() -> None:
    proxied = replace(manifest(), unmeasured_pools=("nginx",))
    found = correlate(empty_run(processes=[process(20, pool="nginx")], manifest=proxied))
    assert found.workers[0].role is Role.HELPER


def test_a_profiling_companion_that_answers_and_forks_is_no_part_of_the_application() -> None:
    master, worker = process(20, pool="xdebug"), process(21, ppid=20, born=S, pool="xdebug")
    roles = assign_roles([master, worker], {worker.key: 2}, frozenset({"xdebug"}))
    assert set(roles.values()) == {Role.HELPER}


def test_a_parent_that_died_before_the_birth_is_no_parent() -> None:
    dead, orphan = process(10, ended=S), process(11, ppid=10, born=5 * S)
    assert assign_roles([dead, orphan], {}, frozenset())[dead.key] is Role.WORKER


def test_floors_take_only_rows_of_exactly_that_sweep() -> None:
    worker = process(11)
    times = np.array([S, 2 * S, 3 * S], dtype=np.int64)
    series = {("process.threads", worker.key): Series("process.threads", worker.key, times, np.array([1, 2, 3]))}
    windows = [
        Window(PhaseName.ROUNDS, 0, 0, 0, S, 2 * S),
        Window(PhaseName.ROUNDS, 0, None, 0, S, None),  # ends with its last block's floor
        Window(PhaseName.ROUNDS, 1, None, 2 * S, 3 * S, 3 * S + 1),  # the sweep left no rows
        Window(PhaseName.PROFILED, None, None, 3 * S, 4 * S, 3 * S),  # not a round
    ]
    found = collect_floors(windows, series)
    assert [(f.round, f.block, f.t_ns, f.values) for f in found] == [
        (0, 0, 2 * S, {"process.threads": 2}),
        (0, None, 2 * S, {"process.threads": 2}),
    ]


def test_an_unfinished_round_has_no_floor() -> None:
    worker = process(11)
    series = {("process.threads", worker.key): Series("process.threads", worker.key, np.array([S]), np.array([1]))}
    windows = [Window(PhaseName.ROUNDS, 0, 0, 0, S, S), Window(PhaseName.ROUNDS, 0, None, 0, None, None)]
    assert [f.block for f in collect_floors(windows, series)] == [0]


def test_an_empty_run() -> None:
    found = correlate(empty_run())
    assert found.coverage.spans == 0
    assert found.coverage.checks == ()


def test_one_sample_and_no_requests() -> None:
    worker = process(11)
    series = {("process.threads", worker.key): Series("process.threads", worker.key, np.array([S]), np.array([1]))}
    found = correlate(
        empty_run(processes=[worker], series=series, windows=[Window(PhaseName.ROUNDS, 0, None, 0, S, S)])
    )
    assert len(found.floors) == 1


def test_requests_that_only_processes_unseen_answered_are_explained() -> None:
    found = correlate(
        empty_run(processes=[process(10), process(11)], spans=[span(1, S, 2 * S)], records=[record(99, 1, S, 2 * S)])
    )
    assert "never saw" in found.missing[0].reason
    assert "1 requests were answered by processes the sampler never saw" in check(found, "requests sent")


def test_traffic_that_this_run_did_not_send_is_reported() -> None:
    raw = simulate(SMALL)
    others = [replace(r, span_id=None) for r in raw.records[:20]]
    found = correlate(replace(raw, records=[*raw.records, *others]))
    assert found.coverage.records_unmatched == 20
    assert [m.signal for m in found.missing] == ["traffic of this run alone"]


def test_requests_that_a_killed_session_had_not_heard_of_are_nobodys() -> None:
    """Its agents' records are read afterwards, those of the last requests that it sent among them."""
    raw = simulate(SMALL)
    ends = sorted(s.end_ns for s in raw.spans)
    heard = [s for s in raw.spans if s.end_ns <= ends[len(ends) // 2]]
    unheard = len([r for r in raw.records if (r.end_ns or 0) > ends[len(ends) // 2]])
    assert unheard > 0.05 * len(heard)
    stranger = replace(raw.records[0], span_id=None)
    killed = replace(raw, spans=heard, records=[stranger, *raw.records],
                     manifest=replace(raw.manifest, status=RunStatus.INTERRUPTED, ended_ns=None))  # fmt: skip
    found = correlate(killed)
    assert found.coverage.records_unmatched == 1
    assert found.missing == ()
    stopped = correlate(replace(killed, manifest=replace(killed.manifest, ended_ns=raw.manifest.ended_ns)))
    assert stopped.coverage.records_unmatched == 1 + unheard, "who was stopped in order has heard of all"


def test_jobs_that_a_command_of_this_run_feeds_are_not_traffic_of_others() -> None:
    raw = simulate(replace(SMALL, records="none"))
    jobs = [record(raw.processes[1].key.pid, None, s.start_ns, s.end_ns) for s in raw.spans for _ in range(20)]
    scenario = {**raw.manifest.scenario, "load": {"each_round": "python feed.py"}}
    fed = replace(raw, records=jobs, manifest=replace(raw.manifest, scenario=scenario))
    found = correlate(fed)
    assert found.coverage.records == len(jobs)
    assert found.coverage.records_unmatched == 0
    assert "traffic of this run alone" not in [m.signal for m in found.missing]
    assert check(found, "commands run") == f"{len(raw.spans)} commands run, {len(jobs)} jobs recorded inside the target"
    strangers = correlate(replace(fed, records=[*jobs, *(replace(r, span_id="f" * 16) for r in jobs)]))
    assert strangers.coverage.records_unmatched == len(jobs), "a request with somebody else's span is not a job"
    assert "traffic of this run alone" in [m.signal for m in strangers.missing]


def test_a_pools_page_tables_are_compared_with_the_account_of_its_cgroup() -> None:
    raw = simulate(App(rounds=8))
    anon = [s for (metric, _), s in raw.series.items() if metric == "process.memory.pss_anon"]
    times = sorted({w.floor_ns for w in raw.windows if w.floor_ns is not None})
    totals = [sum(int(s.values[list(s.t_ns).index(t)]) for s in anon if t in s.t_ns) for t in times]
    totals[-1] += 3 << 20  # memory of a process that nobody has seen
    charged = Series("cgroup.app.memory.stat.anon", None, np.array(times), np.array(totals))
    pool = raw.processes[0].pool
    own = {f"cgroup.{pool}": "/sys/fs/cgroup/harness-run"}
    name = f"cgroup.{pool}.memory.stat.anon"
    found = correlate(
        replace(
            raw,
            manifest=replace(raw.manifest, facts=own),
            series={**raw.series, (name, None): replace(charged, metric=name)},
        )
    )
    assert "largest difference +3.0 MiB" in check(found, f"{pool}: charged to its cgroup")
    without = correlate(replace(raw, series={**raw.series, (name, None): replace(charged, metric=name)}))
    assert not [what for what, _ in without.coverage.checks if "cgroup" in what], (
        "a group that others share is no account"
    )
