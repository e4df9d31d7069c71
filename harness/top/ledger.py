"""Where the machine's used memory is: what the processes explain, what the kernel names, and a rest that nobody names.

Source of the parts: Documentation/filesystems/proc.rst (meminfo). Meanings of names there: docs/commands-top.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from harness.top.model import Look, Process

PROCESSES = "processes"
PAGE_CACHE = "page-cache"
SHMEM = "shmem"
OTHERS_ANONYMOUS = "other-anonymous"
BEYOND_PROCESSES = "cache-and-other"
REST = "unexplained"

WORDS = {
    PROCESSES: "processes (sum of PSS)",
    OTHERS_ANONYMOUS: "anonymous memory of processes not read",
    BEYOND_PROCESSES: "page cache, tmpfs and processes not read",
    PAGE_CACHE: "page cache not mapped",
    SHMEM: "tmpfs and shared memory not mapped",
    "slab": "slab",
    "page-tables": "page tables",
    "kernel-stacks": "kernel stacks",
    "percpu": "per-CPU data",
    "vmalloc": "vmalloc",
    "hugetlb": "huge page pool",
    "zswap": "zswap",
    "reclaimable": "other reclaimable kernel memory",
    REST: "unexplained",
}


class Part(NamedTuple):
    """One summand, by its stable name; bytes."""

    id: str
    bytes: int


class Ledger(NamedTuple):
    """``used`` = MemTotal - MemFree = sum of ``parts`` + ``rest`` (which is below 0 when the readings, taken one after the
    other, do not quite fit together)."""

    used: int
    parts: tuple[Part, ...]
    rest: int


def ledger(look: Look) -> Ledger | None:
    """None when not every process was read for this look, or meminfo could not be."""
    info = look.meminfo
    if not look.complete or not {"MemTotal", "MemFree", "Cached", "AnonPages"} <= info.keys():
        return None
    parts = [*_of_processes(look.processes, info), *_of_kernel(info)]
    shown = tuple(part for part in parts if part.bytes > 0)
    used = info["MemTotal"] - info["MemFree"]
    return Ledger(used, shown, used - sum(part.bytes for part in shown))


def _of_processes(processes: tuple[Process, ...], info: Mapping[str, int]) -> list[Part]:
    """User memory: PSS, and what of the kernel's totals of the same pages is not in it."""
    walks = [process.walk for process in processes if process.walk is not None]
    pss = sum(walk.pss or 0 for walk in walks)
    files = info["Cached"] + info.get("Buffers", 0)
    if any(walk.pss_anon is None or walk.pss_file is None or walk.pss_shmem is None for walk in walks):
        return [Part(PROCESSES, pss), Part(BEYOND_PROCESSES, info["AnonPages"] + files - pss)]  # before Linux 5.3
    shmem = info.get("Shmem", 0)  # a part of Cached
    return [
        Part(PROCESSES, pss),
        Part(OTHERS_ANONYMOUS, info["AnonPages"] - sum(walk.pss_anon or 0 for walk in walks)),
        Part(PAGE_CACHE, files - shmem - sum(walk.pss_file or 0 for walk in walks)),
        Part(SHMEM, shmem - sum(walk.pss_shmem or 0 for walk in walks)),
    ]


def _of_kernel(info: Mapping[str, int]) -> list[Part]:
    stacks = info.get("KernelStack", 0)
    return [
        Part("slab", info.get("Slab", 0)),
        Part("page-tables", info.get("PageTables", 0) + info.get("SecPageTables", 0)),
        Part("kernel-stacks", stacks),
        Part("percpu", info.get("Percpu", 0)),
        Part("vmalloc", info.get("VmallocUsed", 0) - stacks),  # stacks are allocated there
        Part("hugetlb", info.get("Hugetlb", 0)),
        Part("zswap", info.get("Zswap", 0)),
        Part("reclaimable", info.get("KReclaimable", 0) - info.get("SReclaimable", 0) if "SReclaimable" in info else 0),
    ]
