"""/proc/PID/numa_maps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.sampling.sources import pid_numa_maps, pid_smaps, pieces
from harness.sampling.sources.pid_numa_maps import NumaMaps

TWO_NODES = b"""\
55f0c8e5c000 default file=/usr/bin/python3.11 mapped=30 mapmax=2 N1=30 kernelpagesize_kB=4
7f5e1c000000 prefer:0 heap anon=512 dirty=500 active=0 N0=384 N1=128 kernelpagesize_kB=4
7f5e2c000000 default file=/srv/N0\\075999\\040N1\\0759 mapped=1 N0=1 kernelpagesize_kB=4
7f5e3c000000 default
7f5e40000000 bind:1 file=/anon_hugepage\\040(deleted) huge anon=4 dirty=4 N1=4 kernelpagesize_kB=2048
7ffd3f9e5000 default stack anon=3 dirty=3 swapcache=1 N0=3 kernelpagesize_kB=4
"""
KB = 1024


def test_pages_of_two_sizes_on_two_nodes() -> None:
    assert pid_numa_maps.parse(TWO_NODES) == NumaMaps(
        by_node={0: (384 + 1 + 3) * 4 * KB, 1: (30 + 128) * 4 * KB + 4 * 2048 * KB},
        anon=(512 + 3) * 4 * KB + 4 * 2048 * KB,
        dirty=(500 + 3) * 4 * KB + 4 * 2048 * KB,
        huge=4 * 2048 * KB,
    )


def test_nothing_resident_is_zero_and_nothing_understood_is_unknown() -> None:
    assert pid_numa_maps.parse(b"7f5e3c000000 default\n") == NumaMaps({}, 0, 0, 0)
    assert pid_numa_maps.parse(b"") is None


@pytest.mark.parametrize("size", [1, 7, 64, 333])
def test_pieces_add_up_wherever_they_are_cut(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "numa_maps").write_bytes(TWO_NODES)
    monkeypatch.setattr(pieces, "PIECE_BYTES", size)
    assert pid_numa_maps.read(str(tmp_path), 7) == pid_numa_maps.parse(TWO_NODES)


def test_live_pages_are_those_of_the_rollup() -> None:
    program = "import sys; ballast = bytearray(b'x') * (8 << 20); print('ready', flush=True); sys.stdin.read()"
    command = [sys.executable, "-I", "-S", "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        found = pid_numa_maps.read("/proc", child.pid)
        rollup = pid_smaps.read_rollup("/proc", child.pid)
    assert found is not None
    assert rollup is not None
    assert rollup.rss is not None
    assert found.anon is not None
    assert found.anon > 8 << 20
    # The zero page and the vdso are counted by one of the two only.
    assert sum(found.by_node.values()) == pytest.approx(rollup.rss, abs=256 * KB)
