"""The kernel's settings."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sampling.sources import settings

FIXTURES = Path(__file__).parents[3] / "fixtures" / "proc"
TREES = sorted(tree for tree in FIXTURES.iterdir() if (tree / "sys" / "vm").is_dir())


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("text", "switches"),
    [
        ("psi=1 quiet transparent_hugepage=never", {"psi": "1", "transparent_hugepage": "never"}),
        ("psi=1 psi=0", {"psi": "0"}),
        ("slab_nomerge root=/dev/sda1", {"slab_nomerge": ""}),
        ("password=hunter2 token=psi=1", {}),
        ('dyndbg="file x +p psi=0" psi=1', {"psi": "1"}),
        ("quiet -- psi=1", {}),
        ("cgroup_disable=memory,\x1b[31m", {"cgroup_disable": "memory,\\x1b[31m"}),
        ("mem=" + "9" * 500, {"mem": "9" * 128}),
        ("", {}),
    ],
)
def test_switches(text: str, switches: dict[str, str]) -> None:
    assert settings.parse_switches(text) == switches


@pytest.mark.parametrize(
    ("text", "nodes"), [("0", 1), ("0-3", 4), ("0-1,4,6-7", 5), ("", None), ("x", None), ("3-1", None), ("0,", None)]
)
def test_nodes(text: str, nodes: int | None) -> None:
    assert settings.parse_nodes(text) == nodes


@pytest.mark.parametrize(
    ("text", "choice"), [("always [madvise] never", "madvise"), ("[defer+madvise]", "defer+madvise"), ("never", None)]
)
def test_choice(text: str, choice: str | None) -> None:
    assert settings.parse_choice(text) == choice


@pytest.mark.parametrize(
    ("text", "flag"), [("Y", 1), ("N", 0), ("true", 1), ("false", 0), ("1", 1), ("2", None), ("", None)]
)
def test_flag(text: str, flag: int | None) -> None:
    assert settings.parse_flag(text) == flag


@given(st.text(max_size=200))
def test_no_parser_raises(text: str) -> None:
    for parse in (settings.parse_number, settings.parse_nodes):
        value = parse(text)
        assert value is None or abs(value) < 2**63
    assert set(settings.parse_switches(text)) <= settings.SWITCHES
    word = settings.parse_word(text)
    assert word is None or word.isprintable()


def test_damon(tmp_path: Path) -> None:
    kdamonds = tmp_path / "sys" / "kernel" / "mm" / "damon" / "admin" / "kdamonds"
    write(kdamonds / "nr_kdamonds", "2\n")
    write(kdamonds / "0" / "state", "on\n")
    for scheme, action in enumerate(("pageout", "lru_prio", "pageout")):
        write(kdamonds / "0" / "contexts" / "0" / "schemes" / str(scheme) / "action", action + "\n")
    write(kdamonds / "1" / "state", "off\n")
    write(tmp_path / "sys" / "module" / "damon_reclaim" / "parameters" / "enabled", "Y\n")
    facts, missing = settings.read(str(tmp_path / "proc"), str(tmp_path / "sys"))
    assert {name: fact for name, fact in facts.items() if name.startswith("damon")} == {
        "damon.kdamonds": 2,
        "damon.0.state": "on",
        "damon.0.actions": "lru_prio,pageout",
        "damon.1.state": "off",
        "damon.reclaim.enabled": 1,
    }
    assert "damon.lru_sort.enabled" in missing


def test_nothing_there_is_missing_and_not_zero(tmp_path: Path) -> None:
    facts, missing = settings.read(str(tmp_path), str(tmp_path))
    assert set(facts) == {"page_size"}
    assert set(settings.SYSCTLS) < set(missing)
    assert all("this kernel does not have" in reason for reason in missing.values())


def test_what_is_not_understood(tmp_path: Path) -> None:
    write(tmp_path / "sys" / "vm" / "swappiness", "many\n")
    write(tmp_path / "sys" / "fs" / "file-nr", "1 0\n")
    facts, missing = settings.read(str(tmp_path), str(tmp_path))
    assert "vm.swappiness" not in facts
    assert "holds nothing that is understood" in missing["vm.swappiness"]
    assert facts["fs.file-nr.allocated"] == 1
    assert "holds nothing that is understood" in missing["fs.file-nr.max"]


def test_the_command_line_is_not_kept(tmp_path: Path) -> None:
    write(tmp_path / "cmdline", "root=/dev/vda secret=hunter2 psi=1 ip=10.0.0.1\n")
    facts, _ = settings.read(str(tmp_path), str(tmp_path))
    assert facts["cmdline.psi"] == "1"
    assert "hunter2" not in json.dumps(facts)
    assert "vda" not in json.dumps(facts)


def test_there_are_captures() -> None:
    assert TREES


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.name)
def test_captured(tree: Path) -> None:
    facts, missing = settings.read(str(tree), str(tree / "sys"))
    assert not set(facts) & set(missing)
    assert not [reason for reason in missing.values() if "understood" in reason]
    assert facts["vm.swappiness"] == int((tree / "sys" / "vm" / "swappiness").read_text())
    assert facts["vm.max_map_count"] == 65530
    thp = tree / "sys/kernel/mm/transparent_hugepage/enabled"
    if thp.exists():
        assert f"[{facts['thp.enabled']}]" in thp.read_text()
    else:  # built without
        assert "does not have" in missing["thp.enabled"]
    assert str(facts["kernel.release"]).startswith(tree.name.split("-")[1])
    assert facts["fs.file-nr.max"]


def test_live() -> None:
    facts, missing = settings.read("/proc", "/sys")
    assert facts["kernel.release"] == os.uname().release
    assert facts["vm.overcommit_memory"] in (0, 1, 2)
    assert isinstance(facts["kernel.version"], str)
    assert set(facts).isdisjoint(missing)
