"""What makes runs incomparable, and what is only told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from timelines import App, simulate

from harness.compare.conditions import conditions_of, mismatches
from harness.compare.model import Mismatch
from harness.correlate.build import correlate
from harness.model.event import Event, Missing
from harness.model.run import RunManifest, RunStatus
from harness.model.timeline import Timeline

_SCENARIO = {
    "requests": [{"name": "home", "get": "/?key=hunter2", "weight": 2, "headers": {"Authorization": "Bearer hunter2"}}],
    "load": {"rounds": 8, "requests_per_round": 200, "concurrency": 2, "warmup_rounds": 2, "seed": 1},
    "target": {"launch": [{"run": "app --token hunter2", "env": {"KEY": "hunter2"}}]},
    "sample": {"interval": "1000000000ns", "heaps": True, "freeze": False, "budget": "1%"},
}
_HOST = {
    "cpus": 2,
    "kernel": "6.1",
    "machine": "x86_64",
    "memory_bytes": 8_000_000_000,
    "page_size_bytes": 4096,
    "node": "a",
}


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    found = correlate(simulate(App(requests=60, blocks=1)))
    manifest = replace(
        found.manifest, scenario=_SCENARIO, host=_HOST, facts={"vm.swappiness": 60, "thp.enabled": "never"}
    )
    event = Event(1, "process.runtime", None, "", {"runtime": "python", "version": "3.12.1"})
    return replace(found, manifest=manifest, events=(event,))


def changed(timeline: Timeline, **changes: object) -> tuple[Mismatch, ...]:
    """What differs when the manifest is changed so."""
    other = replace(timeline, manifest=replace(timeline.manifest, **changes))  # type: ignore[arg-type]
    return between(timeline, other)


def between(one: Timeline, other: Timeline) -> tuple[Mismatch, ...]:
    return mismatches([("a", conditions_of(one)), ("b", conditions_of(other))], [False, True])


def scenario(**changes: object) -> dict[str, object]:
    return {**_SCENARIO, **changes}


def test_alike(timeline: Timeline) -> None:
    assert changed(timeline) == ()
    assert changed(timeline, run_id="another", scenario_name="another", host={**_HOST, "node": "b"}) == ()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"host": {**_HOST, "cpus": 4}}, "host: cpus"),
        ({"host": {**_HOST, "kernel": "6.2"}}, "host: kernel"),
        ({"host": {**_HOST, "memory_bytes": 16_000_000_000}}, "host: memory_bytes"),
        ({"runtime": "php"}, "runtime"),
        ({"scenario": scenario(load={**_SCENARIO["load"], "requests_per_round": 100})}, "load: requests_per_round"),
        ({"scenario": scenario(load={**_SCENARIO["load"], "concurrency": 4})}, "load: concurrency"),
        ({"scenario": scenario(load={**_SCENARIO["load"], "rounds": 9})}, "load: rounds"),
        ({"scenario": scenario(requests=[{"name": "home", "get": "/", "weight": 3}])}, "weights"),
        ({"scenario": scenario(requests=[{"name": "start", "get": "/", "weight": 2}])}, "endpoints"),
        ({"scenario": scenario(requests=[{"name": "home", "get": "/other", "weight": 2}])}, "what is sent to home"),
        ({"scenario": scenario(sample={**_SCENARIO["sample"], "interval": "5000000000ns"})}, "sample: interval"),
    ],
)
def test_refused(timeline: Timeline, changes: dict[str, object], what: str) -> None:
    assert what in [m.what for m in changed(timeline, **changes) if m.refuses]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"scenario": scenario(load={**_SCENARIO["load"], "seed": 2})}, "seed of the traffic"),
        ({"scenario": scenario(target={"launch": [{"run": "app2"}]})}, "how it is launched"),
        ({"facts": {"vm.swappiness": 10, "thp.enabled": "never"}}, "settings of the kernel"),
        ({"tool_version": "99"}, "version of harness"),
    ],
)
def test_only_told(timeline: Timeline, changes: dict[str, object], what: str) -> None:
    assert [(m.what, m.refuses) for m in changed(timeline, **changes)] == [(what, False)]


def test_of_settings_only_what_differs_is_shown(timeline: Timeline) -> None:
    (found,) = changed(timeline, facts={"vm.swappiness": 10, "thp.enabled": "never"})
    assert (found.base, found.head) == ("vm.swappiness = 60", "vm.swappiness = 10")


def test_times_are_shown_in_seconds_and_not_rounded_away(timeline: Timeline) -> None:
    loads = [{"locustfile": "users.py", "for": each} for each in ("150000000000ns", "150050000000ns")]
    one, other = (
        replace(timeline, manifest=replace(timeline.manifest, scenario=scenario(load=load))) for load in loads
    )
    [found] = between(one, other)
    assert (found.what, found.base, found.head) == ("load: for", "150s", "150.05s")


def test_memory_that_differs_by_what_a_kernel_keeps_is_alike(timeline: Timeline) -> None:
    assert changed(timeline, host={**_HOST, "memory_bytes": 8_050_000_000}) == ()


def test_another_interpreter(timeline: Timeline) -> None:
    event = Event(1, "process.runtime", None, "", {"runtime": "python", "version": "3.13.0"})
    (found,) = between(timeline, replace(timeline, events=(event,)))
    assert found == Mismatch("version of python", "3.12.1", "3.13.0", refuses=True)


def test_what_one_run_does_not_tell_is_no_difference(timeline: Timeline) -> None:
    assert [m.refuses for m in between(timeline, replace(timeline, events=()))] == [False]


def test_other_phases(timeline: Timeline) -> None:
    fewer = replace(timeline, windows=[w for w in timeline.windows if w.phase != "warmup"])
    assert [m.what for m in between(timeline, fewer) if m.refuses] == ["phases"]


def test_unfinished_runs_are_refused_even_if_both_are(timeline: Timeline) -> None:
    def of(manifest: RunManifest) -> Timeline:
        return replace(timeline, manifest=replace(manifest, status=RunStatus.INTERRUPTED))

    (found,) = between(of(timeline.manifest), of(timeline.manifest))
    assert (found.what, found.refuses, found.base) == ("how it ended", True, "interrupted")


def test_secrets_are_compared_and_not_shown(timeline: Timeline) -> None:
    other = scenario(
        requests=[
            {"name": "home", "get": "/?key=swordfish", "weight": 2, "headers": {"Authorization": "Bearer swordfish"}}
        ],
        target={"launch": [{"run": "app --token swordfish", "env": {"KEY": "swordfish"}}]},
    )
    found = changed(timeline, scenario=other)
    assert {m.what for m in found} == {"what is sent to home", "how it is launched"}
    assert "hunter2" not in str(found)
    assert "swordfish" not in str(found)


def test_what_was_sent_is_not_known_of_a_bundle(timeline: Timeline) -> None:
    bundle = replace(
        timeline,
        missing=(*timeline.missing, Missing("bundle", "texts were replaced", "")),
        manifest=replace(timeline.manifest, scenario=scenario(requests=[{"name": "home", "get": "/", "weight": 2}])),
    )
    assert between(timeline, bundle) == (Mismatch("what was sent", "known", "not in a bundle", refuses=True),)
    told = (Mismatch("what was sent", "not in a bundle", "not in a bundle", refuses=False),)
    assert between(bundle, bundle) == told
