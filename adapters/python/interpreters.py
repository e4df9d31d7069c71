"""Which Pythons a run's launch plans start, kept with the run for when a result must be read by one of them.

The file is in a directory that only the harness writes to: what is run later is what the plans named, not what a target said.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from adapters.python.interpreter import Interpreter
from harness.errors import HarnessError

_NAME = "interpreters.json"


def remember(work_dir: Path, interpreter: Interpreter | None) -> None:
    """Add an interpreter to those of the run; HarnessError when that cannot be written."""
    if interpreter is None or not interpreter.program:
        return
    entry = (interpreter.cache_tag, interpreter.program)
    path = work_dir / "python" / _NAME
    entries = _read(path)
    if entry not in entries:
        fresh = path.with_name(f".{_NAME}.new")
        try:
            fresh.write_text(json.dumps([*entries, entry]), "utf-8")
            fresh.replace(path)
        except OSError as error:
            raise HarnessError(f"cannot write {path}: {error.strerror}", hint="is the disk full?") from error


def programs(work_dir: Path, cache_tag: str) -> Sequence[tuple[str, ...]]:
    """How to start the run's interpreters with this cache tag."""
    return [program for tag, program in _read(work_dir / "python" / _NAME) if tag == cache_tag]


def _read(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    try:
        return [(tag, tuple(program)) for tag, program in json.loads(path.read_text("utf-8"))]
    except FileNotFoundError:
        return []
