"""Where the adapter keeps things in a run's work directory, and what prepare() tells trigger() and collect().

The adapter itself has no memory: another process (``harness report`` on a killed run) must be able to go on from the files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

RECORDS_PATTERN = "records/php-*.ndjson"
FLOORS_PATTERN = "records/fpm-floors.ndjson"  # written by us, not by what is measured
_STATE = "state.json"


@dataclass(frozen=True, slots=True)
class Places:
    """Directories and files below ``work_dir``, all absolute."""

    work_dir: Path

    @property
    def root(self) -> Path:
        return self.work_dir.resolve() / "php"

    def agent(self, chain: str | None, router: str | None) -> Path:
        """The agent that goes on with these files of the application's; programs with different ones get different copies."""
        if chain is None and router is None:
            return self.root / "agent"
        return self.root / f"agent-{sha256(repr((chain, router)).encode()).hexdigest()[:12]}"

    @property
    def outputs(self) -> Path:
        """The directories of Xdebug's tools are below; nobody but the harness writes here."""
        return self.root / "profiles"

    def output(self, tool: str) -> Path:
        """Where this tool of Xdebug writes. Everything in it is hostile."""
        return self.outputs / tool

    def log(self, tool: str) -> Path:
        """The access log of the php-fpm master with this tool."""
        return self.root / f"access-{tool}.log"

    @property
    def ini_main(self) -> Path:
        return self.root / "ini-main"

    def ini(self, tool: str) -> Path:
        """Scan directory of what runs under this tool; holds its secret."""
        return self.root / f"ini-{tool}"

    @property
    def records(self) -> Path:
        return self.work_dir.resolve() / "records"

    @property
    def floor_script(self) -> Path:
        """Where `fpm_floor`'s script lies while a pool is asked."""
        return self.root / "floor.php"

    @property
    def orders(self) -> Path:
        """What long-lived scripts are asked; see `orders`."""
        return self.root / "order"

    @property
    def floors(self) -> Path:
        """The answers of php-fpm pools, as records."""
        return self.work_dir.resolve() / FLOORS_PATTERN


@dataclass(frozen=True, slots=True)
class State:
    """``tools``: what a secret cookie triggers. ``companions``: tool -> address of the server that has it, where that is not the
    main one. ``load_xdebug``: a script's PHP needs Xdebug loaded by us (None: not looked at). ``xdebug``: its version."""

    tools: tuple[str, ...] = ()
    companions: Mapping[str, str] = field(default_factory=dict)
    load_xdebug: bool | None = None
    xdebug: str | None = None


def write_state(places: Places, state: State) -> None:
    """Remember how triggering works in this run."""
    (places.root / _STATE).write_text(json.dumps(asdict(state)))


def read_state(places: Places) -> State | None:
    """None when nothing was prepared: the target was attached to."""
    try:
        data = json.loads((places.root / _STATE).read_text())
        return State(tuple(data["tools"]), dict(data["companions"]), data["load_xdebug"], data["xdebug"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
