"""What a run on another host is made of is killed, one part after the other, in mid-run: what was recorded is kept, nothing stays
on the host, the exit code is right, and one sentence says what happened.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kept import processes_with, wait_until
from processes import Harness, harness
from ssh_hosts import SshHost, SshHosts

from harness.errors import RunError
from harness.model.run import RawRun, RunStatus
from harness.store.reader import read_run

pytestmark = pytest.mark.integration
PROGRAMS = Path(__file__).parents[1] / "programs"
PORT = 8000


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHosts]:
    made = SshHosts(tmp_path_factory.mktemp("hosts"))
    made.add("web-1", 1_000_000)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def web(hosts: SshHosts) -> SshHost:
    return hosts._hosts[0]


def scenario(directory: Path, web: SshHost, mark: str, rounds: int = 500) -> None:
    address = f"http://{web.address}:{PORT}"
    command = f"sh -c 'exec {sys.executable} {PROGRAMS}/plain_server.py {PORT} {mark}'"
    target = {"host": "ssh://root@web-1", "launch": command, "ready": f"{address}/ok", "env": {"LISTEN": web.address},
              "stop_timeout": "3s"}  # fmt: skip
    load = {"rounds": rounds, "requests_per_round": 40, "blocks": 1, "settle": "20ms"}
    data = {"name": "drill", "sample": {"interval": "100ms"}, "target": target, "load": load,
            "requests": [{"name": "ok", "get": "/ok"}], "guard": {"disk_free": "1 B"}}  # fmt: skip
    (directory / "scenario.yaml").write_text(json.dumps(data))


def there(web: SshHost, part: str) -> int:
    """The process of ours on the host that runs this part of the archive."""
    found = [pid for pid in processes_with(str(web.temporary)) if part in _words(pid)]
    assert len(found) == 1, f"{part}: {found}"
    return found[0]


def _words(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")


def kill_there(part: str) -> Callable[[SshHost, Harness], None]:
    return lambda web, _: os.kill(there(web, part), signal.SIGKILL)


DRILLS: dict[str, tuple[Callable[[SshHost, Harness], None], int, str]] = {
    "line": (
        lambda _, run: os.kill(run.pid_of("harness.sampling.remote.line"), signal.SIGKILL),
        3,
        "the process that holds the line ended",
    ),
    "keeper": (kill_there("keep"), 3, "nothing of the run is left on this host"),
    "sampler": (kill_there("sampler"), 3, "the sampler ended unexpectedly"),
    "guard": (kill_there("guard"), 3, "was killed; its program has been stopped"),
    "ctrl-c": (lambda _, run: run.process.send_signal(signal.SIGINT), 130, ""),
}


@pytest.mark.parametrize("part", DRILLS)
def test_a_part_is_killed_in_mid_run(hosts: SshHosts, web: SshHost, tmp_path: Path, part: str) -> None:
    kill, code, sentence = DRILLS[part]
    mark = f"drill-{os.getpid()}-{part}"
    scenario(tmp_path, web, mark)
    with harness("run", "scenario.yaml", cwd=tmp_path, env={"PATH": hosts.path}) as run:
        _begin(run, tmp_path)
        kill(web, run)
        found, _, err = run.finish()
        run.assert_nothing_left()
    assert found == code, err
    assert sentence in err
    assert "Traceback" not in err
    assert _rounds(tmp_path) >= 2
    raw = _recorded(tmp_path)
    assert raw is not None
    assert raw.manifest.status is not RunStatus.RECORDING
    assert not list(processes_with(mark)), "the program there was ended"
    wait_until(lambda: not list(processes_with(str(web.temporary))))
    assert not list(web.temporary.iterdir())


def test_a_broken_connection_costs_nothing(hosts: SshHosts, web: SshHost, tmp_path: Path) -> None:
    """Of the SSH server there the process of this connection is killed, and then what the line has started there."""
    mark = f"drill-{os.getpid()}-connection"
    scenario(tmp_path, web, mark)
    with harness("run", "scenario.yaml", cwd=tmp_path, env={"PATH": hosts.path}) as run:
        _begin(run, tmp_path)
        for breaks in (1, 2):
            link = there(web, "link")
            os.kill(link if breaks == 1 else _parent(link), signal.SIGKILL)
            wait_until(lambda seen=breaks: _events(tmp_path, "host.up") >= seen)
        before = _rounds(tmp_path)
        wait_until(lambda: _rounds(tmp_path) >= before + 2)
        run.process.send_signal(signal.SIGINT)
        code, _, err = run.finish()
        run.assert_nothing_left()
    assert code == 130, err
    assert err.count("the line to web-1 broke") == 2
    assert not list(processes_with(mark))
    assert not list(web.temporary.iterdir())


@pytest.mark.parametrize("after", ["connecting to web-1", "started app", "warmup 1/2", "stopping"])
def test_ctrl_c_at_every_phase_leaves_nothing_there(hosts: SshHosts, web: SshHost, tmp_path: Path, after: str) -> None:
    mark = f"drill-{os.getpid()}-at"
    scenario(tmp_path, web, mark, rounds=7 if after == "stopping" else 500)
    with harness("run", "scenario.yaml", cwd=tmp_path, env={"PATH": hosts.path}) as run:
        run.read_until(after)
        run.process.send_signal(signal.SIGINT)
        code, _, err = run.finish()
        run.assert_nothing_left()
    assert code in ((0, 130) if after == "stopping" else (130,)), err
    assert "Traceback" not in err
    assert not list(processes_with(mark))
    wait_until(lambda: not list(processes_with(str(web.temporary))))
    assert not list(web.temporary.iterdir())


def test_a_full_disk_here_keeps_what_was_recorded_and_leaves_nothing_there(
    hosts: SshHosts, web: SshHost, tmp_path: Path
) -> None:
    mark = f"drill-{os.getpid()}-full"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", tmp_path], check=True)
    try:
        scenario(tmp_path, web, mark)
        with harness("run", "scenario.yaml", cwd=tmp_path, env={"PATH": hosts.path}) as run:
            _begin(run, tmp_path)
            with contextlib.suppress(OSError), (tmp_path / "fill").open("wb", 0) as fill:
                while True:
                    fill.write(bytes(4096))
            code, _, err = run.finish()
            run.assert_nothing_left()
        assert code == 4, err
        assert "Traceback" not in err
        (tmp_path / "fill").unlink()
        assert _rounds(tmp_path) >= 2
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)
    assert not list(processes_with(mark))
    wait_until(lambda: not list(processes_with(str(web.temporary))))
    assert not list(web.temporary.iterdir())


def _begin(run: Harness, directory: Path) -> None:
    wait_until(lambda: _rounds(directory) >= 2 or run.process.poll() is not None)
    assert run.process.poll() is None, run.finish()


def _recorded(directory: Path) -> RawRun | None:
    """The run as far as it is by now."""
    for run in directory.glob("runs/*"):
        with contextlib.suppress(RunError):
            return read_run(run)
    return None


def _rounds(directory: Path) -> int:
    """Rounds that have ended so far."""
    run = _recorded(directory)
    windows = () if run is None else run.windows
    return len([window for window in windows if window.phase == "rounds" and window.end_ns is not None])


def _events(directory: Path, kind: str) -> int:
    run = _recorded(directory)
    return 0 if run is None else len([event for event in run.events if event.kind == kind])


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
