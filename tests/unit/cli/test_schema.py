"""``harness schema``."""

from __future__ import annotations

import json

import jsonschema
import pytest
from click.testing import CliRunner

from harness.cli.schema import command
from harness.scenario.published import COMMITTED


@pytest.mark.parametrize("what", ["scenario", "report", "compare", "fleet"])
def test_it_prints_a_valid_schema(what: str) -> None:
    result = CliRunner().invoke(command, [what], catch_exceptions=False)
    assert result.exit_code == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(result.stdout))


def test_the_scenario_schema_is_the_default_and_the_committed_one() -> None:
    result = CliRunner().invoke(command, [], catch_exceptions=False)
    assert result.stdout == COMMITTED.read_text()
