"""Used memory, part by part."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from looks import MIB, look, process, walk

from harness.top.ledger import WORDS, ledger

INFO = {
    "MemTotal": 1000 * MIB, "MemFree": 400 * MIB, "Cached": 200 * MIB, "Buffers": 10 * MIB, "Shmem": 50 * MIB,
    "AnonPages": 150 * MIB, "Slab": 60 * MIB, "SReclaimable": 40 * MIB, "KReclaimable": 45 * MIB, "PageTables": 5 * MIB,
    "SecPageTables": 1 * MIB, "KernelStack": 4 * MIB, "Percpu": 3 * MIB, "VmallocUsed": 14 * MIB, "Hugetlb": 0,
}  # fmt: skip


def member(pid: int, anon: int, file: int, shmem: int) -> object:
    parts = {"pss_anon": anon * MIB, "pss_file": file * MIB, "pss_shmem": shmem * MIB}
    return process(pid, walk=walk((anon + file + shmem) * MIB, **parts))


def test_every_byte_is_in_one_part() -> None:
    members = [member(1, 90, 20, 5), member(2, 30, 10, 15), process(3, None)]
    found = ledger(look(members, meminfo=INFO))  # type: ignore[arg-type]  # processes, built above
    assert found is not None
    assert found.used == 600 * MIB
    assert {part.id: part.bytes // MIB for part in found.parts} == {
        "processes": 170,
        "other-anonymous": 30,
        "page-cache": 130,
        "shmem": 30,
        "slab": 60,
        "page-tables": 6,
        "kernel-stacks": 4,
        "percpu": 3,
        "vmalloc": 10,
        "reclaimable": 5,
    }
    assert found.rest == 152 * MIB


def test_before_5_3_user_memory_is_divided_less() -> None:
    old = process(1, walk=walk(100 * MIB, pss_anon=None, pss_file=None, pss_shmem=None))
    found = ledger(look([old], meminfo=INFO))
    assert found is not None
    assert [(p.id, p.bytes // MIB) for p in found.parts[:2]] == [("processes", 100), ("cache-and-other", 260)]


def test_it_is_not_made_up() -> None:
    assert ledger(look([process(1)], meminfo={})) is None
    assert ledger(look([process(1)], meminfo={k: v for k, v in INFO.items() if k != "AnonPages"})) is None
    assert ledger(look([process(1)], meminfo=INFO, complete=False)) is None


@given(st.dictionaries(st.sampled_from(sorted(INFO)), st.integers(0, 2**50)), st.integers(0, 2**40))
def test_whatever_the_kernel_says_the_parts_add_up(changes: dict[str, int], pss: int) -> None:
    info = {**INFO, **changes}
    found = ledger(look([process(1, pss)], meminfo=info))
    assert found is not None
    assert sum(part.bytes for part in found.parts) + found.rest == found.used == info["MemTotal"] - info["MemFree"]
    assert all(part.bytes > 0 for part in found.parts)
    assert {part.id for part in found.parts} <= WORDS.keys()
