"""What all ways to serve a document root have in common: the account, the application's own prepend file, settings by file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from adapters.php.accounts import Account, pool_account
from adapters.php.agent_files import Agent, make_directory, place
from adapters.php.ini import render_ini
from adapters.php.options import Serve
from adapters.php.state import Places
from adapters.php.xdebug import settings as xdebug

XDEBUG_WORKERS = 2  # one is enough for us, the second for applications that call themselves
_SOCKET_PATH_LIMIT = 100  # sun_path holds 107 bytes
_PLAIN_PATH = re.compile(r"[\w/. -]*\Z")
_PREPEND_LINE = re.compile(
    r"""^[ \t]*auto_prepend_file[ \t]*=[ \t]*(?:"([^"\r\n]*)"|'([^'\r\n]*)'|([^;\r\n]*))""", re.MULTILINE
)  # as PHP reads it: a comment may follow
_USER_INI_LIMIT = 65536


def serve_account(places: Places, serve: Serve) -> Account:
    """Who runs the workers: see `pool_account`."""
    needed = [serve.docroot, places.root]
    if serve.front_controller is not None and (serve.docroot / serve.front_controller).is_file():
        needed.append(serve.docroot / serve.front_controller)
    return pool_account(needed)


def existing_prepend(serve: Serve, directives: Mapping[str, str]) -> str | None:
    """The auto_prepend_file the application has without us: from .user.ini, the scenario's ini, or php.ini."""
    from_user_ini = _of_user_ini(serve.docroot / ".user.ini")
    if from_user_ini is not None:
        chain: str | None = from_user_ini
    else:
        chain = serve.ini.get("auto_prepend_file") or directives.get("auto_prepend_file")
    return chain if chain and chain != "none" else None


def _of_user_ini(path: Path) -> str | None:
    """What it sets, "" for no file; None where it says nothing of it."""
    if not path.is_file():
        return None
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            found = list(_PREPEND_LINE.finditer(file.read(_USER_INI_LIMIT)))
    except OSError:
        return None
    return "".join(part or "" for part in found[-1].groups()).strip() if found else None


def admin_values(places: Places, serve: Serve, directives: Mapping[str, str], agent: Agent) -> dict[str, str]:
    """Settings that bring the agent in. As an administrator's they also win over a .user.ini, which a security plugin may use for
    a prepend file of its own."""
    return {
        "auto_prepend_file": str(agent.prepend),
        **widened(serve.ini.get("open_basedir") or directives.get("open_basedir"), agent.directory, places.records),
    }


def widened(basedir: str | None, *directories: Path) -> dict[str, str]:
    """open_basedir with these directories added; nothing where PHP is not confined."""
    return {"open_basedir": ":".join((basedir, *(f"{directory}/" for directory in directories)))} if basedir else {}


def ini_files(directory: Path, settings: Mapping[str, str]) -> Mapping[str, str]:
    """Put the settings into a scan directory of ours, which is read after PHP's own; returns the environment for it."""
    private_ini(directory, settings)
    return xdebug.scan_dir_env(directory, os.environ.get("PHP_INI_SCAN_DIR"))


def private_ini(directory: Path, settings: Mapping[str, str]) -> None:
    """A scan directory that may hold a secret; masters read it before they change their user."""
    make_directory(directory, 0o700)
    place(directory / "harness.ini", render_ini(settings), 0o600)


def socket_path(places: Places, name: str) -> Path:
    """A socket path that fits the kernel's limit however deep the run directory is, and in which web servers see neither address
    nor query: all programs run in ``places.root``."""
    path = places.root / name
    usable = len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT and _PLAIN_PATH.match(str(path))
    return path if usable else Path("/proc/self/cwd") / name
