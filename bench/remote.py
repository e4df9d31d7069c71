"""What sampling costs the host that is sampled: by a session on it, and by one that is elsewhere, over SSH.

    python bench/remote.py [--seconds 20] [--turns 3] [--quick] [--update PAGE]

Needs sshd, and to be root (sshd logs in as whoever runs it). Both are whole runs of the same scenario, on the same still
tree of processes, in turns; the SSH server is one of our own on a loopback port. CPU time is what the kernel's scheduler
accounts to each process (`/proc/PID/task/*/schedstat`), taken twice while sweeps go on: starting is not in it. `sshd`
includes encryption.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "sampling"))

from tables import machine, spread, table, updated
from tree import Shape, running

SHAPE = Shape(16, 32, 0, 4)
INTERVAL_S = 0.1
SETTLED_S = 5.0
PART = "remote"


@dataclass
class Server:
    """An SSH server, and a PATH whose ssh knows it as bench-host."""

    process: subprocess.Popen[bytes]
    path: str
    port: int


@contextlib.contextmanager
def server(directory: Path) -> Iterator[Server]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    for name in ("key", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    (directory / "sshd").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host\nAuthorizedKeysFile {directory}/key.pub\n"
        "StrictModes no\nPidFile none\nUsePAM no\nPermitRootLogin yes\n"
    )
    (directory / "known").write_text(f"[127.0.0.1]:{port} {(directory / 'host.pub').read_text()}")
    (directory / "config").write_text(
        f"Host bench-host\n HostName 127.0.0.1\n Port {port}\n IdentityFile {directory}/key\n IdentitiesOnly yes\n"
        f" UserKnownHostsFile {directory}/known\n"
    )
    (directory / "bin").mkdir()
    (directory / "bin" / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {directory}/config "$@"\n')
    (directory / "bin" / "ssh").chmod(0o755)
    process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", directory / "sshd"], stdin=subprocess.DEVNULL)
    try:
        yield Server(process, f"{directory / 'bin'}:{os.environ['PATH']}", port)
    finally:
        process.terminate()
        process.wait()


def commands() -> dict[int, tuple[int, str]]:
    """Every process: its parent and its command line."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            found[int(path.name)] = (
                parent,
                (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip(),
            )
    return found


def below(root: int, processes: dict[int, tuple[int, str]]) -> set[int]:
    members = {root}
    while more := {pid for pid, (parent, _) in processes.items() if parent in members} - members:
        members |= more
    return members


def cpu_ns(pids: set[int]) -> int:
    total = 0
    for pid in pids:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total += int(path.read_text().split()[0])
    return total


def came_through(pid: int, server: Server) -> bool:
    """Whether a process was started over this SSH server: others on this machine may have the same name."""
    with contextlib.suppress(OSError):
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return any(v.startswith(b"SSH_CONNECTION=") and v.endswith(b" %d" % server.port) for v in variables)
    return False


def of_here(run: subprocess.Popen[bytes], _server: Server) -> dict[str, set[int]]:
    """Session and sampler, which are both on the host then."""
    processes = commands()
    own = below(run.pid, processes)
    samplers = {pid for pid in own if processes[pid][1].endswith("-m harness.sampling")}
    return {"sampler": samplers, "session": {run.pid}}


def of_there(_run: subprocess.Popen[bytes], server: Server) -> dict[str, set[int]]:
    """What is on the host when the session is elsewhere."""
    processes = commands()
    ssh = below(server.process.pid, processes)
    links = {pid for pid in ssh if " link " in processes[pid][1]}
    kept = {
        pid: words
        for pid, (_, words) in processes.items()
        if "harness.pyz" in words and pid not in ssh and came_through(pid, server)
    }
    samplers = {pid for pid, words in kept.items() if words.endswith(" sampler")}
    keepers = {pid for pid, words in kept.items() if "harness.pyz keep " in words}
    return {"sampler": samplers, "keeper": keepers, "link": links, "sshd": ssh - links}


def measured(scenario: dict[str, object], who: object, server: Server, seconds: float) -> dict[str, float]:
    """ms of CPU for each sweep, by part."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "scenario.yaml").write_text(json.dumps(scenario))
        argv = [sys.executable, "-m", "harness", "run", "scenario.yaml"]
        environment = {**os.environ, "PATH": server.path}
        run = subprocess.Popen(argv, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert run.stderr is not None
        for line in run.stderr:
            if b"attached to" in line:
                break
        time.sleep(SETTLED_S)
        parts = who(run, server)  # type: ignore[operator]
        assert all(parts.values()), parts
        begun, before = time.monotonic(), {name: cpu_ns(pids) for name, pids in parts.items()}
        time.sleep(seconds)
        after = {name: cpu_ns(pids) for name, pids in parts.items()}
        sweeps = (time.monotonic() - begun) / INTERVAL_S
        run.communicate()
        assert run.returncode == 0, run.returncode
    return {name: (after[name] - before[name]) / 1e6 / sweeps for name in parts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one short turn: shows only that it works")
    parser.add_argument("--update", type=Path, help="put the table into this page")
    options = parser.parse_args()
    seconds, turns = (3.0, 1) if options.quick else (options.seconds, options.turns)
    where = machine()
    results: dict[str, list[dict[str, float]]] = {"here": [], "over SSH": []}
    with tempfile.TemporaryDirectory() as directory, server(Path(directory)) as ssh, running(SHAPE) as tree:
        for turn in range(turns):
            for name in ("here", "over SSH") if turn % 2 == 0 else ("over SSH", "here"):
                target = {"attach": {"pid": tree.root}, **({} if name == "here" else {"host": "ssh://bench-host"})}
                scenario = {
                    "name": "bench", "target": target, "load": {"observe": f"{SETTLED_S + seconds + 5:.0f}s"},
                    "sample": {"interval": f"{INTERVAL_S * 1000:.0f}ms"},
                }  # fmt: skip
                results[name].append(measured(scenario, of_here if name == "here" else of_there, ssh, seconds))
    rows = []
    for name, found in results.items():
        rows += [[f"{name}: {part}", spread([turn[part] for turn in found], 3)] for part in found[0]]
        rows.append([f"{name}: all of it", spread([sum(turn.values()) for turn in found], 3)])
    pairs = zip(results["here"], results["over SSH"], strict=True)
    ratio = statistics.median(sum(there.values()) / sum(here.values()) for here, there in pairs)
    text = f"{SHAPE}; {1 / INTERVAL_S:.0f} sweeps a second; {where}.\n\n"
    text += table(["on the sampled host", "ms of CPU a sweep"], rows)
    text += f"\n\nOver SSH the host pays {ratio:.2f} times what a session on it costs."
    print(text)
    if options.update:
        options.update.write_text(updated(options.update.read_text(), PART, text))


if __name__ == "__main__":
    main()
