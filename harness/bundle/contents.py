"""``harness-bundle/1``: what a bundle holds and what was taken out of it, as kept in its manifest. Never the secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.bundle.container import read_manifest
from harness.errors import RunError
from harness.units import format_bytes

FORMAT = "harness-bundle/1"


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the bundle: its size unpacked in bytes, and what is in it."""

    size_bytes: int
    sha256: str
    what: str


@dataclass(frozen=True, slots=True)
class Contents:
    """``replaced``: by kind of text, how many times one was replaced; ``left_out``: by kind, how many things are not in it
    at all, and ``reasons``: why. ``kept``: what is in it because whoever packed it asked for it."""

    format: str
    tool_version: str
    run: str
    members: Mapping[str, Member]
    replaced: Mapping[str, int]
    left_out: Mapping[str, int]
    reasons: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()


def to_json(contents: Contents) -> bytes:
    """As kept in the bundle."""
    return json.dumps(asdict(contents), indent=1, sort_keys=True, ensure_ascii=True).encode() + b"\n"


def contents_of(path: Path) -> Contents:
    """What a bundle says it holds. Raises RunError when it is none, or of another version."""
    try:
        found = TypeAdapter(Contents).validate_json(read_manifest(path))
    except (ValidationError, RecursionError) as error:
        raise RunError(f"{path}: not a bundle: its manifest cannot be understood") from error
    if found.format != FORMAT:
        raise RunError(f"{path}: its format is not {FORMAT}", hint="use the version that made it")
    return found


def lines(contents: Contents) -> Iterator[str]:
    """For people: members, then what was replaced, then what was left out."""
    yield f"bundle of the run {contents.run}, made by harness {contents.tool_version}"
    yield ""
    yield "holds"
    names = list(contents.members)
    for name in names[:_SHOWN]:
        member = contents.members[name]
        yield f"  {name:<28} {format_bytes(member.size_bytes):>11}  {member.what}"
    if len(names) > _SHOWN:
        yield f"  and {len(names) - _SHOWN} more"
    yield from (f"  with {what}, as asked for" for what in contents.kept)
    yield ""
    yield "replaced by pseudonyms or masked"
    yield from (f"  {count:>9}  {kind}" for kind, count in contents.replaced.items() if count)
    yield ""
    yield "left out"
    for kind, count in contents.left_out.items():
        reason = contents.reasons.get(kind)
        yield f"  {count:>9}  {kind}" + (f": {reason}" if reason else "")


_SHOWN = 40
