"""Which endpoints keep most memory, over all runs: the median of what a request to each kept."""

from __future__ import annotations

from harness.fleet.query import Column, Kind, Query

QUERY = Query(
    name="endpoints",
    title="endpoints by what a request to them keeps",
    table="endpoints",
    mapped="""\
SELECT scenario, endpoint, host, version, run, started_unix_ns, requests, errors, p50_ns, p99_ns,
       retained_bytes_per_request AS kept, ci95_low
FROM {source}
WHERE {where}""",
    reduced="""\
SELECT scenario, endpoint, median(kept) AS kept, max(kept) AS most,
       first(version ORDER BY kept DESC NULLS LAST, host, run) AS most_version,
       first(run ORDER BY kept DESC NULLS LAST, host, run) AS most_run,
       count(*) FILTER (WHERE ci95_low > 0) AS certain, count(kept) AS judged, count(*) AS runs,
       count(DISTINCT host) AS hosts, TRY_CAST(sum(requests) AS BIGINT) AS requests,
       sum(errors) / nullif(sum(requests), 0) AS errors,
       median(p50_ns)::BIGINT AS p50_ns, median(p99_ns)::BIGINT AS p99_ns
FROM mapped
GROUP BY scenario, endpoint
ORDER BY kept DESC NULLS LAST, p99_ns DESC NULLS LAST, scenario, endpoint""",
    columns=(
        Column("scenario", "scenario"),
        Column("endpoint", "endpoint"),
        Column("kept", "kept per request", Kind.BYTES),
        Column("most", "most", Kind.BYTES),
        Column("most_version", "in version"),
        Column("most_run", ""),
        Column("certain", "leaks in", Kind.COUNT),
        Column("judged", "of judged", Kind.COUNT),
        Column("runs", "runs", Kind.COUNT),
        Column("hosts", "hosts", Kind.COUNT),
        Column("requests", "requests", Kind.COUNT),
        Column("errors", "errors", Kind.SHARE),
        Column("p50_ns", "p50", Kind.NS),
        Column("p99_ns", "p99", Kind.NS),
    ),
)
