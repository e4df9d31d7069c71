"""What to do about each cause. Data, so that a fix of the wording needs no code; caveats are as measured in the facts."""

from __future__ import annotations

from dataclasses import replace

from harness.model.finding import Cause, Prescription

_VERIFY = "run the same scenario again: the verdict must change and the growth per request fall below the MDL"


def _fix_python(where: str) -> Prescription:
    return Prescription(
        id="fix-retention",
        action=f"Find what {where} appends to a list, dict, cache or registry that lives as long as the process, and bound it "
        "or drop it at the end of the request.",
        command=None,
        expected="the worker's memory stops growing",
        risk="none beyond an ordinary code change",
        rollback="revert the change",
        verify=_VERIFY,
    )


def _fix_php(where: str) -> Prescription:
    return Prescription(
        id="fix-retention-php",
        action=f"Find what {where} keeps in a static property, a service, an array that serves as a cache or a listener: they "
        "live as long as the worker; bound what is kept, or drop it after each job.",
        command="profile: [xdebug_trace]  # its own growth by function, frees counted",
        expected="the worker's memory stops growing",
        risk="none beyond an ordinary code change",
        rollback="revert the change",
        verify=_VERIFY,
    )


def _fix_native(where: str) -> Prescription:
    return Prescription(
        id="fix-native",
        action=f"Look at the extension modules that {where} uses: memory is kept outside the runtime's own heap. Upgrade them "
        "first (look for leak fixes in their change logs), then profile that one request with a native allocator profiler.",
        command=None,
        expected="the worker's memory stops growing",
        risk="an upgrade may change behaviour",
        rollback="pin the previous version",
        verify=_VERIFY,
    )


def _fix_native_php(where: str) -> Prescription:
    return replace(
        _fix_native(where),
        id="fix-native-php",
        action="Memory is kept outside PHP's own heap. Look first for persistent connections in "
        f"{where} (PDO::ATTR_PERSISTENT, pconnect, pfsockopen): each new address, account or key is one more that the worker "
        "never closes. Then at the extensions it uses: upgrade them (look for leak fixes in their change logs).",
    )


_RECYCLE_PYTHON = Prescription(
    id="recycle-gunicorn",
    action="Until it is fixed, replace workers after a number of requests.",
    command="gunicorn --max-requests 5000 --max-requests-jitter 500 ...",
    expected="growth is cut back to zero at every restart; total memory becomes a sawtooth",
    risk="hides the leak; each new worker starts with cold caches, and without jitter all restart at once",
    rollback="remove the two options",
    verify="run the scenario long enough to see several generations of workers: the peak must level off",
)
_RECYCLE_FPM = Prescription(
    id="recycle-fpm",
    action="Until it is fixed, let php-fpm replace workers after a number of requests.",
    command="pm.max_requests = 1000",
    expected="growth of private memory is cut back to zero at every restart",
    risk="hides the leak; a new worker has cold per-process caches. Shared memory (APCu, opcache) is NOT freed by this",
    rollback="pm.max_requests = 0",
    verify="run the scenario long enough to see several generations of workers: the peak must level off",
)
_RECYCLE_WORKER = Prescription(
    id="recycle-worker",
    action="Until it is fixed, let the worker end after a number of jobs and have a supervisor start it again.",
    command="bin/console messenger:consume ... --limit=1000 --memory-limit=128M",
    expected="growth is cut back to zero at every restart; total memory becomes a sawtooth",
    risk="hides the leak; a new worker starts with cold caches",
    rollback="remove the options",
    verify="run the scenario long enough to see several generations of workers: the peak must level off",
)
_APCU = Prescription(
    id="apcu-ttl",
    action="If it is APCu: store entries with a lifetime, and make sure that keys are taken from a bounded set (not from a "
    "session, a URL or a timestamp). Look at apcu_cache_info() for entries that are never hit.",
    command="apcu_store($key, $value, 300);",
    expected="the cache stops growing once lifetimes expire",
    risk="more misses; an expired entry's memory is taken back only when somebody stores something",
    rollback="store without a lifetime again",
    verify=_VERIFY,
)
_SHM_SIZE = Prescription(
    id="apcu-size",
    action="Bound the damage: give the cache a size that fits its useful content. When it is full APCu throws everything away.",
    command="apc.shm_size = 64M",
    expected="shared memory never exceeds this size",
    risk="too small a size means frequent full flushes and load spikes; needs a restart of the master",
    rollback="restore the old apc.shm_size",
    verify="watch pss_shmem of the pool level off at the size",
)
_MAPPED = Prescription(
    id="bound-mapped-files",
    action="Find the file that grows (/proc/PID/smaps names it) and close or unmap it after use.",
    command="grep -A2 ' /' /proc/PID/smaps | sort",
    expected="file pages stop growing",
    risk="none beyond an ordinary code change",
    rollback="revert the change",
    verify=_VERIFY,
)
_THREADS = Prescription(
    id="pool-threads",
    action="Find what starts a thread per request (or per client object) and use one bounded pool for the process.",
    command="ls /proc/PID/task | wc -l",
    expected="the number of threads levels off",
    risk="work may queue when the pool is too small",
    rollback="revert the change",
    verify=_VERIFY,
)
_DESCRIPTORS = Prescription(
    id="close-descriptors",
    action="Find what is opened per request and never closed (files, sockets, database connections) and close it.",
    command="ls -l /proc/PID/fd",
    expected="the number of open descriptors levels off",
    risk="none beyond an ordinary code change",
    rollback="revert the change",
    verify=_VERIFY,
)
_GC_FREEZE = Prescription(
    id="gc-freeze",
    action="Freeze the preloaded heap before forking, so that garbage collections in workers do not copy its pages.",
    command="import gc; gc.disable(); ...load the application...; gc.freeze()  # in the master; gc.enable() after fork",
    expected="less of the preloaded heap is copied into each worker",
    risk="reads still copy pages, because they change reference counts",
    rollback="remove the calls",
    verify="run the same scenario again and compare each worker's growth after its fork",
)
_LONGER = Prescription(
    id="run-longer",
    action="Run the same scenario with more rounds.",
    command=None,
    expected="a firm verdict: leak, warm-up or healthy",
    risk="takes longer",
    rollback="",
    verify="the verdict is no longer inconclusive",
)
_WATCH_LONGER = replace(
    _LONGER, id="watch-longer", action="Watch for longer; what grows with requests is found sooner by `harness run`."
)
_NO_RESTARTS = Prescription(
    id="measure-without-recycling",
    action="For the measurement, turn off worker recycling (gunicorn max_requests, php-fpm pm.max_requests, pm = static).",
    command=None,
    expected="the same workers live through all rounds and can be judged",
    risk="none outside the test environment",
    rollback="restore the settings",
    verify="the report lists no replaced workers",
)


