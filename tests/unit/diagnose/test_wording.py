"""What findings say of rates, of the smallest growth, and of work that is not requests."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from timelines import App, Endpoint, simulate

from harness.correlate.build import correlate
from harness.diagnose.account import account_of
from harness.diagnose.attribution import attribute_private
from harness.diagnose.engine import diagnose
from harness.diagnose.growth import Yardstick, judge
from harness.diagnose.pool import PoolView
from harness.diagnose.wording import as_in_the_rounds, curve_evidence, growth_of, per_hour, requests_to
from harness.model.run import RawRun
from harness.model.span import COMMAND

LEAKING = App(
    endpoints=(Endpoint("checkout", weight=1, leak_bytes=9000, leak_blocks=3), Endpoint("home", weight=3)), requests=400
)


def pool_of(raw: RawRun) -> PoolView:
    return diagnose(correlate(raw)).pools[0]


def with_load(raw: RawRun, load: object) -> RawRun:
    return replace(raw, manifest=replace(raw.manifest, scenario={**raw.manifest.scenario, "load": load}))


def test_the_hourly_rate_says_of_how_many_requests_it_is() -> None:
    pool = pool_of(simulate(LEAKING))
    account = account_of(pool)
    assert account is not None
    seconds = sum(r.active_ns for r in pool.rounds) / 1e9
    requests = 400 * len(pool.rounds) / seconds
    text = per_hour(account.curve, pool)
    assert f"at {requests:.0f} requests a second" in text
    assert text.endswith("an hour")


def test_a_job_is_no_request() -> None:
    jobs = replace(LEAKING, endpoints=(Endpoint(COMMAND, leak_bytes=2_000_000, leak_blocks=900),), requests=1, blocks=1)
    finding = diagnose(correlate(with_load(simulate(jobs), {"each_round": "python job.py"}))).findings[0]
    assert finding.cause.value.startswith("leak")
    assert "jobs an hour" in finding.summary
    named = diagnose(correlate(with_load(simulate(LEAKING), {"each_round": "python job.py"}))).findings[0]
    assert "Every job" in named.summary
    for text in (finding.summary, named.summary, *(e.text for e in finding.evidence if e.signal.endswith(".floor"))):
        assert "request" not in text, text


def test_the_smallest_growth_is_of_the_endpoint_that_is_named() -> None:
    pool = pool_of(simulate(LEAKING))
    account, named = account_of(pool), attribute_private(pool).dominant
    assert account is not None
    assert named is not None
    n = requests_to(named, pool)
    assert n == pytest.approx(100, rel=0.15)  # a quarter of 400
    growth = growth_of(account.curve, pool, named)
    assert growth.mdl_bytes_per_request == pytest.approx(account.curve.mdl_per_round / n)


def test_growth_that_is_certain_though_small_is_not_compared_with_a_larger_number() -> None:
    """With 90 % power: less is found too, though not as often."""
    levels = 50e6 + np.cumsum([0, 5e4, 4.5e4, 5.5e4, 5.2e4, 4.8e4, 5e4, 5.1e4])
    curve = judge(levels, Yardstick(40_000, 100_000, doubt=100_000, relative=0))
    assert curve.grows
    row = curve_evidence("pool.floor", "memory", curve, "round").text
    assert "a steady" in row
    small = curve_evidence("pool.floor", "memory", replace(curve, mdl_per_round=2 * curve.per_round), "round").text
    assert "a steady" not in small
    assert "t = 3.7 is enough" in small


def test_growth_below_the_smallest_growth_of_the_pool_prints_none() -> None:
    pool = pool_of(simulate(LEAKING))
    account = account_of(pool)
    assert account is not None
    curve = replace(account.curve, mdl_per_round=2 * account.curve.per_round)
    assert growth_of(curve, pool, None).mdl_bytes_per_request is None
    assert growth_of(account.curve, pool, None).mdl_bytes_per_request is not None


def test_traffic_that_never_stops_is_told_by_the_hour() -> None:
    """At arrival rates, and of a locustfile: slices are of time, and not of the same requests."""
    finding = diagnose(correlate(simulate(replace(LEAKING, flows=True)))).findings[0]
    assert finding.cause.value.startswith("leak")
    assert finding.subject.endpoint == "checkout"
    assert re.search(
        r"at [0-9]+ requests a second, [0-9]+ of them to checkout, as in the slices, that is", finding.summary
    )
    assert "a slice over 8 slices" in next(e.text for e in finding.evidence if e.signal == "pool.floor")
    alone = diagnose(correlate(simulate(replace(LEAKING, flows=True, workers=1)))).findings[0]
    assert alone.subject.endpoint is None
    assert re.search(
        r"growing by [^ ]+ GiB an hour at [0-9]+ requests a second, .* per request on average\.", alone.summary
    )
    assert "every round" not in alone.summary


def test_a_part_of_the_requests_is_not_more_than_all_of_them() -> None:
    """The first round, of a program that runs for a time, may have had far more requests than those that are counted."""
    pool = pool_of(simulate(LEAKING))
    named = attribute_private(pool).dominant
    assert named is not None
    words = as_in_the_rounds(pool, replace(named, requests=10_000_000))
    assert words is not None
    whole, part = re.findall(r"[0-9]+(?= requests a second)|[0-9]+(?= of them)", words)
    assert whole == part


def test_what_one_of_several_pools_does_is_not_said_of_all() -> None:
    """Requests to the endpoint are answered by others as well, and the rate is that of this pool."""
    raw = simulate(LEAKING)
    workers = [info.key for info in raw.processes if info.ppid != 1]
    apart = [replace(info, pool="web-2" if info.key == workers[0] else info.pool) for info in raw.processes]
    findings = diagnose(correlate(replace(raw, processes=apart))).findings
    two = next(f for f in findings if f.subject.pool == "web-2")
    assert two.summary.startswith("Every request to checkout on web-2 keeps about")
    whole = diagnose(correlate(raw)).findings[0].summary
    assert whole.startswith("Every request to checkout keeps about")
    (here,), (all_of_them,) = (re.findall(r"at ([0-9]+) requests a second", text) for text in (two.summary, whole))
    assert int(here) * len(workers) == pytest.approx(int(all_of_them), rel=0.1)
    assert f"at {here} requests a second there, " in two.summary
