"""How much may wait to be written. Sources: Documentation/admin-guide/sysctl/vm.rst, mm/page-writeback.c."""

from __future__ import annotations

from collections.abc import Callable

from harness.tune.figures import context, size, supports
from harness.tune.model import Host, Judgement, Kind, Parameter, Span, Verdict, leave, unknown, watch

_EXPIRE = ("vm.dirty_expire_centisecs", "vm.dirty_writeback_centisecs")


def thresholds(host: Host) -> tuple[int, int] | None:
    """Bytes at which background writing begins, and at which writers must write themselves; None when unknown.

    Ratios are of free memory and file pages, not of all memory.
    """
    info = host.meminfo
    if not {"MemFree", "Active(file)", "Inactive(file)"} <= info.keys():
        return None
    base = info["MemFree"] + info["Active(file)"] + info["Inactive(file)"]
    limits = []
    for name in ("vm.dirty_background", "vm.dirty"):
        own, ratio = host.number(name + "_bytes"), host.number(name + "_ratio")
        if own:
            limits.append(own)
        elif ratio is not None:
            limits.append(base * ratio // 100)
        else:
            return None
    background, most = limits
    return (background if background < most else most // 2), most


def _most_dirty(host: Host) -> int | None:
    known = [w.most_dirty for w in host.windows if w.span is not Span.BOOT and w.most_dirty is not None]
    now = host.meminfo.get("Dirty")
    known += [] if now is None else [now + host.meminfo.get("Writeback", 0)]
    return max(known, default=None)


def _ratio(host: Host) -> Judgement:
    limits, dirty = thresholds(host), _most_dirty(host)
    if limits is None or dirty is None:
        return unknown("How much waits to be written, or the limits on it, could not be read.")
    text = f"at most {size(dirty)} waited to be written; writers must write themselves from {size(limits[1])} on"
    evidence = context("Dirty", dirty, "bytes", text)
    return leave(
        "What waits to be written is page cache, not memory of a process: it makes nothing "
        "grow." if dirty < sum(limits) // 2
        else "Writers are held up: the disk is slower than they are. A higher limit only makes the wait longer when "
        "it comes.",
        evidence,
    )  # fmt: skip


def _background(host: Host) -> Judgement:
    limits, dirty, ratio = thresholds(host), _most_dirty(host), host.number("vm.dirty_background_ratio")
    if limits is None or dirty is None:
        return unknown("How much waits to be written, or the limits on it, could not be read.")
    begins, most = limits
    bounds = f"the kernel begins to write at {size(begins)}, writers wait at {size(most)}"
    text = f"at most {size(dirty)} waited to be written; {bounds}"
    if dirty < (begins + most) // 2:  # up to here nobody is held up (dirty_freerun_ceiling)
        return leave("Nobody was held up while writing.", context("Dirty", dirty, "bytes", text))
    evidence = supports("Dirty", dirty, "bytes", text)
    if not ratio or ratio < 2:
        return watch("Writers were held up: the disk is slower than they are.", evidence)
    return Judgement(
        Verdict.CHANGE,
        "So much waits to be written that writers are held up; beginning earlier spreads the writing.",
        (evidence,), str(ratio // 2),
        expected=f"writing begins at {size(begins // 2)}; shorter and fewer stops of writers, if the disk can keep up "
        f"on average",
        risk="files that are soon deleted or written again are written to disk more often",
        verify="harness tune --over 60s under the same load: what waits to be written stays below half way between "
        "the two limits",
    )  # fmt: skip


def _expire(host: Host) -> Judgement:
    expire, wakes = (host.number(name) for name in _EXPIRE)
    if expire is None or wakes is None:
        return unknown("It could not be read.")
    if wakes == 0:
        return watch(
            "Periodic writing is off (vm.dirty_writeback_centisecs is 0): data stays in memory until the limits are "
            "reached, and is lost when the power fails."
        )
    return leave(
        f"Data is written {expire / 100:g} s after it was changed. That bounds what a power failure loses; it has no "
        f"bearing on growth."
    )


def _shown(name: str) -> Callable[[Host], str | None]:
    def shown(host: Host) -> str | None:
        own, ratio = host.number(f"vm.{name}_bytes"), host.number(f"vm.{name}_ratio")
        return f"0 (vm.{name}_bytes = {own})" if own else None if ratio is None else str(ratio)

    return shown


def _parameter(name: str, judge: Callable[[Host], Judgement]) -> Parameter:
    full = f"vm.{name}_ratio"
    aliases = (f"vm.{name}_bytes",)
    return Parameter(full, Kind.SYSCTL, full, (full,), judge, unit="%", aliases=aliases, shown=_shown(name))


PARAMETERS = (
    _parameter("dirty", _ratio),
    _parameter("dirty_background", _background),
    Parameter(
        _EXPIRE[0], Kind.SYSCTL, _EXPIRE[0], (_EXPIRE[0],), _expire, unit="1/100 s", aliases=_EXPIRE[1:]
    ),
)  # fmt: skip
