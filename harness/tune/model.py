"""What is known about a machine, and what is said about one of its parameters. Frozen; texts may come from the "
"machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from harness.model.finding import Evidence

Fact = int | str


class Span(StrEnum):
    """Which time a window is about. What happened since boot may be one bad hour a month ago: it is told, and no reason to change
    anything."""

    BOOT = "since boot"
    LOOK = "now"
    RUN = "in the run"


@dataclass(frozen=True, slots=True)
class Window:
    """What the kernel counted in a stretch of time: ``counters`` are increases of /proc/vmstat by the kernel's names.

    ``some_ns``, ``full_ns``: time in which some, or all, tasks waited for memory; ``least_available``: bytes. None is unknown.
    """

    span: Span
    seconds: float
    counters: Mapping[str, int]
    some_ns: int | None = None
    full_ns: int | None = None
    least_available: int | None = None
    most_dirty: int | None = None  # bytes waiting to be written, or being written

    def count(self, *names: str) -> int | None:
        """Sum of the counters with these names, or that begin with one that ends in ``*``; None when there is none "
        "of them."""
        chosen = [
            value
            for key, value in self.counters.items()
            if any(key.startswith(name[:-1]) if name.endswith("*") else key == name for name in names)
        ]
        return sum(chosen) if chosen else None

    def rate(self, *names: str) -> float | None:
        """`count` a second."""
        count = self.count(*names)
        return None if count is None or self.seconds <= 0 else count / self.seconds

    @property
    def waiting(self) -> float | None:
        """Share of the time in which some task waited for memory."""
        return None if self.some_ns is None or self.seconds <= 0 else self.some_ns / (self.seconds * 1e9)

    @property
    def words(self) -> str:
        """``in the 3 s looked at``."""
        if self.span is Span.BOOT:
            return "since boot"
        return f"in the {self.seconds:.0f} s {'looked at' if self.span is Span.LOOK else 'of the run'}"


@dataclass(frozen=True, slots=True)
class Zone:
    """A memory zone, in pages. ``free_blocks``: number of free blocks of 2**order pages, by order; None is unknown."""

    node: int
    name: str
    free: int | None
    low: int | None
    high: int | None
    managed: int | None
    free_blocks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Mappings:
    """The process with the most memory mappings, of ``looked_at`` processes; ``unreadable``: more that may not be "
    "looked into."""

    most: int
    pid: int
    name: str
    looked_at: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class Group:
    """A memory control group with a limit or a protection; bytes. ``pressure``: share of the last 10 s, 0 to 1.

    ``new``: what its events rose by while it was looked at or recorded; ``events``: in all. ``directory``: where its files are.
    """

    name: str
    version: int
    directory: str
    current: int | None = None
    max: int | None = None
    high: int | None = None
    low: int | None = None
    swap_max: int | None = None
    swap_current: int | None = None
    pressure: float | None = None
    events: Mapping[str, int] = field(default_factory=dict)
    new: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0  # over which ``new`` was counted


@dataclass(frozen=True, slots=True)
class Found:
    """A finding of the recorded run that bears on a parameter: its cause, and its sentence."""

    cause: str
    confidence: str
    summary: str
    secondary: bool


