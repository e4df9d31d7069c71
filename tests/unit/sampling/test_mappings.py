"""What deep floors say of a process beside its page-table totals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.model.metric import describe
from harness.sampling.mappings import Mappings, in_swap
from harness.sampling.missing import MissingSignals
from harness.sampling.protocol import Identity

TREES = sorted(p.parent for p in (Path(__file__).parents[2] / "fixtures" / "proc").glob("*/specimen.json"))


class World:
    """The process with memory of every kind in one capture."""

    def __init__(self, tree: Path) -> None:
        self.who = Identity(json.loads((tree / "specimen.json").read_text())["memory"], 1)
        self._lines: list[bytes] = []
        self.mappings = Mappings(str(tree), str(tree / "sys"), MissingSignals(self._lines.append), self._lines.append)

    def said(self, kind: str) -> list[dict[str, Any]]:
        return [m for m in map(json.loads, self._lines) if m["k"] == kind]


@pytest.fixture(params=TREES, ids=[t.name for t in TREES])
def world(request: pytest.FixtureRequest) -> World:
    tree: Path = request.param
    return World(tree)


def test_every_value_is_a_metric_that_reports_understand(world: World) -> None:
    values = world.mappings.read(world.who, 5)
    assert {name.split(".")[2] for name in values if name.startswith("process.smaps.")} >= {"heap", "library", "memfd"}
    assert {describe(name).unit for name in values} <= {"bytes", "count"}
    assert values["process.oom_score_adj"] == 200


def test_the_allocator_and_the_data_files_are_said_again_only_when_they_are_others(world: World) -> None:
    for t_ns in (5, 6):
        world.mappings.read(world.who, t_ns)
    (native,) = world.said("runtime")
    assert (native["runtime"], native["facts"]["allocator"]) == ("native", "glibc")
    assert [m["t"] for m in world.said("files")] == [5]
    world.mappings.forget(world.who)
    world.mappings.read(world.who, 7)
    assert len(world.said("runtime")) == 2, "another process may have its pid by now"
    assert [m["t"] for m in world.said("files")] == [5, 7]


def test_whether_some_of_it_is_in_swap(world: World) -> None:
    values = world.mappings.read(world.who, 5)
    swapped = sum(v for name, v in values.items() if name.startswith("process.smaps.") and name.endswith(".swap"))
    assert in_swap(values) is (swapped > 0)


def test_captures_with_and_without_swapped_pages_are_among_them() -> None:
    found = {in_swap(World(tree).mappings.read(World(tree).who, 5)) for tree in TREES}
    assert found == {True, False}


def test_a_process_that_has_gone(captured: Path) -> None:
    lines: list[bytes] = []
    mappings = Mappings(str(captured), str(captured / "sys"), MissingSignals(lines.append), lines.append)
    assert mappings.read(Identity(1, 1), 5) == {}
    assert lines == []
