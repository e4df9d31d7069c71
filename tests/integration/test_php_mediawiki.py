"""Debian's MediaWiki behind Apache: every tool of Xdebug on one page of a large application, and what they say of each other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from php_target import Target, span, started
from processes import free_port

from adapters.php.adapter import ADAPTER
from adapters.php.xdebug.tools import TOOLS
from harness.model.profile import Profile
from harness.plugins.spec import CheckLevel

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
REAL = Path(__file__).parents[2] / "scenarios" / "real"
PAGE = "/index.php/Main_Page"


@pytest.fixture(scope="module")
def wiki() -> Iterator[Target]:
    directory = Path(tempfile.mkdtemp(prefix="harness-wiki-"))
    directory.chmod(0o711)
    listen = f"127.0.0.1:{free_port()}"
    done = subprocess.run(
        [sys.executable, str(REAL / "prepare_mediawiki.py"), str(directory / "wiki"), f"http://{listen}"],
        env={**os.environ, "WIKI_PASSWORD": "c0rrect-horse-battery"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (directory / "wiki").chmod(0o755)
    serve = {"docroot": "wiki/usr/share/mediawiki", "listen": listen, "workers": 1, "web": "apache"}
    target = Target(directory / "work", {"serve": serve}, directory, list(TOOLS))
    assert not [c for c in ADAPTER.preflight(target.context, ()) if c.level is CheckLevel.ERROR]
    with ExitStack() as stack:
        for plan in target.prepare().plans:
            stack.enter_context(started(plan, target.log))
        yield target
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def profiles(wiki: Target) -> dict[str, Profile]:
    """One page under each tool, each of whose servers has answered twice before."""
    found = {}
    for tool in TOOLS:
        for _ in range(2):
            wiki.triggered(PAGE, ADAPTER.trigger(wiki.context, tool), span())
        artifact, response = wiki.profiled(PAGE, tool=tool)
        assert response.status_code == 200
        assert artifact.attributes["found_by"] in ("name", "header"), artifact
        found[tool] = wiki.parsed(artifact)
    return found


def calls(profile: Profile) -> dict[str, int]:
    found: dict[str, int] = {}
    for cost in profile.functions:
        name = profile.frames[cost.frame].function
        found[name] = found.get(name, 0) + cost.calls
    return found


def test_the_page_is_served_and_recorded(wiki: Target) -> None:
    mark = span()
    assert "MediaWiki has been installed" in wiki.get(PAGE, mark).text
    values = wiki.record_of(mark).values
    assert (values["peak_bytes"] or 0) > 2_000_000
    assert (values["included_files"] or 0) > 100


def test_the_profile_is_an_exact_tree_of_a_hundred_thousand_calls(profiles: dict[str, Profile]) -> None:
    profile = profiles["xdebug"]
    assert profile.complete
    assert sum(calls(profile).values()) > 50_000
    assert not any("no block of their own" in note for note in profile.notes)
    root = next(node for node in profile.tree if profile.frames[node.frame].function == "{main}")
    total_ns = profile.totals["time_ns"]
    assert total_ns is not None
    assert 0.5 * total_ns < root.inclusive_values[0] <= total_ns


def test_profile_and_trace_agree_on_what_was_called(profiles: dict[str, Profile]) -> None:
    """Two requests of one page: nearly every function is called as often in both."""
    profiled, traced = calls(profiles["xdebug"]), calls(profiles["xdebug_trace"])
    common = profiled.keys() & traced.keys()
    assert len(common) > 0.95 * len(profiled)
    same = sum(profiled[name] == traced[name] for name in common)
    assert same > 0.9 * len(common)


def test_the_trace_knows_the_peak_and_who_was_running(profiles: dict[str, Profile]) -> None:
    trace, said = profiles["xdebug_trace"], profiles["xdebug"].totals["peak_bytes"]
    assert trace.complete
    assert said is not None
    assert trace.peak is not None
    assert 0.8 * said < trace.peak.bytes < 1.1 * said  # boundaries of calls only, and another request
    assert len(trace.peak.stack) > 3
    assert trace.frames[trace.peak.stack[0]].function == "{main}"
    assert max(point.bytes for point in trace.curve) == trace.peak.bytes
    assert len(trace.curve) > 100


def test_runs_of_the_collector_are_those_of_the_record(wiki: Target, profiles: dict[str, Profile]) -> None:
    mark = span()
    wiki.get(PAGE, mark)
    runs = profiles["xdebug_gcstats"].totals["runs"]
    assert runs == len(profiles["xdebug_gcstats"].collections)
    assert runs == wiki.record_of(mark).values["gc_runs"]
