"""What measuring cost, in whole sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.report.page.tables import esc
from harness.report.words import known, overhead_parts, plain

# A sentence is told when the first of its numbers is there; one that is missing in it is unknown.
_SENTENCES = (
    (("sampler_cpu_percent",), "The sampler, which reads the memory of all processes, used {} % of one CPU."),
    (
        ("sampler_longest_stall_ms",),
        "While its memory was read, a process stood still for at most {} ms; a request it was answering took as much longer.",
    ),
    (
        ("sampler_ticks_planned", "sampler_ticks_taken", "sampler_ticks_late"),
        "Of {} planned sweeps over the processes {} were taken, {} of them late.",
    ),
    (("sampler_missed_ticks",), "{} sweeps were missed: nothing is known of those moments."),
    (
        ("sampler_floors", "sampler_floors_cpu_s"),
        "{} times memory was measured at a floor, in {} s of CPU time together.",
    ),
    (("load_cpu_percent",), "The load generator used {} % of one CPU."),
    (("load_max_lag_ms",), "The request that was sent latest left {} ms after the moment it was planned for."),
    (
        ("agent_us_per_request", "agent_us_per_request_p95", "agent_requests_timed"),
        "The agent inside the target took {} µs of a request, and {} µs or more of one in twenty: the median and 95th percentile "
        "of {} requests that timed it.",
    ),
    (
        ("agent_floors_asked", "agent_floors_answered", "agent_floors_waited_s", "agent_floor_longest_ms"),
        "Agents were asked {} times at floors, when there is no traffic, and answered {} times; that took {} s in all and at "
        "most {} ms for one process.",
    ),
    (("session_cpu_percent",), "What conducts the run used {} % of one CPU."),
)
_TOLD = frozenset({"sampler_ticks"} | {name for names, _ in _SENTENCES for name in names})


def costs(overhead: Mapping[str, float | None]) -> str:
    """A list; empty where nothing was measured. What no sentence is there for is told by its name."""
    return "".join(f"<li>{esc(text, 400)}</li>" for text in (*_told(overhead), *_others(overhead)))


def _told(overhead: Mapping[str, float | None]) -> Iterator[str]:
    for names, sentence in _SENTENCES:
        if names[0] == "agent_us_per_request" and names[0] in overhead and known(overhead[names[0]]) is None:
            yield "What the agent inside the target took of a request is unknown: too few were answered to time one."
        elif names[0] in overhead:
            values = (known(overhead.get(name)) for name in names)
            yield sentence.format(*("an unknown number of" if v is None else plain(v) for v in values))


def _others(overhead: Mapping[str, float | None]) -> Iterator[str]:
    left = {name: value for name, value in overhead.items() if name not in _TOLD}
    for what, amount in overhead_parts(left):
        yield f"{what[:1].upper()}{what[1:]}: {amount}."
