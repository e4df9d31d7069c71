"""The JSON Schema against the reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from harness.scenario.published import COMMITTED, DIALECT, FILE_NAME, json_schema, json_schema_text
from harness.scenario.reader import read_scenario

ROOT = Path(__file__).parents[3]
FILES = sorted(Path(__file__).with_name("files").glob("*.yaml"))
SHIPPED = sorted((ROOT / "scenarios").glob("*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def test_the_committed_copy_is_current() -> None:
    assert COMMITTED.read_text() == json_schema_text(), "run: harness schema > harness/scenario/scenario.schema.json"


def test_it_is_a_valid_schema_of_its_dialect() -> None:
    schema = json.loads(json_schema_text())
    assert schema["$schema"] == DIALECT
    jsonschema.Draft202012Validator.check_schema(schema)


def _properties(schema: Any) -> list[tuple[str, Any]]:
    return [
        (f"{model}.{key}", field)
        for model, d in schema["$defs"].items()
        for key, field in d.get("properties", {}).items()
    ]


def test_every_key_says_what_it_is() -> None:
    schema = json_schema()
    fields = [*_properties(schema), *schema["properties"].items()]
    assert len(fields) > 80
    assert [name for name, field in fields if not field.get("description")] == []


@pytest.mark.parametrize("path", [*FILES, *SHIPPED], ids=lambda p: p.name)
def test_it_accepts_what_the_reader_accepts(path: Path) -> None:
    scenario = read_scenario(path)
    VALIDATOR.validate(yaml.safe_load(path.read_text()))
    VALIDATOR.validate(scenario.to_data())


@pytest.mark.parametrize(
    "section",
    [
        {"targt": 1}, {"name": "a b"}, {"target": {"lunch": "x"}}, {"target": {"attach": {"port": 1, "pid": 2}}},
        {"target": {"attach": {}}}, {"target": {"launch": ""}}, {"requests": [{"name": "x"}]},
        {"requests": [{"name": "x", "get": "/", "post": "/"}]}, {"requests": [{"name": "x", "get": "/", "weight": "5"}]},
        {"load": {"rounds": 5}}, {"load": []}, {"load": {"observe": 10}}, {"load": {"observe": "1m", "rounds": 8}},
        {"load": [{"rate": "5", "for": "1m"}]}, {"sample": {"interval": "1 week"}}, {"guard": {"mem_available": "x%"}},
        {"expect": ["all is well"]}, {"expect": "verdict is healthy"}, {"profile": 5},
    ],
)  # fmt: skip
def test_it_refuses_what_is_wrong_in_one_place(section: dict[str, Any]) -> None:
    good = {"name": "x", "target": {"launch": "a", "ready": "http://h/"}, "requests": [{"name": "a", "get": "/"}]}
    VALIDATOR.validate(good)
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate({**good, **section})


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_shipped_scenarios_name_the_schema_in_their_first_line(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    prefix = "# yaml-language-server: $schema="
    assert first.startswith(prefix)
    assert (path.parent / first.removeprefix(prefix)).resolve() == COMMITTED.resolve()
    assert COMMITTED.name == FILE_NAME
