"""Caches of the kernel. Source: Documentation/admin-guide/sysctl/vm.rst."""

from __future__ import annotations

from harness.tune.figures import context, percent, rated, size, supports
from harness.tune.model import Host, Judgement, Kind, Parameter, Span, Verdict, leave, none, unknown, watch

_LARGE = 0.25  # of memory in reclaimable slab
_REFAULTS, _WAITING = 100, 0.01
_GENTLY, _TOO_MUCH = 150, 1000


def _vfs(host: Host) -> Judgement:
    value, held, total = host.number("vm.vfs_cache_pressure"), host.meminfo.get("SReclaimable"), host.total
    if value is None or held is None or not total:
        return unknown("It, or how much reclaimable slab there is, could not be read.")
    share = held / total
    evidence = [context("SReclaimable", held, "bytes", f"reclaimable slab: {size(held)}, {percent(share)} of memory")]
    largest = sorted(host.slabs.items(), key=lambda pair: -pair[1])[:3]
    if largest:
        named = ", ".join(f"{name} {size(held)}" for name, held in largest)
        evidence.append(context("slabinfo", largest[0][1], "bytes", f"largest caches: {named}"))
    if value == 0:
        return Judgement(
            Verdict.CHANGE,
            "At 0 the kernel never gives back directory and inode caches, which its documentation says can easily "
            "lead to running out of memory.",
            tuple(evidence), "100",
            expected="dentries and inodes are reclaimed like everything else",
            risk="files whose names were kept for good may be looked up on disk again",
            verify="harness tune: SReclaimable no longer only grows; harness run: no kernel.slab finding",
        )  # fmt: skip
    files, waiting = host.busiest("workingset_refault_file", "workingset_refault"), _waiting(host)
    squeezed = files is not None and files[1] >= _REFAULTS and waiting >= _WAITING
    if share >= _LARGE and squeezed and files is not None and value <= 100:
        evidence += [
            rated(*files, "workingset_refault_file", "pages of files read again soon after they were dropped"),
            supports("psi.some", waiting, "share", f"tasks waited for memory {percent(waiting)} of the time"),
        ]
        return Judgement(
            Verdict.CHANGE,
            "A large part of memory is names and inodes, while pages of files that are needed are dropped.",
            tuple(evidence), str(_GENTLY),
            expected="reclaim takes more dentries and inodes, and leaves more of the files' pages",
            risk="programs that open many files look names up on disk more often; far above 100 reclaim holds locks "
            "longer",
            verify="harness tune --over 60s under the same load: SReclaimable and workingset_refault_file fall",
        )  # fmt: skip
    if value >= _TOO_MUCH:
        return watch(
            f"{value} makes reclaim look for {value // 100} times more objects than there are, under locks; 100 is "
            f"the default.",
            *evidence,
        )
    return leave(
        "Dentries and inodes are given back when memory is needed, and count as available: a large number of them is "
        "no problem by "
        "itself.",
        *evidence,
    )


def _waiting(host: Host) -> float:
    return max((window.waiting or 0.0 for window in host.windows if window.span is not Span.BOOT), default=0.0)


def _drop(host: Host) -> Judgement:
    cached = host.meminfo.get("Cached")
    return none(
        "It is not a setting but an action for tests. The page cache it drops is memory that programs get anyway when "
        "they ask; "
        "afterwards the files are read from disk again.",
        *(
            []
            if cached is None
            else [context("Cached", cached, "bytes", f"page cache and shared memory: {size(cached)}")]
        ),
    )


PARAMETERS = (
    Parameter(
        "vm.vfs_cache_pressure", Kind.SYSCTL, "vm.vfs_cache_pressure", ("vm.vfs_cache_pressure",), _vfs, unit="%"
    ),
    Parameter("vm.drop_caches", Kind.ACTION, "vm.drop_caches", (), _drop),
)
