"""Names and units of everything sampled. One name, one unit, everywhere: sampler, store, report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Whether a value is a level or only ever rises (a rate is derived from two samples, never stored)."""

    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class MetricDef:
    """A metric: ``unit`` is ``bytes``, ``ns``, ``count``, ``pages``, or 1/100 of something: ``percent`` or ``hundredths`` (of 1).

    ``title`` is for people.
    """

    name: str
    unit: str
    kind: Kind
    title: str


# The sweeps of several hosts for one floor have the same number; with one host they need none.
FLOOR = "sampler.floor"

_G, _C = Kind.GAUGE, Kind.COUNTER
CATALOGUE: dict[str, MetricDef] = {
    m.name: m
    for m in (
        MetricDef("process.memory.rss", "bytes", _G, "RSS"),
        MetricDef("process.memory.pss", "bytes", _G, "PSS"),
        MetricDef("process.memory.uss", "bytes", _G, "USS (private)"),
        MetricDef("process.memory.pss_anon", "bytes", _G, "PSS, anonymous"),
        MetricDef("process.memory.pss_file", "bytes", _G, "PSS, files"),
        MetricDef("process.memory.pss_shmem", "bytes", _G, "PSS, shared memory"),
        MetricDef("process.memory.shared_dirty", "bytes", _G, "shared dirty"),
        MetricDef("process.memory.anon_huge", "bytes", _G, "anonymous huge pages"),
        MetricDef("process.memory.swap", "bytes", _G, "swap"),
        MetricDef("process.memory.swap_pss", "bytes", _G, "swap (proportional)"),
        MetricDef("process.memory.hwm", "bytes", _G, "RSS high-water mark"),
        MetricDef("process.threads", "count", _G, "threads"),
        MetricDef("process.fds", "count", _G, "open files"),
        MetricDef("process.faults.minor", "count", _C, "minor faults"),
        MetricDef("process.faults.major", "count", _C, "major faults"),
        MetricDef("process.cpu", "ns", _C, "CPU time"),
        MetricDef("process.walk", "ns", _G, "time a reading of its page tables took"),
        MetricDef("sampler.tick", "ns", _G, "duration of the sampler's sweep"),
        MetricDef("sampler.late", "ns", _G, "delay of the sampler's sweep"),
        MetricDef("sampler.missed", "count", _G, "sweeps missed before this one"),
        MetricDef("sampler.cpu", "ns", _C, "CPU time of the sampler"),
        MetricDef(FLOOR, "count", _G, "number of the floor this sweep was taken for"),
        MetricDef("load.in_flight", "count", _G, "requests in flight"),
        MetricDef("load.rss", "bytes", _G, "RSS of the load generator"),
        MetricDef("load.cpu", "ns", _C, "CPU time of the load generator"),
        MetricDef("load.lag", "ns", _G, "event-loop lag of the load generator"),
        MetricDef("load.dropped", "count", _C, "iterations dropped"),
    )
}

# Families whose members depend on the kernel: (prefix, unit, kind).
FAMILIES: tuple[tuple[str, str, Kind], ...] = (
    ("system.meminfo.", "bytes", _G),  # MemFree, MemAvailable, Cached, Slab, SReclaimable, ... HugePages_* are left out
    ("system.vmstat.", "count", _C),  # pswpin, pswpout, pgscan_*, allocstall_*, compact_stall, thp_*
    ("system.psi.memory.", "percent", _G),  # some_avg10, full_avg10; and the totals:
    ("system.psi_total.memory.", "ns", _C),  # some, full
    ("system.buddyinfo.", "count", _G),  # <node>.<zone>.<order>: free blocks of 2^order pages
    ("system.pagetypeinfo.", "count", _G),  # <node>.<zone>.<migrate type>.<order>, in the first sweep only
    ("system.zoneinfo.", "pages", _G),  # <node>.<zone>.<free|boost|min|low|high|managed>
    ("system.swap.areas.", "count", _G),  # zram, partition, file
    ("system.swap.", "bytes", _G),  # size, used
    ("system.stat.cpu.", "ns", _C),  # user, nice, system, idle, iowait, irq, softirq, steal; all processors
    ("system.stat.procs_", "count", _G),  # running, blocked
    ("system.stat.", "count", _C),  # ctxt, processes
    ("system.loadavg.runnable", "count", _G),
    ("system.loadavg.total", "count", _G),
    ("system.loadavg.", "hundredths", _G),  # 1m, 5m, 15m
    ("system.slab.", "bytes", _G),  # <cache>: num_objs * objsize, largest caches plus dentries, inodes, sockets
)

