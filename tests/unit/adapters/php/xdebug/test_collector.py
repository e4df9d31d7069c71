"""Which file belongs to a request: by the span in its name, the header, the access log, or the time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from adapters.php.fpm.access_format import compile_format
from adapters.php.fpm.pool_config import ACCESS_FORMAT
from adapters.php.xdebug.collector import SCRIPT_FILES_CAP, Collector, copy_name
from adapters.php.xdebug.local_outputs import LocalOutputs
from adapters.php.xdebug.tools import PROFILE, TOOLS, TRACE, XdebugTool
from harness.clock import FakeClock
from harness.model.profile import Artifact, ArtifactStatus
from harness.plugins.spec import ProfiledResponse, Trigger

SPAN, ELSE = "ab" * 8, "cd" * 8
BEGUN = ".4711.1700000001.500000.0a1b2c"
NAME, OTHER = f"cachegrind.out{BEGUN}", "cachegrind.out.4712.1700000001.600000.ffffff"
EARLIER = "cachegrind.out.4711.1700000000.100000.0a1b2c"
CONTENT = b"version: 1\n...\n\nsummary: 583799 8417016\n\n"
TRACED = b"Version: 3.2.0\nTRACE END   [2026-11-23 02:50:14.773400]\n\n"
CONTENTS = {"xdebug": CONTENT, "xdebug_trace": TRACED, "xdebug_gcstats": b"Garbage Collection Report\n"}
SCRIPT = ("php", "x.php")
HEADER = "x-xdebug-profile-filename"


class Case:
    """A request that ran from second 1 700 000 001.4 to .9 of the wall clock."""

    def __init__(self, directory: Path, *, deployed: bool = False, tool: XdebugTool = PROFILE) -> None:
        self.clock = FakeClock(now_ns=10**9, wall_offset_ns=1_700_000_000_000_000_000)
        self.tool = tool
        self.log = directory.parent / "access.log"
        self.destination = directory.parent / "artifacts"
        outputs = LocalOutputs(directory, self.clock, ours=not deployed, log=self.log)
        parse = compile_format(ACCESS_FORMAT).record
        self.collector = Collector("php", tool, outputs, self.clock, ours=not deployed, parse_line=parse)

    def all(
        self, headers: Mapping[str, str], argv: tuple[str, ...] | None = None, span: str = SPAN, *warmups: str
    ) -> list[Artifact]:
        response = ProfiledResponse(span, "home", 200, 1_400_000_000, 1_900_000_000, headers, warmups)
        trigger = Trigger(self.tool.name, cookies={"XDEBUG_TRIGGER": "secret"}, argv=argv)
        found = self.collector.collect(trigger, response, self.destination)
        for artifact in found:
            assert (artifact.adapter, artifact.tool, artifact.endpoint) == ("php", self.tool.name, "home")
            assert artifact.span_id == (span or None)
            assert artifact.path is None or (self.destination / artifact.path).is_file()
        return found

    def one(self, headers: Mapping[str, str] | None = None, *warmups: str) -> Artifact:
        [artifact] = self.all(headers or {}, None, SPAN, *warmups)
        return artifact


def how(artifact: Artifact) -> tuple[ArtifactStatus, object]:
    return artifact.status, artifact.attributes["found_by"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "profiles"
    path.mkdir()
    return path


def put(directory: Path, *names: str, content: bytes = CONTENT) -> None:
    for name in names:
        (directory / name).write_bytes(content)


# --- by name --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
@pytest.mark.parametrize("deployed", [True, False])
def test_the_span_in_the_name_finds_the_file_of_exactly_this_request(
    directory: Path, tool: XdebugTool, *, deployed: bool
) -> None:
    own, other = (f"{tool.prefix}{BEGUN}.{span}{tool.suffix}" for span in (SPAN, ELSE))
    put(directory, own, other, content=CONTENTS[tool.name])
    artifact = Case(directory, tool=tool, deployed=deployed).one()
    assert how(artifact) == (ArtifactStatus.COMPLETE, "name")
    assert (artifact.pid, artifact.detail) == (4711, "")
    assert artifact.path == f"{tool.name}-home-{SPAN}{tool.extension}"
    assert [path.name for path in directory.iterdir()] == [other], "the request beside it is still to be collected"


@pytest.mark.parametrize(
    "lie",
    [
        "../../etc/passwd",
        "/etc/shadow",
        f"/x/{OTHER}",
        f"/x/{NAME}.{ELSE}",
        "\0",
        "",
        "x" * 1_000_000,
        f"/tmp/{EARLIER}",
    ],
)
@pytest.mark.parametrize("deployed", [True, False])
def test_a_lying_header_never_wins_over_the_name_and_is_told(directory: Path, lie: str, *, deployed: bool) -> None:
    put(directory, f"{NAME}.{SPAN}")
    put(directory, OTHER, f"{NAME}.{ELSE}", EARLIER, content=b"not this one")
    artifact = Case(directory, deployed=deployed).one({HEADER: lie})
    assert how(artifact) == (ArtifactStatus.COMPLETE, "name")
    assert "the response names" in artifact.detail
    assert len(artifact.detail) < 400
    assert artifact.path is not None
    assert (directory.parent / "artifacts" / artifact.path).read_bytes() == CONTENT


def test_an_honest_header_adds_nothing(directory: Path) -> None:
    put(directory, f"{NAME}.{SPAN}")
    artifact = Case(directory).one({HEADER: f"/srv/{NAME}.{SPAN}"})
    assert (how(artifact), artifact.detail) == ((ArtifactStatus.COMPLETE, "name"), "")


def test_after_redirections_the_last_file_with_the_span_is_it(directory: Path) -> None:
    put(directory, f"{OTHER}.{SPAN}", content=CONTENT + b"\n")
    put(directory, f"{NAME}.{SPAN}")
    artifact = Case(directory).one()
    assert how(artifact) == (ArtifactStatus.COMPLETE, "name")
    assert artifact.pid == 4712
    assert "2 files carry the span of this request; this one began last" in artifact.detail
    assert list(directory.iterdir()) == []


def test_a_forged_file_from_the_future_is_not_the_last(directory: Path) -> None:
    put(directory, f"{NAME}.{SPAN}")
    put(directory, f"cachegrind.out.1.999999999999.000000.0a1b2c.{SPAN}", content=b"not this")
    artifact = Case(directory).one()
    assert (how(artifact), artifact.pid) == ((ArtifactStatus.COMPLETE, "name"), 4711)
    assert "2 files carry the span" in artifact.detail


def test_maliciously_named_files_are_only_names(directory: Path) -> None:
    hostile = [
        f"{NAME}.{SPAN}\n", f"{NAME}.{SPAN};id", f"\n{NAME}.{SPAN}", f"{NAME}.{SPAN.upper()}", f"{NAME}.{SPAN}.gz.gz", "-rf",
        f"cachegrind.out.99999999999.1.000002.0a1b2c.{SPAN}", f"cachegrind.out.1.9999999999999.000002.0a1b2c.{SPAN}",
        "$(id)", "x" * 255, ".".join(SPAN), f"cachegrind.out.1.2.000003.0a1b2c.{SPAN}\x1b[2J",
    ]  # fmt: skip
    put(directory, f"{NAME}.{SPAN}")
    for name in hostile:
        put(directory, name, content=b"not this")
    (directory / os.fsdecode(b"cachegrind.out.\xff\xfe")).write_bytes(b"not this")
    artifact = Case(directory).one()
    assert (how(artifact), artifact.detail) == ((ArtifactStatus.COMPLETE, "name"), "")
    assert len(list(directory.iterdir())) == len(hostile) + 1, "what has no name of Xdebug's is none of ours"


def test_a_special_file_with_the_span_is_refused(directory: Path) -> None:
    (directory / f"{NAME}.{SPAN}").symlink_to("/etc/passwd")
    artifact = Case(directory).one()
    assert how(artifact) == (ArtifactStatus.REFUSED, "name")
    assert "not an ordinary file" in artifact.detail
    assert list(directory.iterdir()) == []


# --- by header ------------------------------------------------------------------------------------------------------


def test_without_span_in_the_names_the_header_names_the_file(directory: Path) -> None:
    put(directory, NAME, OTHER)
    artifact = Case(directory).one({HEADER: f"/elsewhere/{OTHER}"})
    assert how(artifact) == (ArtifactStatus.COMPLETE, "header")
    assert artifact.pid == 4712
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        ("../../etc/passwd", "'passwd'"),
        (f"/x/{NAME}.{ELSE}", "of another request"),
        (f"/x/{EARLIER}", "began at another time"),
    ],
)
def test_a_lying_header_is_refused_and_nothing_is_guessed_instead(directory: Path, lie: str, why: str) -> None:
    put(directory, NAME, f"{NAME}.{ELSE}", EARLIER)
    artifact = Case(directory).one({HEADER: lie})
    assert artifact.status is ArtifactStatus.REFUSED
    assert why in artifact.detail
    assert artifact.path is None


def test_traces_have_no_header(directory: Path) -> None:
    put(directory, f"trace{BEGUN}.xt", content=TRACED)
    artifact = Case(directory, tool=TRACE).one({HEADER: f"/x/trace{BEGUN}.xt"})
    assert how(artifact) == (ArtifactStatus.COMPLETE, "time")


def test_in_a_foreign_directory_nothing_is_guessed_or_removed(directory: Path) -> None:
    put(directory, NAME)
    artifact = Case(directory, deployed=True).one()
    assert artifact.status is ArtifactStatus.MISSING
    assert "is the secret right" in artifact.detail
    assert how(Case(directory, deployed=True).one({HEADER: NAME})) == (ArtifactStatus.COMPLETE, "header")
    assert (directory / NAME).exists()


# --- by the access log ----------------------------------------------------------------------------------------------


def line(pid: int, span: str = SPAN) -> str:
    return f"{pid} 200 2097152 10825 00-{'a' * 32}-{span}-01 GET /index.php\n"


@pytest.mark.parametrize("deployed", [True, False])
def test_the_log_tells_the_worker_and_its_only_file_is_it(directory: Path, *, deployed: bool) -> None:
    put(directory, NAME, OTHER, EARLIER)
    case = Case(directory, deployed=deployed)
    case.log.write_text(line(4712, ELSE) + line(4711) + "garbage\n")
    artifact = case.one()
    assert how(artifact) == (ArtifactStatus.COMPLETE, "access-log")
    assert artifact.pid == 4711


def test_the_log_is_waited_for(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(directory, NAME, OTHER)
    case = Case(directory)
    case.log.write_text(line(4712, ELSE))
    sleep = case.clock.sleep

    def sleep_and_log(seconds: float) -> None:
        sleep(seconds)
        case.log.write_text(line(4712, ELSE) + line(4711))

    monkeypatch.setattr(case.clock, "sleep", sleep_and_log)
    assert how(case.one()) == (ArtifactStatus.COMPLETE, "access-log")


@pytest.mark.parametrize("text", ["", line(4711, ELSE), line(4711) + line(4712), line(99), f"{SPAN}\n", line(4713)])
def test_a_log_that_does_not_tell_decides_nothing(directory: Path, text: str) -> None:
    put(
        directory,
        NAME,
        OTHER,
        "cachegrind.out.4713.1700000001.500000.0a1b2c",
        "cachegrind.out.4713.1700000001.500001.0a1b2c",
    )
    case = Case(directory)
    case.log.write_text(text)
    artifact = case.one()
    assert artifact.status is ArtifactStatus.MISSING
    assert "4 of them began meanwhile" in artifact.detail
    assert case.clock.monotonic_ns() < 3 * 10**9


def test_a_lie_is_told_when_the_log_finds_the_file(directory: Path) -> None:
    put(directory, NAME)
    case = Case(directory)
    case.log.write_text(line(4711))
    artifact = case.one({HEADER: "/etc/passwd"})
    assert how(artifact) == (ArtifactStatus.COMPLETE, "access-log")
    assert "'passwd'" in artifact.detail


# --- by time --------------------------------------------------------------------------------------------------------


def test_the_only_file_that_began_meanwhile_is_it(directory: Path) -> None:
    put(directory, NAME)
    put(directory, EARLIER, content=b"an earlier one")
    put(directory, f"{OTHER}.{ELSE}", content=b"another request's")
    artifact = Case(directory).one()
    assert how(artifact) == (ArtifactStatus.COMPLETE, "time")
    assert {path.name for path in directory.iterdir()} == {f"{OTHER}.{ELSE}"}


def test_two_candidates_are_not_guessed_between(directory: Path) -> None:
    put(directory, NAME, OTHER)
    artifact = Case(directory).one()
    assert (artifact.status, artifact.path) == (ArtifactStatus.MISSING, None)
    assert "2 of them began meanwhile" in artifact.detail


def test_no_file_at_all(directory: Path) -> None:
    put(directory, "passwd", ".hidden", EARLIER)
    assert Case(directory).one().detail == "Xdebug wrote no profile for this (status 200)"


# --- scripts --------------------------------------------------------------------------------------------------------


def test_a_script_has_a_file_for_each_php_it_started(directory: Path) -> None:
    put(directory, NAME, OTHER, EARLIER)
    found = Case(directory).all({}, SCRIPT, "")
    assert [artifact.status for artifact in found] == [ArtifactStatus.COMPLETE] * 2
    assert [artifact.pid for artifact in found] == [4711, 4712]
    assert len({artifact.path for artifact in found}) == 2
    assert list(directory.iterdir()) == []


def test_a_script_that_starts_very_many(directory: Path) -> None:
    put(directory, *(f"cachegrind.out.{pid}.1700000001.500000.0a1b2c" for pid in range(1, SCRIPT_FILES_CAP + 11)))
    found = Case(directory).all({}, SCRIPT, "")
    assert len(found) == SCRIPT_FILES_CAP
    assert all(f"{SCRIPT_FILES_CAP + 10} processes wrote one" in artifact.detail for artifact in found)
    assert list(directory.iterdir()) == []


# --- afterwards -----------------------------------------------------------------------------------------------------


def test_what_the_throw_away_requests_left_is_removed_and_nothing_of_other_people(directory: Path) -> None:
    warmups = ("11" * 8, "22" * 8)
    theirs = [EARLIER, f"{EARLIER}.{ELSE}", "notes.txt", f"trace{BEGUN}.{warmups[0]}.xt"]
    put(directory, f"{NAME}.{SPAN}", *(f"{EARLIER}.{span}" for span in warmups), *theirs)
    artifact = Case(directory, deployed=True).one({}, *warmups)
    assert how(artifact) == (ArtifactStatus.COMPLETE, "name")
    assert {path.name for path in directory.iterdir()} == set(theirs)


def test_a_request_that_left_nothing_is_tidied_up_after_too(directory: Path) -> None:
    put(directory, *(f"{EARLIER}.{span}" for span in ("11" * 8, "22" * 8)))
    assert Case(directory).one({}, "11" * 8, "22" * 8).status is ArtifactStatus.MISSING
    assert list(directory.iterdir()) == []


def test_copies_have_names_of_our_own() -> None:
    hostile = ProfiledResponse("0123456789abcdef", "GET ../../x\0\n'$(id)", 200, 1, 2, {})
    assert copy_name(PROFILE, hostile, 0) == "xdebug-get-x-id-0123456789abcdef.cachegrind"
    script = ProfiledResponse("", "/", 0, 17, 18, {})
    assert copy_name(TRACE, script, 3) == "xdebug_trace-request-17-4.xt"
