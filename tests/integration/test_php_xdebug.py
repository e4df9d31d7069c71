"""Xdebug's profiles, traces and collector reports by exact request, from real servers; and from an application that lies."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from php_target import PROGRAMS, TOKEN, Target, functions, span, started
from processes import free_port

from adapters.php import local_outputs
from adapters.php.adapter import ADAPTER
from adapters.php.output_names import parse_name
from adapters.php.xdebug_tools import TOOLS
from harness.model.profile import Artifact, ArtifactStatus
from harness.plugins.spec import CheckLevel, ProfiledResponse, Stage

pytestmark = pytest.mark.integration

EACH_TOOL = pytest.mark.parametrize("tool", list(TOOLS))


@pytest.fixture(scope="module")
def public_dir() -> Iterator[Path]:
    """A directory every account can pass through, which pytest's own are not."""
    directory = Path(tempfile.mkdtemp(prefix="harness-php-"))
    directory.chmod(0o711)
    shutil.copytree(PROGRAMS / "php_hostile", directory / "site")
    for path in (directory / "site", *(directory / "site").rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def served(public_dir: Path) -> Iterator[Target]:
    """php-fpm, nginx, and a php-fpm with each of the three tools."""
    serve = {"docroot": "site", "listen": f"127.0.0.1:{free_port()}", "workers": 1}
    target = Target(public_dir / "work", {"serve": serve}, public_dir, list(TOOLS))
    assert not [c for c in ADAPTER.preflight(target.context, ()) if c.level is CheckLevel.ERROR]
    with ExitStack() as stack:
        for plan in target.prepare().plans:
            stack.enter_context(started(plan, target.log))
        yield target


@pytest.fixture(autouse=True)
def _nothing_is_left(served: Target) -> Iterator[None]:
    yield
    for path in served.profiles:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


# --- one request, one file ------------------------------------------------------------------------------------------


def test_each_tool_has_a_master_of_its_own_for_the_profiled_pass(served: Target) -> None:
    assert [plan.name for plan in served.prepared.plans if plan.stage is Stage.PROFILE] == [
        "php-fpm-xdebug", "php-fpm-xdebug_trace", "php-fpm-xdebug_gcstats"
    ]  # fmt: skip
    assert not any(plan.measured for plan in served.prepared.plans if plan.stage is Stage.PROFILE)


def test_a_profile_a_trace_and_a_collector_report(served: Target) -> None:
    profile = served.parsed(served.profiled("/grow", tool="xdebug")[0])
    assert profile.complete
    assert {"{main}", "grow", "php::str_repeat"} <= functions(profile)
    trace = served.parsed(served.profiled("/grow", tool="xdebug_trace")[0])
    assert trace.complete
    assert {"{main}", "grow"} <= functions(trace)
    assert trace.peak is not None
    assert trace.peak.bytes > 5_000_000
    assert trace.curve
    report = served.parsed(served.profiled("/cycles", tool="xdebug_gcstats")[0])
    assert report.complete
    assert report.totals["collected"] == 29_999, "the last object is still held by a variable"
    assert "gc_collect_cycles" in {run.function for run in report.collections}


@EACH_TOOL
def test_the_file_is_found_by_the_span_of_its_request(served: Target, tool: str) -> None:
    """Also where the application removes all headers, and although two more requests were thrown away."""
    warmups, mark = [span(), span()], span()
    trigger = ADAPTER.trigger(served.context, tool)
    assert trigger.warmups == len(warmups)
    for warmup in warmups:
        served.triggered("/strip", trigger, warmup)
    answer, response = served.triggered("/strip", trigger, mark, warmups)
    written = Path(response.text)
    assert written.parent.name == tool
    assert len(served.profiles) == 3
    [artifact] = ADAPTER.collect(served.context, trigger, answer, served.artifacts)
    assert artifact.attributes["found_by"] == "name"
    assert artifact.path is not None
    assert mark in artifact.path
    served.parsed(artifact)
    known = parse_name(TOOLS[tool], written.name)
    assert known is not None
    assert (known.pid, known.span_id) == (artifact.pid, mark)
    assert served.profiles == [], "collected, and the throw-away ones too"


@EACH_TOOL
def test_requests_at_the_same_time_get_their_own_files(served: Target, tool: str) -> None:
    trigger, marks = ADAPTER.trigger(served.context, tool), [span(), span()]
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda mark: served.triggered("/slow", trigger, mark), marks))
    pids = set()
    for answer, response in answers:
        [artifact] = ADAPTER.collect(served.context, trigger, answer, served.artifacts)
        served.parsed(artifact)
        assert artifact.attributes["found_by"] == "name"
        assert artifact.pid == int(Path(response.text).name.removeprefix(TOOLS[tool].prefix).split(".")[1])
        pids.add(artifact.pid)
    assert len(pids) == 2, "they ran in two workers"
    assert served.profiles == []


