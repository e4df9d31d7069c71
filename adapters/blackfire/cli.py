"""Driving the user's own ``blackfire`` command: a program or a request under it, and the graph of the profile as a file of ours.

    python -m adapters.blackfire.cli --result FILE [--env ENV] [--title TITLE] run|curl -- ARGUMENT...

The program's output and exit status pass through. FILE says what became of the profile; beside it, with ``.bf`` added, is what
``blackfire profile:graph`` tells of it, in the format of the probes. ``blackfire run`` plays the agent itself: neither relay nor
receiver sees what it profiles. Sources: the vendor's documentation and github.com/blackfireio/skills; the command itself was not
at hand, see docs/blackfire.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, BinaryIO

from adapters.blackfire import serving
from adapters.formats import blackfire_probe
from adapters.formats.blackfire_probe import ProbeFile
from harness.errors import HarnessError, TargetError, UsageError

FORMAT = "harness-blackfire-cli/1"
PROGRAM = "blackfire"
NO_DATA = "No data received from the probe"
_OUTPUT_CAP_BYTES = 8 << 20
_GRAPH_CAP_BYTES = 64 << 20
_EDGES_CAP = 500_000
_CANDIDATES_CAP = 2000
_HELP_TIMEOUT_S = 20.0
_READ_TIMEOUT_S = 60.0
_LEFT_OPEN_S = 2.0
_TRIES = 4
_TRY_AGAIN_S = 1.0
_CHUNK_BYTES = 1 << 16
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_DIMENSIONS = ("wt", "cpu", "mu", "pmu")
_NOT_FOUND, _NETWORK = 3, 4


@dataclass(frozen=True, slots=True)
class Cli:
    """An installed command; ``commands`` it says it has, empty when it does not say."""

    path: str
    commands: frozenset[str] = frozenset()

    def knows(self, command: str) -> bool:
        """Whether it has this command, as far as it says."""
        return not self.commands or bool(self.commands & {command, f"client:{command}"})


@dataclass(frozen=True, slots=True)
class CliResult:
    """What ``run`` or ``curl`` said. ``uuid`` is empty without a profile, and ``problem`` says why. ``exit_code``: the program's
    own where one ran; negative: ended by that signal. ``envelope``: wt and cpu in us, mu and pmu in bytes."""

    exit_code: int
    uuid: str = ""
    envelope: Mapping[str, int] = field(default_factory=dict)
    graph_url: str | None = None
    problem: str = ""


def find_cli(path: str | None = None) -> Cli:
    """The command in PATH. TargetError when there is none, or when it does not start."""
    program = shutil.which(PROGRAM, path=path)
    if program is None:
        raise TargetError(
            "Blackfire's command line is not installed: there is no blackfire in PATH",
            hint="see docs.blackfire.io, or profile with another tool",
        )
    done = _read(program, ("help", "--json"), _HELP_TIMEOUT_S)
    try:
        names = frozenset(_names(json.loads(done.stdout)))
    except (ValueError, RecursionError):
        names = frozenset()  # older ones have no such help
    return Cli(program, names)


def command_line(
    cli: Cli, command: str, arguments: Sequence[str], environment: str = "", title: str = ""
) -> tuple[str, ...]:
    """``blackfire run`` or ``curl``; flags come before the first argument, or they would be that program's. UsageError for a
    command that this one has not."""
    if not cli.knows(command):
        raise UsageError(f"{cli.path} has no command {command}", hint="is it up to date? see: blackfire help")
    if not arguments:
        raise UsageError(f"blackfire {command} needs something to profile")
    flags = ["--json"]
    flags += ["--env", environment] if environment else []
    flags += ["--title", _CONTROL.sub(" ", title)[:250]] if title else []
    return (cli.path, command, *flags, *arguments)


def drive(argv: Sequence[str], stdout: BinaryIO, stderr: BinaryIO) -> CliResult:
    """Run it to its end, its output passed on as it comes. TargetError when it does not start."""
    try:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise TargetError(f"cannot start {argv[0]}: {error.strerror or error}") from error
    out, err = _Tee(process.stdout, stdout), _Tee(process.stderr, stderr)
    exit_code = process.wait()
    return read_result(exit_code, out.tail(), err.tail())


def read_result(exit_code: int, stdout: bytes, stderr: bytes) -> CliResult:
    """What the output of ``run`` or ``curl`` says. Pure. The program's own output may come before, and may look like anything."""
    for found in _objects(stdout):
        profile = _mapping(found.get("profile"))
        data = _mapping(profile.get("data"))
        uuid = next((v for v in (found.get("id"), found.get("uuid"), profile.get("uuid"), data.get("uuid")) if v), "")
        envelope = found.get("envelope") or data.get("envelope") or profile.get("envelope")
        if isinstance(uuid, str) and _UUID.match(uuid):
            status = _mapping(found.get("status") or data.get("status"))
            failure = status.get("failure_reason")
            problem = f"Blackfire could not make the profile: {_clean(failure)}" if failure else ""
            return CliResult(exit_code, uuid, _numbers(envelope), _graph_url(found) or _graph_url(data), problem)
    return CliResult(exit_code, problem=_why_none(exit_code, stdout, stderr))


