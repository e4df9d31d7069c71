"""System-wide sources: how often, and what happens without them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.model.metric import describe
from harness.sampling.missing import MissingSignals
from harness.sampling.system import System

SECOND = 1_000_000_000


def make(mount: Path, said: list[bytes], slack_ns: int = 0) -> System:
    return System(str(mount), slack_ns, MissingSignals(said.append))


def families(values: dict[str, int]) -> set[str]:
    return {name.split(".")[1] for name in values}


def test_all_on_the_first_sweep(captured: Path) -> None:
    said: list[bytes] = []
    values = make(captured, said).read(0, everything=False)
    assert families(values) == {
        "meminfo", "vmstat", "psi", "psi_total", "buddyinfo", "slab", "zoneinfo", "pagetypeinfo", "swap", "stat", "loadavg",
    }  # fmt: skip
    assert said == []


@pytest.mark.parametrize("tree", ["captured", "linux_4_9"])
def test_every_name_is_in_the_catalogue_of_metrics(tree: str, request: pytest.FixtureRequest) -> None:
    values = make(request.getfixturevalue(tree), []).read(0, everything=True)
    assert {describe(name).unit for name in values} <= {"bytes", "count", "percent", "ns", "pages", "hundredths"}


def test_dear_and_slow_ones_less_often(captured: Path) -> None:
    system = make(captured, [], slack_ns=SECOND // 20)
    system.read(0, everything=False)
    assert families(system.read(SECOND // 10, everything=False)) == {"meminfo", "psi", "psi_total"}
    second = system.read(SECOND - 1000, everything=False)  # a hair early is still a second later
    assert families(second) == {"meminfo", "psi", "psi_total", "vmstat", "buddyinfo", "stat", "loadavg"}
    assert {"slab", "zoneinfo", "swap"} <= families(system.read(5 * SECOND, everything=False))


def test_a_floor_reads_everything(captured: Path) -> None:
    system = make(captured, [])
    system.read(0, everything=False)
    assert "slab" in families(system.read(1, everything=True))


def test_what_disturbs_the_machine_is_read_once(captured: Path) -> None:
    system = make(captured, [])
    assert "pagetypeinfo" in families(system.read(0, everything=True))
    later = [families(system.read(n * 3600 * SECOND, everything=n % 2 == 0)) for n in range(1, 5)]
    assert not [found for found in later if "pagetypeinfo" in found]


def test_what_is_missing_is_said_once_with_its_cost(linux_4_9: Path) -> None:
    said: list[bytes] = []
    system = make(linux_4_9, said)
    for n in range(3):
        assert "psi" not in families(system.read(n * SECOND, everything=True))
    (line,) = [json.loads(s) for s in said]
    assert line["signal"] == "system.psi.memory"
    assert "this kernel does not have" in line["reason"]
    assert "CONFIG_PSI" in line["reason"]
    assert line["costs"]


def test_a_file_that_fails_once_is_tried_again(captured: Path, tmp_path: Path) -> None:
    proc = Path(shutil.copytree(captured, tmp_path / "proc"))
    said: list[bytes] = []
    system = make(proc, said)
    system.read(0, everything=True)
    content = (proc / "meminfo").read_bytes()
    (proc / "meminfo").write_bytes(b"nothing known\n")
    assert "meminfo" not in families(system.read(1, everything=True))
    assert len(said) == 1
    (proc / "meminfo").write_bytes(content)
    assert "meminfo" in families(system.read(2, everything=True))
