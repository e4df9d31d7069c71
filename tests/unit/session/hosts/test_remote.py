"""Another host, whose words are anybody's: what makes no sense ends the run with words, and what was recorded can be read."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.clock import SystemClock
from harness.errors import TargetError
from harness.model.run import RunManifest, RunStatus
from harness.sampling.protocol import COLUMNS
from harness.scenario.target import AttachSpec, HostSpec
from harness.session import sampler_bounds
from harness.session.hosts.remote import RemoteHost
from harness.session.progress import Progress
from harness.session.pump import Pump
from harness.session.sampler_client import SamplerClient
from harness.store import layout
from harness.store.reader import read_run
from harness.store.writer import Recorder, RecordingError
from harness.targets.connectors.deploy import Deployed
from harness.targets.connectors.local import LocalConnector
from harness.targets.connectors.spec import Done

HELLO: dict[str, Any] = {"k": "hello", "columns": list(COLUMNS)}
ROW = [1] * len(COLUMNS)
SAID: list[dict[str, Any]] = [
    {"k": "proc", "pid": 7, "start": 5, "ppid": 1, "comm": "web", "cmd": "x", "uid": 0, "pool": "web-1", "born": 50, "t": 60},
    {"k": "names", "set": 0, "names": ["runtime.php.heap.size"]},
    {"k": "more", "t": 100, "x": [[7, 5, 0, [4096]]]},
    {"k": "tick", "t": 100, "end": 101, "late": 0, "missed": 0, "cpu": 5, "floor": None, "p": [[7, 5, ROW]], "s": {"sys": 1}},
    {"k": "settings", "facts": {"kernel.x": 1, "kernel.y": "always"}},
    {"k": "missing", "signal": "runtime", "reason": "because", "costs": "something"},
    {"k": "runtime", "pid": 7, "start": 5, "t": 110, "runtime": "php", "facts": {"version": "8.2"}},
    {"k": "types", "pid": 7, "start": 5, "t": 110, "runtime": "php", "every": 1, "rows": [["Cart", 3, 300]]},
    {"k": "files", "pid": 7, "start": 5, "t": 110, "rows": [["/srv/data", 4096, None, None]]},
    {"k": "pause", "pid": 7, "start": 5, "t": 110, "paused": 1000},
    {"k": "fast", "pid": 7, "start": 5, "t": 111, "dt": [1, 2], "v": [[1, 2], [1, 2], [1, 2]], "dropped": 0, "highest": None},
    {"k": "exit", "pid": 7, "start": 5, "t": 120, "code": 0, "signal": None, "last": {"process.faults.major": 1}},
    {"k": "bye", "t": 130, "ticks": 1, "missed": 0, "cpu": 6},
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=True) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


class Other(LocalConnector):
    """Says what it is told to say."""

    said = b""

    def run(self, *_: object, **__: object) -> Done:
        return Done(0, self.said, b"")

    def get(self, *_: object) -> bytes | None:
        return self.said


class Here:
    """A host that was reached, with a sampler on it, and the run that it writes to."""

    def __init__(self, directory: Path, *, several: bool = False) -> None:
        self.directory = directory
        directory.mkdir()
        self.recorder = Recorder(directory)
        self.recorder.manifest(
            RunManifest(layout.FORMAT, "r", "1", "s", "", {}, {}, "php", 0, 0, None, RunStatus.RECORDING, "", {})
        )
        self.stream = io.StringIO()
        self.pump = Pump(self._greet)
        self.pump.__enter__()
        self.connector = Other()
        spec = HostSpec.model_validate({"host": "ssh://web-1"})
        self.host = RemoteHost(
            spec, True, self.connector, self.pump, self.recorder, Progress(self.stream), SystemClock()
        )
        self.host._deployed = Deployed(PurePosixPath("/tmp/harness-x"), "python3", 0, "/root", {})
        self._greeted = False
        self.host._on_message({"k": "clock", "before": 1, "there": 1, "wall": 1, "after": 1})
        self.sampler = self.host.sampler(
            {"interval_ns": 1_000_000},
            lambda order, away: SamplerClient(self.pump, self.recorder, order, away, several=several),
        )
        self.sampler.follow(7, "web-1")

    def _greet(self) -> None:
        if "sampler" in self.host._programs and not self._greeted:
            self._greeted = True
            self.says(HELLO)

    def says(self, message: Mapping[str, Any]) -> None:
        self.host._on_message({"k": "said", "by": "sampler", "m": message})

    def close(self) -> None:
        """What was recorded is a run that can be read."""
        self.recorder.close()
        self.pump.__exit__()
        assert read_run(self.directory).anchors


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    made = Here(tmp_path / "run")
    yield made
    made.close()


def test_what_a_sampler_says_is_taken(here: Here) -> None:
    for message in SAID:
        here.says(json.loads(json.dumps(message)))
    assert here.sampler.said_bye
    assert not here.sampler.alive


@pytest.mark.parametrize(("several", "signal"), [(False, "cgroup.memory"), (True, "cgroup.memory on web-1")])
def test_of_several_hosts_what_is_missing_says_where_also_of_the_one_that_is_judged(
    tmp_path: Path, several: bool, signal: str
) -> None:
    judged = Here(tmp_path / "run", several=several)
    judged.says({"k": "missing", "signal": "cgroup.memory", "reason": "b", "costs": "c"})
    judged.close()
    assert [m.signal for m in read_run(judged.directory).missing] == [signal]


def test_processes_without_end_end_the_run_and_those_before_are_kept(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler_bounds, "MOST_ANNOUNCED", 50)
    proc, leaves = SAID[0], next(said for said in SAID if said["k"] == "exit")
    for number in range(50):
        here.says({**proc, "pid": number + 2, "start": number})
        here.says({**leaves, "pid": number + 2, "start": number})
    with pytest.raises(TargetError, match="web-1 says more than is kept of one host: more than 50 processes") as caught:
        here.says({**proc, "pid": 52, "start": 50})
    assert caught.value.exit_code == 3
    here.recorder.commit()
    kept = [info for info in read_run(here.directory).processes if info.comm == "web"]
    assert [info.key.pid for info in kept] == [number + 2 for number in range(50)]
    assert all(info.ended_ns is not None for info in kept)


@pytest.mark.parametrize("name", ["comm", "cmd"])
def test_a_command_has_an_end(here: Here, name: str) -> None:
    here.says({**SAID[0], name: "x" * 4096})
    with pytest.raises(TargetError, match=f"sent something that no sampler says .*proc: {name}"):
        here.says({**SAID[0], name: "x" * 4097})


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_whatever_it_says_instead_is_an_error_with_words_or_is_recorded(here: Here, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(SAID) - 1))
    message = dict(SAID[number])
    message[data.draw(st.sampled_from(sorted(message)))] = data.draw(JSON)
    said = ""
    try:
        here.says(message)
    except TargetError as error:
        said = error.message
    assert not said or (said.startswith("web-1 sent something that no sampler says") and said.isprintable())


@pytest.mark.parametrize("said", [b"", b"[]", b"{}", b'{"pids":[]}', b'{"pids":[-1]}', b'{"pids":["1"]}', b'{"pids":[true]}',
                                  b'{"pids":[1e999]}', b"[" * 100_000, b'{"pids":[99999999999]}'])  # fmt: skip
def test_who_runs_there_is_a_pid_or_an_error(here: Here, said: bytes) -> None:
    here.connector.said = said
    with pytest.raises(TargetError, match="web-1 does not say what runs there"):
        here.host.attachments(AttachSpec.model_validate({"port": 80}))


@pytest.mark.parametrize("said", [b"", b"x", b"0", b"-3", b"9" * 60, "²".encode()])
def test_a_pidfile_there_holds_a_pid_or_it_is_an_error(here: Here, said: bytes) -> None:
    here.host._deployed = None
    here.connector.said = said
    with pytest.raises(TargetError, match=r"there is no pid in /run/x\.pid"):
        here.host.attachments(AttachSpec.model_validate({"pidfile": "/run/x.pid"}))


def test_why_a_line_broke_cannot_write_to_the_terminal(here: Here) -> None:
    here.host._on_message({"k": "down", "t": 5, "why": "\x1b[2J\x07broken\u202e" + "x" * 10_000})
    assert "\x1b" not in here.stream.getvalue()
    assert len(here.stream.getvalue()) < 1000
    with pytest.raises(TargetError) as caught:
        here.host._on_message({"k": "gone", "why": "\x1b[2Jgone"})
    assert caught.value.hint == "web-1 is lost: ?[2Jgone"


def test_what_its_keeper_took_is_a_time_or_unknown(here: Here) -> None:
    assert here.host.keeper_cpu_ns is None
    for said, taken in ((5_000, 5_000), (-1, None), (2**62, None), ("5", None), (True, None)):
        ended = {"k": "ended", "name": "nobody", "code": 0, "complaints": "", "cpu": said}
        here.host._on_message({"k": "said", "by": "-", "m": ended})
        assert here.host.keeper_cpu_ns == taken


def test_a_keeper_that_ends_in_mid_run_ends_the_run(here: Here) -> None:
    """It says that all is over there: then nobody waits for floors that never come."""
    with pytest.raises(TargetError, match="the sampler ended unexpectedly"):
        here.host._on_message({"k": "over"})


def test_a_full_disk_here_is_no_fault_of_the_host(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise RecordingError("no space")

    monkeypatch.setattr(here.recorder, "missing", full)
    with pytest.raises(RecordingError):
        here.says({"k": "missing", "signal": "a", "reason": "b", "costs": "c"})


def test_what_the_sampler_says_of_nobody_is_the_fault_of_its_host(here: Here) -> None:
    with pytest.raises(TargetError, match=r"web-1 sent something that no sampler says .*without introducing it"):
        here.says({"k": "pause", "pid": 99, "start": 5, "t": 110, "paused": 1000})


def test_all_parts_hear_that_their_host_is_lost_also_when_one_of_them_ends_the_run(here: Here) -> None:
    """Else whoever waits for another of them waits in vain."""
    gone: list[str] = []
    further = here.host.run("agent", "agent")
    further.listen(here.pump, lambda _: None, lambda: gone.append("agent"))
    with pytest.raises(TargetError, match="the sampler ended unexpectedly"):
        here.host._on_message({"k": "gone", "why": "the cable"})
    assert gone == ["agent"]
    assert further.ended


def test_no_process_of_a_host_gets_into_the_pool_of_another_place(here: Here) -> None:
    """Processes are found by their pool: those of a container of this machine are looked up here, by their ids."""
    with pytest.raises(TargetError, match="web-1 sent something that no sampler says"):
        here.says({**SAID[0], "pool": "shop-db"})
    assert not here.sampler.alive


@pytest.mark.parametrize("there", [-1, 1 << 61, (1 << 63) - 1, 10**30])
def test_a_clock_that_no_host_has_ends_the_run_and_leaves_it_readable(here: Here, there: int) -> None:
    with pytest.raises(TargetError, match="web-1 sent something that no sampler says"):
        here.host._on_message({"k": "clock", "before": 1, "there": there, "wall": 1, "after": 1})
    here.host._note("host.clock", here.host.recorded_now_ns(), "", {})


def test_where_there_is_no_python_nothing_is_kept_while_the_line_is_down(here: Here) -> None:
    here.host._on_message({"k": "down", "t": 5, "why": "cut"})
    assert "the line to web-1 broke (cut); what is sampled there is kept there" in here.stream.getvalue()
    here.host._deployed = None
    here.host._on_message({"k": "down", "t": 6, "why": "cut"})
    assert "the line to web-1 broke (cut); nothing is sampled there until it works" in here.stream.getvalue()


def test_a_host_that_nobody_waited_for_is_left_as_it_was(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one could not be reached meanwhile, or the run was interrupted."""
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.setenv("TMPDIR", str(there))
    spec = HostSpec.model_validate({"host": "ssh://web-2"})
    host = RemoteHost(spec, False, LocalConnector(), here.pump, here.recorder, Progress(here.stream), SystemClock())
    host.set_out()
    host.stop()
    assert host.over, "what was put there has ended"
    assert list(there.iterdir()) == []


def test_what_a_host_lacks_has_an_end(here: Here) -> None:
    for number in range(1500):
        here.says({"k": "missing", "signal": f"s{number}", "reason": "b", "costs": "c"})
    here.recorder.commit()
    assert len(read_run(here.directory).missing) == 1000
