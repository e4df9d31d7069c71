"""Puts the prepend file and the directories PHP writes to into a run's work directory."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from adapters.php.state import Places

_PREPEND = Path(__file__).parent / "agent" / "prepend.php"


def install_agent(places: Places, chain: str | None) -> Path:
    """Copy the agent; returns the file for ``auto_prepend_file``. ``chain`` is the prepend file it takes the place of.

    Idempotent: the records file of an earlier call is kept. When the harness is root, PHP may run
    under a uid nobody told us, so the records file is writable (not readable) for everybody, in a directory that nobody
    can list, under a name nobody can guess.
    """
    make_directory(places.root, 0o711)
    agent = places.agent(chain)
    make_directory(agent, 0o755)
    if not places.records.is_dir():  # it may be there already: every adapter writes records
        make_directory(places.records, 0o711)
    records = next(iter(sorted(places.records.glob("php-*.ndjson"))), None)
    if records is None:
        records = places.records / f"php-{secrets.token_hex(8)}.ndjson"
        records.touch(exist_ok=False)
        records.chmod(0o622 if os.geteuid() == 0 else 0o600)
    prepend = agent / "prepend.php"
    place(prepend, _PREPEND.read_text())
    place(
        agent / "config.php",
        f"<?php return array('records' => {php_literal(str(records))}, 'chain' => {php_literal(chain)});\n",
    )
    return prepend


def make_directory(path: Path, mode: int, owner: tuple[int, int] | None = None) -> None:
    """A directory with exactly this mode (mkdir's is cut by the umask); ``owner`` is (uid, gid), set by root only."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    if owner is not None and os.geteuid() == 0:
        os.chown(path, *owner)


def php_literal(text: str | None) -> str:
    """A PHP string literal in which nothing is interpreted; ``null`` for None."""
    if text is None:
        return "null"
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def place(path: Path, text: str, mode: int = 0o644) -> Path:
    """Write a file by rename: a PHP that is already running must never read half of it, and a secret is never wide open."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.chmod(mode)
    return temporary.replace(path)
