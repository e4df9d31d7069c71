from __future__ import annotations

from dataclasses import replace

from timelines import App, empty_run, process, simulate, six, span

from harness.analysis.tables import endpoint_rows, overhead, worker_rows
from harness.correlate.build import correlate
from harness.diagnose.attribution import EndpointGrowth
from harness.model.process import Role
from harness.model.span import RequestRecord, Span

S = 1_000_000_000
SMALL = App(endpoints=six(), requests=60, blocks=2, rounds=2, warmup=1)


def test_endpoints_count_measured_rounds_only() -> None:
    rows = endpoint_rows(correlate(simulate(SMALL)), {})
    assert {r.name: r.requests for r in rows} == dict.fromkeys(
        ("home", "search", "item", "cart_add", "login", "about"), 20
    )
    assert all((r.p50_ns, r.p99_ns, r.errors) == (2_000_000, 2_000_000, 0) for r in rows)
    assert all(r.retained_bytes_per_request is None and r.ci95 is None for r in rows)


def test_latency_counts_from_the_intended_start_and_errors_have_none() -> None:
    late = replace(span(1, 2 * S, 3 * S), intended_ns=S)
    failed = span(2, 2 * S, 9 * S, status=None)
    (row,) = endpoint_rows(
        correlate(empty_run(spans=[late, failed])), {"home": EndpointGrowth("home", 2, 5.0, (1.0, 9.0), 0.5, 5.0)}
    )
    assert (row.requests, row.errors, row.p50_ns) == (2, 1, 2 * S)
    assert (row.retained_bytes_per_request, row.ci95) == (5.0, (1.0, 9.0))


def test_the_peak_of_requests_is_what_their_runtime_said() -> None:
    spans = [span(number, number * S, (number + 1) * S) for number in (1, 2, 3)]
    records = [php_record(each, peak) for each, peak in zip(spans, (4 << 20, 9 << 20, None), strict=True)]
    (row,) = endpoint_rows(correlate(empty_run(processes=[process(11)], spans=spans, records=records)), {})
    assert (row.request_peak_p50, row.request_peak) == (6815744, 9 << 20)
    (unknown,) = endpoint_rows(correlate(empty_run(spans=spans)), {})
    assert (unknown.request_peak_p50, unknown.request_peak) == (None, None)


def php_record(of: Span, peak: int | None) -> RequestRecord:
    values = {"peak_bytes": peak}
    return RequestRecord("php-agent", 11, of.span_id, None, of.start_ns, of.end_ns, None, "GET /", 200, None, values)


def test_an_endpoint_that_never_answered_has_no_latency() -> None:
    (row,) = endpoint_rows(correlate(empty_run(spans=[span(1, S, 2 * S, status=None)])), {})
    assert row.p50_ns is None
    assert row.p99_ns is None


def test_workers() -> None:
    rows = worker_rows(correlate(simulate(replace(SMALL, noise_bytes=0))))
    assert [r.role for r in rows] == [Role.MASTER] + [Role.WORKER] * 4
    assert sum(r.requests for r in rows) == 180
    assert all(r.pss_start and r.pss_peak and r.pss_peak >= r.pss_start for r in rows)


def test_a_process_without_samples_has_no_sizes() -> None:
    (row,) = worker_rows(correlate(empty_run(processes=[process(11)])))
    assert (row.pss_start, row.pss_end, row.pss_peak) == (None, None, None)


def test_overhead_is_the_sessions_account() -> None:
    assert overhead(correlate(simulate(SMALL))) == {"sampler_cpu_percent": 0.4}
