"""Which directories lend a tool's packages to a target that does not have them. Built with pip on first use, then kept.

A directory appears under its name only when it is whole and the target's Python has imported the tool from it; one that no
longer works (half deleted, another libc) is built anew.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import re
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
_IMPORT_TIMEOUT_S = 60
_PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")
_UNREACHABLE = re.compile(
    rb"NewConnectionError|Failed to establish|ConnectTimeout|name resolution|ProxyError|Max retries"
)
_NO_WHEEL = re.compile(rb"No matching distribution found for ([A-Za-z0-9._-]+)")
_TRY_IMPORT = "import importlib,sys;sys.path.append(sys.argv[1]);importlib.import_module(sys.argv[2])"


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
    """Where a tool's packages are kept between runs. Name it by what decides whether they fit: version, ABI, platform.

    OSError where this user has no home directory, as in a container under a user id of its own.
    """
    base = Path(environ.get("XDG_CACHE_HOME", ""))
    if (
        not base.is_absolute()
    ):  # by its specification to be ignored: the target, which runs elsewhere, would not find it
        try:
            base = Path.home() / ".cache"
        except RuntimeError as error:
            raise OSError("there is no home directory to keep it in; let XDG_CACHE_HOME name a directory") from error
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
    version = "{}.{}".format(*(sys.version_info[:2] if interpreter is None else interpreter.version[:2]))
    program = (sys.executable,) if interpreter is None else interpreter.program
    try:
        directory = cache_dir(environ, tag, tool)
        if not (directory.is_dir() and _complaint(directory, tool, program) is None):
            _build(directory, tool, version, program)
    except (OSError, subprocess.SubprocessError, _UnusableError) as error:
        return Lent(cache_tag=tag, problem=_reason(version, error))
    return Lent((directory,), tag)


def is_at_hand(tool: Tool, interpreter: Interpreter, environ: Mapping[str, str]) -> bool:
    """Whether `lend` needs no download for this interpreter."""
    ours = interpreter.cache_tag == sys.implementation.cache_tag and _all_ours(tool)
    too_old = interpreter.version[:2] < tool.oldest
    if not tool.names or ours or too_old:
        return True
    try:
        return cache_dir(environ, interpreter.cache_tag, tool).is_dir()
    except OSError:
        return False


class _UnusableError(Exception):
    """What was fetched cannot be imported."""


def _all_ours(tool: Tool) -> bool:
    return all(importlib.util.find_spec(name) is not None for name in tool.names)


def _build(directory: Path, tool: Tool, version: str, program: tuple[str, ...]) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Removed also when the program ends meanwhile.
    holder = tempfile.TemporaryDirectory(prefix=".new-", dir=directory.parent, ignore_cleanup_errors=True)
    fresh = Path(holder.name)
    wheels, packages, replaced = fresh / "wheels", fresh / "packages", fresh / "replaced"
    fits = ("--only-binary=:all:", "--implementation", "cp", "--python-version", version)
    try:
        # In two steps: `pip install --target` takes packages that say themselves that they do not run on that version
        # (their Requires-Python is compared with pip's own Python), `pip download` does not.
        _pip("download", *fits, "--retries", "1", "--dest", str(wheels), *tool.packages)
        files = map(str, sorted(wheels.glob("*.whl")))
        _pip(
            "install", *fits, "--no-index", "--no-deps", "--no-user", "--no-compile", "--target", str(packages), *files
        )
        complaint = _complaint(packages, tool, program)
        if complaint is not None:
            raise _UnusableError(complaint)
        packages.chmod(0o755)
        if directory.is_dir() and _complaint(directory, tool, program) is not None:
            directory.rename(replaced)
        try:
            packages.rename(directory)
        except OSError:
            if not directory.is_dir():  # else another run was quicker
                raise
    finally:
        holder.cleanup()


def _pip(command: str, *arguments: str) -> None:
    with subprocess.Popen(
        [sys.executable, *_PIP, command, *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as pip:  # fmt: skip

        def end() -> None:
            pip.kill()
            pip.wait()

        atexit.register(end)  # an interrupted run does not wait for the thread we are in
        try:
            _, said = pip.communicate(timeout=_PIP_TIMEOUT_S)
        finally:
            end()
            atexit.unregister(end)
    if pip.returncode != 0:
        raise subprocess.CalledProcessError(pip.returncode, pip.args, stderr=said)


def _complaint(directory: Path, tool: Tool, program: tuple[str, ...]) -> str | None:
    """Why a Python cannot import the tool from a directory alone; None when it can, or cannot be asked."""
    if not program:
        return None
    done = subprocess.run(
        [*program, "-I", "-S", "-c", _TRY_IMPORT, str(directory), tool.names[0]],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=_IMPORT_TIMEOUT_S, check=False,
    )  # fmt: skip
    return None if done.returncode == 0 else _last_line(done.stderr) or f"exit code {done.returncode}"


def _reason(version: str, error: Exception) -> str:
    if isinstance(error, _UnusableError):
        return f"what pip fetched for Python {version} cannot be imported there: {str(error)[:200]}"
    text = str(error)
    if isinstance(error, subprocess.CalledProcessError):
        said = error.stderr or b""
        text = _last_line(said) or text
        if _UNREACHABLE.search(said):
            text = (
                "the package index cannot be reached; without a network, let PIP_FIND_LINKS name a directory of wheels"
            )
        elif (missing := _NO_WHEEL.search(said)) is not None:
            platform = f"Python {version} on {sysconfig.get_platform()}"
            where = "PIP_FIND_LINKS" if os.environ.get("PIP_NO_INDEX") else "the package index"
            text = f"{where} has no wheel of {missing[1].decode()} for {platform}"
    return f"fetching it for Python {version} with pip failed: {text[:300]}"


def _last_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""
