"""Puts the agent into processes that run already, and has it leave again. Invasive: each is stopped for a moment."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.python import collect, deploy, inject, launch, running
from adapters.python.running import Running
from harness.errors import TargetError
from harness.model.span import BootRecord
from harness.plugins import orders
from harness.plugins.records import parse_record
from harness.plugins.spec import AdapterContext, Entry, EntryState

WAIT_S = 10.0
LEAVE_S = 3.0
SILENCE = (
    "the application ran already when the agent came, and is seen then only by the classes of Flask, Django, Starlette (FastAPI) "
    "and tornado; start it with harness run, which knows its server (docs/python.md)"
)
_POLL_S = 0.02
_REMIND_S = 0.3
_TEMPLATE = Path(__file__).parent / "agent" / "enter.py"
_PENDING = (
    "process {pid} was told to load the agent and has not come to it within {seconds:.0f} s: it runs no Python code, but waits "
    "in a system call or in C. It will load it as soon as it does, for a server with the next request"
)


@dataclass(frozen=True, slots=True)
class _Told:
    """A process that will execute our file: how long it was stopped at most, and where it says that it could not."""

    pid: int
    path: Path
    stopped_ns: int | None
    answer: str


def enter(context: AdapterContext, pids: Sequence[int], wait_s: float = WAIT_S) -> list[Entry]:
    """One entry for each pid, in order. What cannot be entered is refused with the reason; nothing of that raises.

    HarnessError is raised for what concerns all of them (OSError where the run directory cannot be written).
    """
    ours = running.means()
    entries: dict[int, Entry] = {}
    told: list[_Told] = []
    layout: deploy.AgentLayout | None = None
    for pid in pids:
        found = _suitable(context, pid, ours)
        if isinstance(found, Entry):
            entries[pid] = found
            continue
        layout = layout or deploy.install_agent(context.work_dir)
        try:
            told.append(_tell(context, layout, found))
        except TargetError as error:
            entries[pid] = Entry(pid, EntryState.REFUSED, error.message, fix=error.hint)
    entries |= {entry.pid: entry for entry in _await(context, told, wait_s)}
    return [entries[pid] for pid in pids]


def _suitable(context: AdapterContext, pid: int, ours: running.Means) -> Running | Entry:
    try:
        found = running.look(pid)
    except OSError as error:
        hint = "run as its user or as root"
        return Entry(pid, EntryState.REFUSED, f"process {pid} may not be looked at: {error.strerror}", fix=hint)
    if found is None:
        return Entry(pid, EntryState.REFUSED, f"process {pid} has ended", fix="is the service restarting? try again")
    obstacle = running.obstacle(found, ours)
    if obstacle is not None:
        return Entry(pid, EntryState.REFUSED, obstacle[0], fix=obstacle[1])
    assert found.version is not None
    reason = inject.by_remote_exec(found.version)
    if reason:
        return Entry(pid, EntryState.REFUSED, f"process {pid} cannot be entered: {reason}")
    closed = deploy.closed_to_others(context.work_dir) if found.uids[1] != ours.uid else None
    if closed is not None:
        return Entry(
            pid, EntryState.REFUSED, f"process {pid} (uid {found.uids[1]}) cannot read the agent: {closed} is closed to it",
            fix=f"chmod o+x {closed}, or choose another output directory with --out",
        )  # fmt: skip
    return found


def _tell(context: AdapterContext, layout: deploy.AgentLayout, found: Running) -> _Told:
    """Write the file that the process is to execute, for its user only: it holds this run's token."""
    answer = f"enter-{secrets.token_hex(16)}"
    settings = launch.agent_settings(context, layout, found.interpreter)
    path = deploy.enter_dir(context.work_dir) / f"{secrets.token_hex(16)}.py"
    path.touch(0o600, exist_ok=False)
    if found.uids[1] != os.geteuid():
        os.chown(path, found.uids[1], -1)
    path.write_text(bootstrap(settings, layout.agent_dir, layout.results_dir / answer), "utf-8")
    assert found.version is not None
    try:
        if inject.by_remote_exec(found.version) is None:
            inject.remotely(found.pid, path)
            return _Told(found.pid, path, None, answer)
        return _Told(found.pid, path, inject.with_gdb(found.pid, path), answer)
    except TargetError:
        path.unlink()
        raise


