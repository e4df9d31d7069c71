"""Scripts in PHP that live long: their heap is never dropped, so everything can pile up in it that PHP can pile up."""

from __future__ import annotations

from dataclasses import dataclass, replace

from specimens import php_apps
from specimens.model import Group, Place, Specimen, Truth

_ANY = {"each_round": None}  # what the work of a round is called where nobody sends requests; it may be named or not


@dataclass(frozen=True, slots=True)
class _Case:
    """``use``: defect, size and so on of the jobs of this kind, which one in ten is."""

    name: str
    use: str
    truth: Truth
    kind: str = "cart"
    jobs: int = 400
    polls: bool = True
    warmup: int = 2
    held_out: bool = False
    quick: bool = False


_STATIC = Place("php/defects/static_list.php", "static_list")
_EVENTS = Place("php/defects/event_log.php", "EventLog->add")
_CLASSES = Place("php/defects/new_classes.php", "new_classes")


def _leak(cause: str, why: str, place: Place | None = None) -> Truth:
    return Truth((cause,), why, place=place)


_ARRAY = _leak("leak.objects", "A function appends to its static array in every job of one kind.", _STATIC)
_LOG = _leak("leak.objects", "An object that everybody shares has a history without a limit.", _EVENTS)
_CLASS = _leak("leak.objects", "Every job makes classes by eval(); PHP never forgets a class.", _CLASSES)
_DOM = _leak(
    "leak.native", "DOM documents are kept; their nodes are libxml2's and come from malloc, outside of PHP's heap."
)
_XML = _leak(
    "leak.native",
    "libxml's errors are collected and never cleared: the list is PHP's, the long texts (four fifths of it) come from malloc.",
)
_FFI = _leak("leak.native", "A buffer that is taken from malloc by FFI is never freed.")
_ICU = _leak("leak.native", "Formatters of ICU are kept in a cache whose key is never the same twice.")
_CYCLES_OFF = Truth(
    ("gc-delay",), "Pairs of objects that refer to each other, with the collector switched off: all of it is garbage."
)
_CYCLES_UNASKED = replace(_CYCLES_OFF, causes=("gc-delay", "inconclusive"))  # nobody can make that worker collect
_CYCLES_RARE = Truth(
    ("gc-delay", "inconclusive"),
    "Pairs of objects that refer to each other, fewer than the 10 000 in the whole run that would start the collector.",
    healthy=True,
)
_CYCLES_ON = Truth(
    ("healthy",),
    "Pairs of objects that refer to each other, so many that the collector runs several times in every round.",
    healthy=True,
    also=("gc-delay", "retention", "fragmentation"),
)
_SURVIVORS = Truth(
    ("fragmentation",),
    "The first job makes 400 000 small strings and keeps one in 8000: every chunk of 2 MiB has a survivor, 100 MiB are free, "
    "and gc_mem_caches() gives nothing of it back.",
    healthy=True,
    also=("retention",),
)
_BLOCKS = Truth(
    ("fragmentation",),
    "The first job makes thousands of blocks of 30 kB and keeps one in 60: every chunk has a survivor, 125 MiB are free, and "
    "gc_mem_caches() gives nothing of it back.",
    healthy=True,
    also=("retention",),
)
_BIG_JOB = Truth(
    ("retention",),
    "One job in the middle of the run needs 125 MiB of small arrays and keeps none: PHP keeps the pages for its own free lists, "
    "and gc_mem_caches() gives 97 % of it back.",
    healthy=True,
)
_BIG_JOB_UNASKED = replace(_BIG_JOB, causes=("retention", "fragmentation"))
_FILLS = Truth(
    ("warmup", "healthy"), "A cache with a limit fills in the first measured rounds and then stays.", healthy=True
)
_NOTHING = Truth(("healthy",), "The worker keeps nothing.", healthy=True)


_CASES = (
    _Case("array", "static_list 3000", _ARRAY, quick=True),
    _Case("array-waits", "static_list 9000", _ARRAY, kind="search", polls=False, held_out=True),
    _Case("array-small", "static_list 150", replace(_ARRAY, below_mdl=True), kind="feed"),
    _Case("event-log", "event_log 10", _LOG, polls=False),
    _Case("event-log-slow", "event_log 2", replace(_LOG, below_mdl=True), kind="invoice", held_out=True),
    _Case("classes", "new_classes 2", _CLASS),
    _Case("classes-many", "new_classes 6", _CLASS, kind="home", polls=False, held_out=True),
    _Case("dom", "documents_kept 30", _DOM),
    _Case("dom-small", "documents_kept 8", _DOM, kind="about", polls=False, held_out=True),
    _Case("xml-errors", "xml_errors 20", _XML, kind="checkout"),
    _Case("ffi-malloc", "native_buffer 3000", _FFI, kind="product"),
    _Case("ffi-malloc-large", "native_buffer 20000", _FFI, kind="list", polls=False, held_out=True),
    _Case("icu-formatters", "collators 1", _ICU, kind="account"),
    _Case("cycles-gc-off", "cycles_gc_off 20", _CYCLES_OFF),
    # Held out until somebody looked at its recording while writing a rule.
    _Case("cycles-gc-off-waits", "cycles_gc_off 45", _CYCLES_UNASKED, kind="feed", polls=False),
    _Case("cycles-gc-rare", "cycles 20", _CYCLES_RARE),
    _Case("cycles-gc-rare-other", "cycles 12", _CYCLES_RARE, kind="home", held_out=True),
    _Case("cycles-gc-on", "cycles 1200", _CYCLES_ON),
    _Case("cycles-gc-on-waits", "cycles 2100", _CYCLES_ON, kind="search", polls=False, held_out=True),
    _Case("one-survivor-a-chunk", "one_survivor 400000 8000", _SURVIVORS, jobs=200),
    _Case("blocks-one-in-60", "big_blocks 4000 60", _BLOCKS, jobs=200, polls=False, held_out=True),
    _Case("one-big-job", "one_big_job 500000 110", _BIG_JOB, jobs=200),
    _Case("one-big-job-unasked", "one_big_job 300000 90", _BIG_JOB_UNASKED, kind="about", jobs=200, polls=False, held_out=True),
    _Case("cache-with-a-limit", "lru 60000 130", _FILLS, warmup=1),
    _Case("cache-with-a-limit-other", "lru 12000 400", _FILLS, kind="list", jobs=1000, warmup=1, held_out=True),
    _Case("keeps-nothing", "", _NOTHING),
)  # fmt: skip


def specimens() -> list[Specimen]:
    """One of each, and others with other sizes and speeds that are held out."""
    return [_specimen(case, seed) for seed, case in enumerate(_CASES)]


def _specimen(case: _Case, seed: int) -> Specimen:
    return Specimen(
        name=f"php-worker-{case.name}",
        family="php_workers",
        runtime="php",
        scenario=php_apps.worker(case.use, kind=case.kind, jobs=case.jobs, polls=case.polls, warmup=case.warmup),
        truth=replace(case.truth, endpoints={} if case.truth.healthy else _ANY),
        group=Group.HELD_OUT if case.held_out else Group.DEVELOPMENT,
        quick=case.quick,
        sources=php_apps.SOURCES,
        programs=("php",),
        seed=seed,
    )
