"""Huge pages. Sources: Documentation/admin-guide/mm/transhuge.rst, hugetlbpage.rst, mm/huge_memory.c."""

from __future__ import annotations

from harness.model.finding import Evidence
from harness.tune.figures import context, percent, rated, size, supports
from harness.tune.model import Found, Host, Judgement, Kind, Parameter, Verdict, leave, none, unknown, watch

_THP = "kernel/mm/transparent_hugepage/"
_STALLS_A_SECOND = 1.0
_UNUSED_SHARE, _UNUSED_BYTES = 0.01, 64 << 20
_FEWER_EMPTY = 64  # of 512: an eighth may be untouched
_ABSENT = "This kernel has no transparent huge pages."


def _used(host: Host) -> list[Evidence]:
    huge, anon = host.meminfo.get("AnonHugePages"), host.meminfo.get("AnonPages")
    if huge is None or not anon:
        return []
    text = f"{size(huge)} of {size(anon)} anonymous memory, {percent(huge / anon)}, is in huge pages"
    return [context("AnonHugePages", huge, "bytes", text)]


def _finding(host: Host) -> Found | None:
    """That huge pages cost memory, if the recorded run is sure enough of it."""
    found = host.causes("thp")
    return found if found is not None and not found.secondary and found.confidence != "low" else None


def _proof(found: Found, host: Host) -> tuple[Evidence, ...]:
    return (
        supports("finding", None, "", f"the recorded run, {found.confidence} confidence: {found.summary}"),
        *_used(host),
    )


def _enabled(host: Host) -> Judgement:
    value = host.facts.get("thp.enabled")
    if value is None:
        return none(_ABSENT)
    found, used = _finding(host), _used(host)
    if found is not None and value == "always":
        return Judgement(
            Verdict.CHANGE, "Huge pages hold memory that nobody asked for.", _proof(found, host), "madvise",
            expected="only programs that ask for huge pages get them; what processes touch from now on takes 4 KiB "
            "pages",
            risk="programs with large, densely used memory (databases, numpy) lose some speed unless they ask with "
            "madvise",
            verify="restart the service, then run the scenario again: no thp finding, AnonHugePages falls, latency "
            "stays",
        )  # fmt: skip
    if found is not None and value == "madvise":
        return watch(
            "Huge pages cost memory, and only programs that ask get them: the program or its allocator asks. Turn it "
            "off for that "
            "program (PR_SET_THP_DISABLE, or the allocator's option) rather than for the machine.",
            *_proof(found, host),
        )
    split = host.since_boot("thp_underused_split_page")
    if value == "always" and split:
        return watch(
            "The kernel itself found huge pages that were mostly empty, and split them. A run says whether that "
            "matters: "
            "harness tune --run RUN.",
            context("thp_underused_split_page", split, "count", f"huge pages split because they were mostly empty: "
            f"{split} since boot"),
            *used,
        )  # fmt: skip
    text = {
        "always": "Every process may get huge pages. Nothing measured says that they cost memory here.",
        "madvise": "Only programs that ask get huge pages: the careful choice.",
        "never": "There are no huge pages, so they cannot be what makes a process large.",
    }
    return leave(text.get(str(value), f"It is {value}."), *used)


def _defrag(host: Host) -> Judgement:
    value, stalls = host.facts.get("thp.defrag"), host.busiest("compact_stall")
    if value is None:
        return none(_ABSENT)
    if value == "always" and stalls is not None and stalls[1] >= _STALLS_A_SECOND:
        return Judgement(
            Verdict.CHANGE, "Page faults stop and compact memory to get a huge page.",
            (rated(*stalls, "compact_stall", "tasks that stopped to compact memory"),), "madvise",
            expected="only programs that ask for huge pages wait for them; others get small pages at once",
            risk="fewer huge pages right after the start of a process; khugepaged makes them later",
            verify="harness tune --over 60s under the same load: compact_stall falls below one a second",
        )  # fmt: skip
    told = (
        ()
        if stalls is None
        else (
            context(
                "compact_stall",
                stalls[1],
                "per second",
                f"tasks that stopped to compact: {stalls[1]:.1f} a second {stalls[0].words}",
            ),
        )
    )
    done = (
        "Hardly any page fault had to stop and compact memory."
        if told
        else "Nothing was watched that would speak for a change."
    )
    return leave(done, *told)


