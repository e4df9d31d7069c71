"""How often runs ended in which verdict, by scenario and version."""

from __future__ import annotations

from harness.fleet.partitions import RUNS
from harness.fleet.query import Column, Kind, Query

QUERY = Query(
    name="verdicts",
    title="verdicts of runs, by scenario and version",
    table=RUNS,
    mapped="""\
SELECT scenario, version, cause, host, count(*) AS runs, count(*) FILTER (WHERE expectations_failed > 0) AS failed,
       max(started_unix_ns) AS latest
FROM {source}
WHERE {where}
GROUP BY ALL""",
    reduced="""\
SELECT scenario, version, cause, sum(runs)::BIGINT AS runs,
       sum(runs) / sum(sum(runs)) OVER (PARTITION BY scenario, version) AS share,
       count(DISTINCT host) AS hosts, sum(failed)::BIGINT AS failed, max(latest) AS latest
FROM mapped
GROUP BY scenario, version, cause
ORDER BY scenario, max(max(latest)) OVER (PARTITION BY scenario, version) DESC, runs DESC, cause""",
    columns=(
        Column("scenario", "scenario"),
        Column("version", "version"),
        Column("cause", "verdict"),
        Column("runs", "runs", Kind.COUNT),
        Column("share", "share", Kind.SHARE),
        Column("hosts", "hosts", Kind.COUNT),
        Column("failed", "expectations failed", Kind.COUNT),
        Column("latest", "latest", Kind.WHEN),
    ),
)
