"""What matters, as people write it."""

from __future__ import annotations

import pytest

from harness.compare.thresholds import KINDS, Threshold, kind_of, metric_names, parse_threshold
from harness.compare.words import title


@pytest.mark.parametrize(
    ("text", "name", "threshold"),
    [
        ("peak_pss=5%", "peak_pss", Threshold(0, 0.05)),
        ("peak_pss = 4MiB, 5%", "peak_pss", Threshold(4 * 1024 * 1024, 0.05)),
        ("p99=10ms", "p99", Threshold(10_000_000, 0)),
        ("retained_bytes_per_request=100B", "retained_bytes_per_request", Threshold(100, 0)),
        ("errors=1%", "errors", Threshold(0.01, 0)),
        ("threads_per_round=2", "threads_per_round", Threshold(2, 0)),
        ("floor_live=1MiB", "floor_live", Threshold(1024 * 1024, 0)),
    ],
)
def test_it_is_understood(text: str, name: str, threshold: Threshold) -> None:
    assert parse_threshold(text) == (name, threshold)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("peak_pss", "is not a threshold"),
        ("peak_psss=5%", "peak_pss"),
        ("peak_pss=0", "more than 0"),
        ("p99=5 MiB", "duration"),
        ("peak_pss=-5%", "not"),
        ("threads_per_round=many", "not a number"),
        ("threads_per_round=nan", "not a number"),
        ("threads_per_round=inf", "not a number"),
        ("=5%", "not a metric"),
    ],
)
def test_mistakes_say_what_was_meant(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_threshold(text)


def test_the_larger_of_the_two_counts() -> None:
    assert Threshold(100, 0.1).of(500) == 100
    assert Threshold(100, 0.1).of(-5000) == 500


def test_every_metric_has_a_name_for_people() -> None:
    for name in metric_names():
        assert title(name)
        assert "_" not in title(name)


def test_parts_of_the_ledger_only_explain() -> None:
    for name in set(metric_names()) - set(KINDS):
        assert kind_of(name).weight("app", None) == "tells"
