"""How the kernel is set up, as far as it bears on memory: read once, so that a run can be compared with another and explained.

Sysctls (``/proc/sys``), transparent huge pages, same-page merging (KSM), zswap, multi-generation LRU and DAMON (``/sys``), the
kernel's version, memory nodes, and from ``/proc/cmdline`` the switches named in `SWITCHES` and nothing else of it.

Facts keep the kernel's names and units (``vm.min_free_kbytes``): numbers as int, yes and no as 1 and 0, choices as the word in
brackets. Source: Documentation/admin-guide/sysctl, admin-guide/mm (transhuge, ksm, zswap, multigen_lru, damon/usage),
admin-guide/kernel-parameters.txt.
"""

from __future__ import annotations

import os
import re
from typing import Callable, Dict, NamedTuple, Union

from ..reading import read_file, why
from ..redact import printable

Fact = Union[int, str]

SYSCTLS = (
    "vm.swappiness", "vm.overcommit_memory", "vm.overcommit_ratio", "vm.overcommit_kbytes", "vm.min_free_kbytes",
    "vm.watermark_scale_factor", "vm.watermark_boost_factor", "vm.vfs_cache_pressure", "vm.dirty_ratio", "vm.dirty_bytes",
    "vm.dirty_background_ratio", "vm.dirty_background_bytes", "vm.dirty_expire_centisecs", "vm.dirty_writeback_centisecs",
    "vm.zone_reclaim_mode", "vm.compaction_proactiveness", "vm.extfrag_threshold", "vm.max_map_count", "vm.page-cluster",
    "vm.panic_on_oom", "vm.oom_kill_allocating_task", "vm.nr_hugepages", "vm.nr_overcommit_hugepages", "vm.stat_interval",
    "kernel.randomize_va_space", "kernel.yama.ptrace_scope", "kernel.numa_balancing", "kernel.threads-max", "kernel.pid_max",
    "net.core.somaxconn", "fs.nr_open",
)  # fmt: skip
SWITCHES = frozenset(
    (
        "psi", "transparent_hugepage", "transparent_hugepage_shmem", "thp_anon", "thp_shmem", "cgroup_disable", "cgroup_enable",
        "cgroup_no_v1", "cgroup.memory", "cgroup_favordynmods", "swapaccount", "systemd.unified_cgroup_hierarchy",
        "systemd.legacy_systemd_cgroup_controller", "hugepages", "hugepagesz", "default_hugepagesz", "hugetlb_free_vmemmap",
        "mem", "movablecore", "kernelcore", "numa", "numa_balancing", "norandmaps", "slab_nomerge", "slub_nomerge", "slub_debug",
        "slab_debug", "init_on_alloc", "init_on_free", "page_poison", "page_owner", "debug_pagealloc",
        "page_reporting.page_reporting_order", "zswap.enabled", "zswap.compressor", "zswap.max_pool_percent",
        "damon_reclaim.enabled", "damon_lru_sort.enabled",
    )
)  # fmt: skip

_THP, _KSM, _ZSWAP = "kernel/mm/transparent_hugepage/", "kernel/mm/ksm/", "module/zswap/parameters/"
_KDAMONDS = "kernel/mm/damon/admin/kdamonds"
_VALUE_CAP = 128
_MOST_ENTRIES = 64  # of one directory
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_CHOICE = re.compile(r"\[([A-Za-z0-9_+]{1,32})\]")
_FLAGS = {"Y": 1, "1": 1, "true": 1, "N": 0, "0": 0, "false": 0}
_NODES = re.compile(r"[0-9]{1,4}(?:-[0-9]{1,4})?(?:,[0-9]{1,4}(?:-[0-9]{1,4})?){0,255}")
_ARGUMENT = re.compile(r'(?:[^\s"]|"[^"]*"?)+')  # quotes hold blanks together
_KDAMOND = re.compile(r"[0-9]{1,4}")
_THP_SIZE = re.compile(r"hugepages-[0-9]{1,9}kB")


class Settings(NamedTuple):
    """``facts`` by name; ``missing``: name -> why it is unknown."""

    facts: Dict[str, Fact]
    missing: Dict[str, str]


def parse_number(text: str) -> int | None:
    """One integer."""
    return int(text) if _NUMBER.fullmatch(text) else None


def parse_flag(text: str) -> int | None:
    """1 or 0, however it is spelt."""
    return _FLAGS.get(text)


def parse_choice(text: str) -> str | None:
    """The chosen word of ``always [madvise] never``."""
    found = _CHOICE.search(text)
    return found.group(1) if found else None


def parse_word(text: str) -> str | None:
    """Any text, printable and cut to 128 characters; None if empty."""
    return printable(text)[:_VALUE_CAP] or None


def parse_nodes(text: str) -> int | None:
    """How many nodes a list such as ``0-3,8`` names."""
    if not _NODES.fullmatch(text):
        return None
    ranges = [part.partition("-") for part in text.split(",")]
    counts = [int(last or first) - int(first) + 1 for first, _, last in ranges]
    return sum(counts) if min(counts) > 0 else None


def parse_switches(text: str) -> Dict[str, str]:
    """Those of `SWITCHES` on the kernel's command line; "" for one without a value. What follows ``--`` is for init."""
    found: Dict[str, str] = {}
    for argument in _ARGUMENT.findall(text):
        if argument == "--":
            break
        name, _, value = argument.partition("=")
        if name in SWITCHES:
            found[name] = printable(value)[:_VALUE_CAP]
    return found


Parser = Union[Callable[[str], Union[int, None]], Callable[[str], Union[str, None]]]

