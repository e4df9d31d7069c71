"""When something happened, as far as the clocks of several hosts allow to say: errors of times, and orders that are not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from harness.model.event import SINCE_NS, Event
from harness.model.host import HOST, ORDER_UNKNOWN, WITHIN_NS, HostClock, Moment, moment_of, unordered
from harness.model.process import ProcessKey
from harness.model.timeline import Timeline
from harness.units import format_duration

_LONGEST_NS = 86_400_000_000_000  # between two readings of a counter, at the most believable
UNORDERED = "order against other hosts unknown"
_OF_MACHINE = ("system.", "sampler.", "cgroup.")  # what the sampler of the first host told


class Clocks:
    """The clocks of a run's hosts."""

    def __init__(self, timeline: Timeline) -> None:
        self._clocks: Mapping[str, HostClock] = {clock.host.name: clock for clock in timeline.hosts}
        self.first = next((name for name, clock in self._clocks.items() if clock.host.first), "")

    def __bool__(self) -> bool:
        """Whether there is another host than the one that recorded."""
        return bool(self._clocks)

    def moment(self, t_ns: int, place: str) -> Moment:
        """A time of a host, with its error."""
        clock = self._clocks.get(place)
        return Moment(t_ns, place, 0 if clock is None else clock.within(t_ns))

    def place(self, metric: str, process: ProcessKey | None) -> str:
        """The host whose clock a series carries."""
        if process is not None:
            return process.host
        return self.first if metric.startswith(_OF_MACHINE) else ""

    def event(self, kind: str, process: ProcessKey, t_ns: int, text: str) -> Event:
        """Of a process, on the clock of its host."""
        moment = self.moment(t_ns, process.host)
        about = {HOST: process.host, WITHIN_NS: moment.within_ns} if process.host in self._clocks else {}
        return Event(t_ns, kind, process, text, about)


def marked(events: list[Event]) -> list[Event]:
    """The events, those that have no order against some other one among them marked as such."""
    unknown = unordered([moment_of(event) for event in events])
    return [
        replace(event, attributes={**event.attributes, ORDER_UNKNOWN: True}) if index in unknown else event
        for index, event in enumerate(events)
    ]


def told(event: Event) -> str:
    """What happened, and how far its time and its order can be trusted."""
    doubt = in_words(moment_of(event).within_ns, event.attributes.get(ORDER_UNKNOWN) is True)
    text = event.text + noticed(event)
    return f"{text} ({doubt})" if doubt else text


def noticed(event: Event) -> str:
    """``, within the 250.0 ms before``: of what a counter told, which is read now and then; empty where the time is its own."""
    since_ns = event.attributes.get(SINCE_NS)
    return before(event.t_ns - since_ns) if type(since_ns) is int else ""


def before(gap_ns: int) -> str:
    """For what happened at some time in so long a stretch."""
    return f", within the {format_duration(gap_ns)} before" if 0 < gap_ns < _LONGEST_NS else ""


def in_words(within_ns: int | None, unknown: bool) -> str:
    """``within ± 2.0 ms, order against other hosts unknown``; empty where there is no doubt."""
    if within_ns is None:
        return f"on a clock that was never read, {UNORDERED}"
    parts = [f"within {plus_minus(within_ns)}"] if within_ns else []
    return ", ".join([*parts, UNORDERED] if unknown else parts)


def plus_minus(within_ns: int | None) -> str:
    """``± 2.0 ms``."""
    return "± ?" if within_ns is None else f"± {format_duration(within_ns)}"
