"""No report shows what looks like a secret, or what the scenario says is one; runs to which other things were sent stay apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest
from reports import object_profile
from timelines import App, empty_run, simulate

from harness.analysis.masking import Masking
from harness.model.event import Event
from harness.model.objects import ObjectCount
from harness.model.process import ProcessKey
from harness.model.profile import Artifact, ArtifactStatus, Holder, HolderChain, LineCost
from harness.model.report import ProfileView
from harness.model.run import RawRun

KEY = "aB3dE5fG7hI9jK1lM3nP5"
SCENARIO: Mapping[str, object] = {
    "name": "shop",
    "target": {"launch": [{"run": "app --password hunter2 -w 4", "env": {"API_TOKEN": "tundra-saddle"}}]},
    "requests": [{"name": "home", "get": "/?session=velvet", "cookies": {"sid": "lantern-1"}, "form": {"password": "wombat-99"}}],
    "expect": ["retained_bytes_per_request < 3 KiB of endpoint home", "verdict is healthy"],
}  # fmt: skip


def masked(raw: RawRun, scenario: Mapping[str, object] = SCENARIO) -> RawRun:
    run = dataclasses.replace(raw, manifest=dataclasses.replace(raw.manifest, scenario=scenario))
    return Masking(scenario).run(run)


def test_an_ordinary_run_stays_as_it_is() -> None:
    raw = simulate(App(requests=30, blocks=1, rounds=1, warmup=0))
    found = Masking(raw.manifest.scenario).run(raw)
    assert found.manifest == dataclasses.replace(raw.manifest, scenario=found.manifest.scenario)
    assert list(found.spans) == list(raw.spans)
    assert list(found.records) == list(raw.records)
    assert list(found.processes) == list(raw.processes)
    assert list(found.events) == list(raw.events)


def test_the_scenario() -> None:
    scenario = masked(empty_run()).manifest.scenario
    shown = repr(scenario)
    for secret in ("hunter2", "tundra", "velvet", "lantern", "wombat"):
        assert secret not in shown
    assert scenario["expect"] == SCENARIO["expect"]
    assert scenario["target"]["launch"][0]["run"] == "app --password *** -w 4"  # type: ignore[index]
    assert "home" in shown


@pytest.mark.parametrize("part", ["get", "cookies", "form"])
def test_what_was_sent_is_told_apart(part: str) -> None:
    def sent(value: str) -> object:
        request = {
            "name": "home",
            "get": "/?a=" + value if part == "get" else "/",
            "cookies": {"a": value},
            "form": {"a": value},
        }
        return masked(empty_run(), {"requests": [request]}).manifest.scenario["requests"][0][part]  # type: ignore[index]

    assert sent("one") == sent("one") != sent("two")
    assert "one" not in str(sent("one"))


def test_texts_of_every_kind() -> None:
    process = ProcessKey("", 7, 1)
    event = Event(1, "note", process, f"said {KEY} and wombat-99", {"detail": "token=abc", "span": "0123456789abcdef"})
    counts = [ObjectCount(process, 1, "python", f"Order_{letter}{KEY}", 1, 2, 1) for letter in "xy"]
    artifact = Artifact(
        "lines", "python", "artifacts/x", ArtifactStatus.COMPLETE, None, f"e {KEY}", 7, 1, 1, f"no {KEY}", {}
    )
    raw = empty_run(events=[event], object_counts=counts, artifacts=[artifact])
    found = masked(raw)
    [told] = found.events
    assert told.text == "said *** and ***"
    assert told.attributes == {"detail": "token=***", "span": "0123456789abcdef"}
    assert len({count.type for count in found.object_counts}) == 2  # masked, and still two types
    assert KEY not in repr(found)
    assert found.artifacts[0].path == "artifacts/x"


def test_profiles() -> None:
    line = LineCost(
        "a.py",
        3,
        f"f_{KEY}",
        1,
        (1, 2, 3)[: len(object_profile().value_types)],
        f"connect(password='x y', key='{KEY}')",
    )
    chain = HolderChain("Order", 1, (Holder("module shop", f"['{KEY}']"), Holder("dict", "['wombat-99']")))
    profile = dataclasses.replace(object_profile(), lines=(line,), holders=(chain,))
    artifact = Artifact(
        "lines", "python", None, ArtifactStatus.MISSING, None, None, None, 1, None, "no file for wombat-99"
    )
    [view] = Masking(SCENARIO).views([ProfileView(artifact, profile)])
    assert KEY not in repr(view)
    assert "wombat" not in repr(view)
    assert view.profile is not None
    assert view.profile.lines[0].source == "connect(password=***, key='***')"
    assert view.profile.objects == profile.objects
