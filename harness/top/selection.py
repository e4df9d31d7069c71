"""Which processes are asked for, and what to tell people about those that may not be looked into."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable

from harness.errors import UsageError
from harness.sampling.discovery import ancestors
from harness.top.model import Process

Wanted = Callable[[Process], bool]
_OWN_OPTION = "--match"


def wanted(text: str | None, uid: int | None, mount: str = "/proc") -> Wanted | None:
    """A test of one process; None when everything is asked for.

    Text is looked for in what is shown (command line, name), in any case. This process, and what started it with the same
    command line (sudo, a shell), contain the text only because it was typed there, and do not count.
    """
    if text is None and uid is None:
        return None
    ourselves = frozenset() if text is None else ancestors(mount, os.getpid())
    sought = "" if text is None else text.casefold()

    def test(process: Process) -> bool:
        if uid is not None and process.uid != uid:
            return False
        if sought not in process.command.casefold() and sought not in process.name.casefold():
            return False
        return process.who.pid not in ourselves or (
            process.who.pid != os.getpid() and _OWN_OPTION not in process.command
        )

    return test


def in_words(text: str | None, user: str | None) -> str:
    """The selection as the end of a sentence: ``that match 'x', of user y``."""
    parts = []
    if text is not None:
        parts.append(f"matching {text!r}")
    if user is not None:
        parts.append(f"of user {user!r}")
    return " ".join(parts)


def uid_of(user: str) -> int:
    """The number of a user given by name or number. Raises UsageError."""
    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):
        if user.isascii() and user.isdigit() and len(user) <= 10:
            return int(user)
    raise UsageError(f"there is no user {user!r} here", hint="users that run something: harness top --by user --over 0")


def user_names() -> Callable[[int], str]:
    """Names of users by number, each looked up once: a directory service may be slow. The number where there is no name."""
    names: dict[int, str] = {}

    def name(uid: int) -> str:
        if uid not in names:
            try:
                names[uid] = pwd.getpwuid(uid).pw_name
            except (KeyError, OverflowError):
                names[uid] = str(uid)
        return names[uid]

    return name


def permission_hint(euid: int) -> str:
    """What would make the rest readable."""
    if euid == 0:
        return "not even by this root (a container without CAP_SYS_PTRACE, or a security module)"
    return "run it with sudo, or as the user that owns them"
