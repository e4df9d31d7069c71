"""Puts the prepend file and the directories PHP writes to into a run's work directory."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from adapters.php.state import Places
from harness.plugins import orders

_MINUTE_NS = 60 * 1_000_000_000
_SOURCES = Path(__file__).parent / "agent"


@dataclass(frozen=True, slots=True)
class Agent:
    """The installed agent: the value for ``auto_prepend_file``, and what stands in for the router of ``php -S``."""

    directory: Path

    @property
    def prepend(self) -> Path:
        return self.directory / "prepend.php"

    @property
    def router(self) -> Path:
        return self.directory / "router.php"


def install_agent(
    places: Places,
    chain: str | None,
    router: Path | None = None,
    router_name: str | None = None,
    owner: tuple[int, int] | None = None,
    *,
    asks: bool = True,
    for_all: bool = False,
    seen: PurePosixPath | None = None,
) -> Agent:
    """Copy the agent below the work directory. ``chain`` is the prepend file it takes the place of, ``router`` the router
    script of ``php -S`` and ``router_name`` how that is called on the command line. Without ``asks`` the agent takes no orders.

    Idempotent: the records file of an earlier call is kept. ``owner`` is the (uid, gid) PHP will run under: what holds the
    records' name, and the records, are then its alone. When the harness is root and does not know, the records file is
    writable (not readable) for everybody, in a directory that nobody can list, under a name nobody can guess. So it is where the
    agent is ``for_all``: the user ids of a container are not ours. ``seen``: how PHP sees the work directory; None: as we do.
    """

    def told(path: Path) -> str:
        return str(path if seen is None else seen / path.relative_to(places.work_dir.resolve()))

    make_directory(places.root, 0o711)
    agent = Agent(places.agent(chain, router_name))
    make_directory(agent.directory, 0o755)
    if not places.records.is_dir():  # it may be there already: every adapter writes records
        make_directory(places.records, 0o711)
    records = next(iter(sorted(places.records.glob("php-*.ndjson"))), None)
    if records is None:
        records = places.records / f"php-{secrets.token_hex(8)}.ndjson"
        records.touch(exist_ok=False)
        records.chmod(0o622 if for_all or (os.geteuid() == 0 and owner is None) else 0o600)
        if owner is not None and os.geteuid() == 0:
            os.chown(records, *owner)
    settings = {
        "records": told(records),
        "chain": chain,
        "script": told(agent.router),
        "router": None if router is None else str(router),
        "router_name": router_name,
        "floor": told(places.floor_script),
        "orders": told(places.orders) if asks else None,
    }
    pairs = ", ".join(f"{php_literal(name)} => {php_literal(value)}" for name, value in settings.items())
    text = f"<?php return array({pairs}, 'signal' => {orders.NUMBER});\n"
    config = place(agent.directory / "config.php", text, 0o644 if owner is None else 0o600, aged=True)
    if owner is not None and os.geteuid() == 0:
        os.chown(config, *owner)
    for source in sorted(_SOURCES.glob("*.php")):
        place(agent.directory / source.name, source.read_text(), aged=True)
    return agent


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


def place(path: Path, text: str, mode: int = 0o644, *, aged: bool = False) -> Path:
    """Write a file by rename: a PHP that is already running must never read half of it, and a secret is never wide open.

    ``aged``: as if it were a minute old. opcache does not keep files younger than its ``file_update_protection`` (2 s), and the
    first requests would compile the agent again and again.
    """
    temporary = path.with_name(f".{path.name}.new")
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.chmod(mode)
    if aged:
        then_ns = time.time_ns() - _MINUTE_NS
        os.utime(temporary, ns=(then_ns, then_ns))
    return temporary.replace(path)
