"""A quick part of ``docs/statistics.md`` (``bench/diagnosis.py``), with bounds that a change may not cross. Seeded."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from floors import HEALTHY, LEVEL, MB, YARD, decay, drift, leaking, noise, rates, sawtooth, staircase

from harness.diagnose.growth import Shape, judge

DOCUMENT = (Path(__file__).parents[3] / "docs" / "statistics.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("rounds", [8, 20])
@pytest.mark.parametrize("phi", [0.0, 0.95, 1.0])
@pytest.mark.parametrize("sigma", [0.2 * MB, 1 * MB])
def test_healthy_noise_is_not_growth(rounds: int, phi: float, sigma: float) -> None:
    found = rates(lambda rng: noise(rounds, phi, sigma, rng), 150, 1)
    assert found.percent(Shape.LINEAR) <= 1
    assert found.percent(Shape.SLOWING) <= 1
    assert found.percent(*HEALTHY) >= 75


@pytest.mark.parametrize(("rounds", "most"), [(8, 15), (20, 4)])
def test_noise_that_goes_one_way_is_growth_less_often_with_more_rounds(rounds: int, most: float) -> None:
    assert rates(lambda rng: drift(rounds, 0.8, MB, rng), 200, 2).percent(Shape.LINEAR) <= most


@pytest.mark.parametrize("rounds", [8, 12, 20])
@pytest.mark.parametrize("phi", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("multiple", [1.0, 1.5, 3.0])
def test_no_leak_is_healthy_above_the_printed_mdl(rounds: int, phi: float, multiple: float) -> None:
    found, held = leaking(rounds, phi, 2 * MB, multiple, 120, 3)
    assert found.blind <= 1
    assert found.percent(Shape.LINEAR) >= (75 if multiple == 1 else 90)
    assert held >= 0.9


@pytest.mark.parametrize("rounds", [8, 12, 20])
def test_steps_hide_no_leak_and_are_none(rounds: int) -> None:
    quiet = lambda rng: noise(rounds, 0.3, 0.1 * MB, rng)  # noqa: E731
    alone = rates(lambda rng: staircase(rounds, 1, rng) + quiet(rng), 100, 4)
    assert alone.percent(*HEALTHY) >= 98
    leak = MB * np.arange(rounds)
    beside = rates(lambda rng: staircase(rounds, 1, rng) + leak + quiet(rng), 100, 5, MB)
    assert beside.percent(Shape.LINEAR) >= 90
    two = rates(lambda rng: staircase(rounds, 2, rng) + leak + quiet(rng), 100, 6, MB)
    assert two.percent(Shape.LINEAR) >= 80
    assert two.blind <= 1


@pytest.mark.parametrize("rounds", [8, 12, 20])
def test_caches_and_garbage_are_not_growth(rounds: int) -> None:
    for q in (0.3, 0.5, 0.7, 0.8, 0.9):
        cache = decay(rounds, 8 * MB, q)
        assert rates(lambda rng, c=cache: c + noise(rounds, 0.3, 0.1 * MB, rng), 60, 7).percent(Shape.LINEAR) == 0
    for period in (2.3, 3.7, 6.5):
        found = rates(lambda rng, p=period: sawtooth(rounds, 10 * MB, p, rng), 60, 8)
        assert found.percent(Shape.LINEAR) == 0


# Known weaknesses, each with the run that shows it: what is written about them in the document has to stay true.


def test_weakness_one_wrong_floor_hides_a_leak_behind_a_large_mdl() -> None:
    levels = LEVEL + MB * np.arange(8) + 10 * MB * (np.arange(8) == 3)
    found = judge(levels, YARD)
    assert not found.grows
    assert found.mdl_per_round > 5 * MB


def test_weakness_growth_that_sets_in_half_way_is_unclear() -> None:
    assert judge(LEVEL + MB * np.maximum(0, np.arange(8) - 4), YARD).shape is Shape.UNCLEAR
    assert judge(LEVEL + 0.1 * MB * np.arange(8) ** 2, YARD).shape is Shape.UNCLEAR


def test_weakness_garbage_that_is_not_collected_within_the_run_looks_like_a_leak() -> None:
    assert judge(LEVEL + 10 * MB * np.arange(8) / 16, YARD).shape is Shape.LINEAR


def test_the_document_has_every_table_and_no_wrong_name() -> None:
    titles = re.findall(r"^## (.+)$", DOCUMENT, re.MULTILINE)
    assert {"The trend test", "Healthy noise", "Leaks in multiples of the MDL", "Which endpoint"} <= set(titles)
    rows = [row.split(" | ") for row in re.findall(r"^\| \d+ B, .+$", DOCUMENT, re.MULTILINE)]
    assert len(rows) == 6
    assert {row[3] for row in rows} == {"0"}  # the column of wrong names
