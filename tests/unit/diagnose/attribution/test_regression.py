from __future__ import annotations

import math

import numpy as np
import pytest

from harness.diagnose.attribution.regression import Sample, error_coefficient, fit

TRUTH = np.array([0.0, 900.0, 0.0, 100.0])


def sample(rng: np.random.Generator, phi: float, sigma: float = 10_000.0, workers: int = 4, blocks: int = 40) -> Sample:
    """Levels of workers with AR(1) errors, as increments."""
    design, growth, life, moment = [], [], [], []
    for worker in range(workers):
        counts = rng.poisson(rng.choice([1.0, 10.0, 30.0], size=(blocks, TRUTH.size)))
        error = np.empty(blocks + 1)
        error[0] = rng.standard_normal()
        for t in range(1, blocks + 1):
            error[t] = phi * error[t - 1] + (math.sqrt(1 - phi * phi) if phi < 1 else 1.0) * rng.standard_normal()
        design.append(counts)
        growth.append(counts @ TRUTH + np.diff(error) * sigma)
        life.append(np.full(blocks, worker))
        moment.append(np.arange(blocks))
    return Sample(
        np.vstack(design).astype(np.float64), np.concatenate(growth), np.concatenate(life), np.concatenate(moment)
    )


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, 1.0])
def test_intervals_cover_whatever_the_errors_are_like(phi: float) -> None:
    rng = np.random.default_rng(7)
    covered = []
    for _ in range(60):
        found = fit(sample(rng, phi))
        covered += (np.abs(found.value - TRUTH) <= found.reach() * found.error).tolist()
    assert 0.9 <= np.mean(covered) <= 1.0


def test_fresh_errors_are_summed_up_and_errors_that_stay_are_not() -> None:
    rng = np.random.default_rng(1)
    assert np.median([error_coefficient(sample(rng, 0.0)) for _ in range(20)]) < 0.5
    assert np.median([error_coefficient(sample(rng, 1.0)) for _ in range(20)]) == 1.0
    found = sample(rng, 0.0)
    assert fit(found).error[1] < 0.7 * fit(found, 1.0).error[1]


def test_nothing_is_beyond_chance_in_noise_and_a_large_leak_is() -> None:
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(100):
        drawn = sample(rng, 0.5)
        noise = Sample(drawn.design, drawn.growth - drawn.design @ TRUTH, drawn.life, drawn.moment)
        alarms += bool(fit(noise).beyond_chance(range(4), 0.01))
    assert alarms <= 4
    assert fit(sample(rng, 0.5)).beyond_chance(range(4), 0.01)[0] == 1


def test_columns_that_go_together_have_no_error() -> None:
    drawn = sample(np.random.default_rng(2), 0.5)
    twice = np.column_stack([drawn.design, drawn.design[:, 1]])
    found = fit(drawn.columns(twice))
    assert np.isinf(found.error[[1, 4]]).all()
    assert np.isfinite(found.error[[0, 2, 3]]).all()
    assert found.beyond_chance(range(5), 0.05) == []


def test_a_few_rows_do_not_crash() -> None:
    drawn = Sample(np.eye(2), np.array([1.0, 2.0]), np.array([0, 0]), np.array([0, 1]))
    assert fit(drawn).value == pytest.approx([1.0, 2.0])


def test_as_many_columns_as_rows_tell_nothing() -> None:
    """They always fit, whatever the growth is."""
    rng = np.random.default_rng(3)
    few = sample(rng, 0.0, workers=1, blocks=4)
    found = fit(few, 1.0)
    assert np.isinf(found.error).all()
    assert found.beyond_chance(range(TRUTH.size), 0.5) == []
    assert np.isfinite(fit(sample(rng, 0.0, workers=1, blocks=8), 1.0).error).all()
