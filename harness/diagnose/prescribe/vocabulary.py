"""The names that conditions and texts of rules may use, with what each means (`observed`, `levels`, `restarts` fill them in).

The unit is the end of a name. What a run did not see is unknown. Besides these there are names with a dot:
``env.NAME`` (environment that the scenario gives to what it launches), ``pool.NAME`` (what the adapter knows of this pool:
``pool.sapi``, ``pool.heap``), and the kernel's settings under their own names (``vm.swappiness``, ``thp.enabled``).
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.diagnose.prescribe.language import Kind, LanguageError
from harness.scenario.hints import did_you_mean

SPACES = (
    "env", "pool", "vm", "kernel", "net", "fs", "thp", "ksm", "zswap", "mglru", "numa", "damon", "cmdline",
)  # fmt: skip
_NUMBER, _TEXT, _TRUTH = Kind.NUMBER, Kind.TEXT, Kind.TRUTH


@dataclass(frozen=True, slots=True)
class Name:
    """``meaning``: a short phrase, for the documentation."""

    name: str
    kind: Kind
    meaning: str


def _all(kind: Kind, **meanings: str) -> tuple[Name, ...]:
    return tuple(Name(name, kind, meaning) for name, meaning in meanings.items())


FINDING = (
    *_all(
        _TEXT,
        cause="the finding's cause",
        severity="critical, warning or info",
        confidence="high, medium or low",
        where="where to look: the line if it is known, else the handler of the endpoint, else what answers requests or "
        "runs in the background",
        growth="growth per request and per hour, in words",
        endpoint="the endpoint that is named",
        file="the file that is named",
        function="the function that is named",
        holder="what holds the objects that are kept, from its root on, by a profile",
        why_no_line="why no line is named although profiles were made",
    ),
    *_all(_TRUTH, secondary="whether it goes with another finding that explains more"),
    *_all(
        _NUMBER,
        line="the line that is named",
        growth_bytes_per_request="growth per request, of the endpoint where one is named",
        growth_bytes_per_hour="growth per hour at the rate of the rounds, pauses left out",
        mdl_bytes_per_request="smallest growth per request (to the endpoint that is named, else on average) that this run could "
        "have seen; unknown where what was found is smaller",
    ),
)

RUN = (
    *_all(
        _TEXT,
        runtime="python, php or any",
        server="gunicorn, uvicorn, uwsgi, celery, php-fpm, apache, php-server, messenger, queue-worker, script or other",
        allocator="the malloc in use: glibc, jemalloc, tcmalloc, mimalloc, musl",
        load_kind="rounds, each_round, command, locustfile, observe or stages",
        command="command line of the pool's oldest process",
        profiled_with="the tools whose profiles the run holds, with blanks between; empty where none was made",
        run_status="complete, interrupted, guard, failed or recording",
    ),
    *_all(
        _TRUTH,
        launched="whether the target was launched by the scenario, so that its environment can be changed there",
        watched="whether the run only looked on, without traffic of its own",
        preload="whether gunicorn loads the application before it forks (by its command line)",
    ),
    *_all(
        _NUMBER,
        python_minor="11 for Python 3.11",
        rounds="judged rounds",
        requests_per_round="requests of the pool's judged workers in one round",
        requests_per_hour="the same in an hour at the rate of the rounds, pauses left out",
        judged_requests_share="share of the pool's requests that workers answered who lived through all judged rounds",
        enough_requests_per_round="requests in one round with which the growth that one endpoint seems to have would be called",
        more_rounds="further rounds after which a curve that slows down will have ended",
    ),
)

POOL = _all(
    _NUMBER,
    workers="workers that lived through all judged rounds",
    replaced_workers="workers that were replaced meanwhile",
    threads="most threads in one of the pool's processes",
    descriptors="most open descriptors in one of the pool's processes",
    pss_bytes="PSS of the pool after the last round",
    worker_pss_bytes="PSS of a worker after the last round, median",
    worker_peak_bytes="most PSS that a worker had at any sweep of the judged rounds",
    worker_private_bytes="private memory of a worker after the last round, median",
    worker_first_private_bytes="the same after the first judged round",
    shared_memory_bytes="shared memory of the pool after the last round",
    file_bytes="mapped file pages of the pool after the last round",
    shared_dirty_bytes="pages of a worker that it shares with its master and that were written before the fork, median",
    huge_bytes="anonymous huge pages of the pool",
    unshared_bytes_per_round="bytes of shared pages that the workers copied in one round",
    glibc_held_bytes="free memory that glibc's malloc keeps in all workers",
    glibc_used_bytes="memory in use in glibc's malloc in all workers",
    glibc_top_bytes="free memory at the ends of the main arenas, which MALLOC_TOP_PAD_ and the trim threshold decide on",
    glibc_arenas="most arenas of glibc's malloc in one worker",
    pymalloc_live_bytes="memory in use in pymalloc's arenas in all workers",
    pymalloc_held_bytes="free memory that pymalloc's arenas keep in all workers",
    pymalloc_occupancy_share="share of pymalloc's arenas that is in use",
    zend_live_bytes="memory in use in Zend's heaps in all workers",
    zend_held_bytes="free memory that Zend's heaps keep in all workers",
    gc_enabled="1 where the garbage collector is on in every worker, 0 where it is off in one",
    gc_threshold="allocations before a collection of the youngest generation; PHP: roots before a run",
    gc_threshold_oldest="how often the middle generation is collected before the oldest is considered",
    gc_full_collections="full collections in a worker since it began, the least of all",
    gc_frozen_objects="objects that gc.freeze() took out of collections, the least of all workers",
    gc_roots="entries that the collector of one PHP worker has yet to look at, the most of all",
    trimmed_bytes="memory that the workers gave back when they were told to after the last round",
    opcache_size_bytes="size of the opcache's shared memory",
    opcache_free_bytes="what is free of it",
    opcache_wasted_bytes="what is wasted of it by scripts that were replaced",
    opcache_restarts="restarts of the opcache for lack of memory or hash slots",
    opcache_interned_size_bytes="size of the buffer for interned strings",
    opcache_interned_free_bytes="what is free of it",
    opcache_scripts="scripts in the opcache",
    apcu_size_bytes="size of APCu's shared memory",
    apcu_free_bytes="what is free of it",
    apcu_entries="entries in APCu",
    apcu_expunges="times that APCu threw everything away because it was full",
    apcu_misses="lookups in APCu that found nothing",
    apcu_hits="lookups in APCu that found something",
    fpm_max_children_reached="times that php-fpm would have needed more workers than it may start",
    fpm_queue_highest="most connections that waited for a worker of php-fpm",
    fpm_active_highest="most workers of php-fpm that were busy at once",
    fpm_workers="workers of php-fpm",
    memory_limit_bytes="limit of the memory cgroup that the pool runs in; unknown where there is none",
    memory_budget_bytes="what the pool could use: its limit, or what it uses with four fifths of the memory that is available",
    affordable_workers="workers of the highest PSS seen that fit into the budget",
)

HOST = _all(
    _NUMBER,
    processors="processors of the machine",
    memory_total_bytes="memory of the machine",
    memory_available_bytes="MemAvailable after the last round",
    memory_free_bytes="MemFree after the last round",
    cached_bytes="page cache after the last round",
    sreclaimable_bytes="kernel caches that can be given up",
    sunreclaim_bytes="kernel memory that cannot be given up",
    dentry_bytes="directory entries that the kernel caches",
    swap_size_bytes="size of all swap areas",
    swap_used_bytes="what is used of them",
    swapped_out_bytes="bytes written to swap during the judged rounds",
    swapped_in_bytes="bytes read from swap during the judged rounds",
    direct_reclaims="times that a process had to free memory itself before it got any",
    refaults="file pages that were read again soon after they had been given up",
    compaction_stalls="times that a process had to wait while memory was moved together",
    compaction_failures="times that moving memory together gave no large enough block",
    huge_fallbacks="times that a huge page was wanted and small ones were taken",
    pressure_share="share of time in which some task waited for memory, the most in ten seconds",
)

RECYCLING = (
    *_all(
        _TEXT, recycling_policy="max-requests, memory-limit or none", recycling_table="the simulated policies, a table"
    ),
    *_all(_TRUTH, recycling_pays="whether replacing workers saves enough to be worth its cold starts"),
    *_all(
        _NUMBER,
        recycling_requests="requests after which a worker is best replaced",
        recycling_jitter_requests="most that is added to that by chance, so that workers are not replaced together",
        recycling_limit_bytes="private memory of a worker above which it would be replaced as often",
        recycling_peak_bytes="highest private memory of the pool then",
        recycling_average_bytes="average private memory of the pool then",
        recycling_saved_bytes="what that saves at the peak, against no replacement",
        recycling_horizon_s="the time that is compared",
        recycling_starts_per_hour="cold starts in an hour of the measured traffic",
        cold_start_s="extra time that the first requests to a new worker took",
    ),
)

# What rules of `harness.diagnose.rules` put into ``Finding.numbers``.
NUMBERS = _all(
    _NUMBER,
    explains_bytes_per_round="of the pool's growth, what the finding accounts for",
    growth_bytes_per_round="growth of what the finding is about in one round",
    time_share="of the growth, what goes with time and not with requests; known where that is most of it",
    garbage_share="of the growth, what a full collection after the last round freed",
    garbage_bytes="live memory that this collection freed",
    gc_freed_objects="objects that it freed",
    gc_pause_ns="how long it took in the worker where it took longest",
    held_bytes="free memory that allocators keep in all workers",
    held_share="the same as a share of private memory",
    held_bytes_per_round="by which it grows in one round",
    occupancy_share="share of the allocator's memory that is in use, of the allocator that keeps most",
    step_bytes="the one step in which memory rose",
    trim_returned_bytes="what the workers gave back when they were told to",
    count_per_round="by how many threads or descriptors become more in one round",
    mapped_descriptors_per_round="of them, descriptors that came with a mapping of a file or of shared memory",
    copied_bytes_per_round="pages shared since the fork that the workers copied in one round",
    still_shared_bytes="what they still share and may copy",
    collector_writes="1 where full collections are what copies pages, 0 where they are not",
    tmpfs_bytes_per_round="by which files on a tmpfs grow in one round that no process has mapped",
    segment_bytes="size of the shared segment that fills up",
    segment_free_bytes="what is free of it",
    huge_bytes_per_round="by which anonymous huge pages grow in one round",
    thp_slack_bytes="memory in huge pages that is certainly not in use",
    unreclaimable_share="1 where the kernel cannot give up the objects that grow, 0 where it can",
    limit_hits="times that the memory group hit its limit during the judged rounds",
    limit_kills="processes of the memory group that the kernel killed for its limit during the judged rounds",
    stalled_share="share of the time in which some task waited for memory",
    major_faults_per_second="pages that processes of the pool waited for, from disk or swap",
    unusable_share="share of free memory in blocks too small for a huge page",
    compaction_stalls_per_second="times that a task waited while memory was moved together",
    huge_fallback_share="share of the wanted huge pages that were not to be had",
)

ALL: dict[str, Name] = {n.name: n for n in (*FINDING, *RUN, *POOL, *HOST, *RECYCLING, *NUMBERS)}


def kind_of(name: str) -> Kind:
    """The kind of a name. Raises LanguageError for a name that nothing will ever fill in."""
    if "." in name:
        space = name.partition(".")[0]
        if space not in SPACES:
            raise LanguageError(f"{name!r} does not exist: names with a dot begin with {', '.join(SPACES)}")
        return Kind.ANY
    found = ALL.get(name)
    if found is None:
        raise LanguageError(f"{name!r} does not exist{did_you_mean(name, ALL)}; docs/prescriptions.md lists the names")
    return found.kind
