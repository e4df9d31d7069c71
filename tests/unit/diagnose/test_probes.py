"""What was done to the workers after the last round, and what it says about the rounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from timelines import App, simulate, six

from harness.correlate.build import correlate
from harness.diagnose.pool import PoolView, pools_of
from harness.diagnose.probes import collected, collected_again, garbage_share, kept_again
from harness.model.run import RawRun

# Each worker gains 256 kB and 125 live allocations a round.
GROWS = App(
    endpoints=six(cart_add={"leak_bytes": 10_240, "leak_blocks": 5}),
    allocators=True,
    blocks_at_floors=True,
    idle_s=2,
    collected=dict.fromkeys(range(4), 0),
    collected_bytes=0,
)
ROUND = 256_000


def view(raw: RawRun) -> PoolView:
    (pool,) = pools_of(correlate(raw))
    return pool


def test_what_one_further_round_keeps() -> None:
    found = kept_again(view(simulate(replace(GROWS, again=(ROUND, 0, 0)))))
    assert found is not None
    assert found.live_bytes == 4 * ROUND
    assert found.share == pytest.approx(1, abs=0.02)
    assert found.low < found.share < found.high
    assert found.high - found.low < 0.15


@pytest.mark.parametrize(
    ("freed", "again", "least", "most"),
    [
        (2_000, (ROUND, 0, 250), 0, 0.1),  # a collection frees much that the rounds have not added
        (500, (0, ROUND, 125), 0.9, 1.1),  # less than half is freed at the end, for most was collected before
        (500, (ROUND // 2, ROUND // 2, 60), 0.4, 0.6),
    ],
    ids=["all is kept", "nothing is kept", "half is kept"],
)
def test_what_a_round_keeps_bounds_the_garbage(
    freed: int, again: tuple[int, int, int], least: float, most: float
) -> None:
    app = replace(GROWS, collected=dict.fromkeys(range(4), freed), collected_bytes=freed * 100, again=again)
    share = garbage_share(view(simulate(app)))
    assert share is not None
    assert least <= share <= most


def test_without_a_further_round_nothing_is_known_of_what_it_keeps() -> None:
    assert kept_again(view(simulate(GROWS))) is None
    healthy = replace(GROWS, endpoints=six(), again=(0, 0, 0))
    assert kept_again(view(simulate(healthy))) is None, "nothing grows, so there is nothing that it could be a share of"


def test_what_grows_with_time_grows_less_in_a_further_round_without_pauses_and_is_no_garbage() -> None:
    app = replace(GROWS, endpoints=six(), bytes_per_second=400_000, again=(100_000, 0, 0))
    share = garbage_share(view(simulate(app)))
    assert share is None or share < 0.1


def test_only_sweeps_that_read_all_heaps_are_walks() -> None:
    """Some counters are also read in between, when nobody walks the heaps."""
    raw = simulate(replace(GROWS, collected_bytes=ROUND, again=(ROUND, ROUND, 0)))
    window = raw.windows[-1]
    series = dict(raw.series)
    for (metric, key), old in raw.series.items():
        if metric == "runtime.glibc.mmapped":
            walks = old.t_ns[old.t_ns >= window.start_ns]
            between = (walks[:-1] + walks[1:]) // 2
            times = np.concatenate([old.t_ns, between])
            values = np.concatenate([old.values, np.full(between.size, 5_000_000)])
            order = np.argsort(times)
            series[metric, key] = type(old)(metric, key, times[order], values[order])
    pool = view(replace(raw, series=series))
    first, again, kept = collected(pool), collected_again(pool), kept_again(pool)
    assert first is not None
    assert again is not None
    assert kept is not None
    assert first.live_bytes == pytest.approx(4 * ROUND, rel=0.01)
    assert again.live_bytes == pytest.approx(4 * ROUND, rel=0.01)
    assert kept.live_bytes == pytest.approx(4 * ROUND, rel=0.01)
