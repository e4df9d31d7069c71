"""Processes of another host as one command there shows them: when they began, whose container they are in, their ids in it.

Every line of the answer begins with the name of its file, so that no content can pass for that of another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.errors import TargetError
from harness.targets.connectors.spec import Connector
from harness.targets.containers import ContainerState, Life, belongs_to, parse_begin, parse_nspid

_SHOW = (
    'LC_ALL=C; export LC_ALL; for p; do grep -H "" "/proc/$p/stat" "/proc/$p/status" "/proc/$p/cgroup"; done '
    "2>/dev/null </dev/null; exit 0"
)
# The kernel escapes line breaks in the names of processes, so a line of status that begins with NSpid: is the kernel's.
_OUTSIDE = (
    'LC_ALL=C; export LC_ALL; space=$(readlink "/proc/$1/ns/pid") && [ -n "$space" ] || exit 0; '
    'for file in $(grep -l "^NSpid:.*[[:blank:]]$2\\$" /proc/[0-9]*/status); do process=${file%/status}; '
    '[ "$(readlink "$process/ns/pid")" != "$space" ] || echo "${process#/proc/}"; done 2>/dev/null </dev/null; exit 0'
)
_LINE = re.compile(rb"/proc/(\d{1,7})/(stat|status|cgroup):(.*)\Z", re.DOTALL)
_CAP_BYTES = 4 << 20
_LINE_CAP_BYTES = 4096
_MOST = 500  # processes in one question
_PID = re.compile(rb"(\d{1,7})\n\Z")


@dataclass(frozen=True, slots=True)
class Shown:
    """One process there. ``begin``: clock ticks since boot; ``inner``: its id in its own namespace; None = not known."""

    begin: int | None
    inner: int | None
    cgroup: bytes


def show(connector: Connector, pids: Iterable[int]) -> Mapping[int, Shown]:
    """Those of the processes that are there. Raises TargetError when the host cannot be reached."""
    words = [str(pid) for pid in list(pids)[:_MOST]]
    if not words:
        return {}
    done = connector.run(["sh", "-c", _SHOW, "sh", *words], cap_bytes=_CAP_BYTES)
    return parse(done.output)


def parse(data: bytes) -> dict[int, Shown]:
    """The answer of `show`. Pure."""
    files: dict[tuple[int, bytes], list[bytes]] = {}
    for line in data.split(b"\n"):
        found = _LINE.match(line)
        if found is not None:
            files.setdefault((int(found[1]), found[2]), []).append(found[3])
    whole = {of: b"\n".join(lines) for of, lines in files.items()}
    return {
        pid: Shown(
            parse_begin(whole.get((pid, b"stat"), b"")),
            parse_nspid(whole.get((pid, b"status"), b"")),
            whole.get((pid, b"cgroup"), b""),
        )
        for pid in {pid for pid, _ in files}
    }


def outside_pid(connector: Connector, life: Life, inner: int) -> int | None:
    """What that host calls the process with the id ``inner`` in the namespace of a container's first process; None when it is not
    found, or may not be looked at. Raises TargetError when the host cannot be reached."""
    done = connector.run(["sh", "-c", _OUTSIDE, "sh", str(life.pid), str(inner)], cap_bytes=_LINE_CAP_BYTES)
    found = _PID.match(done.output)
    return None if found is None else int(found[1])


def life_there(connector: Connector, state: ContainerState) -> Life | None:
    """Its present life on that host; None while it does not run, or its first process is none of that host's."""
    if state.pid is None:
        return None
    try:
        shown = show(connector, [state.pid]).get(state.pid)
    except TargetError:
        return None
    if shown is None or shown.begin is None or not belongs_to(state, state.pid, shown.cgroup, shown.inner):
        return None
    return Life(state, state.pid, shown.begin)
