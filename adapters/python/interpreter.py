"""Which Python a command line runs, and whether that Python will read PYTHONPATH. Pure except `resolve` and `ask`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

ASK_TIMEOUT_S = 5
_HEAD_BYTES = 4096
_FROZEN_COOKIE = b"MEI\x0c\x0b\x0a\x0b\x0e"  # PyInstaller puts it behind the archive at the end of its programs
_PYTHON_NAME = re.compile(r"(python|pypy)(\d(\.\d+)?t?)?\Z")
_LONG_SHEBANG = re.compile(rb"\n'''exec' \"?([^\"\n]+?/python[0-9.]*t?)\"? ")
QUESTION = (
    "import sys,json;print(json.dumps([list(sys.version_info[:3]),sys.implementation.name,"
    "sys.implementation.cache_tag,getattr(sys,'abiflags','')]))"
)


@dataclass(frozen=True, slots=True)
class Command:
    """What argv[0] turned out to be.

    ``interpreter``: argv prefix that runs the Python in question, () when unknown. ``flags``: its options as one string of
    letters (``-I -Wd`` -> ``I``). ``kind``: ``python`` (an interpreter or a script naming one), ``pex``, ``frozen``,
    ``no-site`` (uWSGI told not to run site), ``wiped-env`` (``path`` removes the agent's variables), ``missing``, or ``other``.
    ``before`` and ``arguments``: the words in front of and behind the interpreter when it is named outright, a script included.
    """

    path: str
    kind: str
    interpreter: tuple[str, ...] = ()
    flags: str = ""
    before: tuple[str, ...] = field(default=(), compare=False)
    arguments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Answers of a Python about itself; ``cache_tag`` such as ``cpython-311``. ``program``: the argv prefix that was asked."""

    version: tuple[int, int, int]
    implementation: str
    cache_tag: str
    free_threaded: bool
    program: tuple[str, ...] = field(default=(), compare=False)


def python_flags(args: Sequence[str]) -> str:
    """The option letters in front of the script, ``-c`` or ``-m``, of a Python command line without argv[0]."""
    letters = ""
    words = iter(args)
    for word in words:
        if word == "--check-hash-based-pycs":
            next(words, None)
        if not word.startswith("-") or word in ("-", "--"):
            break
        if word.startswith("--"):
            continue
        for position, letter in enumerate(word[1:], 1):
            if letter in "cm":
                return letters
            if letter in "WX":
                if position == len(word) - 1:
                    next(words, None)  # the value is the next word
                break
            letters += letter
    return letters


class Files(Protocol):
    """The files of the host on which a program is started."""

    def find(self, word: str) -> str | None:
        """The file that a first word of a command line names there; None when there is none."""
        ...

    def ends(self, path: str, size: int) -> tuple[bytes, bytes] | None:
        """The first and the last bytes of a file; None when it cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class _FilesHere:
    env: Mapping[str, str]
    cwd: Path | None

    def find(self, word: str) -> str | None:
        if "/" in word:
            path = (self.cwd or Path()) / word
            return str(path) if path.is_file() else None
        return shutil.which(word, path=self.env.get("PATH", os.defpath))

    def ends(self, path: str, size: int) -> tuple[bytes, bytes] | None:
        try:
            with Path(path).open("rb") as stream:
                head = stream.read(size)
                stream.seek(max(0, stream.seek(0, os.SEEK_END) - size))
                return head, stream.read(size)
        except OSError:
            return None


def resolve(argv: Sequence[str], env: Mapping[str, str], cwd: Path | None) -> Command:
    """Look at the file argv[0] names; nothing is run."""
    return resolve_in(argv, _FilesHere(env, cwd))


def resolve_in(argv: Sequence[str], files: Files) -> Command:
    """The same for a program that is started where these files are."""
    words = list(argv)
    if words and Path(words[0]).name == "env":
        words = words[1:]
        while words and ("=" in words[0] or words[0].startswith("-")):
            if words[0] in ("-i", "-", "--ignore-environment"):
                return Command(argv[0], "wiped-env")
            words = words[1:]
    if not words:
        return Command("", "missing")
    if _wipes(words):
        return Command(words[0], "wiped-env")
    found = files.find(words[0])
    if found is None:
        return Command(words[0], "missing")
    before, rest = tuple(argv[: len(argv) - len(words)]), tuple(words[1:])
    if _PYTHON_NAME.match(Path(found).name):
        return Command(found, "python", (found,), python_flags(rest), before, rest)
    if Path(found).name.startswith("uwsgi") and "--no-site" in words:
        return Command(found, "no-site")
    ends = files.ends(found, _HEAD_BYTES)
    if ends is None:
        return Command(found, "other")
    head, tail = ends
    if head.startswith(b"\x7fELF") and _FROZEN_COOKIE in tail:
        return Command(found, "frozen")
    command, own = _script(found, head, files)
    script = words[0] if "/" in words[0] else found
    return replace(command, before=before, arguments=(*own, script, *rest))


def _wipes(words: Sequence[str]) -> bool:
    """Whether a program that starts another one hides the agent's variables from it."""
    name, options = Path(words[0]).name, words[1:]
    if name in ("su", "runuser"):
        return any(word in ("-", "-l", "--login") for word in options)
    return name in ("sudo", "doas")  # sudo removes PYTHONPATH even with -E


def _script(path: str, head: bytes, files: Files) -> tuple[Command, tuple[str, ...]]:
    """A script by its first bytes, and the arguments that its first line gives the interpreter."""
    if path.endswith(".pex") or b"PEX-INFO" in head:
        return Command(path, "pex"), ()
    if not head.startswith(b"#!"):
        return Command(path, "other"), ()
    words = head[2:].split(b"\n", 1)[0].decode("utf-8", "replace").split()
    if words and Path(words[0]).name == "env":
        words = [w for w in words[1:] if w != "-S" and "=" not in w]
    if words and _PYTHON_NAME.match(Path(words[0]).name):
        interpreter = words[0] if "/" in words[0] else files.find(words[0])
        own = tuple(words[1:])
        return Command(path, "python", (interpreter,) if interpreter else (), python_flags(own)), own
    if (match := _LONG_SHEBANG.search(head)) is not None:  # pip's way round the kernel's limit on shebang lines
        return Command(path, "python", (match[1].decode("utf-8", "replace"),)), ()
    return Command(path, "other"), ()


def ask(command: Command, env: Mapping[str, str]) -> Interpreter | None:
    """Run the interpreter for a moment, isolated, and let it say what it is; None when it does not answer in 5 s."""
    if not command.interpreter:
        return None
    try:
        done = subprocess.run(
            [*command.interpreter, "-I", "-S", "-c", QUESTION],
            env=dict(env), stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return answered(done.stdout, command)


def answered(said: bytes, command: Command) -> Interpreter | None:
    """What an interpreter answered to `QUESTION`; None when that is no answer."""
    try:
        version, implementation, cache_tag, abiflags = json.loads(said[:_HEAD_BYTES])
        major, minor, micro = (int(part) for part in version)
        free_threaded = "t" in str(abiflags)
        return Interpreter(
            (major, minor, micro), str(implementation), str(cache_tag), free_threaded, command.interpreter
        )
    except (ValueError, TypeError):
        return None
