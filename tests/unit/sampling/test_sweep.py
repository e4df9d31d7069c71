"""Whole sweeps over fixture trees."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.sampling import protocol
from harness.sampling import sweep as sweep_module
from harness.sampling.protocol import Depth, Match, Root, Start
from harness.sampling.schedule import Due
from harness.sampling.sweep import Sweeper

NOBODY: frozenset[int] = frozenset()
ON_TIME = Due(0, 0)
T = 5_000_000_000
MASTER, WORKER = 4190100, 4190101


@pytest.fixture
def proc(linux_4_9: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(linux_4_9, tmp_path / "proc"))


def make(mount: Path, *pids: int, interval_ns: int = 1_000_000_000, budget_percent: float = 100.0) -> Sweeper:
    roots = tuple(Root(pid, "app") for pid in pids)
    return Sweeper(Start(str(mount), interval_ns, budget_percent, roots, NOBODY), NOBODY)


def lines(data: bytes) -> list[dict[str, Any]]:
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


def of_kinds(*kinds_and_data: str | bytes) -> list[dict[str, Any]]:
    """Messages of these kinds, in their order; the data comes last."""
    *kinds, data = kinds_and_data
    assert isinstance(data, bytes)
    return [m for m in lines(data) if m["k"] in kinds]


def row(tick: dict[str, Any], pid: int) -> dict[str, int | None]:
    (values,) = [values for p, _, values in tick["p"] if p == pid]
    return dict(zip(protocol.COLUMNS, values, strict=True))


def test_a_captured_tree(captured: Path, specimen: dict[str, int]) -> None:
    settings, *introductions, tick = of_kinds(
        "settings", "proc", "tick", make(captured, specimen["master"]).sweep(T, ON_TIME)
    )
    assert settings["facts"]["kernel.release"].startswith("6.18")
    by_pid = {m["pid"]: m for m in introductions}
    assert set(by_pid) == {specimen[n] for n in ("master", "awkward", "threaded", "grandchild", "memory")}
    awkward = by_pid[specimen["awkward"]]
    assert awkward["comm"] == "a) S 1 (b\\x0ac"
    assert (awkward["ppid"], awkward["uid"], awkward["pool"]) == (specimen["master"], 0, "app")
    assert awkward["cmd"].startswith("/usr/bin/python3 -I")
    assert all(m["t"] == tick["t"] for m in introductions)
    assert {pid for pid, _, _ in tick["p"]} == set(by_pid)
    values = row(tick, specimen["threaded"])
    assert values["process.threads"] == 2
    assert None not in values.values()
    assert row(tick, specimen["master"])["process.memory.hwm"] == 10024 * 1024


def test_an_old_kernel_gives_null_and_says_why(linux_4_9: Path) -> None:
    *others, tick = lines(make(linux_4_9, MASTER).sweep(T, ON_TIME))
    missing = {m["signal"] for m in others if m["k"] == "missing"}
    assert missing == {"process.memory.pss_anon", "system.psi.memory", "cgroup.memory"}
    values = row(tick, MASTER)
    assert (values.pop("process.walk") or 0) > 0
    assert values == {
        "process.memory.rss": 8216 * 1024,
        "process.memory.pss": 4888 * 1024,
        "process.memory.uss": 3096 * 1024,
        "process.memory.pss_anon": None,
        "process.memory.pss_file": None,
        "process.memory.pss_shmem": None,
        "process.memory.shared_dirty": 2048 * 1024,
        "process.memory.anon_huge": 2048 * 1024,
        "process.memory.swap": 64 * 1024,
        "process.memory.swap_pss": 32 * 1024,
        "process.memory.hwm": 8300 * 1024,
        "process.threads": 1,
        "process.fds": 4,
        "process.faults.minor": 4001,
        "process.faults.major": 0,
        "process.cpu": 400_000_000,
    }


def test_nothing_is_said_twice(proc: Path) -> None:
    sweeper = make(proc, MASTER)
    sweeper.sweep(T, ON_TIME)
    assert [m["k"] for m in lines(sweeper.sweep(T, ON_TIME))] == ["tick"]
    assert [m["k"] for m in lines(sweeper.sweep(T, ON_TIME, floor_id=1))] == ["tick"]


@pytest.mark.parametrize("change", ["title", "comm", "image", "uid"])
def test_what_a_process_becomes_is_said_again(proc: Path, change: str) -> None:
    sweeper = make(proc, MASTER)
    first = {m["pid"]: m for m in lines(sweeper.sweep(T, ON_TIME)) if m["k"] == "proc"}[WORKER]
    directory = proc / str(WORKER)
    stat = (directory / "stat").read_text()
    if change in ("title", "image"):
        (directory / "cmdline").write_bytes(b"php-fpm: pool api\0")
    if change == "comm":
        (directory / "stat").write_text(stat.replace("php-fpm7.0", "renamed"))
    if change == "image":
        (directory / "stat").write_text(stat.replace("94210000000000", "95000000000000"))
    if change == "uid":
        (directory / "status").write_text((directory / "status").read_text().replace("33\t33", "34\t33"))
    # A new title alone or a new owner is found with the details, a program executed at once.
    later = T + (5_000_000_000 if change in ("title", "uid") else 1)
    again, tick = lines(sweeper.sweep(later, ON_TIME))
    expected = {
        "title": {"cmd": "php-fpm: pool api"},
        "comm": {"comm": "renamed"},
        "image": {"cmd": "php-fpm: pool api"},
        "uid": {"uid": 34},
    }[change]
    assert again == {**first, **expected, "t": tick["t"]}


def test_an_exit_comes_before_the_tick_without_it(proc: Path) -> None:
    sweeper = make(proc, MASTER)
    sweeper.sweep(T, ON_TIME)
    shutil.rmtree(proc / str(WORKER))
    left, tick = lines(sweeper.sweep(T, ON_TIME))
    assert left == {"k": "exit", "pid": WORKER, "start": 5111, "t": tick["t"], "code": None, "signal": None, "last": {}}
    assert [pid for pid, _, _ in tick["p"]] == [MASTER]


def test_files_that_vanish_during_the_sweep_leave_null(proc: Path) -> None:
    for name in ("status", "smaps", "cmdline"):
        (proc / str(WORKER) / name).unlink()
    shutil.rmtree(proc / str(WORKER) / "fd")
    messages = lines(make(proc, MASTER).sweep(T, ON_TIME))
    assert {m["signal"] for m in messages if m["k"] == "missing"} == {
        *("process.memory.pss_anon", "system.psi.memory", "cgroup.memory")
    }
    values = row(messages[-1], WORKER)
    assert values["process.memory.rss"] == 2054 * 4096  # the cheap counter
    assert values["process.faults.minor"] == 700
    assert {name for name, value in values.items() if value is None} == {
        *(c for c in protocol.COLUMNS if c.startswith("process.memory.") and c != "process.memory.rss"),
        *("process.fds", "process.walk"),
    }


def test_a_process_without_memory_of_its_own_has_no_rows_of_memory(proc: Path) -> None:
    """A kernel thread, or a leader whose threads live on."""
    stat = proc / str(WORKER) / "stat"
    stat.write_text(stat.read_text().replace(" 223420416 2054 ", " 0 0 "))
    (proc / str(WORKER) / "smaps").write_bytes(b"")
    (proc / str(WORKER) / "status").write_text("Uid:\t0\t0\t0\t0\n")
    values = row(lines(make(proc, MASTER).sweep(T, ON_TIME))[-1], WORKER)
    assert {values[c] for c in protocol.COLUMNS if c.startswith("process.memory.")} == {None}
    assert values["process.walk"] is None, "nothing was walked"


def test_details_are_read_once_a_second_and_at_floors(proc: Path) -> None:
    sweeper = make(proc, MASTER, interval_ns=100_000_000)
    known = []
    stat = proc / str(MASTER) / "stat"
    ran = stat.read_text()
    for after_ms, floor in ((0, None), (100, None), (950, None), (960, None), (970, 1), (1969, None)):
        stat.write_text(ran.replace(" 31 9 ", f" {31 + after_ms} 9 "))  # CPU time
        values = row(lines(sweeper.sweep(T + after_ms * 1_000_000, ON_TIME, floor))[-1], MASTER)
        assert values["process.memory.pss"] is not None
        detail = [values[name] is not None for name in ("process.memory.hwm", "process.memory.swap", "process.fds")]
        assert len(set(detail)) == 1
        known.append(detail[0])
    assert known == [True, False, True, False, True, True]


def test_without_budget_only_first_sight_and_floors_walk(proc: Path) -> None:
    sweeper = make(proc, MASTER, interval_ns=1_000_000, budget_percent=0.001)
    sweeps = [lines(sweeper.sweep(T, ON_TIME, floor))[-1] for floor in (None, None, 4, None)]
    assert [row(tick, MASTER)["process.memory.pss"] for tick in sweeps] == [4888 * 1024, None, 4888 * 1024, None]


def test_a_deep_floor_that_takes_too_long_leaves_the_later_processes_out(
    captured: Path, specimen: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = lines(make(captured, specimen["memory"]).sweep(T, ON_TIME, 1, Depth.HEAPS))
    assert [m["k"] for m in deep if m["k"] in ("more", "tick")] == ["more", "tick"]
    monkeypatch.setattr(sweep_module, "_MOST_DEEP_NS", -1)
    cut = lines(make(captured, specimen["memory"]).sweep(T, ON_TIME, 1, Depth.HEAPS))
    assert [m["k"] for m in cut if m["k"] in ("more", "tick")] == ["tick"]
    assert "process.deep_floors" in {m["signal"] for m in cut if m["k"] == "missing"}
    assert row(cut[-1], specimen["memory"])["process.memory.pss"] is not None


def test_the_tick_tells_how_it_was_taken(proc: Path) -> None:
    tick = lines(make(proc).sweep(T, Due(1234, 5), floor_id=77))[-1]
    assert (tick["late"], tick["missed"], tick["floor"], tick["p"]) == (1234, 5, 77, [])
    assert tick["t"] == T
    assert tick["cpu"] > 0


def test_matches_are_introduced_in_their_pool(proc: Path) -> None:
    sweeper = make(proc)
    sweeper.add_match(Match("web", "pool www"))
    pools = {m["pid"]: m["pool"] for m in lines(sweeper.sweep(T, ON_TIME)) if m["k"] == "proc"}
    assert pools == {WORKER: "web"}


def test_no_mount_point_is_all_missing_and_no_crash(tmp_path: Path) -> None:
    *missing, tick = lines(make(tmp_path / "none", 1).sweep(T, ON_TIME))
    assert {m["k"] for m in missing} == {"missing", "settings"}
    assert tick["p"] == []
    assert tick["s"] == {}


def test_a_new_title_is_looked_for_with_the_details_only(proc: Path) -> None:
    sweeper = make(proc, MASTER, interval_ns=100_000_000)
    sweeper.sweep(T, ON_TIME)
    (proc / str(WORKER) / "cmdline").write_bytes(b"php-fpm: pool api\0")
    assert [m["k"] for m in lines(sweeper.sweep(T + 100_000_000, ON_TIME))] == ["tick"]
    assert [m["k"] for m in lines(sweeper.sweep(T + 1_000_000_000, ON_TIME))] == ["tick"], "it has done nothing"
    assert [m["k"] for m in lines(sweeper.sweep(T + 5_000_000_000, ON_TIME))] == ["proc", "tick"]


def test_a_new_pool_is_announced(proc: Path) -> None:
    sweeper = make(proc, MASTER)
    sweeper.sweep(T, ON_TIME)
    sweeper.add_root(Root(WORKER, "second"))
    again, _ = lines(sweeper.sweep(T + 1, ON_TIME))
    assert (again["k"], again["pid"], again["pool"], again["uid"]) == ("proc", WORKER, "second", 33)
