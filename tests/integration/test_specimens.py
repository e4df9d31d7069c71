"""A few labelled applications of each language, recorded and judged as `make specimens` does with all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from specimens.corpus import chosen
from specimens.judge import judge
from specimens.model import Specimen
from specimens.run import missing, record

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.mark.parametrize("specimen", chosen(quick=True), ids=lambda s: s.name)
def test_the_verdict_is_right(specimen: Specimen, tmp_path: Path) -> None:
    assert missing(specimen) is None
    recorded = record(specimen, tmp_path / specimen.name)
    assert recorded.failure is None, (recorded.directory / "log.txt").read_text()
    judgement = judge(specimen, tmp_path)
    assert judgement.ok, f"{judgement.reasons}: {judgement.summary}"
