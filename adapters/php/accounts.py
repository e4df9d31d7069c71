"""Which account runs the pool: never root, unless nothing else can read the application."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_UNPRIVILEGED = ("www-data", "nginx", "apache", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """A user with its primary group. ``switch``: the master is root and has to change to it."""

    user: str
    group: str
    uid: int
    gid: int
    switch: bool


def current_account() -> Account:
    """Whoever runs the harness; ids without a name in the user database stay numbers."""
    uid, gid = os.geteuid(), os.getegid()
    return Account(_user_name(uid), _group_name(gid), uid, gid, switch=False)


def account_of(uid: int, gid: int) -> Account:
    """The account of a running pool, which a master of root's has changed to."""
    return Account(_user_name(uid), _group_name(gid), uid, gid, switch=True)


def pool_account(readable: Iterable[Path]) -> Account:
    """Who runs the workers. An ordinary user can only be itself; root picks the first unprivileged account that can reach
    all of ``readable``, and remains root when none can (an application below /root, say)."""
    if os.geteuid() != 0:
        return current_account()
    paths = [nearest_existing(p) for p in readable]
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        account = Account(name, _group_name(entry.pw_gid), entry.pw_uid, entry.pw_gid, switch=True)
        if all(can_read(account, path) for path in paths):
            return account
    root = current_account()
    return Account(root.user, root.group, root.uid, root.gid, switch=True)


def can_read(account: Account, path: Path) -> bool:
    """Whether the account may read a file, or pass through a directory; the kernel is asked, so ACLs count. Root only."""
    test = "-x" if path.is_dir() else "-r"
    done = subprocess.run(
        ["/bin/sh", "-c", 'test "$1" "$2"', "sh", test, str(path)],
        cwd="/", user=account.uid, group=account.gid, extra_groups=[], check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode == 0


def nearest_existing(path: Path) -> Path:
    """The path, or the closest of its parents that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