_PROC_FILES: tuple[tuple[str, str, Parser], ...] = (
    *((name, "sys/" + name.replace(".", "/"), parse_number) for name in SYSCTLS),
    ("kernel.release", "sys/kernel/osrelease", parse_word),
    ("kernel.version", "sys/kernel/version", parse_word),
)
_SYS_FILES: tuple[tuple[str, str, Parser], ...] = (
    ("thp.enabled", _THP + "enabled", parse_choice),
    ("thp.defrag", _THP + "defrag", parse_choice),
    ("thp.shmem_enabled", _THP + "shmem_enabled", parse_choice),
    ("thp.use_zero_page", _THP + "use_zero_page", parse_number),
    ("thp.hpage_pmd_size", _THP + "hpage_pmd_size", parse_number),  # bytes
    ("thp.shrink_underused", _THP + "shrink_underused", parse_number),  # 6.12+
    ("thp.khugepaged.max_ptes_none", _THP + "khugepaged/max_ptes_none", parse_number),
    ("thp.khugepaged.defrag", _THP + "khugepaged/defrag", parse_number),
    ("ksm.run", _KSM + "run", parse_number),
    ("ksm.pages_sharing", _KSM + "pages_sharing", parse_number),
    ("zswap.enabled", _ZSWAP + "enabled", parse_flag),
    ("zswap.max_pool_percent", _ZSWAP + "max_pool_percent", parse_number),
    ("zswap.compressor", _ZSWAP + "compressor", parse_word),
    ("mglru.enabled", "kernel/mm/lru_gen/enabled", parse_word),  # a mask, such as 0x0007
    ("numa.nodes", "devices/system/node/online", parse_nodes),
    ("numa.demotion_enabled", "kernel/mm/numa/demotion_enabled", parse_flag),
    ("damon.kdamonds", _KDAMONDS + "/nr_kdamonds", parse_number),
    ("damon.reclaim.enabled", "module/damon_reclaim/parameters/enabled", parse_flag),
    ("damon.lru_sort.enabled", "module/damon_lru_sort/parameters/enabled", parse_flag),
)


def read(proc_mount: str, sys_mount: str) -> Settings:
    """All of them, as they are now. Never raises.

    Besides the names above: ``fs.file-nr.allocated`` and ``fs.file-nr.max``, ``page_size`` in bytes (of the machine this runs
    on), ``thp.hugepages-<n>kB.enabled`` (6.8+), ``damon.<n>.state`` and ``damon.<n>.actions`` of every kdamond, and
    ``cmdline.<switch>``.
    """
    take = _Taking({"page_size": os.sysconf("SC_PAGE_SIZE")}, {})
    for mount, files in ((proc_mount, _PROC_FILES), (sys_mount, _SYS_FILES)):
        for name, path, parse in files:
            take.file(name, "{}/{}".format(mount, path), parse)
    _take_open_files(take, proc_mount + "/sys/fs/file-nr")
    for size in _entries(sys_mount + "/" + _THP, _THP_SIZE):
        path = "{}/{}{}/enabled".format(sys_mount, _THP, size)
        if os.path.exists(path):  # sizes that only shared memory can have lack it
            take.file("thp.{}.enabled".format(size), path, parse_choice)
    for kdamond in _entries(sys_mount + "/" + _KDAMONDS, _KDAMOND):
        _take_kdamond(take, kdamond, "{}/{}/{}".format(sys_mount, _KDAMONDS, kdamond))
    text = take.text("cmdline", proc_mount + "/cmdline")
    take.facts.update(("cmdline." + name, value) for name, value in parse_switches(text or "").items())
    return Settings(take.facts, take.missing)


class _Taking(NamedTuple):
    """Facts, and reasons for those there are not, while they are being gathered."""

    facts: Dict[str, Fact]
    missing: Dict[str, str]

    def text(self, name: str, path: str) -> str | None:
        try:
            return read_file(path, 1 << 16).decode("utf-8", "replace").strip()
        except OSError as error:
            self.missing[name] = printable(why(error, path))
            return None

    def file(self, name: str, path: str, parse: Parser) -> None:
        text = self.text(name, path)
        if text is None:
            return
        value = parse(text)
        if value is None:
            self.missing[name] = printable("{} holds nothing that is understood".format(path))
        else:
            self.facts[name] = value


def _take_open_files(take: _Taking, path: str) -> None:
    """Allocated, unused (0 since 2.6), the most there may be."""
    for name, at in (("allocated", 0), ("max", 2)):
        take.file("fs.file-nr." + name, path, lambda text, at=at: parse_number((text.split() + [""] * 3)[at]))


def _take_kdamond(take: _Taking, kdamond: str, directory: str) -> None:
    """Whether it runs, and what its schemes do with the memory they find (pageout, lru_prio, ...)."""
    name = "damon.{}.".format(kdamond)
    take.file(name + "state", directory + "/state", parse_word)
    actions = set()
    for context in _entries(directory + "/contexts", _KDAMOND):
        schemes = "{}/contexts/{}/schemes".format(directory, context)
        for scheme in _entries(schemes, _KDAMOND):
            text = take.text(name + "actions", "{}/{}/action".format(schemes, scheme))
            if text:
                actions.add(printable(text)[:32])
    if actions:
        take.facts[name + "actions"] = ",".join(sorted(actions))


def _entries(directory: str, wanted: re.Pattern[str]) -> list[str]:
    """Names of a directory that may not be there."""
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return sorted(name for name in names if wanted.fullmatch(name))[:_MOST_ENTRIES]
