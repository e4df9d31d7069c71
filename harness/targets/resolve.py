"""What does ``4711``, ``8000`` or ``php-fpm: pool www`` mean to somebody who wants to watch it? Read-only: /proc is looked at."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import TargetError, UsageError
from harness.targets.attach import Attachment, listener_pid
from harness.targets.detect import (
    FPM_POOL,
    PORT_HOLDERS,
    PROC,
    Seen,
    container_behind,
    describe,
    listening_ports,
    look,
    own_ports,
    pids,
    printable,
    socket_owners,
    topmost,
)

_NEAREST = 5  # candidates named when nothing matches
_LISTED = 12  # families named when several match
_LIKENESS = 0.45  # of difflib's ratio: "gunicron" is 0.75 like "gunicorn"
_MOST_PID = 2**22  # PID_MAX_LIMIT, include/linux/threads.h
_MOST_PORT = 65535
_DIGITS = re.compile(r" *[0-9]{1,10} *")  # str.isdigit() also takes what int() does not
_VALUED = {"php": ("-S", "-t", "-d", "-z"), "python": ("-W", "-X")}  # options whose value is the next word
_INTERPRETER = re.compile(r"(?:python|pypy|php|node|nodejs|ruby|perl|java)[0-9.]*\Z")
_SHORTEST_NAME, _LONGEST_NAME = 3, 512  # as in scenario files: two letters match half of what runs


@dataclass(frozen=True, slots=True)
class Family:
    """Processes that belong together: a server's master with those of its workers that match, or a process alone.

    ``top`` is the master; it need not match itself (a php-fpm master is not called by the name of a pool).
    """

    top: Seen
    members: tuple[Seen, ...]  # ascending pids

    @property
    def top_matches(self) -> bool:
        return any(member.pid == self.top.pid for member in self.members)


@dataclass(frozen=True, slots=True)
class Resolution:
    """What to follow. ``name``: for the run's name; ``found``: a sentence for people; ``example``: one of the processes."""

    name: str
    attachments: tuple[Attachment, ...]
    found: str
    example: Seen
    port: int | None = None


