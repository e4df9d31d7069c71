"""What measuring cost: each account of the recorders over all runs."""

from __future__ import annotations

from harness.fleet.query import Column, Kind, Query

QUERY = Query(
    name="costs",
    title="what measuring cost",
    table="costs",
    mapped="""\
SELECT scenario, name, host, run, value
FROM {source}
WHERE {where} AND value IS NOT NULL""",
    reduced="""\
SELECT scenario, name, count(*) AS runs, count(DISTINCT host) AS hosts, median(value) AS middle,
       quantile_cont(value, 0.95) AS p95, max(value) AS most,
       first(host ORDER BY value DESC, host, run) AS most_host, first(run ORDER BY value DESC, host, run) AS most_run
FROM mapped
GROUP BY scenario, name
ORDER BY scenario, name""",
    columns=(
        Column("scenario", "scenario"),
        Column("name", "what"),
        Column("runs", "runs", Kind.COUNT),
        Column("hosts", "hosts", Kind.COUNT),
        Column("middle", "median", Kind.NUMBER),
        Column("p95", "95 %", Kind.NUMBER),
        Column("most", "most", Kind.NUMBER),
        Column("most_host", "on host"),
        Column("most_run", "in run"),
    ),
)
