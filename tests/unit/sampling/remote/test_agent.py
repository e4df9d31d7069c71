"""The part that keeps a directory of agents, as a process of its own: what it hands over, and what it does not."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pythons import pythons

from harness.sampling.remote import agent

PART = "harness.sampling.remote.agent"
OLDEST = min(pythons().items(), key=lambda each: tuple(map(int, re.findall(r"\d+", each[0])[:3])))[1]
NUMBER = int(signal.SIGRTMAX) - 9
RECORDS = "records/python-1.ndjson"
ORDER = "python/orders/order"
# Takes orders: prints each that it is told of.
WORKER = f"""
import signal, sys
def read(number, frame):
    print(open(sys.argv[1]).read(), end="", flush=True)
signal.signal({NUMBER}, read)
print("ready", flush=True)
while True:
    signal.pause()
"""


class Home:
    """The other end of its pipes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.process = subprocess.Popen([OLDEST, "-m", PART], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, **order: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Mapping[str, Any]:
        assert self.process.stdout is not None
        found: Mapping[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def own(self, records_cap: int = 1 << 20, records: str = RECORDS) -> Mapping[str, Any]:
        """What it says before its answer, all records together, and that."""
        root = str(self.root)
        self.say(cmd="own", root=root, records=records, orders=ORDER, results="results", records_cap=records_cap)
        return self.until("ready", "refused")

    def until(self, *kinds: str) -> Mapping[str, Any]:
        text = ""
        while (said := self.hear())["k"] not in kinds:
            assert said["k"] in ("records", "all"), said
            text += said.get("data", "")
        return {**said, "records": text}

    def drain(self) -> str:
        self.say(cmd="drain", id=7)
        return str(self.until("drained")["records"])

    def fetch(self, name: str, cap: int = 1 << 20) -> bytes | str:
        self.say(cmd="fetch", name=name, pid=os.getpid(), cap=cap)
        data = b""
        while True:
            said = self.until("file", "no file")
            if said["k"] == "no file":
                return str(said["why"])
            data += said["data"].encode("latin-1")
            if said["last"]:
                return data

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        assert self.process.wait(20) == 0
        self.process.stdout.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    for name in ("records", "results", "python/orders"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / RECORDS).touch()
    made = Home(tmp_path)
    yield made
    if made.process.poll() is None:
        made.close()


def append(home: Home, data: bytes) -> None:
    with (home.root / RECORDS).open("ab") as file:
        file.write(data)


def test_what_is_appended_is_sent_once_whatever_bytes_it_has(home: Home) -> None:
    assert home.own()["k"] == "ready"
    text = bytes(range(256)) * 2000 + b"\n"
    append(home, text)
    assert home.drain().encode("latin-1") == text
    append(home, b"half")
    assert home.drain() == "half"
    append(home, b" more\n")
    assert home.drain() == " more\n"


def test_a_file_that_is_emptied_is_read_from_its_beginning(home: Home) -> None:
    home.own()
    append(home, b"a whole line\nhalf of one")
    home.drain()
    os.truncate(home.root / RECORDS, 0)
    assert home.drain() == "\n"
    append(home, b"another\n")
    assert home.drain() == "another\n"


def test_who_writes_as_fast_as_it_is_read_does_not_hold_up_a_drain(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Mapping[str, object]] = []

    def say(**message: object) -> None:
        said.append(message)
        if message["k"] == "records" and len(said) < 100:
            append(home, b"more\n")

    monkeypatch.setattr(agent, "say", say)
    part = agent.Part()
    part._obey(
        {
            "cmd": "own",
            "root": str(home.root),
            "records": RECORDS,
            "orders": ORDER,
            "results": "results",
            "records_cap": 1 << 20,
        }
    )
    append(home, b"first\n")
    part._obey({"cmd": "drain", "id": 7})
    *before, drained = [message for message in said if message["k"] != "all"]
    assert before == [{"k": "ready"}, {"k": "records", "data": "first\n"}]
    assert 0 < drained.pop("cpu") <= time.process_time_ns()
    assert drained == {"k": "drained", "id": 7}


def test_up_to_when_all_has_been_sent_is_said_once_a_second_and_only_when_it_is_so(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Mapping[str, Any]] = []
    monkeypatch.setattr(agent, "say", lambda **message: said.append(message))
    names = {"records": RECORDS, "orders": ORDER, "results": "results"}
    kept = agent.Kept({"root": str(home.root), **names, "records_cap": 10})

    def read() -> list[str]:
        said.clear()
        kept.read()
        assert all(message["t"] <= time.monotonic_ns() for message in said if message["k"] == "all")
        return [message["k"] for message in said]

    assert [read(), read()] == [["all"], []]
    monkeypatch.setattr(agent, "_ALL_EVERY_NS", 0)
    append(home, b"0123456789")
    begun_ns = time.monotonic_ns()
    assert [read(), read()] == [["records", "all"], ["all"]]
    assert said[-1]["t"] >= begun_ns
    append(home, b"beyond the cap")
    assert read() == []
    os.truncate(home.root / RECORDS, 3)
    assert [read(), read()] == [["records"], []], "the cap has been reached, so not all is here"


def test_no_more_than_the_cap_is_sent(home: Home) -> None:
    home.own(records_cap=1000)
    append(home, b"x" * 5000)
    assert home.drain() == "x" * 1000


def test_of_what_was_there_only_the_living_are_told(home: Home) -> None:
    own = os.getpid()
    lines = [
        b'{"k":"boot","rt":"python","pid":%d,"t":1}' % own,
        b'{"k":"req","rt":"python","pid":%d,"n":1}' % own,
        b'{"k":"boot","rt":"python","pid":4194303,"t":1}',
        b'{"k":"boot","rt":"python","pid":%d,"t":2}' % own,
        b'{"k":"boot"' + b"x" * 10_000,
    ]
    append(home, b"\n".join(lines) + b'\n{"k":"req"')
    assert home.own()["records"] == lines[3].decode() + "\n"
    append(home, b"}\n")
    assert home.drain() == '{"k":"req"}\n', "a line that was being written is sent whole"


def looked(root: Path, *roots: int, contained: bool = False) -> dict[str, Any]:
    order = {"root": str(root), "records": RECORDS, "holds": ["results", "python/orders"], "roots": roots}
    found: dict[str, Any] = json.loads(agent.look(json.dumps({**order, "contained": contained})))
    return found


def test_the_doctor_is_told_who_of_the_watched_writes_there(home: Home) -> None:
    """By announcements, or by what was written lately; nobody who had the number before, and nothing is left behind."""
    own, sleeper = os.getpid(), subprocess.Popen(["sleep", "600"])
    now = time.monotonic_ns()
    try:
        before = sorted(home.root.rglob("*"))
        assert looked(home.root, own) == {
            "why": None, "size": 0, "watched": len(agent.below([own])), "inside": 0, "others": 0,
        }  # fmt: skip
        append(home, b'{"k":"boot","rt":"python","pid":%d,"ppid":1,"t":1}\n' % sleeper.pid)
        assert looked(home.root, own)["inside"] == 0, "it was written before it was born"
        append(home, b'{"k":"boot","rt":"python","pid":%d,"ppid":1,"t":%d}\n' % (sleeper.pid, now + 10**9))
        assert looked(home.root, own)["inside"] == 1, "a child of the one that is named"
        assert looked(home.root, sleeper.pid)["watched"] == 1
        said = looked(home.root, 4194303)
        assert (said["watched"], said["inside"], said["others"]) == (0, 0, 1)
        append(home, b'{"k":"req","rt":"php","pid":%d,"n":1,"t0":1,"t1":%d,"name":"x"}\n{"k":' % (own, now))
        assert looked(home.root, own)["inside"] == 2
        assert looked(home.root, sleeper.pid)["others"] == 1
        assert sorted(home.root.rglob("*")) == before
    finally:
        sleeper.kill()
        sleeper.wait()


def test_in_a_container_processes_are_known_by_their_ids_in_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.getpid()
    monkeypatch.setattr(agent, "_inner", {own: 7}.get)
    append(home, b'{"k":"boot","rt":"python","pid":%d,"t":%d}\n' % (own, time.monotonic_ns()))
    assert looked(home.root, own, contained=True)["inside"] == 0
    append(home, b'{"k":"boot","rt":"python","pid":7,"t":%d}\n' % time.monotonic_ns())
    said = looked(home.root, own, contained=True)
    assert (said["inside"], said["others"]) == (1, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a namespace of process ids")
def test_the_ids_of_a_namespace() -> None:
    with subprocess.Popen(
        ["unshare", "--pid", "--fork", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as outer:
        assert outer.stdin is not None
        assert outer.stdout is not None
        outer.stdin.write(b"x")
        outer.stdin.flush()
        assert outer.stdout.read(1) == b"x"
        (inner,) = agent.below([outer.pid]) - {outer.pid}
        assert agent._inner(inner) == 1
        assert agent._inner(outer.pid) == outer.pid
        outer.stdin.close()


def test_a_directory_that_cannot_be_used_says_why(home: Home, tmp_path: Path) -> None:
    (home.root / RECORDS).unlink()
    assert looked(home.root)["why"] == "No such file or directory"
    (home.root / RECORDS).symlink_to("/etc/passwd")
    assert looked(home.root)["why"] == "Too many levels of symbolic links"
    assert looked(tmp_path / "none")["why"] == "No such file or directory"
    (home.root / RECORDS).unlink()
    (home.root / RECORDS).touch()
    assert looked(home.root)["why"] is None
    (home.root / "results").rmdir()
    (home.root / "results").symlink_to("/etc")
    assert looked(home.root)["why"] == "Not a directory"


def test_a_result_is_handed_over_by_its_exact_name_and_removed(home: Home) -> None:
    home.own()
    data = bytes(range(256)) * 1500
    (home.root / "results" / "a.json").write_bytes(data)
    assert home.fetch("a.json") == data
    assert home.fetch("a.json") == "cannot open the result: No such file or directory"


def test_what_is_no_result_is_not_handed_over(home: Home) -> None:
    results, secret = home.root / "results", home.root / "secret"
    secret.write_text("secret")
    (results / "link.json").symlink_to(secret)
    (results / "hard.json").hardlink_to(secret)
    os.mkfifo(results / "fifo.json")
    (results / "directory.json").mkdir()
    (results / "long.json").write_bytes(b"x" * 11)
    home.own()
    for name in ("../secret", "/etc/passwd", "", "a/b", ".."):
        assert home.fetch(name) == "it is no bare name"
    assert home.fetch("link.json") == "cannot open the result: Too many levels of symbolic links"
    assert home.fetch("hard.json") == "the result is a hard link to another file"
    assert home.fetch("fifo.json") == home.fetch("directory.json") == "the result is not a regular file"
    assert home.fetch("long.json", cap=10) == "the result has 11 bytes, and at most 10 are fetched"
    home.close()
    assert {path.name for path in results.iterdir()} == {"link.json", "fifo.json", "directory.json"}
    assert secret.read_text() == "secret"


@pytest.mark.parametrize("name", ["records", "results", "python/orders", "python"])
def test_a_directory_that_is_a_link_is_not_entered(home: Home, name: str, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    (tmp_path / name).rename(moved)
    (tmp_path / name).symlink_to(moved)
    assert home.own() == {"k": "refused", "why": "Not a directory", "records": ""}


def test_a_records_file_that_is_none_is_refused(home: Home) -> None:
    (home.root / RECORDS).unlink()
    (home.root / RECORDS).symlink_to("/etc/passwd")
    assert home.own()["why"] == "Too many levels of symbolic links"


def test_a_path_that_leads_out_is_refused(home: Home) -> None:
    assert home.own(records="records/../../x")["why"] == "'records/../..' is no path in it"


def test_a_directory_is_one_runs(home: Home) -> None:
    home.own()
    other = Home(home.root)
    assert other.own()["why"] == "another run uses it"
    other.close()


def start_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_an_order_reaches_whom_home_means_and_nobody_else(home: Home) -> None:
    home.own()
    argv = [sys.executable, "-c", WORKER, str(home.root / ORDER)]
    worker = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    sleeper = subprocess.Popen(["sleep", "600"])  # the signal would end it
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        meant = [[worker.pid, start_of(worker.pid)], [sleeper.pid, start_of(sleeper.pid)], [4194303, 1]]
        home.say(cmd="order", id=3, text="17 floor look\n", signal=NUMBER, pids=meant)
        assert home.until("told") == {"k": "told", "id": 3, "pids": [worker.pid], "why": "", "records": ""}
        assert worker.stdout.readline() == "17 floor look\n"
        assert stat.S_IMODE((home.root / ORDER).stat().st_mode) == 0o644
        home.say(
            cmd="order", id=4, text="18 floor look\n", signal=NUMBER, pids=[[worker.pid, start_of(worker.pid) + 1]]
        )
        assert home.until("told")["pids"] == [], "another process has the number now"
        assert sleeper.poll() is None
    finally:
        for process in (worker, sleeper):
            process.kill()
            process.wait()
        worker.stdout.close()


def test_a_directory_is_laid_down_with_the_modes_that_home_says(home: Home, tmp_path: Path) -> None:
    root = tmp_path / "laid"
    home.say(cmd="lay", root=str(root), dirs=[["a", 0o755], ["a/b", 0o1733], ["records", 0o711], ["results", 0o700]])
    home.say(cmd="lay", root=str(root), dirs=[["python", 0o755], ["python/orders", 0o755]])
    home.say(cmd="lay", root=str(root), files=[["a/b/c", 0o644, "\xff\x00x"], [RECORDS, 0o622, ""]])
    home.root = root
    assert home.own()["k"] == "ready"
    assert (root / "a/b/c").read_bytes() == b"\xff\x00x"
    assert [stat.S_IMODE((root / name).stat().st_mode) for name in ("a", "a/b", "a/b/c", RECORDS)] == [
        0o755, 0o1733, 0o644, 0o622,
    ]  # fmt: skip
    home.say(cmd="lay", root=str(root), files=[["a/b/c", 0o644, "y"]])
    assert home.until("refused")["why"] == "File exists"
    home.say(cmd="lay", root=str(root), files=[["../x", 0o644, "y"]])
    assert home.until("refused")["why"] == "'..' is no path in it"
