"""Limits of one process. Source: Documentation/admin-guide/sysctl/vm.rst."""

from __future__ import annotations

from harness.tune.figures import context, percent, supports
from harness.tune.model import Host, Judgement, Kind, Parameter, Verdict, leave, unknown

_NEAR = 0.8


def _max_map_count(host: Host) -> Judgement:
    value, found = host.number("vm.max_map_count"), host.mappings
    if value is None or not value:
        return unknown("It could not be read.")
    if found is None:
        return unknown("How many mappings processes have could not be read; none may be looked into.")
    hidden = f"; {found.unreadable} more may not be looked into (run it with sudo)" if found.unreadable else ""
    share = found.most / value
    where = f"{found.most} in {found.name} ({found.pid}), {percent(share)} of the limit"
    text = f"most mappings of {found.looked_at} processes: {where}{hidden}"
    if share < _NEAR:
        return leave("No process comes near it.", context("maps", found.most, "count", text))
    return Judgement(
        Verdict.CHANGE,
        "A process is about to reach it: mmap, and so malloc, then fails with 'Cannot allocate memory', whatever is "
        "free.",
        (supports("maps", found.most, "count", text),), str(2 * value),
        expected="mmap goes on to succeed",
        risk="some kernel memory for each mapping (about 200 bytes). A number that only ever grows is a leak of "
        "mappings, and then this only delays the end",
        verify="harness tune --explain vm.max_map_count; harness run says whether mappings grow with the requests "
        "(leak.mmap, mapped-files)",
    )  # fmt: skip


PARAMETERS = (
    Parameter(
        "vm.max_map_count", Kind.SYSCTL, "vm.max_map_count", ("vm.max_map_count",), _max_map_count, unit="mappings"
    ),
)
