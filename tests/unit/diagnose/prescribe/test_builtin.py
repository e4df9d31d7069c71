"""The rules of the package: each fires where it should, says what it saw, and proposes a change that is a scenario."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from situations import CONSUMER, FPM, GIB, HELD, HOST, MIB, PINNED, PYTHON, RECYCLING, RUN, Known

from harness.analysis.prescriptions import builtin_rules
from harness.diagnose.prescribe.apply import MOST, prescriptions_for
from harness.diagnose.prescribe.rule import Rule, merged
from harness.model.finding import Advice, Cause
from harness.scenario.reader import parse_scenario

RULES = merged([builtin_rules()])
BY_ID = {rule.id: rule for rule in RULES}

# cause, what is known, the rules that must fire. What is not listed may or may not.
CASES: dict[str, tuple[Cause, Known, str]] = {
    "python objects": (
        Cause.LEAK_OBJECTS,
        {**PYTHON, **RECYCLING, "garbage_share": 0.2},
        "fix-retention bound-the-cache find-the-line free-garbage-first recycle-gunicorn answer-arenas-and-leaks "
        "answer-gc-disable-and-leaks",
    ),
    "python objects, holder known": (
        Cause.LEAK_OBJECTS,
        {**PYTHON, "file": "shop/orders.py", "holder": "module shop.cache _ENTRIES -> list of 137"},
        "bound-the-holder bound-the-cache",
    ),
    "php consumer, profiled in vain": (
        Cause.LEAK_OBJECTS,
        {
            **CONSUMER,
            "profiled_with": "xdebug xdebug_trace",
            "why_no_line": "no function in the trace grew by about the 377.4 KiB that the worker keeps each time",
        },
        "fix-retention-php narrow-down-the-profile",
    ),
    "python, profiled with another tool only": (
        Cause.LEAK_OBJECTS,
        {**PYTHON, "profiled_with": "cprofile"},
        "fix-retention find-the-line",
    ),
    "python native": (
        Cause.LEAK_NATIVE,
        {**PYTHON, **RECYCLING, "server": "uwsgi"},
        "fix-native find-the-line-native recycle-uwsgi answer-arenas-and-leaks",
    ),
    "python mappings": (Cause.LEAK_MMAP, {**PYTHON, **RECYCLING, "server": "celery"}, "fix-mmap recycle-celery"),
    "python, kind unknown": (
        Cause.LEAK,
        {**PYTHON, **RECYCLING, "server": "uvicorn"},
        "fix-leak-of-unknown-kind recycle-uvicorn",
    ),
    "any script": (
        Cause.LEAK,
        {**PYTHON, **RECYCLING, "runtime": "any", "server": "other"},
        "fix-leak-of-unknown-kind restart-controlled",
    ),
    "recycling does not pay": (
        Cause.COW_UNSHARING,
        {**PYTHON, **RECYCLING, "recycling_pays": False, "collector_writes": 1.0, "unshared_bytes_per_round": 8.0 * MIB},
        "gc-freeze share-data-outside-objects plan-for-copies answer-gc-disable answer-recycling-does-not-pay",
    ),
    "too many workers for memory": (Cause.LEAK_OBJECTS, {**PYTHON, "affordable_workers": 3.0}, "fewer-workers"),
    "fpm native": (
        Cause.LEAK_NATIVE,
        {**FPM, **RECYCLING, "opcache_interned_free_bytes": 0.0, "affordable_workers": 2.0},
        "fix-native-php recycle-fpm answer-memory-get-usage opcache-interned-strings fpm-fewer-children",
    ),
    "php consumer objects": (
        Cause.LEAK_OBJECTS,
        {**CONSUMER, **RECYCLING},
        "fix-retention-php find-the-line-php recycle-messenger",
    ),
    "php consumer, too little known": (Cause.LEAK_OBJECTS, CONSUMER, "fix-retention-php recycle-worker"),
    "laravel worker": (Cause.LEAK_OBJECTS, {**CONSUMER, **RECYCLING, "server": "queue-worker"}, "recycle-queue-worker"),
    "threads of glibc": (
        Cause.FRAGMENTATION,
        {**PYTHON, **HELD},
        "malloc-arenas malloc-trim-when-idle jemalloc-preload tcmalloc-preload stream-instead-of-build pool-buffers "
        "long-lived-apart answer-trim-threshold answer-mimalloc",
    ),
    "still growing, few arenas": (
        Cause.FRAGMENTATION,
        {**PYTHON, "held_bytes_per_round": 1.0 * MIB},
        "see-fragmentation-level-off",
    ),
    "one large request": (
        Cause.RETENTION,
        {**PYTHON, **HELD, "glibc_arenas": 1.0},
        "malloc-trim-when-idle jemalloc-preload stream-instead-of-build limit-the-largest-request answer-trim-threshold",
    ),
    "thresholds set": (
        Cause.RETENTION,
        {**PYTHON, **HELD, "env.MALLOC_TRIM_THRESHOLD_": 131072.0},
        "malloc-thresholds-unset malloc-arenas",
    ),
    "pinned arenas": (
        Cause.FRAGMENTATION,
        {**PYTHON, **PINNED},
        "pymalloc-big-work-in-child pymalloc-try-malloc long-lived-apart",
    ),
    "php chunks": (
        Cause.FRAGMENTATION,
        {**CONSUMER, "zend_held_bytes": 120.0 * MIB},
        "zend-give-back-caches zend-large-jobs-apart",
    ),
    "fpm after a large request": (Cause.RETENTION, {**FPM, "zend_held_bytes": 60.0 * MIB}, "answer-fpm-high-water"),
    "collector off": (
        Cause.GC_DELAY,
        {**PYTHON, "gc_enabled": 0.0, "gc_freed_objects": 240600.0},
        "gc-enable gc-break-cycles answer-gc-disable",
    ),
    "collector late": (
        Cause.GC_DELAY,
        {**PYTHON, "gc_freed_objects": 240600.0, "gc_pause_ns": 9e7},
        "gc-break-cycles gc-collect-between-requests gc-freeze-long-lived answer-gc-disable",
    ),
    "threshold raised": (
        Cause.GC_DELAY,
        {**PYTHON, "gc_freed_objects": 240600.0, "gc_threshold": 50_000.0},
        "gc-threshold-restore",
    ),
    "php collector off": (Cause.GC_DELAY, {**CONSUMER, "gc_enabled": 0.0}, "gc-enable-php gc-break-cycles"),
    "php collector late": (Cause.GC_DELAY, CONSUMER, "gc-collect-after-jobs"),
    "frozen, but read": (
        Cause.COW_UNSHARING,
        {**PYTHON, "gc_frozen_objects": 300_000.0, "unshared_bytes_per_round": 1.0 * MIB},
        "share-data-outside-objects plan-for-copies",
    ),
    "apcu fills": (
        Cause.SHARED_MEMORY,
        FPM,
        "apcu-ttl apcu-size answer-fpm-recycling-and-shared-memory",
    ),
    "apcu unseen": (
        Cause.SHARED_MEMORY,
        {k: v for k, v in FPM.items() if not k.startswith("apcu")},
        "apcu-ttl-unseen",
    ),
    "shared memory of python": (Cause.SHARED_MEMORY, PYTHON, "shared-memory-segments"),
    "opcache full": (
        Cause.HEALTHY,
        {**FPM, "opcache_restarts": 3.0, "opcache_wasted_bytes": 40.0 * MIB, "opcache_free_bytes": 0.0, "apcu_expunges": 2.0},
        "opcache-size opcache-wasted apcu-enlarge",
    ),
    "children reached": (
        Cause.HEALTHY,
        {**FPM, "fpm_max_children_reached": 12.0},
        "fpm-more-children nothing-to-do",
    ),
    "files on a tmpfs": (
        Cause.SHARED_MEMORY,
        {**PYTHON, "shared_memory_bytes": 0.0, "tmpfs_bytes_per_round": 2.0 * MIB},
        "remove-tmpfs-files",
    ),
    "mapped files": (Cause.MAPPED_FILES, PYTHON, "bound-mapped-files"),
    "threads": (
        Cause.THREADS,
        {**PYTHON, "threads": 120.0, "glibc_arenas": 32.0},
        "pool-threads threads-fewer-arenas answer-thread-stacks",
    ),
    "sockets": (
        Cause.DESCRIPTORS,
        {**PYTHON, "descriptors": 400.0},
        "close-descriptors idle-connections answer-raise-ulimit",
    ),
    "no room, no preload": (
        Cause.HEALTHY,
        {**PYTHON, "worker_first_private_bytes": 120.0 * MIB, "memory_budget_bytes": 800.0 * MIB},
        "preload-application nothing-to-do",
    ),
    "huge pages for all": (
        Cause.THP,
        {**PYTHON, "thp.enabled": "always", "huge_bytes": 300.0 * MIB},
        "thp-madvise thp-off-for-the-process thp-khugepaged",
    ),
    "out of memory": (
        Cause.KERNEL_PRESSURE,
        {**PYTHON, "memory_available_bytes": 0.4 * GIB, "swapped_out_bytes": 2.0 * GIB, "affordable_workers": 2.0},
        "fit-into-memory fewer-workers answer-min-free-kbytes",
    ),
    "swapping too early": (
        Cause.KERNEL_PRESSURE,
        {**HOST, "swapped_out_bytes": 500.0 * MIB, "direct_reclaims": 40.0},
        "swappiness watermark-scale-factor",
    ),
    "at the group's limit": (
        Cause.KERNEL_PRESSURE,
        {**PYTHON, "memory_limit_bytes": 340.0 * MIB},
        "group-limit",
    ),
    "killed at the group's limit, far from it on average": (
        Cause.KERNEL_PRESSURE,
        {**PYTHON, "memory_limit_bytes": 2.0 * GIB, "limit_kills": 1.0},
        "group-kill",
    ),
    "slab under pressure": (
        Cause.KERNEL_SLAB,
        {**HOST, "sreclaimable_bytes": 5.0 * GIB, "memory_available_bytes": 1.5 * GIB, "dentry_bytes": 3.0 * GIB},
        "vfs-cache-pressure stop-probing-missing-files answer-drop-caches",
    ),
    "slab for good": (Cause.KERNEL_SLAB, {**HOST, "sunreclaim_bytes": 2.0 * GIB}, "unreclaimable-slab"),
    "compaction": (
        Cause.KERNEL_FRAGMENTATION,
        {**HOST, "compaction_stalls": 30.0, "compaction_failures": 12.0, "huge_fallbacks": 9.0},
        "compact-once compaction-proactiveness answer-min-free-kbytes answer-fragmented-memory-and-swap",
    ),
    "page cache": (
        Cause.PAGE_CACHE,
        {**HOST, "refaults": 90_000.0},
        "drop-file-pages-after-use page-cache-is-no-leak answer-drop-caches",
    ),
    "little is free": (Cause.HEALTHY, {**PYTHON, "memory_free_bytes": 0.2 * GIB}, "answer-free-memory-is-low"),
    "warmed up": (Cause.WARMUP, PYTHON, "longer-warmup nothing-to-do"),
    "watched": (
        Cause.HEALTHY,
        {**PYTHON, "load_kind": "observe", "watched": True, "launched": False},
        "nothing-to-do-watched",
    ),
    "watched too briefly": (
        Cause.INCONCLUSIVE,
        {**PYTHON, "load_kind": "observe", "watched": True, "launched": False},
        "watch-longer",
    ),
    "workers replaced": (
        Cause.INCONCLUSIVE,
        {**PYTHON, "replaced_workers": 3.0, "judged_requests_share": 0.2},
        "measure-without-recycling",
    ),
    "one endpoint stands out": (
        Cause.INCONCLUSIVE,
        {**PYTHON, "enough_requests_per_round": 4000.0},
        "more-requests",
    ),
    "slows down": (
        Cause.INCONCLUSIVE,
        {**PYTHON, "endpoint": None, "more_rounds": 9.0},
        "run-until-it-levels-off",
    ),
    "unclear": (Cause.INCONCLUSIVE, {**PYTHON, "endpoint": None}, "run-longer"),
    "stages": (Cause.INCONCLUSIVE, {**PYTHON, "endpoint": None, "load_kind": "stages"}, "measure-in-rounds"),
}  # fmt: skip
BASE = {
    "name": "x",
    "target": {"runtime": "python", "launch": "a", "url": "http://127.0.0.1/", "env": {"A": "1"}},
    "requests": [{"name": "home", "get": "/"}],
    "load": {"rounds": 8, "requests_per_round": 100},
}


def test_there_are_enough_of_them() -> None:
    assert len(RULES) >= 90
    assert {cause for rule in RULES for cause in rule.causes} == set(Cause)
    assert sum(rule.kind is Advice.ANSWER for rule in RULES) >= 10


@pytest.mark.parametrize("case", CASES)
def test_a_rule_fires_where_it_should(case: str) -> None:
    cause, known, expected = CASES[case]
    fired = {p.id: p for rule in RULES for p in prescriptions_for(cause, known, [rule])}
    assert set(expected.split()) - set(fired) == set()
    for prescription in fired.values():
        assert prescription.because
        assert "unknown" not in prescription.because
        assert "{" not in prescription.because


@pytest.mark.parametrize("case", CASES)
def test_what_is_shown_is_few_and_in_order(case: str) -> None:
    cause, known, _ = CASES[case]
    shown = prescriptions_for(cause, known, RULES)
    assert shown
    assert sum(p.kind is Advice.DO for p in shown) <= MOST
    kinds = [p.kind for p in shown]
    assert kinds == sorted(kinds, key=lambda kind: kind is Advice.ANSWER)
    priorities = [BY_ID[p.id].priority for p in shown if p.kind is Advice.DO]
    assert priorities == sorted(priorities)


def test_every_rule_has_a_case() -> None:
    assert set(BY_ID) - {name for _, _, expected in CASES.values() for name in expected.split()} == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_nothing_observed_means_nothing_said(rule: Rule) -> None:
    """Every rule gives as its reason something that was observed."""
    for cause in rule.causes:
        runtime = next(iter(rule.runtimes), "python")
        server = next(iter(rule.servers), "other")
        assert prescriptions_for(cause, {"runtime": runtime, "server": server}, [rule]) == ()


@pytest.mark.parametrize("case", CASES)
def test_changes_make_valid_scenarios(case: str) -> None:
    cause, known, _ = CASES[case]
    for rule in RULES:
        for prescription in prescriptions_for(cause, known, [rule]):
            if prescription.change is not None:
                changed = combined(BASE, yaml.safe_load(prescription.change))
                if "php" in changed["target"]:
                    changed["target"]["runtime"] = "php"
                parse_scenario(yaml.safe_dump(changed))


def combined(base: Any, change: Any) -> Any:
    if isinstance(base, dict) and isinstance(change, dict):
        return {key: combined(base.get(key), change.get(key, base.get(key))) for key in {**base, **change}}
    return change


@pytest.mark.parametrize(
    ("cause", "known", "advice"),
    [
        (Cause.LEAK_OBJECTS, {**PYTHON, "file": "shop/orders.py"}, "find-the-line"),
        (Cause.LEAK_OBJECTS, {**PYTHON, "profiled_with": "survivors tracemalloc"}, "find-the-line"),
        (Cause.LEAK_NATIVE, {**PYTHON, "profiled_with": "memray"}, "find-the-line-native"),
        (Cause.LEAK_OBJECTS, {**CONSUMER, "profiled_with": "xdebug xdebug_trace"}, "find-the-line-php"),
        (Cause.LEAK_OBJECTS, {**PYTHON, "holder": "module shop.cache _ENTRIES"}, "fix-retention"),
        (Cause.LEAK_OBJECTS, {**CONSUMER, "holder": "class Registry"}, "fix-retention-php"),
        (Cause.FRAGMENTATION, {**PYTHON, **HELD, "env.MALLOC_ARENA_MAX": 2.0}, "malloc-arenas"),
        (Cause.FRAGMENTATION, {**PYTHON, **HELD, "allocator": "jemalloc"}, "jemalloc-preload"),
        (
            Cause.FRAGMENTATION,
            {**PYTHON, "glibc_arenas": 17.0},
            "malloc-arenas",
        ),  # many arenas, but little free in them
        (
            Cause.RETENTION,
            {**PYTHON, **HELD, "trimmed_bytes": 0.0, "trim_returned_bytes": 0.0},
            "malloc-trim-when-idle",
        ),
        (Cause.COW_UNSHARING, {**PYTHON, "unshared_bytes_per_round": 9e6, "gc_frozen_objects": 9e5}, "gc-freeze"),
        (Cause.COW_UNSHARING, {**PYTHON, "unshared_bytes_per_round": 9e6, "collector_writes": 0.0}, "gc-freeze"),
        (Cause.KERNEL_PRESSURE, {**HOST, "memory_available_bytes": 1e8, "swapped_out_bytes": 1e9}, "swappiness"),
        (Cause.THP, {**PYTHON, "huge_bytes": 1e8}, "thp-madvise"),
        (Cause.HEALTHY, FPM, "opcache-size"),
        (Cause.LEAK_OBJECTS, {**PYTHON, **RECYCLING, "recycling_pays": False}, "recycle-gunicorn"),
        (Cause.INCONCLUSIVE, {**PYTHON, "replaced_workers": 1.0}, "measure-without-recycling"),
        (
            Cause.INCONCLUSIVE,
            {**PYTHON, "replaced_workers": 3.0, "judged_requests_share": 0.2, "endpoint": None},
            "run-longer",
        ),
    ],
)
def test_rules_stay_quiet_where_the_evidence_does_not_fit(cause: Cause, known: Known, advice: str) -> None:
    assert prescriptions_for(cause, known, [BY_ID[advice]]) == ()


def test_numbers_of_the_finding_reach_the_text() -> None:
    known = {**PYTHON, **HELD}
    (arenas,) = prescriptions_for(Cause.FRAGMENTATION, known, [BY_ID["malloc-arenas"]])
    assert arenas.because == "Free memory of 350.0 MiB lies in up to 17 arenas of a worker, beside 24.0 MiB in use."
    assert arenas.change == 'target:\n  env:\n    MALLOC_ARENA_MAX: "2"\n'
    (celery,) = prescriptions_for(Cause.LEAK, {**PYTHON, **RECYCLING, "server": "celery"}, [BY_ID["recycle-celery"]])
    assert celery.command == "worker_max_tasks_per_child = 5000\nworker_max_memory_per_child = 140288  # KiB\n"


def test_what_was_not_launched_cannot_be_changed() -> None:
    (arenas,) = prescriptions_for(Cause.FRAGMENTATION, {**PYTHON, **HELD, "launched": False}, [BY_ID["malloc-arenas"]])
    assert arenas.change is None
    (longer,) = prescriptions_for(
        Cause.INCONCLUSIVE, {**RUN, "endpoint": None, "runtime": "any", "launched": False}, [BY_ID["run-longer"]]
    )
    assert longer.change == "load:\n  rounds: 16\n"


def test_common_wrong_advice_is_never_given() -> None:
    """It may be answered, not prescribed."""
    for rule in RULES:
        if rule.kind is Advice.DO:
            commands = rule.texts["command"].text if "command" in rule.texts else ""
            for wrong in ("min_free_kbytes", "drop_caches", "mimalloc", "swapon", "TRIM_THRESHOLD_="):
                assert wrong not in commands, rule.id
            if "gc.disable()" in commands:
                assert "gc.freeze()" in commands  # in the master only, before the fork
