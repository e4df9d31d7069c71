"""Which directory lends memory_profiler and psutil to a target that does not have them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adapters.python.interpreter import Interpreter

PACKAGES = ("memory_profiler", "psutil")
_PIP_TIMEOUT_S = 180


@dataclass(frozen=True, slots=True)
class Tools:
    """``directories`` hold the packages for interpreters of ``cache_tag``; ``problem`` says why there are none."""

    directories: tuple[Path, ...] = ()
    cache_tag: str = ""
    problem: str = ""

    def env(self) -> dict[str, str]:
        """The variables the agent's finder reads."""
        return {
            "HARNESS_TOOLS": os.pathsep.join(map(str, self.directories)),
            "HARNESS_TOOLS_TAG": self.cache_tag,
            "HARNESS_TOOLS_PROBLEM": self.problem,
        }


def own_tools() -> Tools:
    """The harness's own copies, good for targets of the same minor version."""
    paths = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    return Tools(tuple(map(Path, paths)), sys.implementation.cache_tag or "")


def cache_dir(environ: Mapping[str, str], cache_tag: str) -> Path:
    """Where the packages for other interpreters are kept between runs."""
    base = Path(environ["XDG_CACHE_HOME"]) if environ.get("XDG_CACHE_HOME") else Path.home() / ".cache"
    return base / "profiling-harness" / "tools" / f"{cache_tag}-{sysconfig.get_platform()}"


def tools_for(interpreter: Interpreter | None, environ: Mapping[str, str]) -> Tools:
    """Tools for a target; ones of another minor version than ours are downloaded once and then kept.

    For an interpreter that could not be asked these are our own: the agent refuses them when they do not fit.
    """
    own = own_tools()
    if interpreter is None or interpreter.cache_tag == own.cache_tag:
        return own
    directory = cache_dir(environ, interpreter.cache_tag)
    if not directory.is_dir():
        try:
            _build(directory, interpreter)
        except (OSError, subprocess.SubprocessError) as error:
            return Tools(cache_tag=interpreter.cache_tag, problem=_reason(interpreter, error))
    return Tools((directory,), interpreter.cache_tag)


def is_built(interpreter: Interpreter, environ: Mapping[str, str]) -> bool:
    """Whether `tools_for` needs no download for this interpreter."""
    return interpreter.cache_tag == own_tools().cache_tag or cache_dir(environ, interpreter.cache_tag).is_dir()


def _build(directory: Path, interpreter: Interpreter) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=directory.parent))
    try:
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input",
             "--only-binary=:all:", "--implementation", "cp", "--python-version", "{}.{}".format(*interpreter.version[:2]),
             "--target", str(fresh), *PACKAGES],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_PIP_TIMEOUT_S, check=True,
        )  # fmt: skip
        fresh.chmod(0o755)
        try:
            fresh.rename(directory)
        except OSError:
            if not directory.is_dir():  # else another run was quicker
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _reason(interpreter: Interpreter, error: Exception) -> str:
    text = str(error)
    if isinstance(error, subprocess.CalledProcessError):
        said = (error.stderr or b"").decode("utf-8", "replace").strip().splitlines()
        text = said[-1] if said else text
    version = "{}.{}".format(*interpreter.version[:2])
    return f"fetching it for Python {version} with pip failed: {text[:200]}"
