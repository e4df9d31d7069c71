from __future__ import annotations

from harness.model.event import Missing
from harness.sampling.protocol import Depth
from harness.session.block_floors import BlockFloors


def test_heaps_are_walked_until_a_walk_is_dear_beside_the_traffic() -> None:
    asked: list[Depth] = []
    said: list[Missing] = []

    def floor(depth: Depth) -> int:
        asked.append(depth)
        return len(asked)

    floors = BlockFloors(floor, said.append)
    assert [floors.take(0.5), floors.take(0.0)] == [1, 2]
    for traffic_s in (*[1.0] * 4, 3.0, *[1.0] * 4):
        floors._judge(took_s=0.5, traffic_s=traffic_s)
    assert not said, "once it was a sixth of the traffic"
    floors._judge(took_s=0.5, traffic_s=1.0)
    floors._judge(took_s=0.5, traffic_s=1.0)
    assert [floors.take(60.0), floors.take(60.0)] == [3, 4]
    assert asked == [Depth.LIVE, Depth.LIVE, Depth.COUNTERS, Depth.COUNTERS], "once too dear, for good: half is no use"
    (missing,) = said
    assert "500.0 ms" in missing.reason


def test_one_walk_of_seconds_is_the_last() -> None:
    said: list[Missing] = []
    floors = BlockFloors(lambda _depth: 1, said.append)
    floors._judge(took_s=2.5, traffic_s=60.0)
    assert not said, "beside a minute of traffic"
    floors._judge(took_s=2.5, traffic_s=1.0)
    assert len(said) == 1
