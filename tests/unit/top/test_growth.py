"""Growth between two looks."""

from __future__ import annotations

from collections.abc import Sequence

from looks import MIB, look, process

from harness.top.growth import growth_by_key
from harness.top.model import Growth, Process


def growth(
    now: Sequence[Process], then: Sequence[Process], *, apart_s: float = 30, group: bool = False
) -> dict[object, Growth]:
    later, earlier = look(now, at_s=apart_s), look(then)
    keys_now, keys_then = ({p.who: "all" if group else p.who.pid for p in side} for side in (now, then))
    return dict(growth_by_key(later, earlier, keys_now, keys_then))


def test_bytes_per_minute_by_the_time_between_the_walks() -> None:
    now, then = [process(1, 5 * MIB, at_s=15)], [process(1, 4 * MIB, at_s=0)]
    assert growth(now, then) == {1: Growth(4 * MIB, "pss")}
    assert growth(then[:0], then) == {}
    assert growth_by_key(look(now), None, {now[0].who: 1}, {}) == {}


def test_a_shrinking_process_grows_by_less_than_nothing() -> None:
    assert growth([process(1, MIB, at_s=60)], [process(1, 3 * MIB)]) == {1: Growth(-2 * MIB, "pss")}


def test_unknown_pss_is_measured_on_rss_and_says_so() -> None:
    now = [process(1, None, rss=9 * MIB), process(2, 2 * MIB, at_s=30, rss=9 * MIB)]
    then = [process(1, None, rss=8 * MIB), process(2, None, rss=8 * MIB)]
    assert growth(now, then) == {1: Growth(2 * MIB, "rss"), 2: Growth(2 * MIB, "rss")}
    assert growth([process(1, None, rss=None)], [process(1, None, rss=8 * MIB)]) == {}


def test_a_walk_older_than_the_last_change_does_not_count() -> None:
    now, then = [process(1, MIB, stale=True, rss=4 * MIB)], [process(1, MIB, rss=3 * MIB)]
    assert growth(now, then) == {1: Growth(2 * MIB, "rss")}


def test_a_new_process_and_a_reused_pid_have_no_growth_yet() -> None:
    assert growth([process(1, at_s=30), process(2, start=7)], [process(1)]) == {1: Growth(0, "pss")}
    old, new = process(2, start=1), process(2, start=7)
    assert dict(growth_by_key(look([new], at_s=1), look([old]), {new.who: new.who}, {old.who: old.who})) == {}


def test_a_group_grows_by_members_that_come_and_shrinks_by_those_that_go() -> None:
    now = [process(1, 3 * MIB, at_s=60), process(2, 10 * MIB)]
    then = [process(1, 2 * MIB), process(3, 4 * MIB)]
    assert growth(now, then, apart_s=60, group=True) == {"all": Growth((1 + 10 - 4) * MIB, "pss")}
    mixed = [*now, process(4, None, rss=MIB)]
    assert growth(mixed, then, apart_s=60, group=True) == {"all": Growth((1 + 10 - 4 + 1) * MIB, "mixed")}


def test_a_new_group_has_no_growth_yet() -> None:
    member = process(2, at_s=30)
    assert (
        dict(growth_by_key(look([member], at_s=30), look([process(1)]), {member.who: "new"}, {process(1).who: "old"}))
        == {}
    )
