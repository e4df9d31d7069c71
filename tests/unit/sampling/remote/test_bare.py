"""Sampling through a shell: the reader in several shells, and what is made of what it shows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.sampling.remote import bare
from harness.targets.connectors.deploy import reader

SHELLS = ("dash", "bash", "busybox")


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """A command that runs ``reader.sh``: of busybox, with nothing on the PATH but itself."""
    found = shutil.which(request.param)
    assert found, f"these tests need {request.param}"
    if request.param != "busybox":
        return [found, *reader()[1:]]
    for name in ("sh", "grep", "tr"):
        (tmp_path / name).symlink_to(found)
    return ["env", f"PATH={tmp_path}", str(tmp_path / "sh"), *reader()[1:]]


@pytest.fixture
def hostile() -> Iterator[int]:
    """A process whose name and arguments look like something else."""
    program = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'a) S\\n@end\\n/x:'); print('up', flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", program, "a b", "c\nd", "/proc/1/stat:0 (x)"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_files_are_shown_as_they_are(shell: list[str], hostile: int) -> None:
    asked = bare.Reader(shell)
    try:
        answer = asked.ask(
            "r", [f"/proc/{hostile}/stat", "/proc/sys/kernel/osrelease", "/proc/none", "/proc/[0-9]*/stat"]
        )
        assert answer.before_ns <= answer.after_ns
        assert answer.files["/proc/sys/kernel/osrelease"] == Path("/proc/sys/kernel/osrelease").read_bytes()
        shown, real = answer.files[f"/proc/{hostile}/stat"], Path(f"/proc/{hostile}/stat").read_bytes()
        assert shown.split(b")")[0] == real.split(b")")[0]
        assert shown.count(b"\n") == real.count(b"\n")
        assert f"/proc/{os.getpid()}/stat" in answer.files
        assert "/proc/none" not in answer.files
        words = asked.ask("c", [str(hostile), "999999999"]).files
        assert set(words) == {f"/proc/{hostile}/cmdline"}
        assert words[f"/proc/{hostile}/cmdline"].split(b"\0")[3:5] == [
            b"a b",
            b"c d",
        ]  # a line break is shown as a blank
    finally:
        asked.close()


def test_the_sampler_sweeps_what_a_shell_shows(shell: list[str], hostile: int) -> None:
    argv = [sys.executable, "-m", "harness.sampling.remote.bare"]
    program = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert program.stdin
    assert program.stdout

    def tell(**message: object) -> None:
        assert program.stdin
        program.stdin.write(json.dumps(message).encode() + b"\n")
        program.stdin.flush()

    said: list[dict[str, Any]] = []

    def until(kind: str) -> dict[str, Any]:
        assert program.stdout
        while True:
            message = json.loads(program.stdout.readline())
            said.append(message.get("m", message))
            if said[-1]["k"] == kind:
                return said[-1]

    tell(argv=shell)
    clock = until("clock")
    assert clock["before"] <= clock["there"] <= clock["after"]  # it is the same clock; suspension aside
    until("up")
    tell(to="-", m={"cmd": "run", "name": "sampler", "part": "sampler"})
    tell(to="sampler", m={"cmd": "start", "interval_ns": 10**9, "roots": [{"pid": hostile, "pool": "app"}]})
    tell(to="sampler", m={"cmd": "floor", "id": 1, "depth": 2})
    while until("tick")["floor"] != 1:
        pass
    tell(to="sampler", m={"cmd": "stop"})
    until("bye")
    program.stdin.close()
    assert json.loads(program.stdout.read().splitlines()[-1]) == {"k": "over"}
    program.stdout.close()
    assert program.wait(60) == 0
    (who,) = (m for m in said if m["k"] == "proc")
    assert (who["pid"], who["pool"]) == (hostile, "app")
    tick = next(m for m in said if m["k"] == "tick" and m["floor"] == 1)
    ((pid, _, values),) = tick["p"]
    assert pid == hostile
    assert tick["cpu"] is None
    columns = dict(zip(said[2]["columns"], values, strict=True))
    assert columns["process.memory.rss"] > 1_000_000
    assert columns["process.memory.pss"] > 100_000
    assert columns["process.walk"] is None
    assert columns["process.fds"] is None
    assert tick["s"]["system.meminfo.MemTotal"] > 0
    assert any(name.startswith("process.smaps.") for m in said if m["k"] == "names" for name in m["names"])
    missing = {m["signal"]: m["reason"] for m in said if m["k"] == "missing"}
    assert {"runtime", "process.events", "process.fds", "cgroup.memory", "sampler.cpu"} <= set(missing)
    assert not any("harness-bare" in reason for reason in missing.values())


def test_a_reader_that_says_nonsense_is_lost() -> None:
    for program in ("echo hello", "echo '@ 1e9'", "exit 3", "echo oops >&2; exit 1", "printf '@ 1.00\\n'"):
        asked = bare.Reader(["sh", "-c", f"read -r line; {program}"])
        with pytest.raises(bare.Lost):
            asked.ask("r", ["/proc/uptime"])
        asked.close()


def test_only_paths_below_proc_and_sys_are_kept(tmp_path: Path) -> None:
    said = "/etc/passwd:x|/proc/../etc/x:1|/proc/1/stat:1 (a:b) S|plain|/proc/1/stat:second|/sys/a/b:c"
    lines = [line.encode() + b"\n" for line in said.split("|")]
    shown = dict(bare._files(iter(lines), bare._asked_for(["/proc/[0-9]*/stat", "/sys/a/*"])))
    assert shown == {"/proc/1/stat": b"1 (a:b) S\nsecond\n", "/sys/a/b": b"c\n"}
    mirror = bare.Mirror()
    try:
        mirror.take(shown, whole=True)
        assert mirror.pids() == {1}
        assert not (Path(mirror.proc).parent / "etc").exists()
        mirror.take({}, whole=True)
        assert mirror.pids() == frozenset()
    finally:
        mirror.close()
    assert not Path(mirror.proc).exists()


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("read q; exec sleep 60", "it did not answer within 0.4 s"),
        ("read q; echo '@ 1.00'; while echo /proc/1/stat:x; do sleep 0.05; done", "it did not answer within 0.4 s"),
        ("read q; printf '@ 1.00\\n/proc/1/stat:'; exec yes", "more than 300000 bytes"),
        ("read q; printf '@ 1.00\\n'; exec tr '\\0' x </dev/zero", "more than 300000 bytes"),
        ("read q; echo '@ 1.0'; exec sleep 60", "it does not answer as it should"),
        ("sleep 5 & echo no >&2; exit 1", "no"),
    ],
)  # fmt: skip
def test_what_a_shell_says_has_an_end(does: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent, slow, endless, wrong, or gone with its standard error held open."""
    monkeypatch.setattr(bare, "_ANSWER_CAP_BYTES", 300_000)
    asked = bare.Reader(["sh", "-c", does], 0.4)
    try:
        with pytest.raises(bare.Lost, match=why):
            asked.ask("r", ["/proc/[0-9]*/stat"])
    finally:
        asked.close()