def resolve(text: str, *, everything: bool = False, proc: Path = PROC, self_pid: int | None = None) -> Resolution:
    """The processes that ``text`` names: ``pid:N``, ``port:N``, a number that is one of the two, or part of a command line.

    ``everything``: where several unrelated families match, take all of them. ``self_pid`` (this process by default) and what
    is above it never match by name: ``sudo harness watch TEXT`` contains the text. Raises UsageError when the text is
    ambiguous or no target, TargetError when there is nothing of that kind.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind in ("pid", "port") and (not rest or rest.strip().isdigit()):
        number = _number(text, rest, _MOST_PID if kind == "pid" else _MOST_PORT)
        return _by_pid(number, proc) if kind == "pid" else _by_port(number, proc)
    if text.isascii() and text.isdigit():
        return _by_number(_number(text, text, _MOST_PID), proc)
    if len(text.strip()) < _SHORTEST_NAME:
        raise UsageError(f"{printable(text)!r} is too short for a name", hint=f"give at least {_SHORTEST_NAME} letters")
    if len(text) > _LONGEST_NAME:
        raise UsageError(
            f"a name has at most {_LONGEST_NAME} characters", hint="give a shorter part of the command line"
        )
    return _by_name(text, everything, proc, os.getpid() if self_pid is None else self_pid)


def _number(text: str, digits: str, most: int) -> int:
    if not _DIGITS.fullmatch(digits) or not 0 < int(digits) <= most:
        raise UsageError(f"{printable(text)} is neither a pid nor a port", hint="for example: pid:4711 or port:8000")
    return int(digits)


# --- by number ------------------------------------------------------------------------------------------------------


def _by_number(number: int, proc: Path) -> Resolution:
    is_pid = number in pids(proc)
    is_port = number in listening_ports(proc)
    if is_pid and is_port:
        seen = look(number, proc)
        who = "a process" if seen is None else f"the process {printable(seen.comm, 32)}"
        raise UsageError(
            f"{number} is {who} and also a port that something listens on",
            hint=f"say which: pid:{number} or port:{number}",
        )
    if is_port:
        return _by_port(number, proc)
    if is_pid:
        return _by_pid(number, proc)
    near = sorted(listening_ports(proc), key=lambda port: (abs(port - number), port))[:_NEAREST]
    ports = ", ".join(f"{port} ({_owner(port, proc)})" for port in near)
    raise TargetError(
        f"there is no process {number}, and nothing listens on port {number}",
        hint=f"ports that are listened on: {ports}" if ports else "is the service running? `ps -ef` lists what is",
    )


def _owner(port: int, proc: Path) -> str:
    owners = [s for pid in socket_owners(listening_ports(proc)[port], proc) if (s := look(pid, proc)) is not None]
    return describe(topmost(owners)) if owners else "a process of another user"


def _by_pid(pid: int, proc: Path) -> Resolution:
    seen = look(pid, proc) if pid in pids(proc) else None  # /proc/TID opens for every thread, but is not listed
    if seen is None:
        raise TargetError(f"there is no process {pid}", hint="is the service running? `ps -ef` lists what is")
    return Resolution(label(seen), (Attachment(label(seen), pid=pid),), f"{describe(seen)} and its children", seen)


def _by_port(port: int, proc: Path) -> Resolution:
    seen = look(listener_pid(port, proc), proc)
    if seen is None:
        raise TargetError(f"what listened on port {port} has just ended", hint="is the service restarting? try again")
    found = f"port {port}: {describe(seen)} and its children"
    if (container := container_behind(seen, proc)) is not None:
        found += f", in a container; with its limits, restarts and kills: harness watch container:{container[:12]}"
    elif seen.comm in PORT_HOLDERS:
        found += "; it only passes on to a container: harness watch container:NAME, as `docker ps` shows it"
    return Resolution(label(seen), (Attachment(label(seen), pid=seen.pid),), found, seen, port)


# --- by name --------------------------------------------------------------------------------------------------------


def _by_name(text: str, everything: bool, proc: Path, self_pid: int) -> Resolution:
    table = {pid: seen for pid in pids(proc) if (seen := look(pid, proc)) is not None}
    others = {seen.pid for seen in table.values() if _is_harness(seen)}  # a second watch of the same name
    families = families_of(text, table, _above(self_pid, table) | others)
    if not families:
        near = nearest(text, table.values())
        raise TargetError(
            f"no process matches {printable(text)!r}",
            hint=f"nearest: {', '.join(near)}" if near else "the text must be part of a command line: see `ps -ef`",
        )
    if len(families) > 1 and not everything:
        listed = "\n  ".join(_family_line(family, proc) for family in families[:_LISTED])
        more = f"\n  and {len(families) - _LISTED} more" if len(families) > _LISTED else ""
        raise UsageError(
            f"{len(families)} unrelated families of processes match {printable(text)!r}:\n  {listed}{more}",
            hint="name one of them as pid:N, give more of its command line, or watch all of them with --all",
        )
    attachments = _attachments(families, text)
    processes = sum(len(family.members) for family in families)
    pools = ", ".join(attachment.pool for attachment in attachments)
    found = f"{printable(text)}: {processes} process{'es' if processes > 1 else ''}, watched as {pools}"
    name = label(families[0].top) if len(families) == 1 else _slug(text)
    return Resolution(name if len(attachments) > 1 else attachments[0].pool, attachments, found, families[0].members[0])


def families_of(text: str, table: Mapping[int, Seen], skip: frozenset[int]) -> tuple[Family, ...]:
    """Every family of which a process has ``text`` in its command line, by ascending pid of the master. Pure."""
    matching = {pid: seen for pid, seen in table.items() if pid not in skip and text in seen.cmdline}
    by_top: dict[int, list[Seen]] = {}
    for seen in matching.values():
        by_top.setdefault(_top(seen, table, matching, skip).pid, []).append(seen)
    return tuple(
        Family(table[top], tuple(sorted(members, key=lambda s: s.pid))) for top, members in sorted(by_top.items())
    )


def _top(seen: Seen, table: Mapping[int, Seen], matching: Mapping[int, Seen], skip: frozenset[int]) -> Seen:
    """The master of a process: the highest ancestor that matches too, or of which it is an unchanged fork."""
    top = current = seen
    visited = {seen.pid}
    while (parent := table.get(current.ppid)) is not None and parent.pid not in skip and parent.pid not in visited:
        visited.add(parent.pid)
        if parent.pid in matching or (current.pid == top.pid and _same_program(parent, current)):
            top = parent
        current = parent
    return top


def _same_program(parent: Seen, child: Seen) -> bool:
    """A fork that executed nothing keeps its command line, or both wrote titles such as ``nginx: worker process`` over it."""
    return bool(parent.cmdline) and _title(parent.cmdline) == _title(child.cmdline)


def _title(cmdline: str) -> str:
    first = cmdline.partition(" ")[0]
    return first if first.endswith(":") else cmdline


def _above(pid: int, table: Mapping[int, Seen]) -> frozenset[int]:
    """A process and everything above it."""
    found: set[int] = set()
    while pid not in found and (seen := table.get(pid)) is not None:
        found.add(pid)
        pid = seen.ppid
    return frozenset(found)


def _is_harness(seen: Seen) -> bool:
    """``harness ...``, ``python -m harness ...``, ``sudo harness ...``."""
    return any(Path(word).name == "harness" for word in seen.cmdline.split()[:3])


def _attachments(families: Sequence[Family], text: str) -> tuple[Attachment, ...]:
    """How to follow them, pool names unique: a php-fpm pool or workers without their master by their text, others by pid."""
    found: list[tuple[Attachment, int]] = []
    for family in families:
        pools = {match[1] for member in family.members if (match := FPM_POOL.match(member.cmdline))}
        # the longest name first: the first rule that matches wins, and "pool www" is part of "pool www2"
        found += [
            (Attachment(pool, match=f"php-fpm: pool {pool}"), family.top.pid)
            for pool in sorted(pools, key=lambda name: (-len(name), name))
        ]
        if not pools and family.top_matches:
            found.append((Attachment(label(family.top), pid=family.top.pid), family.top.pid))
        elif not pools:
            found.append((Attachment(label(family.members[0]), match=text), family.top.pid))
    distinct = {a.match if a.pid is None else a.pid: (a, top) for a, top in found}.values()
    uses = Counter(a.pool for a, _ in distinct)
    return tuple(a if uses[a.pool] == 1 else replace(a, pool=f"{a.pool}-{top}") for a, top in distinct)


def _family_line(family: Family, proc: Path) -> str:
    """A family for people: never its arguments, which may hold secrets."""
    ports = ", ".join(str(port) for port, _ in sorted(own_ports(family.top.pid, proc)))
    where = f", listens on {ports}" if ports else ""
    count = f"{len(family.members)} process{'es' if len(family.members) > 1 else ''}"
    return f"pid:{family.top.pid}  {label(family.top)}, {count}{where}"


def nearest(text: str, table: Iterable[Seen]) -> tuple[str, ...]:
    """Names of running programs that are like the text, each with one pid; the most alike first. Pure."""
    names: dict[str, Seen] = {}
    for seen in table:
        if seen.cmdline:
            names.setdefault(label(seen).lower(), seen)
            names.setdefault(printable(seen.comm, 32).lower(), seen)
    wanted = text.lower()
    longer = sorted(name for name in names if wanted in name)
    shorter = sorted(name for name in names if len(name) >= _SHORTEST_NAME and name in wanted)
    alike = difflib.get_close_matches(wanted, names, n=_NEAREST, cutoff=_LIKENESS)
    chosen = list(dict.fromkeys(names[name].pid for name in (*longer, *alike, *shorter)))[:_NEAREST]
    by_pid = {seen.pid: seen for seen in names.values()}
    return tuple(f"{label(by_pid[pid])} (pid {pid})" for pid in chosen)


def label(seen: Seen) -> str:
    """A short name, fit for a pool and for a directory: the script or module of an interpreter, else the program."""
    words = seen.cmdline.split()
    name = seen.comm
    pool = FPM_POOL.match(seen.cmdline)
    if pool is not None:
        name = pool[1]
    elif words and words[0].endswith(":"):
        name = words[0][:-1]  # a title: "nginx: master process"
    elif words and _INTERPRETER.match(Path(words[0]).name):
        name = _script(words) or name
    return _slug(name)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:48].strip("-.") or "app"


def _script(words: Sequence[str]) -> str | None:
    """The first word after the interpreter that is no option nor the value of one; the module after ``-m``."""
    valued = _VALUED.get(Path(words[0]).name.rstrip("0123456789."), ())
    for index, word in enumerate(words[1:], 1):
        if words[index - 1] in valued:
            continue
        if word == "-m":
            return words[index + 1] if index + 1 < len(words) else None
        if word in ("-c", "-r", "-e"):
            return None  # a program text
        if not word.startswith("-"):
            return Path(word).name
    return None
