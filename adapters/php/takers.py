"""Which lines of PHP call what takes memory, or something else, that PHP's own allocator does not count. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from adapters.formats.origins import ORIGINS_CAP
from adapters.formats.php_source import INTERNAL, owner_of
from harness.model.finding import Cause
from harness.model.profile import Origin, Profile

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


def takers(profile: Profile) -> tuple[Origin, ...]:
    """The lines that call functions which take something elsewhere."""
    sums: dict[tuple[str, int, str, str], int] = defaultdict(int)
    for edge in profile.edges:
        callee, caller = profile.frames[edge.callee], profile.frames[edge.caller]
        name = callee.function.removeprefix("php::")
        if callee.file == INTERNAL and name in TAKERS:
            sums[caller.file, edge.line, caller.function, name] += edge.calls
    return tuple(
        Origin(owner_of(file), file, line or None, function, 0, via=f"{name}()", calls=calls, takes=TAKERS[name].value)
        for (file, line, function, name), calls in list(sums.items())[:ORIGINS_CAP]
    )
