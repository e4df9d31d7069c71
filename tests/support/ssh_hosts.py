"""Hosts for tests, on one machine and real all the same: each has a network of its own with a cable to ours, an SSH server, and a
clock that is off by what the test says.

Needs root: network, mount and time namespaces. The processes of a host are processes of this machine, and its files are ours.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from processes import claim

_WAIT_S = 30.0
_NETWORKS = 64  # of two addresses each in 192.0.2.0/24


class SshHost:
    """``name`` is its alias in the client's configuration; ``ahead_s``: how far its CLOCK_MONOTONIC is ahead of ours; ``config``:
    further lines of the server's."""

    def __init__(
        self, directory: Path, number: int, name: str, ahead_s: int, *, python: bool = True, config: str = ""
    ) -> None:
        self.name = name
        self.ahead_ns = ahead_s * 1_000_000_000
        self._namespace = f"h{os.getpid()}-{number}"
        self.cable = f"h{os.getpid()}n{number}"
        net = f"192.0.2.{4 * number}"
        self._ours, self.address = f"192.0.2.{4 * number + 1}", f"192.0.2.{4 * number + 2}"
        self.temporary = directory / f"{name}-tmp"
        self.temporary.mkdir()
        self._server: subprocess.Popen[bytes] | None = None
        try:
            self._lay_cable(net)
            self._start_server(directory, ahead_s, python, config)
        except BaseException:
            self.stop()
            raise

    def _lay_cable(self, net: str) -> None:
        there = f"{self.cable}p"
        _ip("netns", "add", self._namespace)
        _ip("link", "add", self.cable, "type", "veth", "peer", "name", there, "netns", self._namespace)
        _ip("addr", "add", f"{self._ours}/30", "dev", self.cable)
        _ip("link", "set", self.cable, "up")
        for words in (
            ["addr", "add", f"{self.address}/30", "dev", there],
            ["link", "set", there, "up"],
            ["link", "set", "lo", "up"],
        ):
            _ip("-n", self._namespace, *words)

    def _start_server(self, directory: Path, ahead_s: int, python: bool, more: str) -> None:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where Debian's sshd locks itself in
        key = directory / f"{self.name}-host-key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        config = directory / f"{self.name}-sshd"
        config.write_text(
            f"ListenAddress {self.address}\nListenAddress 127.0.0.1\nHostKey {key}\nPidFile none\n"
            f"AuthorizedKeysFile {directory}/id.pub\nStrictModes no\n"
            f"UsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nMaxSessions 20\nSetEnv TMPDIR={self.temporary}\n{more}"
        )
        with (directory / "known_hosts").open("a") as known:
            known.write(f"{self.address} {key.with_suffix('.pub').read_text()}")
        with (directory / "ssh_config").open("a") as client:
            client.write(
                f"Host {self.name}\n  HostName {self.address}\n  IdentityFile {directory}/id\n  IdentitiesOnly yes\n"
                f"  UserKnownHostsFile {directory}/known_hosts\n"
                # The same host, as one that only itself can reach.
                f"Host behind-{self.name}\n  HostName 127.0.0.1\n  HostKeyAlias {self.address}\n  ProxyJump {self.name}\n"
                f"  User root\n  IdentityFile {directory}/id\n  UserKnownHostsFile {directory}/known_hosts\n"
            )
        hide = "" if python else "".join(f"mount --bind /dev/null {shlex.quote(str(path))}; " for path in _pythons())
        server = f"{hide}exec /usr/sbin/sshd -D -e -f {shlex.quote(str(config))}"
        log = directory / f"{self.name}-sshd.log"
        with log.open("wb") as errors:
            self._server = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self._namespace}", "unshare", "--mount", "--time", "--fork", "--kill-child",
             "--monotonic", str(ahead_s), "--boottime", str(ahead_s), "sh", "-c", server],
            stderr=errors, stdin=subprocess.DEVNULL, start_new_session=True,
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        )  # fmt: skip
        deadline = time.monotonic() + _WAIT_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection((self.address, 22), 1.0):
                return
            assert time.monotonic() < deadline, log.read_text()
            assert self._server.poll() is None, log.read_text()
            time.sleep(0.05)

    def cut(self) -> None:
        """Pull the cable."""
        _ip("link", "set", self.cable, "down")

    def mend(self) -> None:
        """Plug it in again."""
        _ip("link", "set", self.cable, "up")

    def spawn(self, argv: Sequence[str], **options: object) -> subprocess.Popen[bytes]:
        """Start a program there without SSH: in its network and on its clock."""
        offset = str(self.ahead_ns // 1_000_000_000)
        words = ["nsenter", f"--net=/run/netns/{self._namespace}", "unshare", "--time", "--fork", "--kill-child",
                 "--monotonic", offset, "--boottime", offset, *argv]  # fmt: skip
        return subprocess.Popen(words, start_new_session=True, **options)  # type: ignore[call-overload, no-any-return]

    def stop(self) -> None:
        if self._server is not None and self._server.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(self._server.pid, signal.SIGTERM)
            self._server.wait(_WAIT_S)
        left = subprocess.run(
            ["ip", "netns", "pids", self._namespace], check=False, capture_output=True, text=True
        ).stdout
        for pid in map(int, left.split()):  # sessions outlive the server
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["ip", "link", "del", self.cable], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", self._namespace], check=False, capture_output=True)


class SshHosts:
    """Makes hosts, and a client that knows them: ``program`` is to be run as ``ssh``; ``path`` a PATH that has it first."""

    def __init__(self, directory: Path) -> None:
        assert os.geteuid() == 0, "these tests make network and time namespaces: run them as root"
        self._directory = directory
        self._hosts: list[SshHost] = []
        self._held: list[socket.socket] = []
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / "id"], check=True)
        (directory / "ssh_config").touch(mode=0o600)
        real = shutil.which("ssh")
        assert real, "these tests need an SSH client: apt install openssh-client"
        (directory / "bin").mkdir()
        self.program = directory / "bin" / "ssh"
        self.program.write_text(f'#!/bin/sh\nexec {real} -F {shlex.quote(str(directory / "ssh_config"))} "$@"\n')
        self.program.chmod(0o755)
        self.path = f"{directory / 'bin'}:{os.environ['PATH']}"

    def add(self, name: str, ahead_s: int = 0, *, python: bool = True, config: str = "") -> SshHost:
        """``name``: no other host of these has it, nor had it before: the client goes to the first of a name."""
        assert all(host.name != name for host in self._hosts), f"there is a {name} already"
        host = SshHost(self._directory, self._number(), name, ahead_s, python=python, config=config)
        self._hosts.append(host)
        return host

    def _number(self) -> int:
        """Of a network that no other test process on this machine has, nor anything that one left behind."""
        used = subprocess.run(["ip", "-o", "addr", "show"], check=True, capture_output=True, text=True).stdout
        for number in range(1, _NETWORKS):
            held = None if f" 192.0.2.{4 * number + 1}/" in used else claim(f"network-{number}")
            if held is not None:
                self._held.append(held)
                return number
        raise AssertionError("all networks for tests are in use")

    def stop(self) -> None:
        for host in self._hosts:
            host.stop()
        for held in self._held:
            held.close()


def _pythons() -> set[Path]:
    """Whatever a shell there could find under such a name."""
    directories = {
        *map(Path, os.get_exec_path()),
        Path("/usr/bin"),
        Path("/usr/local/bin"),
        Path.home() / ".pyenv" / "shims",
    }
    return {path.resolve() for directory in directories for path in directory.glob("python3*") if path.is_file()}


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
