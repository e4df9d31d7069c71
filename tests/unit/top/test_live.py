"""What keys do, and what growth is measured against while the view runs."""

from __future__ import annotations

import pytest
from looks import SECOND, look, process

from harness.top.live import View, Window
from harness.top.model import By, Sort

START = View(By.PROCESS, Sort.PSS)


@pytest.mark.parametrize(
    ("key", "view"),
    [
        ("g", View(By.PROCESS, Sort.GROWTH)),
        ("p", START),
        ("u", View(By.PROCESS, Sort.USS)),
        ("r", View(By.PROCESS, Sort.RSS)),
        ("s", View(By.PROCESS, Sort.SWAP)),
        ("1", START),
        ("2", View(By.POOL, Sort.PSS)),
        ("3", View(By.CGROUP, Sort.PSS)),
        ("4", View(By.USER, Sort.PSS)),
        ("x", START),
        ("\n", START),
    ],
)
def test_keys(key: str, view: View) -> None:
    assert START.after(key) == view


@pytest.mark.parametrize("interval_s", [1, 2, 7, 31, 90])
def test_growth_is_measured_over_the_window_once_it_is_full(interval_s: int) -> None:
    window = Window(60 * SECOND)
    assert window.earlier(look([process(1)], at_s=0)) is None
    for at_s in range(interval_s, 600, interval_s):
        now = look([process(1)], at_s=at_s)
        then = window.earlier(now)
        assert then is not None
        age_s = (now.taken_ns - then.taken_ns) / SECOND
        if at_s <= 60:
            assert age_s == at_s
        else:
            assert min(30, interval_s) <= age_s <= max(60, 2 * interval_s)


def test_no_growth_is_asked_for() -> None:
    window = Window(0)
    assert [window.earlier(look([process(1)], at_s=at_s)) for at_s in range(3)] == [None] * 3
