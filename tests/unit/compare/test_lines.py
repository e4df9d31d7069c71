"""Lines and functions that keep more or less."""

from __future__ import annotations

from compared import facts

from harness.compare.facts import LineFact
from harness.compare.lines import line_changes


def line(
    size: int, number: int = 10, function: str = "shop.cart:add", file: str = "/srv/shop/cart.py", **changes: str
) -> LineFact:
    return LineFact(changes.get("tool", "tracemalloc"), changes.get("endpoint", "cart"), file, function, number, size)


def changed(base: list[LineFact], head: list[LineFact]) -> list[tuple[str, int | None, int | None]]:
    return [(c.function, c.base_bytes, c.head_bytes) for c in line_changes([facts(lines=base)], [facts(lines=head)])]


def test_a_line_that_moved_in_another_checkout_is_the_same_line() -> None:
    assert changed([line(5000)], [line(5100, 14, file="/home/ci/build/srv/shop/cart.py")]) == []
    found = line_changes([facts(lines=[line(5000)])], [facts(lines=[line(9000, 14)])])
    assert [(c.base_line, c.head_line, c.difference) for c in found] == [(10, 14, 4000)]


def test_what_came_and_went() -> None:
    assert changed([line(3000, function="old")], [line(8000, function="new")]) == [
        ("new", None, 8000), ("old", 3000, None),
    ]  # fmt: skip


def test_other_tools_and_endpoints_are_not_compared() -> None:
    assert changed([line(0)], [line(9000, tool="memray")]) == []
    assert changed([line(0)], [line(9000, endpoint="home")]) == []


def test_small_changes_are_left_out() -> None:
    assert changed([line(100)], [line(500)]) == []
    assert changed([line(100_000)], [line(110_000)]) == []


def test_the_median_of_several_profiles() -> None:
    base = [facts(lines=[line(size)]) for size in (1000, 1100, 90_000)]
    assert line_changes(base, [facts(lines=[line(1100)])]) == ()
