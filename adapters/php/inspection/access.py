"""Who may read and write what: files with settings, and the directories that profiles go to. Looks only.

Permission bits decide here; ACLs and further groups of an account are not looked at.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from adapters.php.inspection.files import Root
from adapters.php.inspection.model import FileMode, Output, Owner, Setup

_OTHERS = 0o007
EVERYBODY = Owner("everybody", -1, -1)  # no file is theirs


def file_modes(root: Root, paths: Iterable[str]) -> dict[str, FileMode]:
    """Of those that can be looked at; without the bits of others where a directory above lets nobody else through."""
    modes = {}
    for path in paths:
        try:
            found = root.stat(path)
            mode = found.st_mode & 0o7777
            modes[path] = FileMode(
                mode if reaches(root, path, EVERYBODY) else mode & ~_OTHERS, found.st_uid, found.st_gid
            )
        except (OSError, ValueError):
            continue
    return modes


def outputs(setup: Setup, root: Root, ids: tuple[int, int] | None) -> Iterator[Output]:
    """The directories that Xdebug would write to, of each pool. ``ids``: of a process without pools, None: ours."""
    if setup.xdebug.version is None:
        return
    name = "xdebug.output_dir" if setup.xdebug.version >= (3, 0) else "xdebug.profiler_output_dir"
    for pool in setup.pools or (None,):
        label = "" if pool is None else pool.name
        path = setup.value(name, label, "/tmp") or "/tmp"  # noqa: S108 - Xdebug's default
        account = Owner("its user", *(ids or (os.geteuid(), os.getegid()))) if pool is None else pool.account
        yield _output(root, path, label, account)


def _output(root: Root, path: str, pool: str, account: Owner | None) -> Output:
    if not path.startswith("/"):
        return Output(path, pool, account, error="it is no absolute path")
    try:
        real = root.real(path)
        found = Path(real).stat()
        free = shutil.disk_usage(real).free
        writable = None if account is None else may_write(found, account) and reaches(root, path, account)
        mode = found.st_mode & 0o7777
        mode = mode if reaches(root, path, EVERYBODY) else mode & ~_OTHERS
    except FileNotFoundError:
        return Output(path, pool, account, exists=False)
    except (OSError, ValueError) as error:
        return Output(path, pool, account, error=getattr(error, "strerror", None) or str(error))
    if not Path(real).is_dir():
        return Output(path, pool, account, error="it is not a directory")
    host = None
    if root.prefix:
        try:
            host = None if os.path.samestat(found, Path(path).stat()) else real
        except OSError:
            host = real
    return Output(path, pool, account, True, writable, mode, free, host)


def may_write(found: os.stat_result, account: Owner) -> bool:
    """Whether an account may make files in a directory. Pure."""
    return account.uid == 0 or _bits(found, account) & 0o3 == 0o3


def reaches(root: Root, path: str, account: Owner) -> bool:
    """Whether all directories above let an account through. Raises OSError."""
    real = root.real(path).removeprefix(root.prefix)
    above = (Path(f"{root.prefix}{directory}").stat() for directory in Path(real).parents)
    return account.uid == 0 or all(_bits(found, account) & 0o1 for found in above)


def _bits(found: os.stat_result, account: Owner) -> int:
    if found.st_uid == account.uid:
        return found.st_mode >> 6
    if found.st_gid == account.gid:
        return found.st_mode >> 3
    return found.st_mode
