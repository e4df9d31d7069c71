"""Packages that are lent to a target: what it is told where it cannot have them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import os, sys
from adapters.python.agent.toolpath import ToolFinder
directory = sys.argv[1]
with ToolFinder(["harness_toy"], [os.path.join(directory, "packages")], sys.implementation.cache_tag):
    if os.geteuid() == 0:
        os.setuid(65534)  # as workers do
    else:
        os.chmod(directory, 0)
    try:
        import harness_toy
    except ImportError as error:
        print(error)
"""


def test_a_directory_that_is_closed_to_the_worker_is_the_reason(tmp_path: Path) -> None:
    """As below root's home, where the copies of a harness that is root are."""
    directory = tmp_path / "home"
    (directory / "packages").mkdir(parents=True)
    (directory / "packages" / "harness_toy.py").touch()
    directory.chmod(0o700)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(directory)], capture_output=True, text=True, check=True
        )
    finally:
        directory.chmod(0o700)
    assert "harness_toy is not installed in the target" in done.stdout
    assert f"{directory}/packages cannot be read by its user (Permission denied)" in done.stdout
    assert "XDG_CACHE_HOME" in done.stdout
