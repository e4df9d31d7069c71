"""What works on memory in the background. Sources: Documentation/admin-guide/mm/ksm.rst, damon/usage.rst, "
"damon/reclaim.rst."""

from __future__ import annotations

from harness.tune.figures import context, size, supports
from harness.tune.model import Host, Judgement, Kind, Parameter, Verdict, leave, none, watch

_TAKES = ("pageout", "cold")  # actions of a scheme that make resident memory smaller


def _ksm(host: Host) -> Judgement:
    value = host.number("ksm.run")
    if value is None:
        return none("This kernel cannot merge equal pages.")
    sharing, page = host.number("ksm.pages_sharing") or 0, host.number("page_size") or 4096
    if value != 1:
        return leave(
            "It is off. It would only merge memory that a program offers (madvise, prctl); PHP and Python do not."
        )
    profit, scanned = host.number("ksm.general_profit"), host.number("ksm.pages_scanned")
    saved = f"{sharing} pages are merged away, {size(sharing * page)}"
    if profit is not None:
        saved += f"; after the cost of its own bookkeeping {size(profit)}"
    if sharing == 0 and scanned:
        return Judgement(
            Verdict.CHANGE, "It scans memory and merges nothing.",
            (supports("ksm.pages_sharing", 0, "count", f"{scanned} pages scanned, none merged"),), "0",
            expected="ksmd stops; memory stays as it is",
            risk="none while nothing is merged; virtual machines started later would no longer share pages",
            verify="ps -o time= -C ksmd stands still",
        )  # fmt: skip
    return leave("It is on, and merges memory.", context("ksm.pages_sharing", sharing, "count", saved))


def kdamonds(host: Host) -> dict[str, tuple[str, str]]:
    """Number of a kdamond -> (state, actions)."""
    found = {}
    for name, state in host.facts.items():
        if name.startswith("damon.") and name.endswith(".state"):
            number = name.split(".")[1]
            found[number] = (str(state), str(host.facts.get(f"damon.{number}.actions", "")))
    return found


def _damon(host: Host) -> Judgement:
    running = [(number, actions) for number, (state, actions) in kdamonds(host).items() if state == "on"]
    module = host.number("damon.reclaim.enabled") == 1
    taking = [number for number, actions in running if any(action in actions.split(",") for action in _TAKES)]
    if not taking and not module:
        if host.number("damon.kdamonds") is None and host.number("damon.reclaim.enabled") is None:
            return none("This kernel has no DAMON.")
        return leave("Nothing takes idle memory from processes in the background.")
    who = "the module damon_reclaim" if module else f"kdamond {', '.join(taking)}"
    counted = host.since_boot("pgsteal_proactive")
    told = (
        ()
        if counted is None
        else (context("pgsteal_proactive", counted, "count", f"pages reclaimed proactively since boot: {counted}"),)
    )
    return watch(
        f"{who[0].upper()}{who[1:]} takes memory that was idle from processes, without any pressure: RSS may fall, "
        f"and page faults rise, for that reason "
        "alone. Whoever runs this machine (a hypervisor's guest tools?) turned it on. Judge growth by anonymous "
        "memory, as a run does.",
        *told,
    )


def _shown(host: Host) -> str | None:
    parts = [
        f"kdamond {n} {state}" + (f" ({actions})" if actions else "")
        for n, (state, actions) in sorted(kdamonds(host).items())
    ]
    if host.number("damon.reclaim.enabled") == 1:
        parts.append("damon_reclaim on")
    return ", ".join(parts) or (
        "off" if "damon.kdamonds" in host.facts or "damon.reclaim.enabled" in host.facts else None
    )


PARAMETERS = (
    Parameter("ksm.run", Kind.SYSFS, "kernel/mm/ksm/run", ("ksm.run",), _ksm, aliases=("ksm",)),
    Parameter("damon", Kind.SYSFS, "kernel/mm/damon/admin/kdamonds/0/state", ("damon.kdamonds",), _damon, shown=_shown,
              aliases=("damon_reclaim", "damon.state")),
)  # fmt: skip
