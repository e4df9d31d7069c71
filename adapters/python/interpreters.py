"""Which Pythons a run's launch plans start, and which tools they were lent, kept with the run for when that matters again.

The files are in a directory that only the harness writes to: what is run later is what the plans named, not what a target said.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from adapters.python.interpreter import Interpreter
from harness.errors import HarnessError

_NAME = "interpreters.json"
_LENT = "lent.json"


def remember(work_dir: Path, interpreter: Interpreter | None) -> None:
    """Add an interpreter to those of the run; HarnessError when that cannot be written."""
    if interpreter is None or not interpreter.program:
        return
    entry = (interpreter.cache_tag, interpreter.program)
    path = work_dir / "python" / _NAME
    entries = _read(path)
    if entry not in entries:
        _write(path, [*entries, entry])


def remember_lent(work_dir: Path, names: Sequence[str]) -> None:
    """Add tools whose packages the run's processes can import; HarnessError when that cannot be written."""
    path = work_dir / "python" / _LENT
    known = lent(work_dir)
    if not known.issuperset(names):
        _write(path, sorted(known.union(names)))


def lent(work_dir: Path) -> frozenset[str]:
    """The tools whose packages were lent to some process of this run."""
    try:
        return frozenset(map(str, json.loads((work_dir / "python" / _LENT).read_text("utf-8"))))
    except FileNotFoundError:
        return frozenset()


def programs(work_dir: Path, cache_tag: str) -> Sequence[tuple[str, ...]]:
    """How to start the run's interpreters with this cache tag."""
    return [program for tag, program in _read(work_dir / "python" / _NAME) if tag == cache_tag]


def _write(path: Path, entries: Sequence[object]) -> None:
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_text(json.dumps(entries), "utf-8")
        fresh.replace(path)
    except OSError as error:
        raise HarnessError(f"cannot write {path}: {error.strerror}", hint="is the disk full?") from error


def _read(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    try:
        return [(tag, tuple(program)) for tag, program in json.loads(path.read_text("utf-8"))]
    except FileNotFoundError:
        return []
