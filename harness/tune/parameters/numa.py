"""Several memory nodes. Source: Documentation/admin-guide/sysctl/vm.rst, kernel.rst."""

from __future__ import annotations

from harness.tune.figures import context, rated, size
from harness.tune.model import Host, Judgement, Kind, Parameter, Verdict, leave, none, unknown, watch

_RECLAIMS_A_SECOND = 1.0
_MIGRATED_A_SECOND = 10_000  # pages, 40 MB/s


def _nodes(host: Host) -> Judgement | None:
    """What there is to say without looking at the parameter."""
    nodes = host.number("numa.nodes")
    if nodes is None:
        return unknown("How many memory nodes there are could not be read.")
    return none("This machine has one memory node: it decides nothing.") if nodes < 2 else None


def _free_by_node(host: Host) -> str:
    page = host.number("page_size") or 4096
    nodes: dict[int, int] = {}
    for zone in host.zones:
        nodes[zone.node] = nodes.get(zone.node, 0) + (zone.free or 0) * page
    return ", ".join(f"node {node} {size(free)}" for node, free in sorted(nodes.items()))


def _zone_reclaim(host: Host) -> Judgement:
    early = _nodes(host)
    if early is not None:
        return early
    value = host.number("vm.zone_reclaim_mode")
    if value is None:
        return unknown("It could not be read.")
    if value == 0:
        return leave("A node that is full takes memory from another one, as it should for services.")
    free = context("zoneinfo", None, "", f"free by node: {_free_by_node(host)}")
    local = host.busiest("zone_reclaim_success", "zone_reclaim_failed")
    if local is None or local[1] < _RECLAIMS_A_SECOND:
        return watch(
            "It makes a full node reclaim its page cache before it takes memory from another one. That was not seen "
            "to happen now.",
            free,
        )
    return Judgement(
        Verdict.CHANGE,
        "Tasks reclaim the page cache of their own node while others have memory.",
        (rated(*local, "zone_reclaim", "reclaims because the own node was full"), free), "0",
        expected="memory of other nodes is used first; no reclaim while there is any",
        risk="programs that fit into one node and depend on it (some number crunching) read memory across nodes",
        verify="harness tune --over 60s under the same load: zone_reclaim_success and zone_reclaim_failed stand still",
    )  # fmt: skip


def _balancing(host: Host) -> Judgement:
    early = _nodes(host)
    if early is not None:
        return early
    value, moved = host.number("kernel.numa_balancing"), host.busiest("numa_pages_migrated")
    if value is None:
        return none("This kernel does not move memory between nodes by itself.")
    if value and moved is not None and moved[1] >= _MIGRATED_A_SECOND:
        return watch(
            "Much memory is moved between nodes. For a pool of workers that the scheduler moves about, that can cost "
            "more than it gains; compare latency with it off.",
            rated(*moved, "numa_pages_migrated", "pages moved between nodes"),
        )
    told = (
        ()
        if moved is None
        else (
            context(
                "numa_pages_migrated", moved[1], "per second", f"pages moved: {moved[1]:.0f} a second {moved[0].words}"
            ),
        )
    )
    return leave("Little memory is moved between nodes." if value else "It is off.", *told)


PARAMETERS = (
    Parameter("vm.zone_reclaim_mode", Kind.SYSCTL, "vm.zone_reclaim_mode", ("vm.zone_reclaim_mode",), _zone_reclaim),
    Parameter(
        "kernel.numa_balancing", Kind.SYSCTL, "kernel.numa_balancing", ("kernel.numa_balancing",), _balancing, aliases=("numa",)
    ),
)  # fmt: skip
