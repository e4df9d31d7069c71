"""The functions that cost most over all profiles that `harness profile bulk` read, for each value of theirs."""

from __future__ import annotations

from harness.fleet.query import Column, Kind, Query

QUERY = Query(
    name="functions",
    title="functions by what they cost in all profiles (harness profile bulk)",
    table="functions",
    partitions=("source",),
    mapped="""\
SELECT value, unit, function, file, count(DISTINCT (source, profile)) AS profiles,
       TRY_CAST(sum(calls) AS BIGINT) AS calls, TRY_CAST(sum(self) AS BIGINT) AS self, max(self) AS most
FROM {source}
WHERE {where}
GROUP BY value, unit, function, file""",
    reduced="""\
SELECT value, unit, function, file, TRY_CAST(sum(profiles) AS BIGINT) AS profiles,
       TRY_CAST(sum(calls) AS BIGINT) AS calls, TRY_CAST(sum(self) AS BIGINT) AS self, max(most) AS most,
       sum(self) / nullif(sum(sum(self)) OVER (PARTITION BY value, unit), 0) AS share
FROM mapped
GROUP BY value, unit, function, file
ORDER BY abs(share) DESC NULLS LAST, value, function, file""",
    columns=(
        Column("value", "value"),
        Column("function", "function"),
        Column("file", "file"),
        Column("unit", ""),
        Column("self", "itself", Kind.AMOUNT),
        Column("share", "share", Kind.SHARE),
        Column("most", "most in one", Kind.AMOUNT),
        Column("calls", "calls", Kind.COUNT),
        Column("profiles", "profiles", Kind.COUNT),
    ),
)
