"""What a PHP says about itself under a given configuration: ``-i``, started so that it writes nothing and runs nothing."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapters.php.inspection.model import Version, Xdebug
from adapters.php.installed import parse_phpinfo

# Xdebug would profile the question itself, and a preload script is a part of the application.
_QUIET_ENV = {"XDEBUG_MODE": "off", "XDEBUG_CONFIG": ""}
# What it complains about at its start would go to the application's log.
_QUIET_OPTIONS = ("-d", "opcache.preload=", "-d", "xdebug.profiler_enable=0", "-d", "xdebug.auto_trace=0",
                  "-d", "log_errors=0", "-d", "error_log=")  # fmt: skip
_TRIGGERS = ("XDEBUG_TRIGGER", "XDEBUG_PROFILE", "XDEBUG_TRACE", "XDEBUG_SESSION")
_TIMEOUT_S = 15
_CAP = 1 << 22


@dataclass(frozen=True, slots=True)
class Told:
    """``files``: the ini files read, in order. ``ini_directory``: where php.ini is looked for. ``version`` of PHP."""

    version: Version
    text: str
    in_force: Mapping[str, str]
    extensions: frozenset[str]
    xdebug: Xdebug
    files: tuple[str, ...]
    ini_directory: str


def ask(
    command: Sequence[str], environment: Mapping[str, str], cwd: str | None, ids: tuple[int, int] | None
) -> Told | str:
    """The answer, or in words why there is none. ``command``: a binary and its options; ``ids``: uid and gid to run as, None:
    as we are. A PHP is never started with more rights than the process whose configuration it has, and without our terminal."""
    env = {name: value for name, value in environment.items() if name not in _TRIGGERS} | _QUIET_ENV
    try:
        process = subprocess.Popen(
            [*command, *_QUIET_OPTIONS, "-i"], env=env, cwd=cwd or "/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True,
            user=None if ids is None else ids[0], group=None if ids is None else ids[1],
            extra_groups=None if ids is None else [],
        )  # fmt: skip
    except (OSError, ValueError) as error:
        return f"{command[0]} cannot be started: {error}"
    with process:
        said = _read(process)
        process.kill()  # it has said all, or too much, or nothing for too long
    if said is None:
        return f"{command[0]} -i did not end within {_TIMEOUT_S} s"
    told = read_phpinfo(command[0], said.decode(errors="replace"))
    return f"{command[0]} -i does not answer like PHP" if told is None else told


def _read(process: subprocess.Popen[bytes]) -> bytes | None:
    """All it says, but not more than 4 MiB; None when it does not come to an end."""
    assert process.stdout is not None
    said = bytearray()
    deadline = time.monotonic() + _TIMEOUT_S
    while len(said) < _CAP:
        if not select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return None
        data = os.read(process.stdout.fileno(), 1 << 16)
        if not data:
            break
        said += data
    return bytes(said)


def read_phpinfo(binary: str, text: str) -> Told | None:
    """The text form of phpinfo(); None when it is something else. Pure."""
    build = parse_phpinfo(binary, text)
    version = None if build is None else version_of(build.version)
    if build is None or version is None:
        return None
    loaded = re.search(r"^Loaded Configuration File => (/.*)$", text, re.MULTILINE)
    scanned = re.search(r"^Additional \.ini files parsed => (.*(?:\n/.*)*)", text, re.MULTILINE)
    files = [loaded[1].strip()] if loaded is not None else []
    if scanned is not None:
        files += [path for part in scanned[1].split(",\n") if (path := part.strip().rstrip(",")).startswith("/")]
    directory = re.search(r"^Configuration File \(php\.ini\) Path => (/.*)$", text, re.MULTILINE)
    zlib = re.search(r"^Compressed File Support => (yes|no)", text, re.MULTILINE)
    return Told(
        version=version,
        text=build.version,
        in_force=build.directives,
        extensions=frozenset(re.findall(r"\n\n([A-Za-z_][A-Za-z0-9_ ]{1,40})\n\n", text)),
        xdebug=Xdebug(
            None if build.xdebug is None else version_of(build.xdebug),
            build.xdebug or "",
            None if zlib is None else zlib[1] == "yes",
        ),
        files=tuple(files),
        ini_directory="" if directory is None else directory[1].strip(),
    )


def version_of(text: str) -> Version | None:
    """``(8, 2)`` of ``8.2.36``."""
    match = re.match(r"(\d{1,3})\.(\d{1,3})", text)
    return None if match is None else (int(match[1]), int(match[2]))