@EACH_TOOL
def test_a_secret_reaches_its_own_master_and_nothing_else_does(served: Target, tool: str) -> None:
    seen = served.get("/seen", span(), XDEBUG_TRIGGER=TOOLS[tool].secret(TOKEN)).json()
    assert seen["modes"] == [TOOLS[tool].mode]
    assert [path.parent.name for path in served.profiles] == [tool]
    for path in served.profiles:
        path.unlink()
    for wrong in ("", "1", TOKEN[:-1], f"{TOKEN}-", TOOLS[tool].secret(TOKEN).upper(), f"{TOOLS[tool].secret(TOKEN)}x"):
        seen = served.get("/seen", span(), XDEBUG_TRIGGER=wrong).json()
        assert not seen["modes"], "no mode of Xdebug is on in the measured pool"
        assert seen["unique_id"] is None, "and nothing is passed to it that was not before"
    assert served.profiles == []


@pytest.mark.parametrize(
    "header",
    [
        "", "x", "../../../../etc/passwd", f"00-{'a' * 32}-../../../../tmp/x-01", f"00-{'a' * 32}-{'b' * 16}-01/../x",
        f"00-{'0' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'0' * 16}-01", f"00-{'A' * 32}-{'B' * 16}-01", f"ff-{'a' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'b' * 16}-01-x", "00-" + "a" * 3000,
    ],
)  # fmt: skip
def test_only_a_valid_span_gets_into_a_name(served: Target, header: str) -> None:
    trigger = ADAPTER.trigger(served.context, "xdebug")
    httpx.get(f"{served.prepared.base_url}/", headers={"traceparent": header}, cookies=dict(trigger.cookies))
    [file] = served.profiles
    known = parse_name(TOOLS["xdebug"], file.name)
    assert known is not None
    assert known.span_id is None
    file.unlink()


