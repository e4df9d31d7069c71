"""Programs with the agent on another host, which here is this one behind a connector."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from adapters.python.adapter import ADAPTER
from adapters.python.elsewhere import MOST_JOBS, FilesThere
from harness.errors import UsageError
from harness.plugins.spec import AdapterContext, Away, Check, FloorDepth, LaunchPlan
from harness.targets.connectors.local import LocalConnector

VARIABLES = {"PYTHONPATH": "/there/python/boot", "HARNESS_RECORDS": "/there/records/python-1.ndjson"}


@dataclass(frozen=True)
class There:
    name: str = "web-1"

    def run(self, argv: Sequence[str]) -> tuple[int, bytes]:
        done = LocalConnector().run(argv)
        return done.code, done.output


class Posted:
    """What is said to the host."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.orders: list[tuple[int, str, str, tuple[int, ...]]] = []

    def post(self, number: int, verb: str, rest: str, pids: Sequence[int]) -> Sequence[int]:
        self.orders.append((number, verb, rest, tuple(pids)))
        return pids


def context(tmp_path: Path, posted: Posted, **options: object) -> AdapterContext:
    away = Away("web-1", 5_000_000_000_000, posted.post, posted.names.append)
    return AdapterContext(tmp_path, "5f" * 16, options, ("tracemalloc",), away=away)


def launched(tmp_path: Path, plan: LaunchPlan, **options: object) -> tuple[LaunchPlan, Sequence[Check]]:
    prepared, checks = ADAPTER.launch_there(context(tmp_path, Posted(), **options), [plan], VARIABLES, There())
    [found] = prepared.plans
    return found, checks


def test_a_program_gets_the_agent_before_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    plan = LaunchPlan("app", (sys.executable, "app.py"), {"MODE": "x"})
    found, checks = launched(tmp_path, plan, jobs=("shop:work",), tracemalloc={"from_boot": True, "frames": 3})
    assert checks == []
    assert found.argv == plan.argv
    assert found.env == {
        **VARIABLES,
        "PYTHONPATH": "/there/python/boot:/theirs",
        "MODE": "x",
        "HARNESS_JOBS": "shop:work",
        "PYTHONTRACEMALLOC": "3",
    }
    own, _ = launched(tmp_path, replace(plan, env={"PYTHONPATH": "/own"}))
    assert own.env["PYTHONPATH"] == "/there/python/boot:/own"


def test_what_is_not_measured_stays_as_it_is(tmp_path: Path) -> None:
    plan = LaunchPlan("proxy", ("nginx",), measured=False)
    assert launched(tmp_path, plan) == (plan, [])


def test_why_the_agent_will_not_load_is_said_as_it_is_there(tmp_path: Path) -> None:
    script = tmp_path / "serve"
    script.write_text(f"#!{sys.executable} -I\n")
    script.chmod(0o755)
    for argv in ((sys.executable, "-I", "app.py"), (str(script),), ("./serve",)):
        _, [check] = launched(tmp_path, LaunchPlan("app", argv, cwd=tmp_path))
        assert check.costs
        assert check.message.startswith("the agent will not load: -I makes Python ignore PYTHONPATH; remove the flag")
        assert "overlay" not in check.message
    _, [check] = launched(tmp_path, LaunchPlan("app", ("no-such-program",)))
    assert (check.message, check.costs) == ("no-such-program was not found on web-1", "")


def test_files_there_are_found_as_a_shell_finds_them(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"a" * 10 + b"\x00\xff" + b"z" * 10)
    files = FilesThere(There(), str(tmp_path))
    assert files.find("./long") == f"{tmp_path}/./long"
    assert files.find(str(tmp_path)) is None, "a directory is no program"
    assert files.find("no such; echo x") is None
    assert Path(files.find("sh") or "").name == "sh"
    assert files.ends(str(tmp_path / "long"), 11) == (b"a" * 10 + b"\x00", b"\xff" + b"z" * 10)
    assert files.ends(str(tmp_path / "none"), 11) is None


def test_a_result_has_the_name_that_was_chosen_here(tmp_path: Path) -> None:
    posted = Posted()
    there = context(tmp_path, posted)
    triggers = [ADAPTER.trigger(there, "tracemalloc") for _ in range(2)]
    words = [trigger.headers["x-harness-trigger"].split() for trigger in triggers]
    assert [f"{each[-1].removeprefix('result=')}.json" for each in words] == posted.names
    assert len(set(posted.names)) == 2
    for tool in ("memray", "blackfire"):
        with pytest.raises(UsageError, match="not used on another host"):
            ADAPTER.trigger(there, tool)
    with pytest.raises(UsageError, match="nothing is started again"):
        ADAPTER.trigger(there, "tracemalloc", ["python3", "job.py"])


def test_orders_for_jobs_name_all_results_that_there_may_be(tmp_path: Path) -> None:
    posted = Posted()
    assert ADAPTER.arm(context(tmp_path, posted), 17, "tracemalloc", [7, 9]) == [7, 9]
    [(number, verb, rest, pids)] = posted.orders
    assert (number, verb, pids) == (17, "arm", (7, 9))
    stem = rest.split("results=")[1]
    assert len(posted.names) == 2 * MOST_JOBS
    assert f"{stem}{9:08x}{1:08x}.json" in posted.names


def test_jobs_in_a_container_there_are_called_by_the_ids_inside(tmp_path: Path) -> None:
    posted = Posted()
    there = context(tmp_path, posted)
    assert there.away is not None
    inside = replace(there, away=replace(there.away, called={7: 1}.get))
    ADAPTER.arm(inside, 17, "tracemalloc", [7, 9])
    assert len(posted.names) == MOST_JOBS
    assert {name[16:24] for name in posted.names} == {"00000001"}


def test_who_answers_too_late_is_told_by_the_clock_there(tmp_path: Path) -> None:
    posted = Posted()
    ADAPTER.ask_floor(context(tmp_path, posted), 3, FloorDepth.LOOK, [7])
    [(_, verb, rest, _)] = posted.orders
    depth, until_ns = rest.split()
    assert (verb, depth) == ("floor", "look")
    assert int(until_ns) > 5_000_000_000_000 + os.times().elapsed
