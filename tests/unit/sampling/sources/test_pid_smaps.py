"""Page-table walks: rollup, smaps summed, and that both say the same of one process."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.sampling.sources import pid_smaps, pieces


def test_captured_rollup(captured: Path, specimen: dict[str, int]) -> None:
    text = (captured / str(specimen["memory"]) / "smaps_rollup").read_text()
    kilobytes = {name: int(value) for name, value in re.findall(r"(\w+): +(\d+) kB", text)}
    walk = pid_smaps.read_rollup(str(captured), specimen["memory"])
    assert walk is not None
    assert walk.rss == 18604 * 1024
    assert walk.pss == 10720 * 1024
    assert walk.uss == (kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]) * 1024
    assert walk.pss_anon == kilobytes["Pss_Anon"] * 1024
    assert walk.pss_file == kilobytes["Pss_File"] * 1024
    assert (walk.pss_shmem, walk.anon_huge, walk.swap, walk.swap_pss) == (1024 * 1024, 2048 * 1024, 0, 0)
    assert walk.shared_dirty == kilobytes["Shared_Dirty"] * 1024


def test_captured_smaps_sum_to_the_captured_rollup(captured: Path, specimen: dict[str, int]) -> None:
    rollup = pid_smaps.read_rollup(str(captured), specimen["memory"])
    summed = pid_smaps.read_summed(str(captured), specimen["memory"])
    assert rollup is not None
    assert summed is not None
    mappings = (captured / str(specimen["memory"]) / "smaps").read_text().count("\nVmFlags:") + 1
    assert (summed.rss, summed.uss, summed.shared_dirty) == (rollup.rss, rollup.uss, rollup.shared_dirty)
    assert rollup.pss is not None
    assert summed.pss is not None
    assert 0 <= rollup.pss - summed.pss <= mappings * 1024
    assert summed.pss_anon is None  # only the rollup has it


def test_before_5_3_the_parts_of_pss_are_unknown(linux_4_19: Path) -> None:
    walk = pid_smaps.read_rollup(str(linux_4_19), 4190200)
    assert walk is not None
    assert (walk.pss, walk.uss, walk.swap, walk.swap_pss) == (7816 * 1024, 6212 * 1024, 96 * 1024, 48 * 1024)
    assert (walk.pss_anon, walk.pss_file, walk.pss_shmem) == (None, None, None)


def test_before_4_14_there_is_no_rollup(linux_4_9: Path) -> None:
    with pytest.raises(OSError, match="smaps_rollup") as caught:
        pid_smaps.read_rollup(str(linux_4_9), 4190100)
    assert caught.value.errno == errno.ENOENT
    walk = pid_smaps.read_summed(str(linux_4_9), 4190100)
    assert walk is not None
    assert walk.rss == 8216 * 1024  # the file named "Rss: 999999 kB" adds 4 kB, not its name
    assert (walk.pss, walk.uss, walk.shared_dirty) == (4888 * 1024, 3096 * 1024, 2048 * 1024)
    assert (walk.anon_huge, walk.swap, walk.swap_pss) == (2048 * 1024, 64 * 1024, 32 * 1024)


def test_pieces_add_up_wherever_they_are_cut(linux_4_9: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pid_smaps.parse((linux_4_9 / "4190100" / "smaps").read_bytes())
    for size in (1, 7, 64, 333):
        monkeypatch.setattr(pieces, "PIECE_BYTES", size)
        assert pid_smaps.read_summed(str(linux_4_9), 4190100) == whole


def test_no_memory_is_not_zero_memory() -> None:
    assert pid_smaps.parse(b"") is None
    assert pid_smaps.parse(b"Pss: 1 kB\n") is None


def test_half_of_the_private_pages_is_no_uss() -> None:
    walk = pid_smaps.parse(b"Rss: 10 kB\nPrivate_Dirty: 4 kB\n")
    assert walk is not None
    assert walk.uss is None


def test_live_smaps_sum_to_the_live_rollup() -> None:
    program = "import sys; ballast = bytearray(b'x') * (8 << 20); print('ready', flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"  # from here on it is blocked on the pipe
        rollup = pid_smaps.read_rollup("/proc", child.pid)
        summed = pid_smaps.read_summed("/proc", child.pid)
        mappings = Path(f"/proc/{child.pid}/maps").read_bytes().count(b"\n")
    assert rollup is not None
    assert summed is not None
    assert rollup.rss is not None
    assert rollup.rss > 8 << 20
    # Between the two reads pages may be reclaimed, and shared ones change hands; the rest is rounding.
    noise = (mappings << 10) + 64 * os.sysconf("SC_PAGE_SIZE")
    assert rollup.rss == pytest.approx(summed.rss, abs=noise)
    assert rollup.pss == pytest.approx(summed.pss, abs=noise)
    assert rollup.uss == pytest.approx(summed.uss, abs=noise)
