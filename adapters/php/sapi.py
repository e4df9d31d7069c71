"""Request mode and worker mode: whether a PHP process still has the memory of the last request when the next one begins.

php-fpm, mod_php and ``php -S`` drop the whole request heap when a request ends. What their processes keep is what malloc gave
(extensions, the cache of paths, persistent connections), some empty chunks of the heap, and the caches that all share. So a
worker that grows does not leak PHP values. A command-line script keeps its heap until it ends: there a list that is never
emptied is a leak, and the heap at rest says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from adapters.php.fpm.pools import workers_among
from adapters.php.inspection.model import Sapi
from adapters.php.inspection.processes import look_at

DROPPED, KEPT = "dropped after each request", "kept until the process ends"


def drops_request_heap(sapi: Sapi) -> bool:
    """True in request mode, False in worker mode."""
    return sapi is not Sapi.CLI


def sapi_of(pid: int) -> Sapi | None:
    """What PHP runs in there; None where it is no PHP, or no process any more."""
    process = look_at(pid)
    return None if process is None else process.sapi


def facts_of(pids: Iterable[int]) -> Mapping[str, str]:
    """``sapi`` and ``heap`` of processes that belong together, in words; nothing where none of them is PHP."""
    pids = set(pids)
    workers = set(workers_among(pids))  # by their titles: looking closer at each of a hundred takes a while
    found = sorted(
        {sapi for pid in pids - workers if (sapi := sapi_of(pid)) is not None} | ({Sapi.FPM} if workers else set())
    )
    if not found:
        return {}
    heaps = dict.fromkeys(DROPPED if drops_request_heap(sapi) else KEPT for sapi in found)
    return {"sapi": ", ".join(found), "heap": ", ".join(heaps)}