def test_without_a_span_the_header_or_the_time_tells(served: Target) -> None:
    for path, found_by in (("/grow", "header"), ("/strip", "time")):
        trigger = ADAPTER.trigger(served.context, "xdebug")
        answer, _ = served.triggered(path, trigger, "")
        [artifact] = ADAPTER.collect(served.context, trigger, answer, served.artifacts)
        assert artifact.attributes["found_by"] == found_by
        served.parsed(artifact)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that nobody writes to any more are given up earlier."""
    monkeypatch.setattr(local_outputs, "QUIET_S", 0.2)


# --- an application that lies ---------------------------------------------------------------------------------------


def hostile(served: Target, path: str, tool: str = "xdebug") -> Artifact:
    copied = set(served.artifacts.glob("*"))
    artifact, _ = served.profiled(path, tool=tool)
    if artifact.path is None:
        assert artifact.detail
        assert set(served.artifacts.glob("*")) == copied, "nothing was copied"
    else:
        assert (served.artifacts / artifact.path).stat().st_size < 4 << 20
        assert b"root:" not in (served.artifacts / artifact.path).read_bytes()
    return artifact


@pytest.fixture
def somebody_elses(served: Target) -> Iterator[Path]:
    """A profile of another account in the directory, with the name of a request that runs now or ran before."""
    file = (
        served.context.work_dir
        / "php"
        / "profiles"
        / "xdebug"
        / f"cachegrind.out.1.1795664872.857595.01ec83.{'c' * 16}"
    )
    file.write_bytes(b"root:secret\nsummary: 1 1\n\n")
    if os.geteuid() == 0:
        os.chown(file, 1, 1)
    yield file
    file.unlink(missing_ok=True)


def test_a_lying_header_is_told_and_the_right_file_is_taken(served: Target, somebody_elses: Path) -> None:
    fifo = somebody_elses.with_name(f"cachegrind.out.1.1795664872.857596.01ec83.{'d' * 16}")
    os.mkfifo(fifo)
    for name in ("../../etc/passwd", "/etc/shadow", str(somebody_elses), str(fifo), "cachegrind.out.1"):
        artifact = hostile(served, f"/say?name={name}")
        assert artifact.attributes["found_by"] == "name"
        assert "the response names" in artifact.detail
        assert "{main}" in functions(served.parsed(artifact))
    assert not fifo.exists(), "it was begun before this request, by its name"


def test_another_accounts_file_is_not_read(served: Target, somebody_elses: Path) -> None:
    """It carries the right span, begun at the right time: whoever else can write there could make it."""
    if os.geteuid() != 0:
        pytest.fail("needs root, to make a file of another account")
    trigger, mark = ADAPTER.trigger(served.context, "xdebug"), span()
    answer, _ = served.triggered("/", trigger, mark)
    [real] = [path for path in served.profiles if mark in path.name]
    somebody_elses.rename(real)
    [artifact] = ADAPTER.collect(served.context, trigger, answer, served.artifacts)
    assert (artifact.status, artifact.detail) == (ArtifactStatus.REFUSED, "the profile belongs to somebody else")


def test_a_header_of_a_megabyte_loses_the_answer_and_not_the_profile(served: Target) -> None:
    trigger, mark = ADAPTER.trigger(served.context, "xdebug"), span()
    answer, response = served.triggered("/say-much", trigger, mark)
    assert response.status_code == 502, "nginx takes no such header"
    [artifact] = ADAPTER.collect(served.context, trigger, answer, served.artifacts)
    served.parsed(artifact)
    long = ProfiledResponse(
        mark, "page", 200, answer.start_ns, answer.end_ns, {"x-xdebug-profile-filename": "x" * 1_000_000}
    )
    [artifact] = ADAPTER.collect(served.context, trigger, long, served.artifacts)
    assert artifact.status is ArtifactStatus.REFUSED
    assert len(artifact.detail) < 300


@EACH_TOOL
@pytest.mark.parametrize("path", ["/fifo", "/symlink", "/hardlink", "/directory", "/socket", "/sparse"])
def test_what_is_put_in_its_place_is_refused(served: Target, path: str, tool: str) -> None:
    artifact = hostile(served, path, tool)
    assert artifact.status is ArtifactStatus.REFUSED
    assert artifact.attributes["found_by"] == "name"


def test_a_bomb_is_refused(served: Target) -> None:
    artifact = hostile(served, "/bomb")
    assert (artifact.status, artifact.detail) == (ArtifactStatus.REFUSED, "the profile unpacks to more than 512 MiB")


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("tool", ["xdebug", "xdebug_trace"])
def test_garbage_is_kept_called_truncated_and_not_parsed(served: Target, tool: str) -> None:
    artifact = hostile(served, "/garbage", tool)
    assert artifact.status is ArtifactStatus.TRUNCATED
    assert artifact.path is not None
    with pytest.raises(ValueError, match="no Xdebug"):
        ADAPTER.parse(tool, served.artifacts / artifact.path)


@EACH_TOOL
def test_an_endless_file_is_refused_when_it_passes_the_cap(served: Target, tool: str) -> None:
    artifact = hostile(served, "/endless", tool)
    assert artifact.status is ArtifactStatus.REFUSED
    assert "larger than" in artifact.detail


def test_a_forged_second_file_is_told(served: Target) -> None:
    artifact = hostile(served, "/forged")
    assert "2 files carry the span of this request" in artifact.detail
    assert served.profiles == []


@pytest.mark.usefixtures("_quick")
def test_a_worker_that_is_killed_leaves_what_it_wrote(served: Target) -> None:
    artifact = hostile(served, "/killed", "xdebug_trace")
    assert artifact.status is ArtifactStatus.TRUNCATED
    assert artifact.path is not None
    trace = ADAPTER.parse("xdebug_trace", served.artifacts / artifact.path)
    assert not trace.complete
    assert "grow" in functions(trace)
    assert hostile(served, "/killed").status is ArtifactStatus.TRUNCATED