def more_requests(endpoint: str, enough: int | None) -> Prescription:
    """Advice where requests to ``endpoint`` seem to keep memory; ``enough``: requests a round, of all endpoints together."""
    return Prescription(
        id="more-requests",
        action=f"Send more requests in each round, or more of them to {endpoint} (its weight): this run sent too few.",
        command=None if enough is None else f"load: {{requests_per_round: {enough}}}",
        expected="a firm verdict: what requests keep adds up until it stands out from the steps in which memory is taken",
        risk="takes longer",
        rollback="restore the number",
        verify="the verdict is no longer inconclusive",
    )


_FIX_LEAK = {"python": _fix_python, "php": _fix_native_php}


def for_cause(
    cause: Cause, runtime: str, endpoint: str | None, *, replaced: bool = False, watched: bool = False
) -> tuple[Prescription, ...]:
    """Recommendations for a cause, most useful first; empty when there is nothing to do."""
    where = f"the handler of {endpoint}" if endpoint is not None else "the code that answers the requests"
    recycle = {"php": (_RECYCLE_FPM,), "python": (_RECYCLE_PYTHON,)}.get(runtime, ())
    table: dict[Cause, tuple[Prescription, ...]] = {
        Cause.LEAK: (_FIX_LEAK.get(runtime, _fix_native)(where), *recycle),
        Cause.LEAK_OBJECTS: (_fix_php(where), _RECYCLE_WORKER) if runtime == "php" else (_fix_python(where), *recycle),
        Cause.LEAK_NATIVE: (_fix_native(where), *recycle),
        Cause.SHARED_MEMORY: (_APCU, _SHM_SIZE) if runtime == "php" else (),
        Cause.MAPPED_FILES: (_MAPPED,),
        Cause.THREADS: (_THREADS,),
        Cause.DESCRIPTORS: (_DESCRIPTORS,),
        Cause.COW_UNSHARING: (_GC_FREEZE,) if runtime == "python" else (),
        Cause.INCONCLUSIVE: (_NO_RESTARTS,) if replaced else (_WATCH_LONGER,) if watched else (_LONGER,),
    }
    return table.get(cause, ())
