"""Where a PHP request or worker keeps memory, as far as Xdebug's calls tell: own growth by function, and calls of what takes
memory that PHP does not count. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from adapters.formats.origins import ORIGINS_CAP
from harness.model.finding import Cause
from harness.model.profile import Frame, Origin, Owner, Profile

_INTERNAL = "php:internal"
_INCLUDES = ("include::", "include_once::", "require::", "require_once::")
_GROWTH = "memory_growth"

# Functions of PHP and its extensions whose memory, or whatever else they leave, is not in Zend's heap.
TAKERS: Mapping[str, Cause] = {
    **dict.fromkeys(
        ("apcu_store", "apcu_add", "apcu_entry", "shm_put_var", "shmop_write", "shmop_open", "opcache_compile_file"),
        Cause.SHARED_MEMORY,
    ),
    **dict.fromkeys(
        ("fopen", "fsockopen", "pfsockopen", "stream_socket_client", "stream_socket_server", "stream_socket_pair", "tmpfile",
         "opendir", "popen", "proc_open", "curl_init", "socket_create", "dba_open", "SplFileObject->__construct",
         "SplTempFileObject->__construct", "PDO->__construct", "mysqli->__construct", "mysqli_connect", "Redis->connect",
         "Redis->pconnect"),
        Cause.DESCRIPTORS,
    ),
}  # fmt: skip

_Place = tuple[str, int | None, str, str]  # file, line, function, what it called


def kept_of_trace(profile: Profile) -> tuple[Origin, ...]:
    """Of a trace, whose growth has what was freed taken off: by function; internal functions, and those of which no file is
    known, count for the line that calls them. Files that were loaded do not count: they stay by design."""
    column = next((n for n, kind in enumerate(profile.value_types) if kind.name == _GROWTH), None)
    if column is None:
        return ()
    sums: dict[_Place, list[int]] = defaultdict(lambda: [0, 0])
    costs = {cost.frame: cost for cost in profile.functions}
    for edge in profile.edges:
        caller, callee, cost = profile.frames[edge.caller], profile.frames[edge.callee], costs.get(edge.callee)
        if cost is None or _loads(callee) or _is_placed(callee):
            continue
        # Its own growth, shared out by calls: what it called back counts for what was called.
        grown = cost.self_values[column] * edge.calls // max(1, cost.calls)
        _add(sums, (caller.file, edge.line or None, caller.function, callee.function), grown, edge.calls)
    for cost in profile.functions:
        frame = profile.frames[cost.frame]
        if _is_placed(frame) and not _loads(frame):
            _add(sums, (frame.file, frame.line, frame.function, ""), cost.self_values[column], cost.calls)
    found = (
        Origin(_owner(file), file, line, function, grown, through=grown, via=via, calls=calls)
        for (file, line, function, via), (grown, calls) in sums.items()
        if grown > 0
    )
    return tuple(sorted(found, key=lambda origin: -origin.kept)[:ORIGINS_CAP])


def takers(profile: Profile) -> tuple[Origin, ...]:
    """The lines that call functions which take something elsewhere."""
    sums: dict[tuple[str, int, str, str], int] = defaultdict(int)
    for edge in profile.edges:
        callee, caller = profile.frames[edge.callee], profile.frames[edge.caller]
        name = callee.function.removeprefix("php::")
        if callee.file == _INTERNAL and name in TAKERS:
            sums[caller.file, edge.line, caller.function, name] += edge.calls
    return tuple(
        Origin(_owner(file), file, line or None, function, 0, via=f"{name}()", calls=calls, takes=TAKERS[name].value)
        for (file, line, function, name), calls in list(sums.items())[:ORIGINS_CAP]
    )


def _add(sums: dict[_Place, list[int]], place: _Place, grown: int, calls: int) -> None:
    found = sums[place]
    found[0] += grown
    found[1] += calls


def _loads(frame: Frame) -> bool:
    return frame.function.startswith(_INCLUDES)


def _is_placed(frame: Frame) -> bool:
    """Whether it is PHP code in a file that is known."""
    return bool(frame.file) and frame.file != _INTERNAL


def _owner(file: str) -> Owner:
    if file == _INTERNAL or not file:
        return Owner.RUNTIME
    return Owner.PACKAGE if "/vendor/" in file else Owner.APPLICATION
