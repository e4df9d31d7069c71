"""Settings of PHP and php-fpm that get in the way of measuring, and what is there without any code. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from adapters.php.fpm.pool_config import ACCESS_FORMAT
from adapters.php.inspection.model import Pool, Sapi, Setup, is_on
from harness.plugins.spec import Check, CheckLevel

_NEEDED = ("fopen", "fwrite", "json_encode", "register_shutdown_function", "memory_get_usage", "set_error_handler")
_USEFUL = ("memory_get_peak_usage", "gc_status", "getrusage", "hrtime", "opcache_get_status", "realpath_cache_size")
_LEAST_LIMIT = 64 << 20
_SLOWER = 10  # a profiled request takes up to so many times as long
_SPANS = ("%{HTTP_TRACEPARENT}e", "%{UNIQUE_ID}e")  # how a line says which request of a run it is of
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def php(setup: Setup) -> Iterator[Check]:
    """PHP's own settings, then each pool's."""
    yield from _allocator(setup)
    for pool in setup.pools or (None,):
        yield from _limits(setup, pool)
    yield from _opcache(setup)
    yield from _agent(setup)
    for pool in setup.pools:
        yield from _pool(setup, pool)
    yield from _without_code(setup)
    yield from _from_outside(setup)


def _allocator(setup: Setup) -> Iterator[Check]:
    places = [f"USE_ZEND_ALLOC=0 in the environment of {setup.title}"]
    if (setup.environment or {}).get("USE_ZEND_ALLOC") != "0":
        places = []
    for place in places:
        yield Check(
            "php.allocator", CheckLevel.WARNING,
            f"{place}: PHP's allocator is off, every memory number is 0 and memory_limit does nothing",
            "UnsetEnvironment=USE_ZEND_ALLOC", "nothing is known about memory inside PHP",
        )  # fmt: skip
    for pool in setup.pools:
        if "USE_ZEND_ALLOC" in pool.env:
            yield Check(
                "php.allocator", CheckLevel.INFO,
                f"{pool.env['USE_ZEND_ALLOC'][1]}: env[USE_ZEND_ALLOC] in a pool comes too late: the master has its allocator",
                "delete the line",
            )  # fmt: skip


def _limits(setup: Setup, pool: Pool | None) -> Iterator[Check]:
    name = "" if pool is None else pool.name
    of = f" (pool {name})" if name else ""
    limit = setup.value("memory_limit", name)
    size = bytes_of(limit)
    where = setup.where("memory_limit", name)
    if size is not None and size < 0 and setup.sapi is not Sapi.CLI:
        yield Check(
            "php.memory_limit", CheckLevel.WARNING,
            f"{where}{of}: no memory_limit: one request that grows takes all memory of the machine",
            setup.corrected("memory_limit", "256M", name),
        )  # fmt: skip
    elif size is not None and 0 <= size < _LEAST_LIMIT:
        yield Check(
            "php.memory_limit", CheckLevel.INFO,
            f"{where}{of}: memory_limit {limit}: a profiled request has a peak some percent higher, and may end here",
            setup.corrected("memory_limit", "128M", name),
        )  # fmt: skip
    seconds = setup.value("max_execution_time", name)
    if setup.profiles and seconds.isdigit() and 0 < int(seconds) < 300:
        none = setup.corrected("max_execution_time", "0", name)
        yield Check(
            "php.max_execution_time", CheckLevel.WARNING,
            f"{setup.where('max_execution_time', name)}{of}: max_execution_time {seconds} s of CPU time ends profiled requests, "
            "which take up to ten times as long, with status 500",
            f"{none}   ; in the master for profiles only", "profiles of slow requests are cut",
        )  # fmt: skip


def bytes_of(text: str) -> int | None:
    """``128M`` as PHP reads it; None for what is no size."""
    match = re.fullmatch(r"\s*(-?\d{1,15})\s*([kmg]?)b?\s*", text, re.IGNORECASE)
    return None if match is None else int(match[1]) * _UNITS[match[2].lower()]


def _opcache(setup: Setup) -> Iterator[Check]:
    if setup.in_force is None:
        return
    served = setup.sapi in (Sapi.FPM, Sapi.APACHE)
    loaded = "Zend OPcache" in setup.extensions
    off = [pool for pool in ("", *(p.name for p in setup.pools)) if not is_on(setup.value("opcache.enable", pool, "1"))]
    if served and (off or not loaded):
        where = setup.where("opcache.enable", off[0]) if loaded else f"{setup.title}, nowhere loaded"
        yield Check(
            "php.opcache", CheckLevel.WARNING,
            f"{where}: opcache is off: every request compiles every file again, which is most of its peak "
            "(measured: 9.5 instead of 4.3 MB, 50.8 instead of 11.1 MB)",
            setup.corrected("opcache.enable", "1", off[0]) if loaded else "zend_extension = opcache.so\nopcache.enable = 1",
            "peaks are those of the compiler",
        )  # fmt: skip
    jit = (bytes_of(setup.value("opcache.jit_buffer_size")) or 0) > 0
    kind = setup.value("opcache.jit", default="tracing").lower()
    if jit and kind not in ("disable", "off", "0", "") and setup.modes and (setup.php or (8, 0)) >= (8, 0):
        yield Check(
            "php.jit", CheckLevel.WARNING,
            f"{setup.where('opcache.jit_buffer_size')}: Xdebug turns the JIT off as soon as one of its modes is on",
            "xdebug.mode = off   ; in the master that is measured", "times are those without JIT",
        )  # fmt: skip


def _agent(setup: Setup) -> Iterator[Check]:
    line = setup.master("disable_functions")
    disabled = {name.strip() for name in setup.value("disable_functions").split(",")}
    for pool in setup.pools:
        disabled |= {name.strip() for name in setup.value("disable_functions", pool.name).split(",")}
    missing = [name for name in _NEEDED if name in disabled]
    fewer = [name for name in _USEFUL if name in disabled]
    where = setup.title if line is None else str(line.place)
    if missing or fewer:
        yield Check(
            "php.disable_functions", CheckLevel.WARNING if missing else CheckLevel.INFO,
            f"{where}: disable_functions forbids {', '.join(missing or fewer)}, which the record of each request needs",
            "take them out of disable_functions",
            "requests cannot be tied to workers" if missing else "some numbers of each request are unknown",
        )  # fmt: skip
    prepend = setup.master("auto_prepend_file")
    if prepend is not None and prepend.value and prepend.value.lower() != "none":
        yield Check(
            "php.auto_prepend_file", CheckLevel.INFO,
            f"{prepend.place}: auto_prepend_file is set; the harness runs it after its own, and profiles are named after it",
        )  # fmt: skip


# --- pools -------------------------------------------------------------------------------------------------------------------


def _pool(setup: Setup, pool: Pool) -> Iterator[Check]:
    timeout = pool.setting("request_terminate_timeout", "0")
    seconds = _seconds(timeout)
    if seconds and setup.writes_files:
        yield Check(
            "php.fpm.request_terminate_timeout", CheckLevel.WARNING,
            f"{pool.where('request_terminate_timeout')}: a request of more than {timeout} is killed, and its profile has no end; "
            f"profiled requests take up to {_SLOWER} times as long",
            "request_terminate_timeout = 0   ; in the pool for profiles", "profiles of slow requests are cut",
        )  # fmt: skip
    requests = pool.setting("pm.max_requests", "0")
    if requests.isdigit() and int(requests) > 0:
        yield Check(
            "php.fpm.max_requests", CheckLevel.INFO,
            f"{pool.where('pm.max_requests')}: workers end after {requests} requests, so that growth is seen for as long only",
            "pm.max_requests = 0   ; while growth is measured",
        )  # fmt: skip


def _seconds(text: str) -> int:
    """A time of php-fpm (``30``, ``30s``, ``2m``) in seconds; 0: none, or not understood."""
    match = re.fullmatch(r"(\d{1,9})([smhd]?)", text.strip())
    return 0 if match is None else int(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def _without_code(setup: Setup) -> Iterator[Check]:
    """What php-fpm itself would say about each request and each worker."""
    for pool in setup.pools:
        lines = []
        if not pool.setting("pm.status_path"):
            lines.append("pm.status_path = /fpm-status")
            if setup.php is None or setup.php >= (8, 0):
                lines.append("pm.status_listen = 127.0.0.1:9001   ; answers while all workers are busy")
        if not pool.setting("ping.path"):
            lines.append("ping.path = /fpm-ping")
        form = pool.setting("access.format")
        log = not pool.setting("access.log")
        if log:
            lines.append(f"access.log = /var/log/php-fpm.{pool.name}.access.log")
        if log or not all(part in form for part in ("%p", "M", "d")) or not any(span in form for span in _SPANS):
            lines.append(f'access.format = "{ACCESS_FORMAT}"')
        if lines:
            yield Check(
                "php.fpm.without_code", CheckLevel.INFO,
                f"{pool.place}: pool {pool.name} tells less than it could without any code in the application: "
                "worker, status, memory and time of each request, state of each worker",
                "\n".join(lines),
            )  # fmt: skip


def _from_outside(setup: Setup) -> Iterator[Check]:
    if setup.sapi is Sapi.FPM and setup.pools:
        guarded = [p for p in setup.pools if p.setting("user") and not is_on(p.setting("process.dumpable"))]
        for pool in guarded:
            yield Check(
                "php.fpm.dumpable", CheckLevel.INFO,
                f"{pool.where('process.dumpable')}: workers of pool {pool.name} may be looked into by root only, "
                "their heaps and shares of memory with them",
                "process.dumpable = yes",
            )  # fmt: skip
    if setup.ptrace_scope is not None and setup.ptrace_scope > 0 and setup.running:
        yield Check(
            "php.ptrace_scope", CheckLevel.INFO,
            f"kernel.yama.ptrace_scope is {setup.ptrace_scope}: the heap of {setup.title} is readable by "
            f"{'nobody' if setup.ptrace_scope >= 3 else 'root only'}",
            "run the harness as root" if setup.ptrace_scope < 3 else "boot with another ptrace_scope",
        )  # fmt: skip
