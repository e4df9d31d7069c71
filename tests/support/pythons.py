"""Every CPython from 3.8 to 3.13 on this machine, at least our own."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path

SUPPORTED = range(8, 14)


@functools.cache
def pythons() -> dict[str, str]:
    """Version and kind -> program: our own, what is on the PATH and in /usr, what pyenv manages."""
    found = {}
    seen = set()
    candidates = [sys.executable]
    for minor in SUPPORTED:
        name = f"python3.{minor}"
        candidates += [f"/usr/bin/{name}", f"/usr/local/bin/{name}", shutil.which(name) or ""]
        candidates += map(str, sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/{name}")))
    for candidate in candidates:
        if not candidate or not Path(candidate).exists():
            continue
        program = "import os, platform, sys; print(platform.python_version(), os.path.realpath(sys.executable))"
        done = subprocess.run([candidate, "-I", "-c", program], capture_output=True, text=True, check=False)
        version, _, real = done.stdout.strip().partition(" ")
        if done.returncode or real in seen or Path(real).name.startswith("pypy"):  # a version manager's shim may fail
            continue
        seen.add(real)
        found[version if version not in found else f"{version} in {Path(real).parent}"] = real
    return found
