from __future__ import annotations

from dataclasses import replace

import pytest
from cases import against, causes, findings, judged, row
from timelines import App, six

from harness.diagnose.rules.pool.shared_memory import RULE
from harness.model.finding import EXPLAINS, Cause, Confidence, Severity

MIB = 1024 * 1024
FILLS = App(endpoints=six(item={"shared_bytes": 20_000}))
PER_ROUND = 20_000 * 100  # each of six endpoints gets a sixth of 600 requests


def of_class(name: str, app: App = FILLS) -> App:
    return replace(app, further={**app.further, f"process.smaps.{name}.pss": (200_000, PER_ROUND // 4),
                                 f"process.smaps.{name}.count": (1, 0)})  # fmt: skip


def test_fires_where_shared_memory_grows() -> None:
    [found] = findings(RULE, FILLS)
    assert found.cause is Cause.SHARED_MEMORY
    assert found.subject.endpoint == "item"
    assert found.confidence is Confidence.HIGH
    assert found.numbers[EXPLAINS] == pytest.approx(PER_ROUND, rel=0.05)
    assert causes(FILLS) == {Cause.SHARED_MEMORY}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("shm", "POSIX shared memory"),
        ("sysv", "System V"),
        ("memfd", "memfd"),
        ("shared_anonymous", "MAP_SHARED"),
        ("data_file", "tmpfs"),
    ],
)
def test_the_kind_is_named(name: str, words: str) -> None:
    [found] = findings(RULE, of_class(name))
    assert words in found.summary
    assert row(found, "smaps.shared").value == pytest.approx(1, rel=0.1)


def test_apcu_and_opcache_say_how_full_they_are() -> None:
    segment = {"runtime.php.apcu.size": (128 * MIB, 0), "runtime.php.apcu.free": (100 * MIB, -PER_ROUND)}
    steady = {"runtime.php.opcache.size": (64 * MIB, 0), "runtime.php.opcache.free": (30 * MIB, 0)}
    php = of_class("opcache_apcu", replace(FILLS, runtime="php"))
    app = replace(php, further={**php.further, **segment, **steady})
    [found] = findings(RULE, app)
    assert "APCu" in found.summary
    assert found.severity is Severity.WARNING  # it is bounded
    assert found.numbers["segment_bytes"] == 128 * MIB
    assert against(found) == {"segment.full"}


def test_objects_that_own_the_blocks_go_with_them() -> None:
    owners = six(item={"shared_bytes": 50_000, "leak_bytes": 3_000, "leak_blocks": 8})
    app = App(endpoints=owners, blocks_at_floors=True)
    assert judged(app).verdict.cause is Cause.SHARED_MEMORY
    assert causes(app) == {Cause.SHARED_MEMORY}


@pytest.mark.parametrize(
    "app",
    [App(), App(shared_extra=lambda served: min(served, 1500) * 4000.0)],
    ids=["healthy", "a cache that has filled"],
)
def test_stays_quiet(app: App) -> None:
    assert not findings(RULE, app)


@pytest.mark.parametrize(
    "app",
    [replace(FILLS, rounds=5), replace(FILLS, metrics=("rss", "pss_anon"))],
    ids=["too few rounds", "not measured"],
)
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not findings(RULE, app)
