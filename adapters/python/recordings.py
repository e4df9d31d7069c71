"""Recordings that a tool leaves beside its result in a format that only its own reader understands: copied, read out of
process by a Python like the target's, and kept for the tool's own programs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adapters.python import collect, interpreters, tools
from adapters.python.interpreter import Interpreter
from adapters.python.readers import fields
from adapters.python.toolset import TOOLS
from harness.model.profile import Artifact, ArtifactStatus
from harness.plugins.spec import AdapterContext

CAP_BYTES = 256 * 1024 * 1024
TIMEOUT_S = 60
_READER = Path(__file__).with_name("memray_reader.py")
_BARE_NAME = re.compile(r"[0-9a-f]{32}\.bin\Z")
_CACHE_TAG = re.compile(r"cpython-3(\d{1,2})\Z")
_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,32}\Z")
_LAST_WORDS_CAP = 300


def read(context: AdapterContext, artifact: Artifact, destination: Path) -> Sequence[Artifact]:
    """A collected result, with what its recording says under ``reading``, and the recording as an artifact of its own. For a
    tool that records nothing the result as it is; without a profile and with the reason where the recording is not readable.
    """
    if artifact.path is None or artifact.pid is None or not TOOLS[artifact.tool].records:
        return (artifact,)
    path = destination / artifact.path
    copy = path.with_suffix(".bin")
    try:
        result = fields.load(artifact.tool, path.read_bytes())
        name, version = fields.text(result, "recording", 64), fields.text(result, "memray", 64)
        if not _BARE_NAME.match(name) or not _VERSION.match(version):
            raise ValueError("the result names none")
        source = collect.copy_result(context.work_dir / "results", name, artifact.pid, copy, CAP_BYTES)
        with contextlib.suppress(OSError):  # not ours to remove where another user wrote it
            (context.work_dir / "results" / name).unlink()
    except ValueError as error:
        return (_without_profile(artifact, path, f"the recording was not collected: {error}"),)
    installation = _installation(context, result)
    opens_with = _opens_with(installation, version)
    size = copy.stat().st_size
    beside = replace(artifact, path=copy.name, size_bytes=size, detail="", attributes={"opens_with": opens_with})
    try:
        merged = json.dumps(
            {**result, "reading": _ask_reader(_command(context, result, installation), copy, source)}
        ).encode("ascii")
        if len(merged) > collect.RESULT_CAP_BYTES:
            raise ValueError(f"what it says is larger than {collect.RESULT_CAP_BYTES // 1024**2} MiB")
    except (OSError, ValueError) as error:
        return (_without_profile(artifact, path, f"the recording could not be read: {error}"), beside)
    path.write_bytes(merged)
    return (replace(artifact, size_bytes=len(merged)), beside)


def _without_profile(artifact: Artifact, path: Path, reason: str) -> Artifact:
    path.unlink()
    return replace(artifact, path=None, size_bytes=None, status=ArtifactStatus.MISSING, detail=reason)


@dataclass(frozen=True, slots=True)
class _Installation:
    """The memray that made a recording: the Python that starts it, and the directories that were lent for it, () where it is that
    Python's own."""

    program: tuple[str, ...]
    lent: tuple[Path, ...] = ()


def _installation(context: AdapterContext, result: fields.Fields) -> _Installation | str:
    """The one that made this recording, or why it is not to be had."""
    tag = str(result.get("cache_tag"))
    match = _CACHE_TAG.match(tag)
    if match is None:
        return "the result does not say which Python made it"
    known = [*interpreters.programs(context.work_dir, tag)]
    if result.get("lent") is not True:
        return (
            _Installation(known[0]) if known else f"the target's own memray made it, and no launched program is a {tag}"
        )
    if tag == sys.implementation.cache_tag:
        known.append((sys.executable,))
    if not known:
        return f"no launched program is a {tag}"
    python = Interpreter((3, int(match[1]), 0), "cpython", tag, free_threaded=False, program=known[0])
    lent = tools.lend(TOOLS["memray"], python, os.environ)
    return lent.problem or _Installation(known[0], lent.directories)


def _opens_with(installation: _Installation | str, version: str) -> str:
    """A command for the recording, FILE, or what is needed for one."""
    command = "-m memray flamegraph --leaks FILE"
    if isinstance(installation, str):
        return f"memray {version}, under the target's version of Python: python {command} (or tree, stats)"
    program = shlex.join(installation.program)
    path = os.pathsep.join(map(str, installation.lent))
    return f"memray {version}: {f'PYTHONPATH={shlex.quote(path)} ' if path else ''}{program} {command} (or tree, stats)"


def _command(context: AdapterContext, result: fields.Fields, installation: _Installation | str) -> list[str]:
    """How to read this recording: with the memray that made it. ValueError when that one is not to be had."""
    own = f"{(context.work_dir / 'python').resolve()}{os.sep}"
    options = ["--own", own, "--marks", _marks(result)]
    if isinstance(installation, str):
        raise ValueError(installation)
    if not installation.lent:
        return [*installation.program, "-I", str(_READER), *options]
    packages = [word for directory in installation.lent for word in ("--packages", str(directory))]
    return [*installation.program, "-I", "-S", str(_READER), *packages, *options]


def _marks(result: fields.Fields) -> str:
    found = result.get("marks")
    if not isinstance(found, list) or len(found) > 8 or not all(type(n) is int and 0 < n < 2**31 for n in found):
        raise ValueError("marks is not a list of sizes")
    return ",".join(map(str, found))


def _ask_reader(command: Sequence[str], recording: Path, source: os.stat_result) -> Mapping[str, object]:
    """Run the reader as the user who wrote the recording: it comes from the target, and a parser may have holes."""
    user: dict[str, Any] = {}
    if os.geteuid() == 0 and source.st_uid != 0:
        user = {"user": source.st_uid, "group": source.st_gid, "extra_groups": ()}
    with recording.open("rb") as stream, tempfile.TemporaryFile() as said:
        # By descriptor, so that the other user needs no way through our directories.
        try:
            done = subprocess.run(
                [*command, "/proc/self/fd/0"], stdin=stream, stdout=said, stderr=subprocess.PIPE,
                timeout=TIMEOUT_S, check=False, cwd="/", **user,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ValueError(f"reading it took longer than {TIMEOUT_S} s") from None
        if done.returncode != 0:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise ValueError((lines[-1] if lines else f"exit code {done.returncode}")[:_LAST_WORDS_CAP])
        if said.tell() > collect.RESULT_CAP_BYTES:
            raise ValueError("the reader said too much")
        said.seek(0)
        answer = json.load(said)
    if not isinstance(answer, dict):
        raise ValueError("the reader gave no answer")
    return answer
