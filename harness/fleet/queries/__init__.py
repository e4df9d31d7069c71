"""The ready queries: one module each with ``QUERY``."""

from __future__ import annotations

from collections.abc import Mapping

from harness.fleet.queries import costs, drift, endpoints, functions, verdicts, versions
from harness.fleet.query import Query

QUERIES: Mapping[str, Query] = {
    query.name: query
    for query in (drift.QUERY, versions.QUERY, endpoints.QUERY, verdicts.QUERY, costs.QUERY, functions.QUERY)
}