# Families whose members end in what decides their unit: (prefix, pattern of all the rest, unit, kind). The first match wins.
ENDINGS: tuple[tuple[str, re.Pattern[str], str, Kind], ...] = tuple(
    (prefix, re.compile(rest, re.DOTALL), unit, kind)
    for prefix, rest, unit, kind in (
        ("process.smaps.", r"\w+\.count", "count", _G),  # <class>: harness/sampling/sources/pid_smaps_classes.py
        ("process.smaps.", r"\w+\.(size|rss|pss|uss|swap|anon_huge|anonymous)", "bytes", _G),
        ("process.numa.", r"\d+", "bytes", _G),  # <node>
        ("process.oom_score", r"(_adj)?", "count", _G),
        # From outside: harness/sampling/outside; at floors, but for the counters
        ("runtime.refused", r"", "count", _C),  # readings that were not taken because they could not be trusted
        ("runtime.glibc.", r"arenas|torn", "count", _G),
        ("runtime.glibc.", r".+", "bytes", _G),
        ("runtime.php.heap.", r"(cached_)?chunks", "count", _G),
        ("runtime.php.heap.", r".+", "bytes", _G),
        ("runtime.php.gc.", r"runs|collected", "count", _C),
        ("runtime.php.gc.", r"roots|threshold|enabled", "count", _G),
        ("runtime.php.opcache.", r"hits|misses|restarts", "count", _C),
        ("runtime.php.opcache.", r"full", "count", _G),
        ("runtime.php.", r"(opcache|apcu)\.\w+", "bytes", _G),
        ("runtime.python.pymalloc.", r"held|live|resident", "bytes", _G),
        ("runtime.python.pymalloc.", r"\w+", "count", _G),
        ("runtime.python.gc.", r"(collections|collected|uncollectable)\d?", "count", _C),
        ("runtime.python.tracemalloc.", r"(traced|peak)", "bytes", _G),
        ("runtime.python.", r"[\w.]+", "count", _G),
        # From inside, by an agent that was asked at a floor: the names there are, for what a target writes is not believed.
        # What is also read from outside has the same name behind ``runtime.python.`` or ``runtime.``.
        (
            "agent.python.",
            r"memory\.(rss|pss|pss_anon|(private|shared)_(clean|dirty)|swap)|pymalloc\.(held|live)"
            r"|glibc\.(system|mmapped|used|free|top|(main|other)_(system|free))"
            r"|jemalloc\.(allocated|active|metadata|resident|mapped|retained)|tcmalloc\.(allocated|heap|free|unmapped)"
            r"|mimalloc\.committed(_peak)?|(collect|trim)\.rss_(before|after)|collect\.private_dirty_after|loaded",
            "bytes",
            _G,
        ),
        ("agent.python.", r"fork\.age|(collect|trim)\.pause|floor|lag", "ns", _G),
        ("agent.python.", r"gc\.(collections[0-2]|collected[0-2]|uncollectable)", "count", _C),
        (
            "agent.python.",
            r"blocks|fork\.blocks|threads|os_threads|fds|arenas(_highwater)?|pymalloc\.(blocks|used_pools|free_pools)"
            r"|gc\.(enabled|frozen_objects|count[0-2])|glibc\.arenas|collect\.(objects|blocks_before|blocks_after)"
            r"|trim\.released",
            "count",
            _G,
        ),
        (
            "agent.php.",
            r"opcache\.(size|free|wasted|interned_(size|free)|jit_(size|free))|apcu\.(size|free)|realpath_cache"
            r"|heap\.(size|peak|real|real_peak)|rss|loaded|(collect|trim)\.(size|real|rss)_(before|after)|trim\.freed"
            r"|fpm\.last_request_memory",
            "bytes",
            _G,
        ),
        (
            "agent.php.",
            r"opcache\.(hits|misses|restarts)|apcu\.(hits|misses|inserts|expunges)|gc\.(runs|collected)"
            r"|fpm\.(requests|accepted|max_children_reached|slow_requests)",
            "count",
            _C,
        ),
        (
            "agent.php.",
            r"opcache\.(full|scripts|keys)|apcu\.entries|gc\.(roots|threshold|enabled)|included_files"
            r"|collect\.(objects|runs)|fpm\.(queue|queue_highest|idle|active|total|active_highest)",
            "count",
            _G,
        ),
        ("agent.php.", r"(collect|trim)\.pause|floor|lag", "ns", _G),
        # cgroup.<pool>.<name>: names as in harness/sampling/sources/cgroup.py; a pool's name may hold anything
        ("cgroup.", r".+\.memory\.(current|peak|max|high|swap\.current|swap\.max|unreclaimable)", "bytes", _G),
        ("cgroup.", r".+\.memory\.stat\.(workingset_|pg|thp_|zswp|swpin|swpout|numa_)\w+", "count", _C),
        ("cgroup.", r".+\.memory\.stat\.\w+", "bytes", _G),
        ("cgroup.", r".+\.memory\.events\.\w+", "count", _C),
        ("cgroup.", r".+\.memory\.pressure\.(some|full)_avg10", "percent", _G),
        ("cgroup.", r".+\.memory\.pressure_total\.(some|full)", "ns", _C),
        ("cgroup.", r".+\.pids\.current", "count", _G),
    )
)


def describe(name: str) -> MetricDef:
    """The definition of ``name``; KeyError for a name that is in neither the catalogue nor a family."""
    found = CATALOGUE.get(name)
    if found is not None:
        return found
    for prefix, rest, unit, kind in ENDINGS:
        if name.startswith(prefix) and rest.fullmatch(name, len(prefix)):
            return MetricDef(name, unit, kind, name.removeprefix(prefix))
    for prefix, unit, kind in FAMILIES:
        if name.startswith(prefix):
            return MetricDef(name, unit, kind, name.removeprefix(prefix))
    raise KeyError(name)
