"""What is written can be read back, also after the writer was killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import RunError
from harness.model.event import Anchor, Event, Missing, Window
from harness.model.process import ProcessInfo, ProcessKey
from harness.model.profile import Artifact, ArtifactStatus
from harness.model.run import RunManifest, RunStatus
from harness.model.span import BootRecord, PhaseName, RequestRecord, Span, ToolRecord
from harness.plugins.records import parse_record
from harness.plugins.spec import ParsedRecord, RecordSource
from harness.store import layout
from harness.store.intake import Intake
from harness.store.reader import read_manifest, read_run
from harness.store.writer import Recorder, RecordingError, is_recording

KEY = ProcessKey("", 100, 5)
INFO = ProcessInfo(KEY, 1, "gunicorn", "gunicorn shop", 1000, "app", 1, 10, 20, None)
MANIFEST = RunManifest(
    format=layout.FORMAT,
    run_id="id",
    tool_version="0.1.0",
    scenario_name="shop",
    scenario_path="shop.yaml",
    scenario={"name": "shop", "n": [1, None]},
    host={"kernel": "6.1", "cpus": None},
    runtime="python",
    started_wall_ns=1_700_000_000_000_000_000,
    started_ns=1,
    ended_ns=None,
    status=RunStatus.RECORDING,
    status_text="",
    costs={},
)
SPAN = Span("a" * 16, "home", PhaseName.ROUNDS, 1, 2, 3, None, 10, 20, 200, None, 5, ("status",))
RECORD = RequestRecord(
    "python-agent", 100, "a" * 16, 7, 11, 19, None, "GET /", 200, True, {"rss_start_bytes": 5, "blocks": None}
)


@pytest.fixture
def run_directory(tmp_path: Path) -> Path:
    return layout.new_run_directory(tmp_path / "runs", "20260101-000000", "shop")


def test_everything_written_is_read_back_unchanged(run_directory: Path) -> None:
    recorder = Recorder(run_directory)
    recorder.manifest(MANIFEST)
    recorder.unmeasured_pools(["nginx"])
    recorder.anchor(Anchor("", 1, 2))
    window = recorder.open_window(Window(PhaseName.ROUNDS, 0, None, 1, None, None))
    recorder.close_window(window, 9, 8)
    recorder.process(INFO)
    recorder.process(replace(INFO, comm="renamed", last_seen_ns=30, ended_ns=30))
    recorder.samples(10, [("process.memory.pss", KEY, 4096), ("system.meminfo.MemFree", None, 1)])
    recorder.samples(20, [("process.memory.pss", KEY, 8192)])
    recorder.spans([SPAN])
    boot = BootRecord("python-agent", 100, 1, 5, "3.11", "gunicorn")
    tool = ToolRecord("python-agent", 100, "a" * 16, 6, "tracemalloc", "f.json", None, {"alone": 1})
    recorder.records("records/a.ndjson", 33, [RECORD, boot, tool])
    event = Event(7, "process.exit", KEY, "gone", {"code": 1})
    recorder.event(event)
    artifact = Artifact(
        "xdebug", "php", "artifacts/a", ArtifactStatus.COMPLETE, "a" * 16, "home", 100, 3, 44, "", {"alone": True}
    )
    recorder.artifact(artifact)
    recorder.missing(Missing("psi", "no CONFIG_PSI", "pressure is not judged"))
    recorder.missing(Missing("psi", "another reason", ""))
    recorder.close()

    run = read_run(run_directory)
    assert run.manifest == replace(MANIFEST, unmeasured_pools=("nginx",))
    assert run.anchors == [Anchor("", 1, 2)]
    assert run.windows == [Window(PhaseName.ROUNDS, 0, None, 1, 9, 8)]
    assert run.processes == [replace(INFO, comm="renamed", last_seen_ns=30, ended_ns=30)]
    series = run.series["process.memory.pss", KEY]
    assert (series.t_ns.tolist(), series.values.tolist()) == ([10, 20], [4096, 8192])
    assert run.series["system.meminfo.MemFree", None].values.tolist() == [1]
    assert run.spans == [SPAN]
    assert run.records == [RECORD]
    assert run.boots == [boot]
    assert run.tools == [tool]
    assert run.events == [event]
    assert run.artifacts == [artifact]
    assert run.missing == [Missing("psi", "no CONFIG_PSI", "pressure is not judged")]


def test_records_of_another_host_are_read_back_with_it_and_what_a_target_says_is_no_host(run_directory: Path) -> None:
    recorder = Recorder(run_directory)
    recorder.manifest(MANIFEST)
    found = [
        replace(RECORD, host="web-1"),
        BootRecord("python-agent", 100, 1, 5, "3.11", "gunicorn", "web-1"),
        ToolRecord("python-agent", 100, "a" * 16, 6, "lines", None, "x", {}, "web-2"),
        replace(RECORD, source="@web-2-agent"),
    ]
    recorder.records("records/a.ndjson", 33, found)
    recorder.close()
    run = read_run(run_directory)
    assert run.records == [found[0], replace(RECORD, source="?web-2-agent")]
    assert run.boots == [found[1]]
    assert run.tools == [found[2]]


def test_a_run_can_be_read_while_it_is_being_written(run_directory: Path) -> None:
    recorder = Recorder(run_directory)
    recorder.manifest(MANIFEST)
    recorder.spans([SPAN])
    recorder.commit()
    recorder.spans([SPAN])  # not committed yet
    assert is_recording(run_directory)
    assert len(read_run(run_directory).spans) == 1
    recorder.close()
    assert not is_recording(run_directory)
    assert len(read_run(run_directory).spans) == 2


def test_kill_nine_loses_nothing_that_was_committed(run_directory: Path) -> None:
    child = os.fork()
    if child == 0:
        recorder = Recorder(run_directory)
        recorder.manifest(MANIFEST)
        recorder.spans([SPAN] * 50)
        recorder.commit()
        recorder.spans([SPAN] * 50)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    run = read_run(run_directory)
    assert run.manifest.status is RunStatus.RECORDING
    assert len(run.spans) == 50

    resumed = Recorder(run_directory, existing=True)
    resumed.spans([SPAN])
    resumed.status(RunStatus.INTERRUPTED, "killed", 99)
    resumed.close()
    assert len(read_run(run_directory).spans) == 51
    assert read_manifest(run_directory).ended_ns == 99


def test_a_second_recorder_is_refused(run_directory: Path) -> None:
    recorder = Recorder(run_directory)
    with pytest.raises(RecordingError):
        Recorder(run_directory)
    recorder.close()


@pytest.mark.parametrize("content", [None, b"not a database at all, but long enough to be mistaken for one" * 40, b""])
def test_what_is_not_a_run_is_one_clear_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / layout.DATABASE).write_bytes(content)
    with pytest.raises(RunError, match=str(tmp_path)):
        read_run(tmp_path)


def test_a_run_of_another_format_is_refused(run_directory: Path) -> None:
    Recorder(run_directory).close()
    with sqlite3.connect(run_directory / layout.DATABASE) as db:
        db.execute("INSERT OR REPLACE INTO meta VALUES ('format', 'harness-run/999')")
    db.close()
    with pytest.raises(RunError, match="harness-run/999"):
        read_run(run_directory)


def test_two_runs_of_one_second_get_two_directories(tmp_path: Path) -> None:
    first = layout.new_run_directory(tmp_path, "s", "../../x y")
    second = layout.new_run_directory(tmp_path, "s", "../../x y")
    assert first != second
    assert {first.parent, second.parent} == {tmp_path}


def test_atomic_write_leaves_no_trace_of_a_failure(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    layout.write_atomically(target, b"one")
    layout.write_atomically(target, b"two")
    assert target.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_device_is_written_to_and_stays_one() -> None:
    """``-o /dev/null`` of somebody who is root must not make a file of it."""
    ours, theirs = os.openpty()
    try:
        place = Path(os.ttyname(theirs))
        layout.write_atomically(place, b"one")
        assert place.is_char_device()
        assert os.read(ours, 10) == b"one"
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_path_without_a_name_is_no_file() -> None:
    with pytest.raises(IsADirectoryError):
        layout.write_atomically(Path(), b"one")


class TestIntake:
    """Files are written by the target, so every trick is to be expected."""

    @pytest.fixture
    def work(self, run_directory: Path) -> Path:
        (run_directory / "work" / "records").mkdir()
        return run_directory / "work"

    SOURCES = (RecordSource("records/*.ndjson", parse_record),)
    LINE = (
        b'{"k":"req","rt":"python","pid":100,"n":7,"t0":11,"t1":19,"span":"aaaaaaaaaaaaaaaa",'
        b'"name":"GET /","st":200,"first":1,"v":{"rss_start_bytes":5,"blocks":null}}\n'
    )

    def test_lines_are_stored_once_and_only_when_complete(self, run_directory: Path, work: Path) -> None:
        recorder = Recorder(run_directory)
        recorder.manifest(MANIFEST)
        intake = Intake(recorder, work, self.SOURCES)
        file = work / "records" / "python-1.ndjson"
        file.write_bytes(self.LINE + self.LINE[:40])
        assert intake.poll() == [RECORD]
        assert intake.poll() == []
        with file.open("ab") as more:
            more.write(self.LINE[40:] + b"garbage\n")
        assert intake.poll() == [RECORD]
        assert intake.unparsed == 1
        recorder.close()
        again = Recorder(run_directory, existing=True)
        assert Intake(again, work, self.SOURCES).poll() == []
        again.close()
        assert read_run(run_directory).records == [RECORD, RECORD]

    def test_what_agents_took_is_counted_of_placed_processes_and_of_this_run(
        self, run_directory: Path, work: Path
    ) -> None:
        recorder = Recorder(run_directory)
        recorder.manifest(MANIFEST)
        intake = Intake(recorder, work, self.SOURCES, lambda record: record if record.pid == 100 else None)
        now_ns = time.monotonic_ns()
        cost = '{"k":"cost","rt":"python","pid":%d,"t":%d,"ns":%d}\n'
        lines = [(100, now_ns, 9_000), (100, now_ns, 20_000), (100, now_ns, 30_000), (101, now_ns, 1), (100, 1, 2)]
        (work / "records" / "python-1.ndjson").write_text("".join(cost % line for line in lines))
        intake.drain()
        intake.close()
        assert (intake.agent_costs.count, intake.agent_costs.quantile_ns(0.5)) == (3, 20_000)
        assert (intake.requests, intake.agent_requests, intake.unparsed, intake.never_placed) == (0, 0, 0, 0)
        recorder.close()

    def test_at_the_end_nothing_is_left_unread(
        self, run_directory: Path, work: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "harness.store.intake._CHUNK", 300
        )  # of a busy run, more has been written than is read at once
        recorder = Recorder(run_directory)
        recorder.manifest(MANIFEST)
        intake = Intake(recorder, work, self.SOURCES)
        (work / "records" / "python-1.ndjson").write_bytes(self.LINE * 5)
        assert len(intake.poll()) < 5
        intake.drain()
        assert intake.requests == 5
        recorder.close()

    def test_links_pipes_and_endless_lines_do_no_harm(self, run_directory: Path, work: Path, tmp_path: Path) -> None:
        recorder = Recorder(run_directory)
        recorder.manifest(MANIFEST)
        outside = tmp_path / "secret.ndjson"
        outside.write_bytes(self.LINE)
        (work / "records" / "link.ndjson").symlink_to(outside)
        os.mkfifo(work / "records" / "pipe.ndjson")
        (work / "records" / "endless.ndjson").write_bytes(b"x" * 100_000)
        intake = Intake(recorder, work, self.SOURCES)
        assert intake.poll() == []
        assert intake.unparsed == 1
        with (work / "records" / "endless.ndjson").open("ab") as more:
            more.write(b"\n" + self.LINE)
        assert intake.poll() == [RECORD]
        recorder.close()

    def test_records_of_a_container_wait_until_their_process_is_known(self, run_directory: Path, work: Path) -> None:
        """What others have left in the file counts only as far as it says that an agent is in a process."""
        recorder = Recorder(run_directory)
        recorder.manifest(MANIFEST)
        known: dict[int, int] = {}

        def place(record: ParsedRecord) -> ParsedRecord | None:
            return replace(record, pid=known[record.pid]) if record.pid in known else None

        boot = b'{"k":"boot","rt":"python","pid":7,"ppid":1,"t":10,"version":"3.11.2","argv":"gunicorn"}\n'
        file = work / "records" / "python-1.ndjson"
        file.write_bytes(boot + self.LINE.replace(b'"pid":100', b'"pid":7'))
        intake = Intake(recorder, work, self.SOURCES, place)
        assert intake.poll() == []
        assert intake.announced_ns(7) is None
        known[7] = 4711
        assert [(type(record), record.pid) for record in intake.poll()] == [(BootRecord, 4711)]
        assert intake.announced_ns(4711) == 10
        assert (intake.requests, intake.boots) == (0, 1), "the request is an earlier run's"
        now = str(time.monotonic_ns()).encode()
        with file.open("ab") as more:
            for pid in (b"8", b"9"):
                line = self.LINE.replace(b'"pid":100', b'"pid":' + pid)
                more.write(line.replace(b'"t0":11,"t1":19', b'"t0":' + now + b',"t1":' + now))
        intake.drain()
        known[8] = 4712
        assert [record.pid for record in intake.poll()] == [4712]
        intake.drain()
        intake.close()
        assert (intake.requests, intake.never_placed) == (1, 1)
        recorder.close()
        run = read_run(run_directory)
        assert [record.pid for record in run.records] == [4712]
        assert [record.pid for record in run.boots] == [4711]

    def test_records_whose_process_nobody_has_do_not_pile_up(
        self, run_directory: Path, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An agent's files, and logs, are the container's to write: any number of ids may stand there."""
        monkeypatch.setattr("harness.store.intake._MOST_UNPLACED", 5)
        recorder = Recorder(run_directory)
        recorder.manifest(MANIFEST)
        known: set[int] = set()

        def place(record: ParsedRecord) -> ParsedRecord | None:
            return record if record.pid in known else None

        log = tmp_path / "access.log"
        log.write_bytes(b"")
        intake = Intake(recorder, work, [RecordSource("log", parse_record, follow=log)], place, "shop")
        intake.place_logged = place
        assert intake.poll() == []
        now = str(time.monotonic_ns()).encode()
        line = self.LINE.replace(b'"t0":11,"t1":19', b'"t0":' + now + b',"t1":' + now)
        with log.open("ab") as more:
            for pid in range(20):
                more.write(line.replace(b'"pid":100', b'"pid":%d' % pid))
        assert intake.poll() == []
        assert intake.never_placed == 15
        known.update(range(20))
        assert len(intake.poll()) == 5, "they come, although no file of the agent's was ever read"
        intake.close()
        recorder.close()

    def test_a_log_of_the_target_is_followed_wherever_it_is(
        self, run_directory: Path, work: Path, tmp_path: Path
    ) -> None:
        recorder = Recorder(run_directory)
        recorder.manifest(MANIFEST)
        log = tmp_path / "access.log"
        log.write_bytes(self.LINE)
        intake = Intake(recorder, work, [RecordSource("", parse_record, follow=log)])
        assert intake.poll() == []
        assert intake.unreadable_logs == []
        with log.open("ab") as more:
            more.write(b"a request of somebody else's\n")
        assert intake.poll() == []
        assert intake.unparsed == 0, "the log is not only ours"
        assert intake.unreadable_logs == [log]
        with log.open("ab") as more:
            more.write(self.LINE)
        intake.drain()
        assert intake.unreadable_logs == []
        intake.close()
        recorder.close()
        assert read_run(run_directory).records == [RECORD]
