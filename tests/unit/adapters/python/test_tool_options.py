"""From the scenario's options to the words of a trigger and the environment of a launch."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from adapters.python import interpreters
from adapters.python.adapter import ADAPTER
from harness.plugins.spec import AdapterContext, LaunchPlan

TOKEN = "5f" * 16


def context(work_dir: Path, **options: object) -> AdapterContext:
    return AdapterContext(work_dir, TOKEN, options, ("tracemalloc",))


@pytest.mark.parametrize(
    ("tool", "options", "words"),
    [
        ("tracemalloc", {}, "tracemalloc"),
        ("tracemalloc", {"tracemalloc": {"frames": 1, "from_boot": True}}, "tracemalloc"),
        ("tracemalloc", {"tracemalloc": {"frames": 10, "from_boot": False}}, "tracemalloc frames=10"),
        ("memray", {}, "memray"),
        ("memray", {"memray": {"native": False}}, "memray"),
        ("memray", {"memray": {"native": True}}, "memray native=1"),
    ],
)
def test_options_of_the_tools(tool: str, options: dict[str, object], words: str) -> None:
    asked = context(Path("/x"), **options)
    assert ADAPTER.trigger(asked, tool).headers == {"x-harness-trigger": f"{TOKEN} {words}"}
    assert ADAPTER.trigger(asked, tool, ["python", "job.py"]).env == {"HARNESS_JOB_TOOL": words}


@pytest.mark.parametrize(
    ("options", "own", "expected"),
    [
        ({}, {}, None),
        ({"from_boot": False, "frames": 5}, {}, None),
        ({"from_boot": True}, {}, "1"),
        ({"from_boot": True, "frames": 5}, {}, "5"),
        ({"from_boot": True, "frames": 5}, {"PYTHONTRACEMALLOC": "2"}, "2"),
    ],
)
def test_tracing_from_boot_is_asked_for_by_environment_and_told(
    tmp_path: Path, options: dict[str, object], own: dict[str, str | None], expected: str | None
) -> None:
    plan = LaunchPlan("app", (sys.executable, "app.py"), own)
    prepared = ADAPTER.prepare(context(tmp_path, tracemalloc=options), [plan])
    assert prepared.plans[0].env.get("PYTHONTRACEMALLOC") == expected
    assert ("tracemalloc" in prepared.experiments) is bool(options.get("from_boot"))


def test_a_launch_leaves_word_of_its_interpreter(tmp_path: Path) -> None:
    ADAPTER.prepare(context(tmp_path), [LaunchPlan("app", (sys.executable, "app.py"))])
    assert interpreters.programs(tmp_path, sys.implementation.cache_tag or "") == [(sys.executable,)]
