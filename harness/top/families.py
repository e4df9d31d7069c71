"""Which processes belong together: a master and the workers it forked.

A process belongs to its parent's family when one of these holds:

- it is a fork of it that has not executed another program (same start of code and of stack in ``stat``, which address space
  randomisation makes unique to every exec; visible with the right to look into the process);
- it runs the same program: the same script or module of an interpreter, the same title before the colon
  (``nginx: worker process``), or else the same file name. Two interpreters or shells without a script are not the same program;
- it is a helper that Python's multiprocessing started (``spawn``, ``forkserver``, the resource tracker).

So gunicorn below supervisord is a family of its own though both run ``python3``. Processes whose common parent is hidden
(hidepid) and that run the same program are one family too. A php-fpm family is divided by pool; its master belongs to the
pool if there is only one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from harness.sampling.protocol import Identity
from harness.top.model import Family, Process

SPAWNED = "multiprocessing"
_INTERPRETER = re.compile(
    r"(?:python|pypy|php|ruby|perl|node|nodejs|bun|deno|lua|bash|sh|dash|ash|zsh|ksh|fish|busybox)[\d.]*"
)
_TITLE = re.compile(r"[\[(-]?([^\s:\[\]()]+):(?: |$)")
_FPM_POOL = re.compile(r"php-fpm[\d.]*: pool (\S.{0,63})")


def program_of(arguments: Sequence[str], name: str) -> str:
    """What a process runs, from its command line (or the title in its place), else its name.

    >>> program_of(("/usr/bin/python3.11", "-u", "/srv/bin/gunicorn", "shop:app"), "gunicorn")
    'gunicorn'
    """
    if not arguments:
        return name
    if len(arguments) == 1:
        title = _TITLE.match(arguments[0])
        if title is not None:
            return _base(title[1])
    first = arguments[0].split(" ", 1)[0] if len(arguments) == 1 else arguments[0]
    base = _base(first.removeprefix("-"))
    if _INTERPRETER.fullmatch(base) is None:
        return base
    return _script(arguments[1:])


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _script(arguments: Sequence[str]) -> str:
    for argument, after in zip(arguments, (*arguments[1:], ""), strict=False):
        if argument == "-m":
            return SPAWNED if after.startswith("multiprocessing.") else after
        if argument in {"-c", "-e", "-r"}:
            return SPAWNED if after.startswith("from multiprocessing.") else ""
        if not argument.startswith("-"):
            return _base(argument)
    return ""


def families(processes: Iterable[Process]) -> dict[Identity, Family]:
    """The family of every process; most are a family of one."""
    by_pid = {process.who.pid: process for process in processes}
    heads = _heads(by_pid)
    pools: dict[Identity, set[str]] = {}
    titles: dict[Identity, str] = {}
    for process in by_pid.values():
        title = _FPM_POOL.match(process.command)
        if title is not None:
            titles[process.who] = title[1]
            pools.setdefault(heads[process.who].who, set()).add(title[1])
    found: dict[Identity, Family] = {}
    for process in by_pid.values():
        head = heads[process.who]
        pool = titles.get(process.who)
        if pool is None and len(pools.get(head.who, ())) == 1:
            (pool,) = pools[head.who]
        found[process.who] = Family(head.who, pool, head.command if pool is None else f"php-fpm: pool {pool}")
    return found


def _heads(by_pid: Mapping[int, Process]) -> dict[Identity, Process]:
    heads: dict[Identity, Process] = {}
    orphans: dict[tuple[int, str], Process] = {}
    for process in sorted(by_pid.values(), key=lambda p: p.who.start_ticks):
        path: dict[Identity, None] = {}  # climbed in a loop: a chain of forks may be longer than Python's stack
        step, above = process, _parent(process, by_pid)
        while step.who not in heads and step.who not in path and above is not None and _same(above, step):
            path[step.who] = None
            step, above = above, _parent(above, by_pid)
        head = heads.get(step.who, step)
        if head is step and step.ppid > 0 and step.ppid not in by_pid and step.program:
            head = orphans.setdefault((step.ppid, step.program), step)
        heads[step.who] = head
        heads.update((member, head) for member in path)
    return heads


def _parent(process: Process, by_pid: Mapping[int, Process]) -> Process | None:
    """The parent as listed; None when a younger process has its pid."""
    parent = by_pid.get(process.ppid)
    return None if parent is None or parent.who.start_ticks > process.who.start_ticks else parent


def _same(parent: Process, child: Process) -> bool:
    if child.image is not None and child.image == parent.image:
        return True
    return child.program == SPAWNED or (child.program == parent.program != "")