def graph(cli: Cli, result: CliResult, sleep: Callable[[float], None] = time.sleep) -> ProbeFile:
    """The profile's calls, as a file of the probes would have them; what the envelope says is ``main()``. HarnessError."""
    found = _asked(cli, ("profile:graph", "--json", result.uuid), sleep)
    envelope = result.envelope or _numbers(_envelope(_asked(cli, ("profile:show", "--json", result.uuid), sleep)))
    try:
        return read_graph(found, envelope)
    except ValueError as error:
        raise TargetError(f"blackfire profile:graph said something unexpected: {error}") from error


def read_graph(found: object, envelope: Mapping[str, int]) -> ProbeFile:
    """Edges ``{caller, callee, cost: {ct, wt, ..}}``, wherever they are listed. ValueError when there are none. Pure."""
    edges = _edges(found)
    names = [name for name in _DIMENSIONS if all(name in cost for _, _, cost in edges)]
    costs: dict[str, tuple[int, ...]] = {}
    for caller, callee, cost in edges:
        key = f"{caller}==>{callee}" if caller else callee
        values = (cost.get("ct", 1), *(cost[name] for name in names))
        there = costs.get(key)
        costs[key] = values if there is None else tuple(a + b for a, b in zip(there, values, strict=True))
    if not names:
        raise ValueError("its edges have no costs in common")
    if "main()" not in costs and all(name in envelope for name in names):
        costs = {"main()": (1, *(envelope[name] for name in names)), **costs}
    return ProbeFile(tuple(names), costs=costs)


def _edges(found: object) -> list[tuple[str, str, Mapping[str, int]]]:
    listed = _listed(found)
    if listed is None or not listed:
        raise ValueError("it lists no edges")
    if len(listed) > _EDGES_CAP:
        raise ValueError(f"it lists more than {_EDGES_CAP} edges")
    edges: list[tuple[str, str, Mapping[str, int]]] = []
    for each in listed:
        edge = _mapping(each)
        caller, callee, cost = edge.get("caller"), edge.get("callee"), _numbers(edge.get("cost"))
        if not isinstance(callee, str) or not callee or not cost:
            raise ValueError("an edge without a callee, or without costs")
        edges.append((_line(caller) if isinstance(caller, str) else "", _line(callee), cost))
    return edges


def _listed(found: object) -> list[object] | None:
    if isinstance(found, list):
        return found
    for place in (_mapping(found), *(_mapping(_mapping(found).get(name)) for name in ("graph", "data", "profile"))):
        edges = place.get("edges")
        if isinstance(edges, list):
            return edges
    return None


# --- the command ------------------------------------------------------------------------------------------------------


def _asked(cli: Cli, arguments: Sequence[str], sleep: Callable[[float], None]) -> object:
    """One of the commands that read, asked again while the profile is not there yet."""
    for number in range(1, _TRIES + 1):
        done = _read(cli.path, arguments, _READ_TIMEOUT_S)
        if done.returncode == 0:
            try:
                return json.loads(done.stdout)
            except (ValueError, RecursionError):
                raise TargetError(f"blackfire {arguments[0]} did not answer with JSON") from None
        if done.returncode not in (_NOT_FOUND, _NETWORK) or number == _TRIES:
            break
        sleep(_TRY_AGAIN_S * number)
    raise refusal(f"blackfire {arguments[0]}", done.returncode, done.stderr)


def refusal(what: str, exit_code: int, stderr: bytes) -> HarnessError:
    """The error that a command's exit status stands for: 1 usage, 2 credentials, 3 not found, 4 API or network."""
    said = next(_objects(stderr), {})
    message = _clean(said.get("message")) or _clean(stderr[-300:].decode("utf-8", "replace"))
    hint = _clean(said.get("hint")) or None
    told = f": {message}" if message else ""
    if exit_code == 2:
        return UsageError(
            f"{what}: Blackfire does not accept the credentials{told}", hint=hint or "blackfire client:config"
        )
    if exit_code == 1:
        return UsageError(f"{what}: a wrong command line{told}", hint=hint)
    kinds = {_NOT_FOUND: "not found", _NETWORK: "Blackfire cannot be reached"}
    return TargetError(f"{what}: {kinds.get(exit_code, f'exit status {exit_code}')}{told}", hint=hint)


def _why_none(exit_code: int, stdout: bytes, stderr: bytes) -> str:
    if NO_DATA.encode() in stderr or NO_DATA.encode() in stdout:
        return f"{NO_DATA}: is Blackfire's extension in this PHP?"
    said = next((found for found in _objects(stderr) if found.get("message")), None)
    if said is not None:
        return _clean(said.get("message"))
    return f"blackfire told of no profile (exit status {exit_code})"


