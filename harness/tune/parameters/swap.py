"""What decides about swap. Sources: Documentation/admin-guide/sysctl/vm.rst, admin-guide/mm/zswap.rst, mm/vmscan.c."""

from __future__ import annotations

from harness.model.finding import Evidence
from harness.tune.figures import context, percent, rated, size, supports
from harness.tune.model import Host, Judgement, Kind, Parameter, Span, Verdict, Window, leave, none, unknown, watch

_PAGES_A_SECOND = 100  # 400 KiB/s read back: below that nobody notices
_WAITING = 0.01  # of the time: tasks wait for memory
_SIDED = 4  # so many times more from one side than from the other: the balance is off
_FILE_REFAULTS = ("workingset_refault_file", "workingset_refault")  # one name before 5.9
_NO_SWAP = "This machine has no swap"
_LOW, _DEFAULT, _EVEN, _FAST_SWAP = 20, 60, 100, 133


def _pressed(host: Host) -> tuple[Window, float, float, float] | None:
    """The time, now or in the run, in which tasks waited most: with its share of waiting, and pages a second read back from swap
    and from files."""
    found = [
        (window, window.waiting, window.rate("pswpin") or 0.0, window.rate(*_FILE_REFAULTS) or 0.0)
        for window in host.windows
        if window.span is not Span.BOOT and window.waiting is not None
    ]
    return max(found, key=lambda row: row[1], default=None)


def _swappiness(host: Host) -> Judgement:
    value = host.number("vm.swappiness")
    if host.has_swap is None or value is None:
        return unknown("Whether there is swap could not be read.")
    if not host.has_swap:
        return none(f"{_NO_SWAP}: whatever it is set to, no page is swapped out.")
    late = " 0 does not turn swap off: the kernel then swaps only when free memory and files are nearly used up."
    zero = late if value == 0 else ""
    used = host.swap.get("used")
    evidence: tuple[Evidence, ...] = (
        () if used is None else (context("swap.used", used, "bytes", f"swap in use: {size(used)}"),)
    )
    pressed = _pressed(host)
    if pressed is None or pressed[1] < _WAITING:
        known = "" if pressed is None else f" {percent(pressed[1])} of the time {pressed[0].words}"
        told = f"tasks waited for memory{known}" if known else "how long tasks wait for memory is not known"
        return leave(f"Nothing speaks for a change: {told}.{zero}", *evidence)
    window, waiting, swapped, files = pressed
    evidence += (
        supports("psi.some", waiting, "share", f"tasks waited for memory {percent(waiting)} of the time "
        f"{window.words}"),
        rated(window, swapped, "pswpin", "pages read back from swap"),
        rated(window, files, "workingset_refault_file", "pages of files read again soon after they were dropped"),
    )  # fmt: skip
    if files >= _PAGES_A_SECOND and files >= _SIDED * swapped:
        return _raise(host, value, evidence, zero)
    if swapped >= _PAGES_A_SECOND and swapped >= _SIDED * files:
        return _lower(host, value, evidence)
    return watch(
        "Tasks wait for memory, but not because one kind of it is taken too much: memory is short, and swappiness "
        "only decides what "
        f"is taken first. Find who uses it (harness top --by pool).{zero}",
        *evidence,
    )


def _raise(host: Host, value: int, evidence: tuple[Evidence, ...], zero: str) -> Judgement:
    target = _DEFAULT if value < _DEFAULT else _FAST_SWAP if host.only_zram else _EVEN
    if value >= target:
        return watch(
            "Files are read again and again although swapping is already preferred: memory is short.", *evidence
        )
    return Judgement(
        Verdict.CHANGE,
        f"The page cache is squeezed while swap is hardly touched: files are read again at a cost that swapping idle "
        f"memory out would save.{zero}",
        evidence,
        str(target),
        expected="idle anonymous memory goes to swap, pages of files stay, fewer reads from disk",
        risk="memory that is used now and then is swapped in with a delay; on a slow disk that is felt",
        verify="harness tune --over 60s under the same load: workingset_refault_file falls, pswpin stays low",
    )


def _lower(host: Host, value: int, evidence: tuple[Evidence, ...]) -> Judgement:
    if value <= _LOW or host.only_zram:
        return watch(
            "Swap is read back all the time: memory is short. Find who uses it (harness top --by pool).", *evidence
        )
    return Judgement(
        Verdict.CHANGE,
        "Memory that is in use is swapped out while the page cache is hardly missed.",
        evidence,
        str(_LOW),
        expected="pages of files are dropped first, fewer pages are read back from swap",
        risk="files are read from disk more often; if memory is simply short, the waiting moves from swap to files",
        verify="harness tune --over 60s under the same load: pswpin and the time waited fall, workingset_refault_file "
        "stays low",
    )


