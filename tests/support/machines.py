"""Machines for ``harness tune``: captured /proc trees made larger, busier or smaller, and hosts without any files."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from harness.tune.look import Mounts, look
from harness.tune.model import Host, Mappings, Span, Window, Zone

FIXTURES = Path(__file__).parents[1] / "fixtures" / "proc"
GIB = 1 << 30


class Machine:
    """A copy of a captured tree that tests write to. Files of /sys are below ``sys``, as in the trees."""

    def __init__(self, root: Path, tree: str) -> None:
        self.root = root
        shutil.copytree(FIXTURES / tree, root, dirs_exist_ok=True, symlinks=True)
        (root / "uptime").write_text("100000.00 200000.00\n")
        self.mounts = Mounts(str(root), str(root / "sys"), str(root / "etc-root"))
        mounts = [path for path in sorted(root.glob("*/mountinfo")) if path.parent.name.isdigit()]
        if mounts:
            (root / "self").mkdir()
            shutil.copy(mounts[0], root / "self" / "mountinfo")
        top = root / "sys" / "fs" / "cgroup"
        if top.is_dir() and not (top / "memory").is_dir():
            (top / "cgroup.controllers").write_text("cpu io memory pids\n")

    def setting(self, path: str, value: object) -> None:
        """A file below /proc/sys or /sys."""
        file = self.root / "sys" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")

    def meminfo(self, **kib: int) -> None:
        self._lines(
            "meminfo",
            {name.replace("__", "(") + (")" if "__" in name else ""): f"{value:15d} kB" for name, value in kib.items()},
            ":",
        )

    def vmstat(self, **counters: int) -> None:
        self._lines("vmstat", {name: f" {value}" for name, value in counters.items()}, "")

    def pressure(self, some_us: int) -> None:
        (self.root / "pressure").mkdir(exist_ok=True)
        text = "".join(f"{who} avg10=9.00 avg60=5.00 avg300=1.00 total={some_us}\n" for who in ("some", "full"))
        (self.root / "pressure" / "memory").write_text(text)

    def swap(self, name: str, size_kib: int, used_kib: int) -> None:
        header = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
        (self.root / "swaps").write_text(f"{header}{name}\tpartition\t{size_kib}\t{used_kib}\t-2\n")

    def group(self, path: str, **files: object) -> None:
        directory = self.root / "sys/fs/cgroup" / path
        directory.mkdir(parents=True, exist_ok=True)
        for name, value in files.items():
            (directory / name.replace("_DOT_", ".")).write_text(f"{value}\n")

    def look(self, meanwhile: Callable[[], None] | None = None) -> Host:
        """Two looks 10 s apart, in no time: ``meanwhile`` is what happens between them."""
        host = look(10, self.mounts, pause=lambda _: None if meanwhile is None else meanwhile())
        windows = tuple(replace(w, seconds=10.0) if w.span is Span.LOOK else w for w in host.windows)
        return replace(host, windows=windows, groups=tuple(replace(group, seconds=10.0) for group in host.groups))

    def _lines(self, file: str, values: Mapping[str, str], mark: str) -> None:
        path = self.root / file
        text = path.read_text()
        for name, value in values.items():
            line = f"{name}{mark}{value}"
            text, found = re.subn(rf"^{re.escape(name)}{mark}\s.*$", line, text, flags=re.MULTILINE)
            text += "" if found else line + "\n"
        path.write_text(text)


FACTS = {
    "page_size": 4096, "vm.swappiness": 60, "vm.page-cluster": 3, "zswap.enabled": 0, "vm.watermark_scale_factor": 10,
    "vm.min_free_kbytes": 67584, "vm.watermark_boost_factor": 15000, "vm.vfs_cache_pressure": 100, "vm.dirty_ratio": 20,
    "vm.dirty_bytes": 0, "vm.dirty_background_ratio": 10, "vm.dirty_background_bytes": 0, "vm.dirty_expire_centisecs": 3000,
    "vm.dirty_writeback_centisecs": 500, "vm.overcommit_memory": 0, "vm.compaction_proactiveness": 20,
    "vm.extfrag_threshold": 500, "thp.enabled": "madvise", "thp.defrag": "madvise", "thp.khugepaged.max_ptes_none": 511,
    "thp.shrink_underused": 1, "thp.hpage_pmd_size": 2 << 20, "vm.nr_hugepages": 0, "vm.zone_reclaim_mode": 0,
    "kernel.numa_balancing": 0, "numa.nodes": 1, "ksm.run": 0, "ksm.pages_sharing": 0, "damon.kdamonds": 0,
    "vm.max_map_count": 65530,
}  # fmt: skip
MEMINFO = {
    "MemTotal": 24 * GIB, "MemFree": 8 * GIB, "MemAvailable": 12 * GIB, "SReclaimable": GIB, "Active(file)": 2 * GIB,
    "Inactive(file)": 2 * GIB, "Dirty": 1 << 20, "Writeback": 0, "Committed_AS": 6 * GIB, "CommitLimit": 12 * GIB,
    "AnonPages": 8 * GIB, "AnonHugePages": GIB, "Cached": 4 * GIB, "Hugetlb": 0,
}  # fmt: skip
COUNTERS = dict.fromkeys(
    (
        "allocstall_normal", "pswpin", "pswpout", "workingset_refault_file", "thp_fault_fallback", "compact_stall", "zswpwb",
        "compact_daemon_migrate_scanned", "thp_collapse_alloc", "thp_underused_split_page", "zone_reclaim_success",
        "zone_reclaim_failed", "numa_pages_migrated", "swap_ra", "swap_ra_hit", "kswapd_low_wmark_hit_quickly", "oom_kill",
    ),
    0,
)  # fmt: skip
DISK_SWAP = {"areas.zram": 0, "areas.partition": 1, "areas.file": 0, "size": 8 * GIB, "used": GIB}
ZRAM = {"areas.zram": 1, "areas.partition": 0, "areas.file": 0, "size": 8 * GIB, "used": GIB}
ZONES = (
    Zone(0, "DMA", 3840, 24, 29, 3840, (0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3)),
    Zone(0, "DMA32", 770_000, 2100, 2600, 770_000, (1, 3, 4, 2, 5, 4, 3, 4, 5, 3, 751)),
    Zone(
        0,
        "Normal",
        1_300_000,
        14_000,
        18_000,
        5_400_000,
        (10_414, 7230, 6204, 7070, 5129, 3355, 1928, 1036, 599, 439, 1449),
    ),
)


def window(
    span: Span = Span.LOOK,
    seconds: float = 10.0,
    waiting: float | None = 0.0,
    available: int = 12 * GIB,
    dirty: int = 0,
    **a_second: float,
) -> Window:
    """Counters as rates a second; those that are not named stood still."""
    counters = {**COUNTERS, **{name: round(rate * seconds) for name, rate in a_second.items()}}
    some = None if waiting is None else round(waiting * seconds * 1e9)
    return Window(span, seconds, counters, some, some, available, dirty)


def boot(**counters: int) -> Window:
    """What was counted in a day."""
    return Window(Span.BOOT, 86_400.0, {**COUNTERS, **counters}, 0, 0)


def host(
    *windows: Window,
    facts: Mapping[str, int | str | None] | None = None,
    meminfo: Mapping[str, int] | None = None,
    **fields: object,
) -> Host:
    """A quiet machine of 24 GiB without swap, but for what is named; a fact that is None is not there."""
    known = {name: value for name, value in {**FACTS, **(facts or {})}.items() if value is not None}
    made = Host(
        name="made-up", kernel="6.12.0", live=True, facts=known, missing={}, meminfo={**MEMINFO, **(meminfo or {})},
        windows=windows or (boot(), window()), zones=ZONES, swap={"size": 0, "used": 0}, groups_seen=40,
        mappings=Mappings(900, 77, "php-fpm", 40, 0),
    )  # fmt: skip
    return replace(made, **fields)  # type: ignore[arg-type]