def _read(program: str, arguments: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[bytes]:
    try:
        done = subprocess.run(
            [program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TargetError(f"blackfire {arguments[0]} did not end within {timeout_s:g} s") from error
    except OSError as error:
        raise TargetError(f"cannot start {program}: {error.strerror or error}") from error
    if len(done.stdout) > _GRAPH_CAP_BYTES:
        raise TargetError(f"blackfire {arguments[0]} said more than {_GRAPH_CAP_BYTES} bytes")
    return done


class _Tee:
    """Passes a stream on and remembers its end."""

    def __init__(self, source: IO[bytes] | None, target: BinaryIO) -> None:
        assert source is not None
        self._source, self._target = source, target
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._pass_on, daemon=True)
        self._thread.start()

    def _pass_on(self) -> None:
        with self._source:
            while piece := os.read(self._source.fileno(), _CHUNK_BYTES):
                self._kept += piece
                del self._kept[:-_OUTPUT_CAP_BYTES]
                with suppress(OSError):  # nobody listens any more, and the program must not wait for that
                    self._target.write(piece)
                    self._target.flush()

    def tail(self) -> bytes:
        """The last of it, once it has ended; what the program left running in the background may hold it open for ever."""
        self._thread.join(_LEFT_OPEN_S)
        return bytes(self._kept)


# --- JSON -------------------------------------------------------------------------------------------------------------


def _objects(output: bytes) -> Iterator[Mapping[str, object]]:
    """JSON objects: the one that the output ends with, then those that begin a line, the last first. What a program prints comes
    before, perhaps without a line end, and may look like JSON too."""
    text = output.decode("utf-8", "replace").rstrip()
    decoder = json.JSONDecoder()

    def at(start: int) -> tuple[Mapping[str, object], int] | None:
        try:
            found, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            return None
        return (found, end) if isinstance(found, dict) else None

    if text.endswith("}"):
        start = len(text)
        for _ in range(_CANDIDATES_CAP):
            start = text.rfind("{", 0, start)
            if start < 0:
                break
            if (found := at(start)) and found[1] == len(text):
                yield found[0]
                break
    for match in list(re.finditer(r"^\{", text, re.MULTILINE))[-100:][::-1]:
        if found := at(match.start()):
            yield found[0]


def _names(found: object, depth: int = 0) -> Iterator[str]:
    """Every ``name`` in the help."""
    if isinstance(found, dict):
        name = found.get("name")
        if isinstance(name, str):
            yield name.removeprefix("blackfire ")[:100]
        found = list(found.values())
    if isinstance(found, list) and depth < 20:
        for each in found:
            yield from _names(each, depth + 1)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _envelope(found: object) -> object:
    profile = _mapping(_mapping(found).get("profile"))
    return _mapping(profile.get("data")).get("envelope") or profile.get("envelope") or _mapping(found).get("envelope")


def _numbers(value: object) -> dict[str, int]:
    return {key[:50]: n for key, n in list(_mapping(value).items())[:100] if isinstance(n, int) and abs(n) < 2**63}


def _graph_url(found: Mapping[str, object]) -> str | None:
    url = _mapping(_mapping(found.get("_links")).get("graph_url")).get("href")
    return url[:500] if isinstance(url, str) else None


def _line(name: str) -> str:
    return _CONTROL.sub(" ", name)[:4000]


def _clean(text: object) -> str:
    return _CONTROL.sub(" ", text).strip()[:300] if isinstance(text, str) else ""


# --- the process ------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of what was profiled; 125 when it was not started."""
    parser = argparse.ArgumentParser(
        prog="python -m adapters.blackfire.cli", description="Run something under your own blackfire command"
    )
    parser.add_argument("--result", required=True, type=Path, metavar="FILE", help="what became of the profile")
    parser.add_argument("--env", default="", metavar="ENV")
    parser.add_argument("--title", default="", metavar="TITLE")
    parser.add_argument("command", choices=("run", "curl"))
    words = list(sys.argv[1:] if argv is None else argv)
    own = words.index("--") if "--" in words else len(words)  # argparse would take a second one away too
    given, arguments = parser.parse_args(words[:own]), words[own + 1 :]
    result = CliResult(125)
    try:
        cli = find_cli()
        line = command_line(cli, given.command, arguments, given.env, given.title)
        result = drive(line, sys.stdout.buffer, sys.stderr.buffer)
        problem = result.problem
        if result.uuid and not problem:
            problem = _keep_graph(cli, result, given.result)
    except HarnessError as error:
        problem = error.message
        print(f"blackfire cli: {error}", file=sys.stderr)  # noqa: T201  (the process's log)
    told = {"format": FORMAT, **asdict(result), "problem": problem}
    serving.write_whole(given.result, json.dumps(told).encode())
    return result.exit_code if result.exit_code >= 0 else 128 - result.exit_code


def _keep_graph(cli: Cli, result: CliResult, path: Path) -> str:
    """Write the graph beside the result; what is wrong with it."""
    try:
        serving.write_whole(path.with_name(f"{path.name}.bf"), blackfire_probe.write(graph(cli, result)))
    except (HarnessError, ValueError) as error:
        return f"the profile was made, and its graph cannot be had: {getattr(error, 'message', error)}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
