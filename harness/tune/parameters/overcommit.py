"""How much may be promised. Source: Documentation/mm/overcommit-accounting.rst."""

from __future__ import annotations

from harness.tune.figures import context, percent, size, speaks_against, supports
from harness.tune.model import Host, Judgement, Kind, Parameter, Verdict, leave, unknown, watch

_NEAR, _PLENTY = 0.9, 0.1


def _overcommit(host: Host) -> Judgement:
    value = host.number("vm.overcommit_memory")
    promised, limit = host.meminfo.get("Committed_AS"), host.meminfo.get("CommitLimit")
    if value is None or promised is None or not limit:
        return unknown("It, or how much memory was promised, could not be read.")
    text = f"{size(promised)} promised; the limit, which counts at 2 only, is {size(limit)}"
    evidence = context("Committed_AS", promised, "bytes", text)
    if value == 0:
        return leave(
            "Only requests that are plainly too large are refused. That more is promised than there is is normal: "
            "most of it is never touched.",
            evidence,
        )
    if value == 1:
        return leave(
            "Everything is promised. Some programs ask for that (redis, before it forks); the kernel then kills when "
            "memory runs out.",
            evidence,
        )
    share = promised / limit
    available = host.available_share
    if share < _NEAR:
        return leave(f"Promises are limited, and {percent(share)} of the limit is used.", evidence)
    evidence = supports("Committed_AS", share, "share", f"{percent(share)} of the limit is used: {text}")
    if available is None or available < _PLENTY:
        told = "unknown" if available is None else percent(available)
        return watch("Promises come to their limit, and memory is short too.", evidence,
                     speaks_against("MemAvailable", available, "share", f"least memory available: {told}"))  # fmt: skip
    return Judgement(
        Verdict.CHANGE,
        f"malloc and fork are about to fail although {percent(available)} of memory is available: the limit counts "
        f"promises, not use.",
        (evidence, supports("MemAvailable", available, "share", f"least memory available: {percent(available)}")), "0",
        expected="requests are no longer refused because of promises that nobody uses",
        risk="when memory really runs out the kernel kills a process instead of refusing a request; who chose 2 may "
        "have wanted just that, "
        "and then vm.overcommit_ratio is what to raise",
        verify="grep Commit /proc/meminfo, and no more 'Cannot allocate memory' in the application's log",
    )  # fmt: skip


PARAMETERS = (
    Parameter(
        "vm.overcommit_memory", Kind.SYSCTL, "vm.overcommit_memory", ("vm.overcommit_memory",), _overcommit,
        aliases=("vm.overcommit_ratio", "vm.overcommit_kbytes"),
    ),
)  # fmt: skip
