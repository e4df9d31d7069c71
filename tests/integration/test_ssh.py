"""The sampler on another host over SSH: a clock of its own, a cable that is pulled, a host without Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from kept import KeptLine, is_tick, kept, kind, processes_with, sweeps_are_whole, wait_until
from ssh_hosts import SshHost, SshHosts

from harness.errors import TargetError
from harness.targets.connectors.deploy import NoPython
from harness.targets.connectors.peek import look
from harness.targets.connectors.spec import FileTooLong
from harness.targets.connectors.ssh import SshConnector, parse_place

pytestmark = pytest.mark.integration

_SCENARIO = "name: shop\ntarget: {{host: 'ssh://{}', attach: {{port: {}}}}}\nload: {{observe: 10m}}\n"
AHEAD_S = 86_400 * 3 + 7


@pytest.fixture(scope="module")
def staging(hosts: SshHosts) -> SshHost:
    return hosts.add("Staging-1", AHEAD_S)


@pytest.fixture
def connector(hosts: SshHosts, staging: SshHost) -> Iterator[SshConnector]:
    made = SshConnector(parse_place(f"ssh://root@{staging.name}"), str(hosts.program))
    yield made
    made.close()


def test_commands_arrive_word_for_word(connector: SshConnector) -> None:
    words = ["", " two  words ", "$HOME", "a'b\"c", "`id`", "*", "\\", "-n", "!x", "ü"]
    done = connector.run(["printf", "%s|", *words])
    assert done.output.decode() == "".join(f"{word}|" for word in words)
    assert connector.run(["sh", "-c", "echo no >&2; exit 7"]).last_words == "no"
    assert connector.run(["sh", "-c", "cat | wc -c"], stdin=b"x" * 300_000).output.strip() == b"300000"
    assert len(connector.run(["head", "-c", "5000", "/dev/zero"], cap_bytes=1000).output) == 1000


def test_files_go_and_come_whole_by_their_exact_names(connector: SshConnector, tmp_path: Path) -> None:
    data = os.urandom(200_000)
    path = PurePosixPath(tmp_path / "a name; $(touch x)")
    connector.put(data, path)
    assert connector.get(path, 200_000) == data
    assert (Path(path).stat().st_mode & 0o777) == 0o600
    with pytest.raises(TargetError, match="cannot write"):
        connector.put(b"again", path)
    with pytest.raises(FileTooLong):
        connector.get(path, 199_999)
    assert connector.get(PurePosixPath(tmp_path / "none"), 10) is None
    (tmp_path / "link").symlink_to(path)
    assert connector.get(PurePosixPath(tmp_path / "link"), 10**6) is None
    (tmp_path / "pipe").mkdir()
    assert connector.get(PurePosixPath(tmp_path / "pipe"), 10) is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a name; $(touch x)", "link", "pipe"]


def test_who_is_not_known_is_not_trusted(hosts: SshHosts, staging: SshHost, tmp_path: Path) -> None:
    """No answer is given for the user to the question whether the host key is right."""
    stranger = SshConnector(parse_place(f"ssh://root@{staging.address}"), str(hosts.program))
    with pytest.raises(TargetError, match=r"cannot reach .*(verification failed|Permission denied)") as caught:
        stranger.run(["true"])
    assert "must work without asking" in str(caught.value)
    stranger.close()


def test_a_jump_host_of_the_configuration_is_passed(hosts: SshHosts, staging: SshHost) -> None:
    connector = SshConnector(parse_place(f"ssh://behind-{staging.name}"), str(hosts.program))
    shown = connector.run(["sh", "-c", "echo $SSH_CONNECTION"]).output.decode().split()
    assert (shown[0], shown[2]) == ("127.0.0.1", "127.0.0.1")
    line = KeptLine(connector.command(kept(connector).link))
    clock = line.until(kind("clock"))
    assert abs(clock["there"] - clock["after"] - staging.ahead_ns) < 1_000_000_000
    assert line.end() == 0
    assert not list(staging.temporary.iterdir())
    connector.close()


def test_the_doctor_connects_with_each_host(hosts: SshHosts, staging: SshHost, tmp_path: Path) -> None:
    """And looks for the target there; the SSH server is one, and port 1 is none."""
    (tmp_path / "there.yaml").write_text(_SCENARIO.format(f"root@{staging.name}", 22))
    (tmp_path / "nothing.yaml").write_text(_SCENARIO.format(f"root@{staging.name}", 1))
    (tmp_path / "not.yaml").write_text(_SCENARIO.format("nobody.invalid", 22))
    doctor = [sys.executable, "-m", "harness", "doctor", "--json"]
    env = {**os.environ, "PATH": hosts.path}
    there = subprocess.run([*doctor, "there.yaml"], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    checks = {check["name"]: check for check in json.loads(there.stdout)["checks"]}
    assert checks[f"target.host {staging.name}"]["level"] == "info"
    assert "; found sshd (pid " in checks[f"target.host {staging.name}"]["message"]
    init = [sys.executable, "-m", "harness", "init", "http://shop.example:22/", "-o", "first.yaml"]
    words = [*init, "--host", f"ssh://root@{staging.name}"]
    first = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert f"found: {staging.name}: sshd (pid " in first.stderr
    assert f"  host: ssh://root@{staging.name}\n  attach: {{port: 22}}\n" in (tmp_path / "first.yaml").read_text()
    nothing = subprocess.run(
        [*doctor, "nothing.yaml"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert nothing.returncode == 3
    assert "but nobody listens on port 1" in nothing.stdout
    gone = subprocess.run([*doctor, "not.yaml"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert gone.returncode == 3
    levels = {check["name"]: check["level"] for check in json.loads(gone.stdout)["checks"]}
    assert levels["target.host nobody.invalid"] == "error"
    assert not list(staging.temporary.iterdir())


def test_its_own_clock_is_measured(connector: SshConnector, staging: SshHost) -> None:
    line = KeptLine(connector.command(kept(connector).link))
    clock = line.until(kind("clock"))
    offset = clock["there"] - (clock["before"] + clock["after"]) // 2
    error = (clock["after"] - clock["before"]) / 2
    assert abs(offset - staging.ahead_ns) <= error
    assert error < 50_000_000
    assert line.end() == 0
    assert not list(staging.temporary.iterdir())


def test_a_pulled_cable_loses_nothing(connector: SshConnector, staging: SshHost) -> None:
    line = KeptLine(connector.command(kept(connector, silence_s=2).link), ping_s=0.3, silence_s=1.5)
    line.until(kind("up"))
    line.sampler(20)
    for _ in range(10):
        line.until(is_tick)
    staging.cut()
    down = line.until(kind("down"))
    assert down["why"] == "nothing was heard for 2 s"
    staging.mend()
    up = line.until(kind("up"))
    line.until(lambda m: is_tick(m) and m["m"]["t"] - staging.ahead_ns > up["t"])
    assert line.end() == 0
    said = [m["m"] for m in line.said if m["k"] == "said" and m["by"] == "sampler"]
    assert said[-1]["k"] == "bye"
    assert said[-1]["ticks"] == len(line.ticks())
    assert any(down["t"] < tick["t"] - staging.ahead_ns < up["t"] for tick in line.ticks())
    sweeps_are_whole(line.ticks(), 20)
    assert not list(staging.temporary.iterdir())


def test_a_cable_that_stays_pulled_leaves_nothing_there(connector: SshConnector, staging: SshHost) -> None:
    there = kept(connector, silence_s=1, grace_s=2)
    line = KeptLine(connector.command(there.link), give_up_s=4.0, ping_s=0.3, silence_s=1.5)
    line.until(kind("up"))
    line.sampler(20)
    line.until(is_tick)
    staging.cut()
    try:
        wait_until(lambda: not list(staging.temporary.iterdir()))
        wait_until(lambda: not list(processes_with(f"{there.directory.name}/harness.pyz\0sampler")))
        assert "no connection" in line.until(kind("gone"))["why"]
        assert line.ended() == 3
    finally:
        staging.mend()


def test_a_host_without_python_says_so(hosts: SshHosts, tmp_path: Path) -> None:
    bare = hosts.add("bare-1", python=False)
    connector = SshConnector(parse_place("ssh://root@bare-1"), str(hosts.program))
    with pytest.raises(NoPython):
        look(connector, {})
    with pytest.raises(NoPython):
        kept(connector)
    assert not list(bare.temporary.iterdir())
    connector.close()
    words = [sys.executable, "-m", "harness", "agent", f"ssh://root@bare-1{tmp_path}/agent"]
    env = {**os.environ, "PATH": hosts.path}
    written = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    assert "warning: bare-1 has no python3 (3.8 or newer) on its PATH" in written.stderr
    assert (tmp_path / "agent" / "agent.env").exists(), "for when there is one"
