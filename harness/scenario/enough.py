"""Whether a scenario sends enough requests for what it expects of them: a percentile of few requests has no upper end."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from harness.model.measure import Unit
from harness.scenario.expect import Expectation
from harness.scenario.load import RoundsLoad
from harness.scenario.schema import Scenario

TAIL = 0.025  # beyond each end of a 95 % interval
Z = 1.959964  # normal quantile of 97.5 %
_PERCENTILE = re.compile(r"p([0-9]{2})")


def for_percentile(q: float) -> int:
    """The fewest values whose largest is above the ``q`` quantile with 97.5 %."""
    return math.ceil(math.log(TAIL) / math.log(q))


def for_share(limit: float) -> int:
    """The fewest trials without a hit whose share is certainly below ``limit``, above 0 (Wilson's interval)."""
    return math.floor(Z * Z * (1 - limit) / limit) + 1


def too_few(scenario: Scenario) -> Iterator[tuple[int, str]]:
    """Expectations that no run of the scenario can meet, as (index, what is the matter).

    Of rounds of requests only: of other loads it is not known how many there will be.
    """
    load = scenario.load
    weights = {request.name: request.weight for request in scenario.requests if not request.once}
    if not isinstance(load, RoundsLoad) or not weights:
        return
    total, whole = load.rounds * load.requests_per_round, sum(weights.values())
    for index, line in enumerate(scenario.expect):
        needed = _needed(line)
        share = 1.0 if line.endpoint is None else weights.get(line.endpoint, 0) / whole
        planned = round(total * share)
        if needed is not None and 0 < planned < needed:
            of = "" if line.endpoint is None else f" to {line.endpoint}"
            yield index, f"this needs {needed} requests{of} to be told, and about {planned} are planned"


def _needed(line: Expectation) -> int | None:
    if line.kind != "metric" or line.value is None or not (line.op or "").startswith("<"):
        return None
    if line.metric == "errors" and line.unit is Unit.RATIO:
        return for_share(line.value) if 0 < line.value < 1 else None
    percentile = _PERCENTILE.fullmatch(line.metric or "")
    return for_percentile(int(percentile[1]) / 100) if percentile else None
