"""Profiling where nobody knows beforehand which place answers: each place's trigger goes along, and the place that had the
request is asked for what it left behind."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import HarnessError, TargetError
from harness.model.process import ProcessInfo
from harness.model.profile import Artifact
from harness.plugins.spec import AdapterContext, LanguageAdapter, ProfiledResponse, ToolUse, Trigger
from harness.session.agents.places import Place, Places, grouped

_RECORD_WITHIN_S = 5.0  # a record is written when the response has gone out; from another host it needs its time
_POLL_S = 0.02
_MOST_LETTERS = 6000  # of a header's value: servers take 8 KiB of a header, or of all together


@dataclass(frozen=True, slots=True)
class Spread:
    """An adapter's profilers in all places of a run."""

    adapter: LanguageAdapter
    places: Places

    def trigger(self, tool: str, use: ToolUse | None = None) -> Trigger:
        """For one request, whoever answers it. Raises UsageError, TargetError, where no place can have the tool; TargetError
        where only the run's own can, and there is nobody to use it."""
        together = merged(self._of_all(tool, use))
        while use is not None and use.places and _longest(together) > _MOST_LETTERS:  # each place names them all
            use = replace(use, places=use.places[: len(use.places) // 2])
            together = merged(self._of_all(tool, use))
        return together

    def _of_all(self, tool: str, use: ToolUse | None) -> list[Trigger]:
        found: list[Trigger] = []
        trouble: HarnessError | None = None
        for place in self.places.all:
            try:
                found.append(self._one(place.context, tool, use))
            except HarnessError as error:
                trouble = trouble or error
        if trouble is not None and not found:
            raise trouble
        if trouble is not None and len(found) == 1 and not self.places.own.intake.boots:
            raise TargetError(trouble.message, hint=trouble.hint) from trouble
        return found

    def _one(self, context: AdapterContext, tool: str, use: ToolUse | None) -> Trigger:
        if use is None:
            return self.adapter.trigger(context, tool)
        return self.adapter.trigger(context, tool, use=use)

    def collect(self, trigger: Trigger, response: ProfiledResponse, destination: Path) -> Sequence[Artifact]:
        """What the request, or the jobs or the script of this time, left behind. Waits, so it is called in the background."""
        if trigger.deployed:
            return self._collect(self.places.own, trigger, response, destination)
        if response.span_id:
            return self._collect(self._answered(response.span_id), trigger, response, destination)
        found = [a for place in self._working for a in self._collect(place, trigger, response, destination)]
        return [a for a in found if a.path is not None] or found

    def arm(self, number: int, tool: str | None, infos: Sequence[ProcessInfo]) -> bool:
        """See `LanguageAdapter.arm`; whether anybody was told."""
        told = False
        for place, those in grouped(self.places, infos).values():
            told |= bool(self.adapter.arm(place.context, number, tool, [info.key.pid for info in those]))
        return told

    @property
    def _working(self) -> Sequence[Place]:
        """Places where agents announced themselves; the run's own where none has."""
        return [place for place in self.places.all if place.intake.boots] or [self.places.own]

    def _answered(self, span_id: str) -> Place:
        """The place that had the request; where none has written so, one with agents, which will say that it has no result."""
        if len(self.places.all) == 1:
            return self.places.own
        deadline = time.monotonic() + _RECORD_WITHIN_S
        while (place := self.places.of_span(span_id)) is None and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return place or self._working[0]

    def _collect(
        self, place: Place, trigger: Trigger, response: ProfiledResponse, destination: Path
    ) -> Sequence[Artifact]:
        found = self.adapter.collect(place.context, trigger, response, destination)
        return [replace(a, attributes={**a.attributes, "host": place.host}) for a in found] if place.host else found


def merged(triggers: Sequence[Trigger]) -> Trigger:
    """One request that carries all of them: where two say something else under one header, both, as RFC 9110 puts lists. Pure."""
    first, *others = triggers
    headers = dict(first.headers)
    cookies = dict(first.cookies)
    for other in others:
        for name, value in other.headers.items():
            headers[name] = value if headers.get(name, value) == value else f"{headers[name]}, {value}"
        cookies = {**other.cookies, **cookies}
    return replace(first, headers=headers, cookies=cookies)


def _longest(trigger: Trigger) -> int:
    return max(map(len, trigger.headers.values()), default=0)
