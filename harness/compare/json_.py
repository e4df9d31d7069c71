"""A comparison for scripts: ``harness-compare/1``, schema in ``compare.schema.json``. Fields may be added, not changed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from importlib.resources import files

from harness.compare.model import Comparison, Curve, Drift, RunName

FORMAT = "harness-compare/1"
_NS = 1_000_000_000


def export(found: Comparison | Drift) -> bytes:
    """UTF-8, with a newline at the end. Sizes and latencies are in the ``unit`` of their row; unknown is null."""
    kind = "drift" if isinstance(found, Drift) else "compare"
    document = {"format": FORMAT, "kind": kind, **_object(found)}
    return (json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode("utf-8", "replace")


def schema_text() -> str:
    """The JSON Schema, draft 2020-12."""
    return files("harness.compare").joinpath("compare.schema.json").read_text(encoding="utf-8")


def _object(value: object) -> dict[str, object]:
    """A dataclass with its fields in order; what is only for pages is left out."""
    assert hasattr(value, "__dataclass_fields__")
    named = {field.name: getattr(value, field.name) for field in fields(value)}  # type: ignore[arg-type]
    named.pop("curves", None)
    if isinstance(value, RunName):
        named["started_unix_s"] = named.pop("started_wall_ns") / _NS
        del named["stretch"]  # a word of sentences
    return {name: _plain(each) for name, each in named.items()}


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value if not isinstance(each, Curve)]
    return _object(value) if hasattr(value, "__dataclass_fields__") else value
