"""Which directories lend a tool's packages to a target that does not have them. Built with pip on first use, then kept."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adapters.python.interpreter import Interpreter
from adapters.python.toolset import Tool

_PIP_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Lent:
    """``directories`` hold the packages for interpreters of ``cache_tag``; ``problem`` says why there are none."""

    directories: tuple[Path, ...] = ()
    cache_tag: str = ""
    problem: str = ""

    def entry(self, tool: Tool) -> dict[str, object]:
        """What the agent's finder reads."""
        return {
            "names": list(tool.names),
            "directories": list(map(str, self.directories)),
            "tag": self.cache_tag,
            "problem": self.problem,
        }


def cache_dir(environ: Mapping[str, str], cache_tag: str, tool: Tool) -> Path:
    """Where a tool's packages are kept between runs. Name it by what decides whether they fit: version, ABI, platform."""
    base = Path(environ["XDG_CACHE_HOME"]) if environ.get("XDG_CACHE_HOME") else Path.home() / ".cache"
    return base / "profiling-harness" / "tools" / f"{cache_tag}-{sysconfig.get_platform()}" / tool.name


def lend(tool: Tool, interpreter: Interpreter | None, environ: Mapping[str, str]) -> Lent:
    """Packages of one tool for a target: our own copies where its Python is like ours, else a directory built now if need be.

    For an interpreter that could not be asked these are our own: the agent refuses them when they do not fit.
    """
    own = sys.implementation.cache_tag or ""
    if not tool.names:
        return Lent(cache_tag=own)
    if interpreter is not None and interpreter.version[:2] < tool.oldest:
        needs = ".".join(map(str, tool.oldest))
        return Lent(cache_tag=interpreter.cache_tag, problem=f"it needs Python {needs} or newer")
    tag = own if interpreter is None else interpreter.cache_tag
    if tag == own and _all_ours(tool):
        paths = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
        return Lent(tuple(map(Path, paths)), own)
    directory = cache_dir(environ, tag, tool)
    if not directory.is_dir():
        version = sys.version_info[:2] if interpreter is None else interpreter.version[:2]
        try:
            _build(directory, tool, "{}.{}".format(*version))
        except (OSError, subprocess.SubprocessError) as error:
            return Lent(cache_tag=tag, problem=_reason("{}.{}".format(*version), error))
    return Lent((directory,), tag)


def is_at_hand(tool: Tool, interpreter: Interpreter, environ: Mapping[str, str]) -> bool:
    """Whether `lend` needs no download for this interpreter."""
    ours = interpreter.cache_tag == sys.implementation.cache_tag and _all_ours(tool)
    too_old = interpreter.version[:2] < tool.oldest
    return not tool.names or ours or too_old or cache_dir(environ, interpreter.cache_tag, tool).is_dir()


def _all_ours(tool: Tool) -> bool:
    return all(importlib.util.find_spec(name) is not None for name in tool.names)


def _build(directory: Path, tool: Tool, version: str) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=directory.parent))
    try:
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input",
             "--only-binary=:all:", "--implementation", "cp", "--python-version", version,
             "--target", str(fresh), *tool.packages],
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


def _reason(version: str, error: Exception) -> str:
    text = str(error)
    if isinstance(error, subprocess.CalledProcessError):
        said = (error.stderr or b"").decode("utf-8", "replace").strip().splitlines()
        text = said[-1] if said else text
    return f"fetching it for Python {version} with pip failed: {text[:200]}"