@dataclass(frozen=True, slots=True)
class Host:
    """Everything that parameters are judged by. Sizes are bytes; what is not there is unknown.

    ``facts``: settings by the names of `harness.sampling.sources.settings`; ``missing``: why one is unknown; ``origins``: sysctl
    -> "file:line" that sets it at boot. ``live``: this machine now; else another one, as a run recorded it.
    """

    name: str
    kernel: str | None
    live: bool
    facts: Mapping[str, Fact]
    missing: Mapping[str, str]
    meminfo: Mapping[str, int]
    windows: tuple[Window, ...]
    zones: tuple[Zone, ...] = ()
    swap: Mapping[str, int] = field(default_factory=dict)  # areas.zram, areas.partition, areas.file, size, used
    slabs: Mapping[str, int] = field(default_factory=dict)  # cache -> bytes; root only
    mappings: Mappings | None = None
    groups: tuple[Group, ...] = ()
    groups_seen: int | None = None
    found: tuple[Found, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[tuple[str, str], ...] = ()  # what could not be read, and why
    container: bool = False
    run: str = ""  # the run that was taken into account
    changed: tuple[str, ...] = ()  # "vm.swappiness was 10 when the run was recorded"

    def number(self, name: str) -> int | None:
        """A setting that is a number."""
        value = self.facts.get(name)
        return value if isinstance(value, int) else None

    @property
    def total(self) -> int | None:
        """All of its memory."""
        return self.meminfo.get("MemTotal")

    @property
    def available_share(self) -> float | None:
        """Least share of memory that was available: now, and in the recorded run."""
        if not self.total:
            return None
        known = [w.least_available for w in self.windows if w.span is not Span.BOOT and w.least_available is not None]
        now = self.meminfo.get("MemAvailable")
        known += [] if now is None else [now]
        return min(known) / self.total if known else None

    @property
    def has_swap(self) -> bool | None:
        """None: unknown."""
        size = self.swap.get("size", self.meminfo.get("SwapTotal"))
        return None if size is None else size > 0

    @property
    def only_zram(self) -> bool:
        """Whether all swap is compressed memory."""
        areas = {name.removeprefix("areas."): n for name, n in self.swap.items() if name.startswith("areas.")}
        return bool(areas.get("zram")) and not areas.get("partition") and not areas.get("file")

    def window(self, span: Span) -> Window | None:
        """The window of that time."""
        return next((window for window in self.windows if window.span is span), None)

    def busiest(self, *names: str) -> tuple[Window, float] | None:
        """Now or in the run, whichever counted more a second, and how much; None when neither knows."""
        rates = [(w, rate) for w in self.windows if w.span is not Span.BOOT and (rate := w.rate(*names)) is not None]
        return max(rates, key=lambda pair: pair[1], default=None)

    def since_boot(self, *names: str) -> int | None:
        """Counted since boot."""
        boot = self.window(Span.BOOT)
        return None if boot is None else boot.count(*names)

    def causes(self, *causes: str) -> Found | None:
        """The run's first finding with one of these causes."""
        return next((found for found in self.found if found.cause in causes), None)


class Verdict(StrEnum):
    """CHANGE: the measurements support a change. WATCH: a sign that more would have to be measured for. LEAVE: nothing speaks for
    a change. NONE: it decides nothing on this machine. UNKNOWN: it could not be judged."""

    CHANGE = "change"
    WATCH = "watch"
    LEAVE = "leave"
    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Judgement:
    """``text``: what the measurements say, and so what to do. ``value``: what to set. ``group``: the control group meant.

    ``expected``, ``risk``, ``verify`` are there where a change is recommended.
    """

    verdict: Verdict
    text: str
    evidence: tuple[Evidence, ...] = ()
    value: str | None = None
    group: Group | None = None
    expected: str = ""
    risk: str = ""
    verify: str = ""


class Kind(StrEnum):
    """By what road a parameter is set."""

    SYSCTL = "sysctl"
    SYSFS = "sysfs"
    CGROUP = "cgroup"
    ACTION = "action"  # a file that is only written to: it does something once and has no value


@dataclass(frozen=True, slots=True)
class Parameter:
    """``name``: for people and ``--explain``; ``path``: the file below /proc/sys, /sys or a group's directory.

    ``facts``: names in `Host.facts` that hold its value, the first alone being what is set; ``unit``: of the value, as shown.
    """

    name: str
    kind: Kind
    path: str
    facts: tuple[str, ...]
    judge: Callable[[Host], Judgement]
    unit: str = ""
    aliases: tuple[str, ...] = ()
    shown: Callable[[Host], str | None] | None = None  # the value, where it is more than the first fact


@dataclass(frozen=True, slots=True)
class Commands:
    """Shell commands, one a line. ``VALUE`` stands for a value where none is recommended."""

    temporary: str
    persistent: str
    undo_temporary: str
    undo_persistent: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What is said about one parameter. ``current`` None: unknown, or it has no value; ``why_unknown`` then says "
    "why."""

    parameter: Parameter
    meaning: str
    current: str | None
    why_unknown: str
    origin: str
    judgement: Judgement
    commands: Commands | None


def leave(text: str, *evidence: Evidence) -> Judgement:
    """Nothing speaks for a change."""
    return Judgement(Verdict.LEAVE, text, tuple(evidence))


def none(text: str, *evidence: Evidence) -> Judgement:
    """It decides nothing here."""
    return Judgement(Verdict.NONE, text, tuple(evidence))


def watch(text: str, *evidence: Evidence, verify: str = "") -> Judgement:
    """A sign that is not enough."""
    return Judgement(Verdict.WATCH, text, tuple(evidence), verify=verify)


def unknown(text: str) -> Judgement:
    """It cannot be judged."""
    return Judgement(Verdict.UNKNOWN, text)


def strongest(judgements: Iterable[Judgement]) -> Judgement:
    """The first of those with the most urgent verdict."""
    order = list(Verdict)
    return min(judgements, key=lambda judgement: order.index(judgement.verdict))
