"""Directories for shared SSH connections: what a killed session leaves is removed by the next, and nothing else is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from harness.targets.connectors.sockets import SOCKET, private_directory, remove_abandoned

_HOLD = (
    "import sys, time; from harness.targets.connectors.sockets import private_directory;"
    "print(private_directory(sys.argv[1])[0], flush=True); time.sleep(60)"
)


def test_a_killed_session_leaves_a_directory_that_the_next_removes(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout
        directory = Path(session.stdout.readline().strip())
        remove_abandoned(str(tmp_path), young_s=-1)
        assert directory.is_dir(), "somebody holds it"
        session.send_signal(signal.SIGKILL)
    remove_abandoned(str(tmp_path))
    assert directory.is_dir(), "it may be somebody's who has just made it"
    remove_abandoned(str(tmp_path), young_s=-1)
    assert not directory.exists()


def test_only_what_is_surely_ours_and_over_is_removed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("")
    (tmp_path / "harness-ssh-link").symlink_to(elsewhere)
    (tmp_path / "harness-ssh-file").write_text("")
    (tmp_path / "harness-ssh-full").mkdir()
    (tmp_path / "harness-ssh-full" / "notes").write_text("")
    for name in ("harness-ssh-dead", "harness-ssh-live"):
        (tmp_path / name).mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "harness-ssh-dead" / SOCKET))
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(tmp_path / "harness-ssh-live" / SOCKET))
        live.listen()
        remove_abandoned(str(tmp_path), young_s=-1)
        assert sorted(os.listdir(tmp_path)) == [
            "elsewhere", "harness-ssh-file", "harness-ssh-full", "harness-ssh-link", "harness-ssh-live",
        ]  # fmt: skip
    assert (elsewhere / "kept").exists()


def test_a_new_one_is_private(tmp_path: Path) -> None:
    directory, lock = private_directory(str(tmp_path))
    assert directory.stat().st_mode & 0o777 == 0o700
    assert not os.get_inheritable(lock)
    os.close(lock)
