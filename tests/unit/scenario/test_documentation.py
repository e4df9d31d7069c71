"""docs/scenario.md against the code: its examples are valid and no key is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from harness.model.finding import Cause
from harness.scenario.expect import METRICS
from harness.scenario.published import json_schema
from harness.scenario.reader import parse_scenario, warnings_of

TEXT = (Path(__file__).parents[3] / "docs" / "scenario.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
BASE = {
    "name": "x",
    "target": {"launch": "a", "url": "http://127.0.0.1/"},
    "requests": [{"name": "home", "get": "/"}],
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_valid(example: str) -> None:
    data = yaml.safe_load(example)
    text = example if "name" in data else yaml.safe_dump({**BASE, **data})
    assert warnings_of(parse_scenario(text)) == ()


def test_every_key_is_documented() -> None:
    schema = json_schema()
    keys = {key for d in (schema, *schema["$defs"].values()) for key in d.get("properties", {})}
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    code = set(re.findall(r"[A-Za-z_0-9]+", " ".join(re.findall(r"`([^`]+)`", prose))))
    assert sorted(keys - code) == []
    assert sorted(set(METRICS) - code) == []


def test_the_smallest_scenario_has_five_lines() -> None:
    assert len(EXAMPLES[0].splitlines()) == 5


def test_causes_in_examples_exist() -> None:
    named = re.findall(r"\bleak\.[a-z]+", TEXT)
    assert named
    assert set(named) <= {cause.value for cause in Cause}
