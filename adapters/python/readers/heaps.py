"""What the tools that look at the heap have in common: objects by type, and the paths of references to some of them."""

from __future__ import annotations

from adapters.python.readers import fields
from harness.model.profile import Holder, HolderChain, ObjectGroup, ValueType

TYPES_CAP = 2_000
CHAINS_CAP = 500
PATH_CAP = 64
LABEL_CAP = 512

OBJECTS = ValueType("objects", "count", "objects")
BYTES = ValueType("inuse_space", "bytes", "bytes")
OBJECTS_GROWTH = ValueType("objects_growth", "count", "more objects than before")
BYTES_GROWTH = ValueType("inuse_growth", "bytes", "more bytes than before")


def groups(result: fields.Fields, key: str, kind: str, columns: tuple[str, ...]) -> tuple[ObjectGroup, ...]:
    """Rows of a list as groups; ``kind`` names the field with the type, ``columns`` those with the values in their order.
    ValueError where a field is not what it should be; values may be negative."""
    return tuple(
        ObjectGroup(fields.text(row, kind, LABEL_CAP), tuple(_number(row, column) for column in columns))
        for row in fields.rows(result, key, TYPES_CAP)
    )


def chains(result: fields.Fields, key: str = "chains") -> tuple[HolderChain, ...]:
    """The list ``key``: ``{"type", "objects", "path": [[label, via], ...]}`` each."""
    return tuple(
        HolderChain(fields.text(row, "type", LABEL_CAP), fields.count(row, "objects"), _path(row))
        for row in fields.rows(result, key, CHAINS_CAP)
    )


def _path(row: fields.Fields) -> tuple[Holder, ...]:
    steps = row.get("path")
    if not isinstance(steps, list) or not steps or len(steps) > PATH_CAP:
        raise ValueError("path is not a list of some steps")
    return tuple(_step(step) for step in steps)


def _step(step: object) -> Holder:
    if not isinstance(step, list) or len(step) != 2:
        raise ValueError("a step of a path is not a pair")
    named = {"label": step[0], "via": step[1]}
    return Holder(fields.text(named, "label", LABEL_CAP), fields.text(named, "via", LABEL_CAP))


def _number(row: fields.Fields, key: str) -> int:
    value = fields.signed_or_none(row, key)
    if value is None:
        raise ValueError(f"{key} is not an integer")
    return value


def totals(result: fields.Fields, *keys: str) -> dict[str, int | None]:
    """The tool's own totals, what changed around the request, and how long forks held the process up."""
    own: dict[str, int | None] = {key: _number(result, key) for key in keys}
    return own | fields.deltas(result) | {"snapshot_fork_ns": fields.values(result).get("snapshot_fork_ns")}


def search_note(result: fields.Fields) -> list[str]:
    """Whether the search for holders was cut short."""
    if result.get("search_complete") is True:
        return []
    return [
        "The search for what holds them was stopped when its time was over: paths may be missing, or not the shortest."
    ]
