"""The JSON Schema of scenario files, for editors and other tools.

It says what every key is and accepts every scenario the reader accepts. What only shows across sections (a capture from
a request that does not exist) is the reader's alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.scenario.schema import Scenario

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FILE_NAME = "scenario.schema.json"
COMMITTED = Path(__file__).with_name(FILE_NAME)


def json_schema() -> dict[str, Any]:
    """The schema as data, draft 2020-12."""
    return {
        "$schema": DIALECT,
        **Scenario.model_json_schema(by_alias=True, mode="validation"),
        "title": "harness scenario",
    }


def json_schema_text() -> str:
    """The schema as the text of the published file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"
