"""The agent in a directory that a container has mounted, or that lies on another host: PHP reads its ini file from there."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from adapters.php.agent_files import install_agent, make_directory, place
from adapters.php.ini import render_ini
from adapters.php.state import Places
from adapters.php.xdebug import settings as xdebug
from harness.plugins import orders

FLOOR_SOURCE = Path(__file__).parent / "agent" / "floor" / "floor.php"
_ENVIRONMENT = "agent.env"
_RECORDS = re.compile(r"^HARNESS_RECORDS=(/[^\n]{1,1024})/records/php-[0-9a-f]{16}\.ndjson$", re.MULTILINE)
_CAP = 1 << 16
_IN_FUTURE_S = 10**8


def deploy(directory: Path, inside: str, token: str) -> Mapping[str, str]:
    """Write the agent into a new directory that PHP will see as ``inside``; the variables that switch it on. Raises OSError.

    Whatever PHP's account is there, it may append records and read the agent, and nothing else.
    """
    places = Places(directory)
    agent = install_agent(places, None, for_all=True, seen=PurePosixPath(inside))
    make_directory(places.ini_main, 0o755)

    def seen(path: Path) -> str:
        return str(PurePosixPath(inside) / path.relative_to(directory.resolve()))

    place(places.ini_main / "harness.ini", render_ini({"auto_prepend_file": seen(agent.prepend)}))
    put_floor_script(places)  # for good: nothing is written into a directory that a container has by then
    places.floors.touch(0o600, exist_ok=False)
    make_directory(directory / "results", 0o700)  # part of the contract; PHP's agent leaves none
    return {
        **xdebug.scan_dir_env(Path(seen(places.ini_main)), None),
        "XDEBUG_MODE": "off",
        "HARNESS_RECORDS": seen(next(iter(places.records.glob("php-*.ndjson")))),
        "HARNESS_ORDERS": seen(places.orders),
        "HARNESS_SIGNAL": str(orders.NUMBER),
        "HARNESS_TOKEN": token,
    }


def put_floor_script(places: Places) -> None:
    """What php-fpm pools are asked with. A file that seems to be of the future is never put into opcache, which is to be looked
    at and not filled. Raises OSError."""
    place(places.floor_script, FLOOR_SOURCE.read_text())
    os.utime(places.floor_script, (time.time() + _IN_FUTURE_S,) * 2)


def seen_inside(work_dir: Path) -> PurePosixPath | None:
    """How the processes with the agent see this directory, where it is one of `deploy`; None: it is the run's own."""
    try:
        with open(work_dir / _ENVIRONMENT, "rb", opener=_no_links) as file:
            found = _RECORDS.search(file.read(_CAP).decode("utf-8", "replace"))
    except OSError:
        return None
    return None if found is None else PurePosixPath(found[1])


def _no_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
