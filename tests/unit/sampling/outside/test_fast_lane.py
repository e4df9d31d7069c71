"""Samples between two sweeps: only changes, within the caps, nothing lost that counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.sampling.outside.fast_lane import FastLane

Sample = tuple[int, int]


def replay(lanes: list[dict[object, object]], key: object, starts: list[int]) -> list[tuple[int, Sample]]:
    out = []
    for start, taken in zip(starts, lanes, strict=True):
        lane = taken.get(key)
        if lane is None:
            continue
        t = start
        for delta, values in zip(lane.times_ns, zip(*lane.columns, strict=True), strict=True):  # type: ignore[attr-defined]
            t += delta
            out.append((t, values))
    return out


samples = st.lists(
    st.tuples(st.sampled_from("ab"), st.one_of(st.none(), st.tuples(st.integers(0, 3), st.integers(0, 2)))), max_size=60
)


@given(st.lists(samples, max_size=5))
def test_changes_give_back_every_sample(intervals: list[list[tuple[str, Sample | None]]]) -> None:
    lane = FastLane(2)
    now, starts, taken = 100, [], []
    given_samples: dict[str, list[tuple[int, Sample]]] = {"a": [], "b": []}
    lane.start(now)
    for interval in intervals:
        starts.append(now)
        for key, sample in interval:
            now += 7
            lane.add(key, now, sample)
            if sample is not None:
                given_samples[key].append((now, sample))
        now += 3
        lanes = lane.take(now)
        taken.append(lanes)
        for key in "ab":
            own = [sample for k, sample in interval if k == key]
            if not own:
                assert key not in lanes
                continue
            read = [sample for sample in own if sample is not None]
            assert (lanes[key].taken, lanes[key].refused) == (len(read), len(own) - len(read))
            assert (lanes[key].highest[1][0] if lanes[key].highest else None) == max((s[0] for s in read), default=None)
    for key, expected in given_samples.items():
        changes = replay(taken, key, starts)
        assert changes == [pair for k, pair in enumerate(expected) if not k or pair[1] != expected[k - 1][1]]


def test_over_the_cap_the_highest_and_the_latest_are_kept() -> None:
    lane = FastLane(1, changes_cap=3)
    lane.start(0)
    for t, value in enumerate([1, 2, 3, 9, 5, 5]):
        lane.add("worker", t, [value])
    first = lane.take(10)["worker"]
    assert list(first.columns[0]) == [1, 2, 3]
    assert first.highest == (3, (9,))
    assert (first.taken, first.dropped) == (6, 3)
    lane.add("worker", 12, [5])  # was dropped, so it is told now
    second = lane.take(20)["worker"]
    assert (list(second.times_ns), list(second.columns[0])) == ([2], [5])


def test_the_total_cap_is_shared_and_given_back() -> None:
    lane = FastLane(1, total_cap=4)
    lane.start(0)
    for t in range(3):
        lane.add("a", t, [t])
        lane.add("b", t, [t])
    lane.forget("a")
    lane.add("c", 5, [1])
    lanes = lane.take(9)
    assert set(lanes) == {"b", "c"}
    assert len(lanes["b"].times_ns) == 2
    assert len(lanes["c"].times_ns) == 1
    lane.add("b", 10, [7])
    assert lane.take(11)["b"].dropped == 0


def test_a_process_that_is_only_refused_is_told() -> None:
    lane = FastLane(3)
    lane.start(0)
    lane.add(1, 5, None)
    one = lane.take(9)[1]
    assert (one.taken, one.refused, one.highest, len(one.times_ns)) == (0, 1, None, 0)


def test_starting_again_forgets_what_was_never_taken() -> None:
    lane = FastLane(1)
    lane.start(100)
    lane.add("a", 150, (9,))
    lane.start(1000)
    assert lane.take(1100) == {}
    lane.add("a", 1150, (9,))
    (again,) = lane.take(1200).values()
    assert (list(again.times_ns), again.highest) == ([50], (50, (9,))), "no time lies before the start"