def _page_cluster(host: Host) -> Judgement:
    value = host.number("vm.page-cluster")
    if host.has_swap is None or value is None:
        return unknown("Whether there is swap could not be read.")
    if not host.has_swap:
        return none(f"{_NO_SWAP}, so nothing is read back from it.")
    if not host.only_zram:
        return leave("Swap is on a disk, where reading neighbours along saves seeks.")
    if value == 0:
        return leave("Swap is compressed memory, and it is read page by page, as it should be.")
    read, hits, swapped = (host.since_boot(name) for name in ("swap_ra", "swap_ra_hit", "pswpin"))
    now = host.busiest("pswpin")
    if not read or hits is None or swapped is None or now is None or now[1] < 1:
        return leave(
            "Swap is compressed memory, where reading ahead saves no seek; but hardly anything is read back, so it "
            "costs nothing either."
        )
    share = hits / read
    evidence = (
        rated(now[0], now[1], "pswpin", "pages read back from swap"),
        supports(
            "swap_ra_hit", share, "share", f"{percent(share)} of the {read} pages read ahead since boot were used"
        ),
    )
    if share >= 0.5:
        return leave("Swap is compressed memory, and most of what is read ahead is used.", *evidence)
    return Judgement(
        Verdict.CHANGE,
        "Swap is compressed memory: there is no seek to save, and most of what is unpacked ahead is never used.",
        evidence,
        "0",
        expected=f"{1 << value} pages fewer are unpacked for each page that is needed, down to that page; less memory "
        f"and CPU",
        risk="a program that walks through swapped memory in order takes more faults",
        verify="harness tune --over 60s under the same load: pswpin falls, the time waited does not rise",
    )


def _zswap(host: Host) -> Judgement:
    enabled = host.number("zswap.enabled")
    if enabled is None:
        return none("This kernel has no zswap.")
    if not host.has_swap:
        return none(f"{_NO_SWAP}: zswap only stands before one.")
    if host.only_zram:
        return leave("Swap is compressed memory already (zram); zswap before it would compress twice.")
    if enabled:
        held, kept = host.meminfo.get("Zswap"), host.meminfo.get("Zswapped")
        ratio = f": {size(kept)} in {size(held)}" if held and kept else ""
        written = host.busiest("zswpwb")
        if written is not None and written[1] >= _PAGES_A_SECOND:
            return watch(
                "It is on, and full: pages go on to the disk. zswap.max_pool_percent is its limit.",
                rated(*written, "zswpwb", "pages written on to the disk"),
            )
        return leave(f"It is on{ratio}.")
    now = host.busiest("pswpin")
    if now is None or now[1] < _PAGES_A_SECOND:
        return leave("Hardly anything is read back from swap, so compressing it in memory would save nothing.")
    return Judgement(
        Verdict.CHANGE,
        "Pages are read back from a swap disk all the time; kept compressed in memory most of them would not need the "
        "disk.",
        (rated(*now, "pswpin", "pages read back from swap"),),
        "Y",
        expected="fewer reads and writes of the swap device, shorter waits; how well the data compresses decides how "
        "much",
        risk="the pool takes up to zswap.max_pool_percent of memory, and CPU; data that does not compress gains "
        "nothing",
        verify="harness tune --over 60s under the same load: zswpin rises, pswpin falls; meminfo says what Zswapped "
        "bytes take (Zswap)",
    )


def _flag(host: Host) -> str | None:
    enabled = host.number("zswap.enabled")
    return None if enabled is None else "Y" if enabled else "N"


PARAMETERS = (
    Parameter("vm.swappiness", Kind.SYSCTL, "vm.swappiness", ("vm.swappiness",), _swappiness, aliases=("swap",)),
    Parameter("vm.page-cluster", Kind.SYSCTL, "vm.page-cluster", ("vm.page-cluster",), _page_cluster, unit="2^n pages"),
    Parameter(
        "zswap.enabled", Kind.SYSFS, "module/zswap/parameters/enabled", ("zswap.enabled",), _zswap, shown=_flag,
        aliases=("zswap", "zswap.max_pool_percent"),
    ),
)  # fmt: skip