def test_files_that_were_not_asked_for_are_not_kept(tmp_path: Path) -> None:
    said = (
        r"@ 1.00\n/proc/1/stat:1 (a) S\n/proc/1/environ:x\n/proc/2/stat/x:y\n/proc/1x/stat:y\n/proc/99999999/stat:y\n"
        r"/sys/a/b:c\n/sys/a/b/c:d\n/sys/a/..:c\n/sys/a/%0100d:c\n@end\n"
    )
    asked = bare.Reader(["sh", "-c", f"read q; printf '{said}' 0"])
    mirror = bare.Mirror()
    try:
        answer = asked.ask("r", ["/proc/[0-9]*/stat", "/sys/a/*", "/sys/a/b/*"])
        assert answer.files == {"/proc/1/stat": b"1 (a) S\n", "/sys/a/b": b"c\n", "/sys/a/b/c": b"d\n"}
        mirror.take(answer.files, whole=True)  # a file and a directory of one name
        assert Path(mirror.proc, "1", "stat").read_bytes() == b"1 (a) S\n"
    finally:
        asked.close()
        mirror.close()


@pytest.mark.parametrize("content", ["", "1", "1 (x", "1 (a) S 1 1", "1 (a) S " + "x " * 60, "1 (a) S " + "9" * 30 + " 1" * 60,
                                     "-1 (a) S " + "1 " * 60, "\\377\\376 (\\033[2J) S " + "1 " * 60])  # fmt: skip
def test_a_proc_that_is_none_ends_in_words(content: str) -> None:
    """Whatever stands in these files, what comes back is messages."""
    shown = "".join(f"/proc/{name}:{content}\\n" for name in ("1/stat", "1/status", "1/smaps_rollup", "1/smaps", "meminfo",
                    "vmstat", "stat", "pressure/memory"))  # fmt: skip
    does = f"while read k q; do printf '@ 5.00\\n{shown}@end\\n'; done"
    session = subprocess.Popen(
        [sys.executable, "-m", "harness.sampling.remote.bare"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert session.stdin
    assert session.stdout
    with session:
        for message in (
            {"argv": ["sh", "-c", does]},
            {"to": "sampler", "m": {"cmd": "start", "interval_ns": 1_000_000, "roots": [{"pid": 1, "pool": "a"}], "look": False}},
            {"to": "sampler", "m": {"cmd": "floor", "id": 1, "depth": 2}},
        ):  # fmt: skip
            session.stdin.write(json.dumps(message) + "\n")
            session.stdin.flush()
        said = []
        for line in session.stdout:
            said.append(json.loads(line))
            if said[-1]["k"] == "gone" or said[-1].get("m", {}).get("floor") == 1:
                break
        session.stdin.close()
        assert session.wait(30) == (3 if said[-1]["k"] == "gone" else 0), said[-1]
