"""Asks php-fpm pools between requests how their shared caches stand, and writes the answers down as an agent would.

php-fpm has no hook for a worker's start, so no agent can announce itself there: the adapter asks the pool. Its status page tells
of each worker; a script of ours, asked for by FastCGI, tells of what they share. Whatever belongs to the pool is
written under its oldest worker's pid, whatever belongs to the worker that happened to answer under that one's.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from adapters.php.agent_files import make_directory, place
from adapters.php.fpm.fastcgi import FastCgiError, ask
from adapters.php.fpm.pools import RunningPool, pools_among
from adapters.php.fpm.status import Page, Status, read_status
from adapters.php.mounted import put_floor_script, seen_inside
from adapters.php.state import Places
from adapters.php.xdebug.elsewhere.seen_processes import pid_inside
from harness.errors import TargetError
from harness.plugins.spec import Away, FloorDepth

PATH = "/.harness/floor"
_MARK = b"harness-floor:"
_TIMEOUT_S = 1.0
_ANSWER_CAP = 1 << 18
_REASON_CAP = 160
_INT_LIMIT = 2**63
_OPCACHE: Mapping[str, tuple[str, str]] = {
    # ours -> (part, name) of opcache_get_status()
    "opcache.free_bytes": ("memory_usage", "free_memory"),
    "opcache.wasted_bytes": ("memory_usage", "wasted_memory"),
    "opcache.interned_size_bytes": ("interned_strings_usage", "buffer_size"),
    "opcache.interned_free_bytes": ("interned_strings_usage", "free_memory"),
    "opcache.jit_size_bytes": ("jit", "buffer_size"),
    "opcache.jit_free_bytes": ("jit", "buffer_free"),
    "opcache.hits": ("opcache_statistics", "hits"),
    "opcache.misses": ("opcache_statistics", "misses"),
    "opcache.scripts": ("opcache_statistics", "num_cached_scripts"),
    "opcache.keys": ("opcache_statistics", "num_cached_keys"),
}
_APCU: Mapping[str, str] = {
    # ours -> name of apcu_cache_info(true)
    "apcu.entries": "num_entries",
    "apcu.hits": "num_hits",
    "apcu.misses": "num_misses",
    "apcu.inserts": "num_inserts",
    "apcu.expunges": "expunges",
}


_first_seen: dict[tuple[Path, str, int], Mapping[str, int]] = {}  # by directory, pool and master


@dataclass(frozen=True, slots=True)
class Told:
    """What the script answered: ``shared`` of the pool, ``own`` of the worker ``pid``, in the names of records."""

    pid: int
    shared: Mapping[str, int]
    own: Mapping[str, int]
    missing: Mapping[str, str]


@dataclass(slots=True)
class _Answer:
    values: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def answer_for_pools(
    places: Places, page: Page | None, number: int, depth: FloorDepth, pids: Sequence[int]
) -> tuple[list[int], str]:
    """Ask every pool that has workers among ``pids`` and write one record for each process something is known of; the pids
    of these, and why others have none. ``page``: the status page the scenario names. In a directory that a container has
    mounted, processes are called as they are in there."""
    lines: dict[int, _Answer] = {}
    troubles: list[str] = []
    inside = seen_inside(places.work_dir)
    for pool in pools_among(pids):
        answers, trouble = _of_pool(places, inside, pool, page, depth)
        lines |= answers
        if trouble:
            troubles.append(f"pool {pool.name}: {trouble}")
    if lines:
        _write(places, number, lines, mounted=inside is not None)
    return list(lines), "; ".join(troubles)


def answer_from_afar(places: Places, page: Page, number: int, away: Away, pids: Sequence[int]) -> list[int]:
    """What the status page of a pool on another host tells, by the network; whom of ``pids`` it tells of. Raises TargetError.

    Shared caches can be asked only there."""
    status = read_status(page, _TIMEOUT_S)
    known = [worker for worker in status.workers if worker.pid in pids]
    if not known:
        raise TargetError(f"no worker of the pool {status.pool}, whose status page this is, is followed on {away.host}")
    answers = {worker.pid: _Answer(dict(worker.values)) for worker in known}
    first = answers[min(answers)]
    first.values |= status.values
    seen = _first_seen.setdefault((places.root, status.pool, 0), status.values)
    first.missing |= status.pressure(seen)
    first.missing["shared"] = f"the shared caches of a pool can be asked only on its machine, and it is on {away.host}"
    _write(places, number + away.ahead_ns, answers, mounted=False, ahead_ns=away.ahead_ns)
    return list(answers)


def _of_pool(
    places: Places, inside: PurePosixPath | None, pool: RunningPool, page: Page | None, depth: FloorDepth
) -> tuple[dict[int, _Answer], str]:
    status, why_status = _status(pool, page)
    told, why_told = _told(places, inside, pool, page, depth)
    if status is None and told is None:
        return {}, why_told or why_status
    ours = {
        pid_inside(pid): pid for pid in pool.workers
    }  # a pool in a container calls its workers as they are in there
    answers: dict[int, _Answer] = {}
    first = answers.setdefault(pool.workers[0], _Answer())
    if told is not None:
        first.values |= told.shared
        first.missing |= told.missing
        if told.pid in ours:
            answers.setdefault(ours[told.pid], _Answer()).values.update(told.own)
    else:
        first.missing["shared"] = why_told
    if status is not None:
        first.values |= status.values
        first.missing |= status.pressure(_first_values(places, inside, pool, status.values))
        for worker in status.workers:
            if worker.pid in ours:
                answers.setdefault(ours[worker.pid], _Answer()).values.update(worker.values)
    else:
        first.missing["fpm.status"] = why_status
    return answers, ""


def _status(pool: RunningPool, page: Page | None) -> tuple[Status | None, str]:
    if page is None and pool.status is not None:
        page = Page(address=pool.status[0], path=pool.status[1])
    if page is None:
        return None, pool.trouble or "the pool has no pm.status_path"
    try:
        status = read_status(page, _TIMEOUT_S)
    except TargetError as error:
        return None, error.message
    if status.pool != pool.name:
        return None, f"the status page is of the pool {status.pool}"
    return status, ""


def _first_values(
    places: Places, inside: PurePosixPath | None, pool: RunningPool, values: Mapping[str, int]
) -> Mapping[str, int]:
    """What the pool had counted when it was first looked at in this run. Where a container could read and change what is kept,
    it is kept in memory."""
    if inside is not None:
        return _first_seen.setdefault((places.root, pool.name, pool.master), values)
    path = places.root / f"pool-{pool.name}.json"
    try:
        return _known(json.loads(path.read_text()))
    except (OSError, ValueError, AttributeError):
        with suppress(OSError):  # then all it ever counted is told
            make_directory(places.root, 0o711)
            place(path, json.dumps(values))
        return values


def _told(
    places: Places, inside: PurePosixPath | None, pool: RunningPool, page: Page | None, depth: FloorDepth
) -> tuple[Told | None, str]:
    address = pool.address or (None if page is None else page.address)
    if address is None:
        return None, pool.trouble or "where the pool listens cannot be reached from here"
    script = places.floor_script
    if inside is not None:
        script = Path(inside / script.relative_to(places.work_dir.resolve()))
    parameters = {
        "SCRIPT_FILENAME": str(script), "SCRIPT_NAME": PATH, "REQUEST_URI": PATH, "DOCUMENT_ROOT": str(script.parent),
        "REQUEST_METHOD": "GET", "QUERY_STRING": "trim" if depth is FloorDepth.TRIM else "", "SERVER_PROTOCOL": "HTTP/1.1",
        "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_SOFTWARE": "profiling-harness", "REMOTE_ADDR": "127.0.0.1",
        "REDIRECT_STATUS": "200",
    }  # fmt: skip
    try:
        if inside is None:
            make_directory(places.root, 0o711)
            put_floor_script(places)
        answer = ask(address, parameters, _TIMEOUT_S, _ANSWER_CAP)
    except OSError as error:
        return None, f"the script that asks cannot be written: {error.strerror}"
    except FastCgiError as error:
        return None, error.message
    finally:
        if inside is None:
            script.unlink(missing_ok=True)
    told = parse_told(answer.body)
    if told is not None:
        return told, ""
    if answer.status in (403, 404):
        said = answer.errors.splitlines()[-1] if answer.errors else answer.body.decode("utf-8", "replace")[:80]
        return None, f"the pool cannot run a script below {script.parent} (status {answer.status}: {said.strip()})"
    return None, f"the pool answered the question with status {answer.status} and no numbers"


def parse_told(body: bytes) -> Told | None:
    """What the script printed, whatever else was printed around it; None where it is not there. Pure."""
    line = next((part for part in body.split(b"\n") if part.startswith(_MARK)), b"")
    try:
        data = json.loads(line.removeprefix(_MARK))
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    shared = {**_opcache(_section(data, "opcache")), **_apcu(_section(data, "apcu"))}
    own = _known({"realpath_cache_bytes": data.get("realpath_cache")})
    trim = data.get("trim")
    if isinstance(trim, list) and len(trim) == 2:
        own |= _known({"trim.real_before_bytes": trim[0], "trim.real_after_bytes": trim[1]})
    missing = {what: why[:_REASON_CAP] for what, why in _section(data, "missing").items() if isinstance(why, str)}
    return Told(_known({"pid": data.get("pid")}).get("pid", 0), shared, own, missing)


def _opcache(status: Mapping[str, object]) -> dict[str, int]:
    if not status:
        return {}
    values = _known({ours: _section(status, part).get(name) for ours, (part, name) in _OPCACHE.items()})
    memory = _known(_section(status, "memory_usage"))
    parts = [memory.get(name) for name in ("used_memory", "free_memory", "wasted_memory")]
    if None not in parts:
        values["opcache.size_bytes"] = sum(part or 0 for part in parts)
    counts = _known(_section(status, "opcache_statistics"))
    restarts = [counts.get(f"{why}_restarts") for why in ("oom", "hash", "manual")]
    if None not in restarts:
        values["opcache.restarts"] = sum(number or 0 for number in restarts)
    if isinstance(status.get("cache_full"), bool):
        values["opcache.full"] = int(bool(status["cache_full"]))
    return values


def _apcu(answer: Mapping[str, object]) -> dict[str, int]:
    memory = _known(_section(answer, "memory"))
    values = _known({ours: _section(answer, "entries").get(name) for ours, name in _APCU.items()})
    if "num_seg" in memory and "seg_size" in memory and "avail_mem" in memory:
        values |= {"apcu.size_bytes": memory["num_seg"] * memory["seg_size"], "apcu.free_bytes": memory["avail_mem"]}
    return values


def _section(data: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _known(values: Mapping[str, object]) -> dict[str, int]:
    """Whole numbers; APCu gives some of its as fractions."""
    found: dict[str, int] = {}
    for name, value in values.items():
        if type(value) is float and value.is_integer() and abs(value) < 2**53:
            found[name] = int(value)
        elif type(value) is int and 0 <= value < _INT_LIMIT:
            found[name] = value
    return found


def _write(places: Places, number: int, answers: Mapping[int, _Answer], *, mounted: bool, ahead_ns: int = 0) -> None:
    """One line for each process, in the form of an agent's. ``ahead_ns``: of the clock that whoever reads it takes times to be
    by. Raises TargetError."""
    now_ns = time.monotonic_ns() + ahead_ns
    names = {pid: pid_inside(pid) if mounted else pid for pid in answers}
    text = "".join(
        json.dumps({"k": "floor", "rt": "php", "pid": names[pid], "t": now_ns, "n": number, "v": answer.values,
                    "missing": {what: why[:_REASON_CAP] for what, why in answer.missing.items()}}) + "\n"
        for pid, answer in answers.items() if names[pid] is not None
    )  # fmt: skip
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        if not mounted:  # else it is there, and what is not there now is no file of ours
            flags |= os.O_CREAT
            with suppress(FileExistsError):
                places.records.mkdir(mode=0o711)
        with os.fdopen(os.open(places.floors, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise TargetError(f"the answers of php-fpm cannot be written down: {error.strerror}") from error