def _max_ptes_none(host: Host) -> Judgement:
    value, found = host.number("thp.khugepaged.max_ptes_none"), _finding(host)
    if value is None:
        return none(_ABSENT)
    made = host.busiest("thp_collapse_alloc")
    if found is not None and value > _FEWER_EMPTY and made is not None and made[1] > 0:
        return Judgement(
            Verdict.CHANGE, "khugepaged makes huge pages out of memory that is mostly untouched.",
            (*_proof(found, host), rated(*made, "thp_collapse_alloc", "huge pages made by khugepaged")), str(_FEWER_EMPTY),
            expected=f"only ranges with at most {_FEWER_EMPTY} of 512 pages untouched become huge pages",
            risk="fewer huge pages, so more misses of the processor's address cache in large sparse heaps",
            verify="restart the service, then run the scenario again: AnonHugePages and thp_collapse_alloc fall",
        )  # fmt: skip
    return leave(
        "With 511 one touched page of 512 is enough for a huge page; with 0 none may be untouched. Nothing measured "
        "says that it costs "
        "memory here.",
        *_used(host),
    )


def _shrink(host: Host) -> Judgement:
    value = host.number("thp.shrink_underused")
    if value is None:
        return none(
            "This kernel cannot split huge pages that are mostly empty (it came with 6.12)."
            if host.facts.get("thp.enabled")
            else _ABSENT
        )
    found, limit = _finding(host), host.number("thp.khugepaged.max_ptes_none")
    if value == 0 and found is not None:
        return Judgement(
            Verdict.CHANGE, "Huge pages hold empty memory, and the kernel may not split them when memory gets short.",
            _proof(found, host), "1",
            expected="under pressure, huge pages with more empty pages than max_ptes_none are split and their empty "
            "pages given back",
            risk="scanning them costs some CPU under pressure",
            verify="harness tune: thp_underused_split_page rises under pressure",
        )  # fmt: skip
    if value and limit == 511:
        return leave(
            "It is on, but with max_ptes_none at 511 only huge pages that are entirely empty count as underused, and "
            "in most kernels not even those."
        )
    return leave(
        "Mostly empty huge pages are split when memory gets short."
        if value
        else "It is off, and nothing measured says that huge pages hold empty memory here."
    )


def _reserved(host: Host) -> Judgement:
    pools = []
    for name in host.facts:
        if name.startswith("hugetlb.") and name.endswith(".nr"):
            kib = name.removeprefix("hugetlb.").removesuffix("kB.nr")
            free = host.number(name.removesuffix("nr") + "free") or 0
            spare = free - (host.number(name.removesuffix("nr") + "reserved") or 0)
            pools.append((host.number(name) or 0, max(0, spare), int(kib) * 1024))
    held = sum(count * each for count, _, each in pools) if pools else host.meminfo.get("Hugetlb")
    if held is None:
        return unknown("How many huge pages are reserved could not be read.")
    if not held:
        return leave("No memory is reserved for huge pages.")
    spare = sum(unused * each for _, unused, each in pools)
    evidence = context(
        "Hugetlb", held, "bytes", f"{size(held)} reserved, of which {size(spare)} is neither used nor promised"
    )
    if spare >= max(_UNUSED_BYTES, _UNUSED_SHARE * (host.total or 0)):
        return watch(
            "Memory is reserved that nobody uses, and nothing else can have it. Find out for whom it was meant (a "
            "database that is "
            "not running?) before giving it back.",
            evidence,
        )
    return leave("What is reserved is used.", evidence)


PARAMETERS = (
    Parameter("thp.enabled", Kind.SYSFS, _THP + "enabled", ("thp.enabled",), _enabled, aliases=("thp", "transparent_hugepage")),
    Parameter("thp.defrag", Kind.SYSFS, _THP + "defrag", ("thp.defrag",), _defrag),
    Parameter(
        "thp.khugepaged.max_ptes_none", Kind.SYSFS, _THP + "khugepaged/max_ptes_none", ("thp.khugepaged.max_ptes_none",),
        _max_ptes_none, unit="of 512 pages", aliases=("max_ptes_none", "khugepaged"),
    ),
    Parameter(
        "thp.shrink_underused", Kind.SYSFS, _THP + "shrink_underused", ("thp.shrink_underused",), _shrink,
        aliases=("shrink_underused",),
    ),
    Parameter(
        "vm.nr_hugepages", Kind.SYSCTL, "vm.nr_hugepages", ("vm.nr_hugepages",), _reserved, unit="pages",
        aliases=("hugetlb", "vm.nr_overcommit_hugepages"),
    ),
)  # fmt: skip
