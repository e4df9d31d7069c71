"""How much the sampler of another host may have this machine keep, which may be anybody's. Pure.

One message is looked at by `harness.session.sampler_words`; here they are counted. A sampler of ours follows 4,096 processes at a
time, says some 700 names of values in a run, 250 facts, and 200 types a look into a heap: it comes nowhere near these bounds, but
for the number of processes in very long runs of something that starts several a second.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from harness.errors import TargetError
from harness.sampling.tree import MOST_PROCESSES

MOST_ANNOUNCED = 250_000  # in one run: each stays in the record, and in memory when that is read
_MOST_ALIVE = 2 * MOST_PROCESSES
_MOST_COMMAND_LETTERS = 128 << 20  # of all commands together, as they were said last
_MOST_METRICS = 10_000
_MOST_SETS = 1_000
_MOST_WAITING = 2_000_000  # values between two sweeps
_MOST_FACTS = 10_000
_MOST_TYPES = 100_000
_MOST_NOTICES = 2_000_000  # events about processes
_MOST_NOTICE_LETTERS = 512 << 20
_MOST_NAME_LETTERS = 16 << 20  # of all names of one kind together, facts with what they say


class Bounds:
    """What one host has said so far. ``called``: how it is called in messages."""

    def __init__(self, called: str) -> None:
        self._called = called
        self._alive: dict[tuple[int, int], int] = {}  # by pid and start: letters of its command
        self._announced = 0
        self._command_letters = 0
        self._sets: set[int] = set()
        self._waiting = 0
        self._metrics = _Names()
        self._types = _Names()
        self._facts: dict[str, int] = {}  # letters of each
        self._notices = 0
        self._notice_letters = 0

    def take(self, message: Mapping[str, Any]) -> None:
        """A message that was checked. Raises TargetError when that is too much."""
        kind = message["k"]
        if kind == "proc":
            self._on_process(message)
        elif kind == "exit":
            self._alive.pop((message["pid"], message["start"]), None)
            self._on_metrics(message["last"], len(message["last"]))
        elif kind == "tick":
            self._waiting = 0
            self._on_metrics(message["s"], 0)
        elif kind == "more":
            self._on_metrics((), sum(len(row[3]) for row in message["x"]))
        elif kind == "names":
            self._sets.add(message["set"])
            self._on_metrics(message["names"], 0)
        elif kind == "hello":
            self._on_metrics(message["columns"], 0)
        elif kind == "settings":
            self._on_facts(message["facts"])
        elif kind == "types":
            self._types.add([row[0] for row in message["rows"]])
            self._must(self._types.within(_MOST_TYPES), f"more than {_MOST_TYPES:,} types of objects")

        elif kind == "runtime":
            self._on_notice(sum(len(name) + len(str(value)) for name, value in message["facts"].items()))
        elif kind == "files":
            self._on_notice(sum(len(row[0]) for row in message["rows"]))
        elif kind == "pause":
            self._on_notice(0)

    def _on_process(self, message: Mapping[str, Any]) -> None:
        who = message["pid"], message["start"]
        before = self._alive.get(who)
        letters = self._alive[who] = len(message["comm"]) + len(message["cmd"])
        self._announced += before is None
        self._command_letters += letters - (before or 0)
        self._must(self._announced <= MOST_ANNOUNCED, f"more than {MOST_ANNOUNCED:,} processes in one run")
        self._must(len(self._alive) <= _MOST_ALIVE, f"more than {_MOST_ALIVE:,} processes at a time")
        self._must(self._command_letters <= _MOST_COMMAND_LETTERS, "command lines without end")

    def _on_metrics(self, names: Collection[str], values: int) -> None:
        self._waiting += values
        self._metrics.add(names)
        enough = self._metrics.within(_MOST_METRICS) and len(self._sets) <= _MOST_SETS
        self._must(enough, f"more than {_MOST_METRICS:,} kinds of values")
        self._must(self._waiting <= _MOST_WAITING, "values without end between two sweeps")

    def _on_facts(self, facts: Mapping[str, str | int]) -> None:
        self._facts.update((name, len(name) + len(str(value))) for name, value in facts.items())
        enough = len(self._facts) <= _MOST_FACTS and sum(self._facts.values()) <= _MOST_NAME_LETTERS
        self._must(enough, f"more than {_MOST_FACTS:,} facts")

    def _on_notice(self, letters: int) -> None:
        self._notices += 1
        self._notice_letters += letters
        enough = self._notices <= _MOST_NOTICES and self._notice_letters <= _MOST_NOTICE_LETTERS
        self._must(enough, f"more than {_MOST_NOTICES:,} events of processes")

    def _must(self, holds: bool, what: str) -> None:
        if not holds:
            raise TargetError(
                f"{self._called} says more than is kept of one host: {what}",
                hint="what was recorded until then is kept; watch fewer processes of it, or for a shorter time",
            )


class _Names:
    """Distinct ones."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._letters = 0

    def add(self, names: Collection[str]) -> None:
        new = set(names) - self._names
        self._letters += sum(map(len, new))
        self._names |= new

    def within(self, most: int) -> bool:
        return len(self._names) <= most and self._letters <= _MOST_NAME_LETTERS
