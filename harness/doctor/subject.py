"""Whom a check-up looks at: the processes of a running target (a few that stand for all), or programs of ours. Reads only."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.doctor import probes
from harness.doctor.fpm import pool_of
from harness.doctor.model import Kind, Looked, Subject
from harness.doctor.signals import OTHERS, OWN
from harness.plugins.spec import LaunchPlan
from harness.sampling.discovery import ancestors
from harness.sampling.sources import pid_status
from harness.targets.attach import Attachment
from harness.targets.detect import PROC, Recognise, Seen, fpm_pools, interpreter, look, pids, printable

_MOST = 6  # processes looked at: attaching to each takes some ten ms


def running_target(attachments: Sequence[Attachment], text: str, again: str) -> Subject | None:
    """Processes that run; None when there is none of them (any more)."""
    table = {pid: seen for pid in pids() if (seen := look(pid)) is not None}
    members = family(attachments, table, ancestors(str(PROC), os.getpid()))
    if not members:
        return None
    owners = {seen.pid: _owner(seen.pid) for seen in members}
    chosen = representatives(members, owners)
    pool = attachments[0].pool
    looked = tuple(Looked(seen.pid, pool, owners[seen.pid], pool_of(seen)) for seen in chosen)
    return Subject(Kind.TARGET, text, again, looked, len(members))


def family(attachments: Sequence[Attachment], table: Mapping[int, Seen], ours: frozenset[int]) -> tuple[Seen, ...]:
    """What the sampler would follow: the processes named and everything below them, by ascending pid. Pure.

    ``ours``: this process and those above it, which match no text because it was typed there.
    """
    roots = {a.pid for a in attachments if a.pid in table}
    texts = [a.match for a in attachments if a.match is not None]
    roots |= {pid for pid, seen in table.items() if pid not in ours and any(text in seen.cmdline for text in texts)}
    children: dict[int, list[int]] = {}
    for seen in table.values():
        children.setdefault(seen.ppid, []).append(seen.pid)
    found: set[int] = set()
    todo = [pid for pid in roots if pid is not None]
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, [])
    return tuple(table[pid] for pid in sorted(found))


def representatives(members: Sequence[Seen], owners: Mapping[int, int | None]) -> tuple[Seen, ...]:
    """At most `_MOST`: one of each program and owner first, then the lowest pids. Pure."""
    kinds: dict[tuple[str, int | None], Seen] = {}
    for seen in members:
        kinds.setdefault((seen.comm, owners[seen.pid]), seen)
    first = list(kinds.values())
    ordered = first + [seen for seen in members if seen not in first]
    return tuple(sorted(ordered[:_MOST], key=lambda seen: seen.pid))


@contextmanager
def launched(plans: Sequence[LaunchPlan], runtime: str, recognise: Recognise, again: str) -> Iterator[Subject]:
    """The interpreters that the scenario would start, each doing nothing; where none is known the command line's PHP for
    that ``runtime``, else our own Python."""
    programs: dict[str, probes.Program] = {}
    for plan in plans:
        program = interpreter_of(plan, recognise) if plan.measured else None
        if program is not None:
            programs.setdefault(program.argv[0], program)
    known = bool(programs)
    php = shutil.which("php") if runtime == "php" else None
    wanted = list(programs.values()) or [probes.python(OWN) if php is None else probes.php(OWN, php)]
    with probes.running(wanted) as processes:
        names = ", ".join(printable(program.argv[0]) for program in wanted)
        text = f"programs like those that the scenario starts ({names})"
        if not known:
            text = f"{names}, because the interpreter that the scenario would start is not known"
        yield Subject(Kind.LAUNCH, text, again, processes, len(processes))


def interpreter_of(plan: LaunchPlan, recognise: Recognise) -> probes.Program | None:
    """The Python or PHP behind a command; None when it is something else, or is not there."""
    if not plan.argv:
        return None
    word = plan.argv[0]
    if "/" in word and plan.cwd is not None:
        word = str(plan.cwd / word)
    path = plan.env.get("PATH") or os.environ.get("PATH")
    program = shutil.which(word, path=path)
    if program is None:
        return None
    found = interpreter(Path(program))
    if found == str(Path(program).resolve()):
        found = program  # as it is called: a virtual environment's python may be a link
    runtime = recognise(Path(found).name, found, found)
    if runtime == "python":
        return probes.python(plan.name, found)
    name = Path(found).name
    if runtime == "php" and "fpm" not in name and "cgi" not in name:
        return probes.php(plan.name, found)
    return None


@contextmanager
def this_machine(again: str) -> Iterator[Subject]:
    """Programs of ours: one that may be looked into, one that may not but by root, and a PHP if there is one."""
    php = shutil.which("php")
    programs = [probes.python(OWN, sys.executable), probes.undumpable(OTHERS)]
    if php is not None:
        programs.append(probes.php(OWN, php))
    with probes.running(programs) as processes:
        workers = (look(pid) for pid in fpm_pools().values())
        pools = tuple(pool for seen in workers if seen is not None and (pool := pool_of(seen)) is not None)
        yield Subject(Kind.MACHINE, "this machine and user", again, processes, len(processes), pools)


def _owner(pid: int) -> int | None:
    try:
        return pid_status.read(str(PROC), pid).uid
    except OSError:
        return None
