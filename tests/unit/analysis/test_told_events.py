"""What events of hosts and containers say may be damaged, or anybody's: there is a report in every format all the same."""

from __future__ import annotations

import dataclasses
import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timelines import App, simulate

from harness.analysis.pipeline import report_on
from harness.model import event, host
from harness.model.event import Event
from harness.model.host import RunHost
from harness.plugins.registry import load_run_exports
from harness.report.formats import export

RAW = simulate(App(workers=2, rounds=8, requests=60, blocks=2, with_blocks=False))
SCHEMA = json.loads(files("harness.report").joinpath("report.schema.json").read_text())
KEY = next(info.key for info in RAW.processes if info.ppid == 100)
HOSTS = (RunHost("web-1", "ssh://web-1", "web", True, True, 5), RunHost("web-2", "local", "web", True, False, 0))

# What the reader lets through (`harness.store.hosts.attributes_of`).
values = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats() | st.text(max_size=12)
names = st.sampled_from([
    "host", "pool", "container", "role", "measured", "version", "generation", "container_image", "memory_bytes", "before_bytes",
    "kills", "limit_bytes", "since_ns", "told_by", "code", "signal", "oom", "exact", "id", "inner_pid", "before_ns", "there_ns",
    "wall_ns", "after_ns", "within_ns", "order_unknown",
])  # fmt: skip
likely = st.sampled_from(
    [{}, {"pool": "app", "container": "shop-1"}, {"host": "web-1"}, {"host": "web-2", "pool": "app"}]
)
kinds = st.sampled_from([
    event.CONTAINER_START, event.CONTAINER_EXIT, event.CONTAINER_OOM, event.CONTAINER_LIMIT, event.CONTAINER_PROCESS,
    host.HOST_CLOCK, host.HOST_DOWN, host.HOST_UP, "process.exit",
])  # fmt: skip
events = st.builds(
    lambda at, kind, of, text, known, told: Event(at, kind, KEY if of else None, text, {**told, **known}),
    st.integers(0, RAW.manifest.ended_ns or 1) | st.sampled_from([0, 1 << 60]),
    kinds,
    st.booleans(),
    st.text(max_size=12),
    likely,
    st.dictionaries(names, values, max_size=8),
)


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@given(told=st.lists(events, max_size=6), elsewhere=st.booleans())
@settings(max_examples=25, deadline=None)
def test_there_is_a_report_whatever_they_say(nowhere: Path, told: list[Event], elsewhere: bool) -> None:
    manifest = dataclasses.replace(RAW.manifest, hosts=HOSTS if elsewhere else ())
    report = report_on(dataclasses.replace(RAW, manifest=manifest, events=[*RAW.events, *told]), nowhere)
    assert not [each for each in report.missing if "which is a defect" in each.reason]
    for name in ("html", "md", "text", "github"):
        export(report, name)
    jsonschema.validate(json.loads(export(report, "json")), SCHEMA)
    for form in load_run_exports():
        for part in form.parts(report):
            assert sum(map(len, part.pieces)) >= 0