def bootstrap(settings: Mapping[str, str], agent_dir: Path, answer: Path) -> str:
    """The text of the file that a process executes. Pure but for reading our own template."""
    call = f"enter({dict(settings)!a}, {os.fspath(agent_dir)!a}, {os.fspath(answer)!a})"
    return f"{_TEMPLATE.read_text('ascii')}\n\n{call}\n"


def _await(context: AdapterContext, told: Sequence[_Told], wait_s: float) -> list[Entry]:
    """Entries once every process has announced itself or said why not, or time is up."""
    deadline = time.monotonic() + wait_s
    waiting = {each.pid: each for each in told}
    entries = []
    while waiting:
        there = _announced(context, waiting)
        for pid, each in list(waiting.items()):
            why = None if pid in there else _answered(context, each)
            if pid in there or why is not None:
                entries.append(_entry(each, why))
                each.path.unlink()
                del waiting[pid]
        if waiting and time.monotonic() > deadline:
            break
        time.sleep(_POLL_S)
    for pid, each in waiting.items():
        if running_still(pid):
            text = _PENDING.format(pid=pid, seconds=wait_s)
            entries.append(Entry(pid, EntryState.PENDING, text, each.stopped_ns))
        else:
            entries.append(Entry(pid, EntryState.REFUSED, f"process {pid} ended while it was entered", each.stopped_ns))
    return entries


def _entry(told: _Told, why: str | None) -> Entry:
    stopped = "" if told.stopped_ns is None else f"; it was stopped for at most {told.stopped_ns / 1e6:.0f} ms"
    if why is None:
        return Entry(told.pid, EntryState.ENTERED, f"the agent is in process {told.pid}{stopped}", told.stopped_ns)
    text = f"the agent could not load in process {told.pid}: {why}{stopped}"
    return Entry(told.pid, EntryState.REFUSED, text, told.stopped_ns)


def _announced(context: AdapterContext, pids: Iterable[int]) -> set[int]:
    """Those of the processes that announced themselves in this run."""
    wanted = set(pids)
    found = set()
    for path in context.work_dir.glob(deploy.RECORDS_PATTERN):
        try:
            with collect.open_regular(path) as stream:
                lines = stream.read(collect.RESULT_CAP_BYTES).split(b"\n")
        except OSError:
            continue
        for line in lines:
            record = parse_record(line) if b'"k":"boot"' in line else None
            if isinstance(record, BootRecord) and record.pid in wanted:
                found.add(record.pid)
    return found


def _answered(context: AdapterContext, told: _Told) -> str | None:
    """What a process said that could not load the agent; None while it has said nothing."""
    directory = context.work_dir / "results"
    if not (directory / told.answer).exists():
        return None
    try:
        data = collect.read_result(directory, told.answer, told.pid)
    except ValueError as error:
        return str(error)
    return "".join(c if c.isprintable() else "?" for c in data[:500].decode("utf-8", "replace")) or None


def running_still(pid: int) -> bool:
    """Whether a process has not ended."""
    try:
        return running.look(pid) is not None
    except OSError:
        return False


def leave(context: AdapterContext, number: int, pids: Sequence[int], wait_s: float = LEAVE_S) -> list[int]:
    """Order the agents in these processes to leave; those that have not done so in time. OSError: no order can be written."""
    path = deploy.orders_file(context.work_dir)
    if not path.parent.is_dir():
        return []  # nobody was entered
    deadline = time.monotonic() + wait_s
    waiting = {pid for pid in pids if _has_agent(pid)}
    while waiting and time.monotonic() < deadline:
        orders.post(
            path, number, "retire", "", waiting
        )  # again: a process on its way into read(2) goes to sleep all the same
        reminder = time.monotonic() + _REMIND_S
        while waiting and time.monotonic() < reminder:
            time.sleep(_POLL_S)
            waiting = {pid for pid in waiting if _has_agent(pid)}
    return sorted(waiting)


def _has_agent(pid: int) -> bool:
    try:
        return orders.takes_orders(pid)
    except OSError:
        return False  # it has ended
