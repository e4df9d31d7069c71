"""What carries out a query: one module each, with ``answer``, which gives the rows of both halves before they are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.fleet.engines import dask_, duckdb_
from harness.fleet.partitions import Choice
from harness.fleet.query import Query, Row

# query, chosen runs, URLs of files, address of a scheduler
Answer = Callable[[Query, Choice, Sequence[str], str | None], Sequence[Row]]
ENGINES: Mapping[str, Answer] = {"duckdb": duckdb_.answer, "dask": dask_.answer}
