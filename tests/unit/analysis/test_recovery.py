"""What is made of a run whose session was killed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from timelines import manifest, process

from harness.analysis.recovery import recover
from harness.model.event import CONTAINER_PROCESS, INNER_PID, Event
from harness.model.host import LOCAL, RunHost
from harness.model.process import ProcessInfo
from harness.model.run import RawRun, RunStatus
from harness.store.afar import ARRIVED, Arrived
from harness.store.layout import new_run_directory
from harness.store.reader import read_run
from harness.store.writer import Recorder

SECOND = 1_000_000_000
BEGAN_NS = 100 * SECOND
AHEAD_NS = 5 * SECOND
WHERE = "/opt/agent"
RECORDS = "python-0123456789abcdef.ndjson"


class Killed:
    """A run that nobody records any more, in which ``web-1``, ``web-2`` and this machine were watched."""

    def __init__(self, directory: Path) -> None:
        self.path = new_run_directory(directory, "20260101-000000", "shop")
        self.recorder = Recorder(self.path)
        hosts = [
            RunHost("web-1", "ssh://deploy@web-1", "web", measured=True, first=True, offset_ns=AHEAD_NS),
            RunHost("web-2", "ssh://deploy@web-2", "web", measured=True, first=False, offset_ns=AHEAD_NS),
            RunHost("local", LOCAL, "cron", measured=False, first=False, offset_ns=0),
        ]
        self.recorder.manifest(
            replace(
                manifest(status=RunStatus.RECORDING), started_ns=BEGAN_NS, started_wall_ns=1_700_000_000 * SECOND, ended_ns=None,
            )
        )  # fmt: skip
        self.recorder.hosts(hosts)

    def holds(self, *infos: ProcessInfo) -> None:
        for info in infos:
            self.recorder.process(info)

    def arrived(self, place: str, until_s: float | None, *lines: dict[str, Any], **more: Any) -> Path:
        """What has come from a place; times of ``until_s`` and in the lines are those of the run in seconds."""
        directory = self.path / "work" / "hosts" / place
        (directory / "records").mkdir(parents=True)
        (directory / "records" / RECORDS).write_text("".join(json.dumps(line) + "\n" for line in lines))
        until_ns = None if until_s is None else BEGAN_NS + int(until_s * SECOND)
        said = {"host": "web-1", "stays": True, "contained": False, "until_ns": until_ns, **more}
        arrived = Arrived(place, where=WHERE, **said)
        arrived.write(directory)
        return directory

    def recovered(self) -> tuple[RawRun, dict[str, str]]:
        self.recorder.close()
        assert recover(self.path)
        raw = read_run(self.path)
        return raw, {missing.signal: missing.reason for missing in raw.missing}


@pytest.fixture
def killed(tmp_path: Path) -> Killed:
    return Killed(tmp_path)


def request(pid: int, at_s: float) -> dict[str, Any]:
    """As an agent on the host writes it, by the clock there."""
    t_ns = BEGAN_NS + int(at_s * SECOND) + AHEAD_NS
    return {"k": "req", "rt": "python", "pid": pid, "n": 1, "t0": t_ns, "t1": t_ns + 1000, "span": None, "name": "GET /",
            "st": 200, "first": 0, "v": {}}  # fmt: skip


def test_it_is_said_up_to_when_the_records_of_a_host_are_here(killed: Killed) -> None:
    killed.arrived("web-1", 72.98)
    raw, missing = killed.recovered()
    assert raw.manifest.status is RunStatus.INTERRUPTED
    assert missing["agent.records on web-1"] == (
        "the harness was killed: what agents recorded on web-1 is here up to 72.9 s after the start (2023-11-14 22:14:32 UTC); "
        f"what they recorded after it, if anything, is only in {WHERE} on web-1"
    )


def test_where_some_of_what_had_come_is_not_here_no_time_is_claimed(killed: Killed) -> None:
    """As after a crash of this machine."""
    killed.arrived("web-1", 72.98, request(7, 1), size_bytes=1000)
    _, missing = killed.recovered()
    assert "before it was known that anything was here" in missing["agent.records on web-1"]


def test_where_the_directory_went_with_the_run_the_rest_is_lost(killed: Killed) -> None:
    killed.arrived("web-1", 1.0, stays=False)
    _, missing = killed.recovered()
    assert missing["agent.records on web-1"].endswith("what they recorded after it, if anything, is lost")


def test_nothing_is_claimed_where_no_time_is_known(killed: Killed) -> None:
    killed.arrived("web-1", None)
    _, missing = killed.recovered()
    assert "before it was known that anything was here" in missing["agent.records on web-1"]


def test_records_that_had_arrived_and_were_not_read_are_taken_in_by_our_clock(killed: Killed) -> None:
    """Those of processes that were followed then, as while the run was recorded."""
    killed.holds(process(7, host="web-1", born=BEGAN_NS), process(9, host="web-2", born=BEGAN_NS))
    killed.arrived("web-1", 9.0, request(7, 3), request(8, 3), request(9, 3), request(7, -3), {"k": "nonsense"})
    raw, _ = killed.recovered()
    assert [(found.host, found.pid, found.start_ns) for found in raw.records] == [("web-1", 7, BEGAN_NS + 3 * SECOND)]


def test_what_was_read_before_is_not_read_again(killed: Killed) -> None:
    killed.holds(process(7, host="web-1", born=BEGAN_NS))
    directory = killed.arrived("web-1", 9.0, request(7, 3), request(7, 4))
    first, _ = (directory / "records" / RECORDS).read_text().splitlines()
    killed.recorder.records(f"web-1:records/{RECORDS}", len(first) + 1, [])
    raw, _ = killed.recovered()
    assert [found.start_ns for found in raw.records] == [BEGAN_NS + 4 * SECOND]
    assert not recover(killed.path)


def test_ids_in_a_container_are_those_that_the_run_knows(killed: Killed) -> None:
    """The same one in two containers, and one that is not known."""
    old, new = (process(pid, host="web-1", pool=pool, born=BEGAN_NS) for pid, pool in ((70, "old"), (80, "new")))
    killed.holds(old, new)
    for info in (old, new):
        killed.recorder.event(Event(BEGAN_NS, CONTAINER_PROCESS, info.key, "", {INNER_PID: 1}))
    killed.arrived("old", 9.0, request(1, 3), request(70, 3), contained=True)
    killed.arrived("new", 9.0, request(1, 4), request(2, 4), contained=True)
    raw, missing = killed.recovered()
    assert {(found.pid, found.start_ns) for found in raw.records} == {
        (70, BEGAN_NS + 3 * SECOND),
        (80, BEGAN_NS + 4 * SECOND),
    }
    assert {"agent.records on old", "agent.records on new"} <= set(missing)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"place": 1}', "[" * 100_000, '{"place":"a","host":"web-1","where":"x","stays":true,"contained":0}',
     '{"place":"a","host":"b","where":"x","stays":true,"contained":false,"until_ns":1e400}',
     '{"place":"a","host":"b","where":"x","stays":true,"contained":false,"until_ns":' + "9" * 30 + "}"],
)  # fmt: skip
def test_a_damaged_word_of_what_had_arrived_is_no_word(killed: Killed, text: str) -> None:
    directory = killed.arrived("web-1", 1.0)
    (directory / ARRIVED).write_text(text)
    killed.arrived("web-2", 1.0, host="elsewhere")
    _, missing = killed.recovered()
    assert {"agent.records on web-1", "agent.records on web-2"} <= set(missing)
    assert missing["agent.records on web-1"].endswith("is not known")


def test_of_each_other_host_the_last_sample_is_named(killed: Killed) -> None:
    for seconds in (3, 4):
        killed.recorder.samples(BEGAN_NS + seconds * SECOND, [("system.meminfo.MemTotal", None, 1)])
    killed.recorder.samples(BEGAN_NS + 9 * SECOND, [("load.cpu", None, 1)], lane="load")
    _, missing = killed.recovered()
    assert missing == {
        "samples of web-1": "the harness was killed: the last one here is of 4.0 s after the start (2023-11-14 22:13:24 UTC)",
        "samples of web-2": "the harness was killed: none is here",
    }
