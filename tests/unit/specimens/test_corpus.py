"""The corpus is what it says: enough of everything, truths that fit their scenarios, marks that are there."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import yaml
from specimens.corpus import all_specimens, chosen
from specimens.model import Group, Specimen
from specimens.run import filled

from harness.model.finding import Cause
from harness.scenario.reader import parse_scenario

SPECIMENS = all_specimens()
_NOT_PRODUCED = {
    Cause.LEAK,
    Cause.INCONCLUSIVE,
    Cause.KERNEL_FRAGMENTATION,
}  # the last: not without harm to the machine
WORDS = {
    "@PORT@": "8000",
    "@PORT2@": "8001",
    "@PORT3@": "8002",
    "@PORT4@": "8003",
    "@APPS@": "/apps",
    "@HERE@": "/here",
}


def test_every_cause_has_a_specimen() -> None:
    there = {s.truth.cause for s in SPECIMENS}
    assert {str(c) for c in Cause} - {str(c) for c in _NOT_PRODUCED} <= there


def test_a_third_is_held_out() -> None:
    groups = Counter(s.group for s in SPECIMENS)
    assert len(SPECIMENS) >= 40
    assert 0.28 <= groups[Group.HELD_OUT] / len(SPECIMENS) <= 0.45


def test_what_ci_runs_is_different_and_of_both_languages() -> None:
    quick = chosen(quick=True)
    assert {s.runtime for s in quick} == {"php", "python"}
    assert len({s.truth.cause for s in quick}) >= 5
    assert all(s.group is Group.DEVELOPMENT for s in quick)


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda s: s.name)
def test_a_specimen_fits_itself(specimen: Specimen) -> None:
    truth = specimen.truth
    named = [truth.cause, *truth.causes, *truth.also, *truth.must_also]
    assert {Cause(cause) for cause in named}
    assert truth.why
    if truth.place is not None:
        assert truth.place.lines()
    scenario: Any = filled({**specimen.scenario, "name": specimen.name}, WORDS)
    read = parse_scenario(yaml.safe_dump(scenario))
    assert "@" not in yaml.safe_dump(scenario["target"])
    endpoints = {request.name for request in read.requests}
    if endpoints:
        assert truth.endpoints.keys() <= endpoints
    assert len(specimen.digest()) == 16


def test_the_digest_follows_the_application(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    specimen = next(s for s in SPECIMENS if s.name == "py-sessions-sync")
    before = specimen.digest()
    for source in specimen.sources:
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / source).write_text("pass\n")
    monkeypatch.setattr("specimens.model.APPS", tmp_path)
    assert specimen.digest() != before
