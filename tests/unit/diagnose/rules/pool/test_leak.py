from __future__ import annotations

import math
from dataclasses import replace

import pytest
from cases import causes, findings, judged, row
from timelines import App, six

from harness.diagnose.rules.pool.leak import RULE
from harness.model.finding import Cause, Confidence, Side

GROWS = App(endpoints=six(login={"leak_bytes": 10_240}), with_blocks=False)


def test_fires_where_memory_grows_and_nothing_tells_what_it_is() -> None:
    [found] = findings(RULE, GROWS)
    assert found.cause is Cause.LEAK
    assert found.subject.endpoint == "login"
    assert causes(GROWS) == {Cause.LEAK}


def test_a_kind_that_accounts_for_it_takes_its_place() -> None:
    known = replace(GROWS, endpoints=six(login={"native_bytes": 10_240}), allocators=True, blocks_at_floors=True)
    assert findings(RULE, known)
    assert causes(known) == {Cause.LEAK_NATIVE}


@pytest.mark.parametrize(
    "app",
    [App(with_blocks=False), App(with_blocks=False, steps={3: 30_000_000}),
     App(with_blocks=False, extra=lambda n: 20e6 * (1 - 0.5 ** (n / 150)))],
    ids=["healthy", "one step", "cache that fills"],
)  # fmt: skip
def test_stays_quiet(app: App) -> None:
    assert not findings(RULE, app)


def test_without_enough_data_it_says_nothing() -> None:
    assert not findings(RULE, replace(GROWS, rounds=6))


def test_live_bytes_that_grow_ever_less_take_certainty_away_where_pages_are_too_noisy_to_show_it() -> None:
    steady = App(extra=lambda n: 1600 * n, allocators=True, blocks_at_floors=True, rounds=10, records="none", seed=29)
    fills = replace(steady, extra=lambda n: 1e7 * (1 - math.exp(-n / 5000)))
    assert findings(RULE, steady)[0].confidence is Confidence.HIGH
    [found] = findings(RULE, fills)
    assert found.confidence is Confidence.MEDIUM
    assert any(e.signal == "decay" for e in found.evidence)


def test_live_bytes_that_will_level_off_take_certainty_away_from_pages_that_seem_to_grow_evenly() -> None:
    fills = App(
        extra=lambda n: 1.2e7 * (1 - math.exp(-n / 2500)),
        allocators=True,
        blocks_at_floors=True,
        rounds=12,
        noise_bytes=300_000,
        records="none",
        seed=2,
    )
    [found] = findings(RULE, fills)
    assert found.confidence is Confidence.MEDIUM
    assert row(found, "decay").side is Side.AGAINST


def test_what_a_finer_yardstick_shows_is_not_in_doubt_beside_it() -> None:
    small = App(endpoints=six(login={"leak_bytes": 3500}), allocators=True, blocks_at_floors=True)
    assert [f.cause for f in judged(small).findings] == [Cause.LEAK]
