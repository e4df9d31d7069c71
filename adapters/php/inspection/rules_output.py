"""Where Xdebug writes, and under which names. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from adapters.php.inspection.model import Output, Setup, is_on
from harness.plugins.spec import Check, CheckLevel

_LEAST_FREE = 1 << 30  # five profiles of a heavy page
_LONGEST = 255  # Xdebug cuts names, directory included, after this
_SPECIFIERS = {"c": 8, "p": 7, "r": 6, "s": 64, "t": 10, "u": 17, "H": 32, "R": 64, "U": 32, "S": 32}  # usual lengths
_UNIQUE = re.compile(r"%[ruU]")
_NO_PROFILE = "no profile"
_NAME = "xdebug.profiler_output_name = cachegrind.out.%p.%u.%r"


def output(setup: Setup) -> Iterator[Check]:
    """Only where profiles, traces or statistics can be written."""
    if not setup.writes_files:
        return
    for place in setup.outputs:
        yield from _directory(setup, place)
    if setup.profiles:
        yield from _names(setup)
    yield from _compression(setup)


def _directory(setup: Setup, place: Output) -> Iterator[Check]:
    name = "xdebug.output_dir" if setup.modes else "xdebug.profiler_output_dir"
    where = f"{setup.where(name, place.pool)}: {name} {place.path}"
    of = f" of pool {place.pool}" if place.pool else ""
    owner = place.account
    user = owner.name if owner is not None else "the pool's user"
    make = f"install -d -m 0700 -o {user} DIRECTORY" if user != "its user" else "install -d -m 0700 DIRECTORY"
    make_elsewhere = make.replace("DIRECTORY", "/var/lib/php-profiles")
    make = make.replace("DIRECTORY", shlex.quote(place.path))
    if place.error:
        yield Check("php.xdebug.output_dir", CheckLevel.WARNING, f"{where} could not be looked at: {place.error}", make)
        return
    if not place.exists:
        yield Check("php.xdebug.output_dir", CheckLevel.WARNING, f"{where} is not there", make, _NO_PROFILE)
        return
    if place.writable is False:
        yield Check(
            "php.xdebug.output_dir", CheckLevel.WARNING,
            f"{where} may not be written to by {user}{of}: no profile, no header, only a line in a log",
            make, _NO_PROFILE,
        )  # fmt: skip
    if place.mode is not None and place.mode & 0o005:
        yield Check(
            "php.xdebug.output_public", CheckLevel.WARNING,
            f"{where} may be read by everybody on this machine (mode {place.mode:04o}); profiles tell paths and addresses",
            f"{setup.corrected(name, '/var/lib/php-profiles', place.pool)}\n{make_elsewhere}",
        )  # fmt: skip
    if place.host_path is not None:
        yield Check(
            "php.xdebug.output_private", CheckLevel.WARNING,
            f"{where} is a directory of the process's own (PrivateTmp, a container); from here it is {place.host_path}",
            f"{setup.corrected(name, '/var/lib/php-profiles', place.pool)}   ; outside of /tmp and /var/tmp",
            "profiles are not found without root",
        )  # fmt: skip
    if place.free_bytes is not None and place.free_bytes < _LEAST_FREE:
        yield Check(
            "php.xdebug.output_full", CheckLevel.WARNING,
            f"{where} has {place.free_bytes >> 20} MiB free, and one profile takes 10 to 200 MB",
            "make room, or choose a directory on another disk", _NO_PROFILE,
        )  # fmt: skip
    for docroot in setup.docroots:
        if f"{place.path.rstrip('/')}/".startswith(f"{docroot.rstrip('/')}/"):
            yield Check(
                "php.xdebug.output_served", CheckLevel.WARNING,
                f"{where} is below the document root {docroot}: visitors can fetch profiles",
                setup.corrected(name, "/var/lib/php-profiles", place.pool),
            )  # fmt: skip
            break


def _names(setup: Setup) -> Iterator[Check]:
    name = setup.value("xdebug.profiler_output_name", default="cachegrind.out.%p")
    where = setup.where("xdebug.profiler_output_name")
    if is_on(setup.value("xdebug.profiler_append")):
        yield Check(
            "php.xdebug.append", CheckLevel.WARNING,
            f"{setup.where('xdebug.profiler_append')}: profiler_append puts several profiles into one file, "
            "so that none belongs to a request",
            "xdebug.profiler_append = 0", "no profile of single requests",
        )  # fmt: skip
    elif not _UNIQUE.search(name):
        why = "the next profile of the same worker overwrites it" if "%p" in name else "the next profile overwrites it"
        yield Check(
            "php.xdebug.output_name", CheckLevel.WARNING,
            f"{where}: with profiler_output_name {name} {why}", _NAME, "profiles are lost",
        )  # fmt: skip
    lengths = [_expected_length(name) + len(place.path) + 1 for place in setup.outputs]
    if lengths and max(lengths) > _LONGEST:
        yield Check(
            "php.xdebug.output_name_long", CheckLevel.WARNING,
            f"{where}: names of about {max(lengths)} characters; Xdebug cuts them after {_LONGEST}, directory included",
            _NAME, "profiles overwrite each other",
        )  # fmt: skip


def _expected_length(name: str) -> int:
    return len(re.sub(r"%(.)", lambda m: "x" * _SPECIFIERS.get(m[1], 1), name))


def _compression(setup: Setup) -> Iterator[Check]:
    on = is_on(setup.value("xdebug.use_compression"))
    where = setup.where("xdebug.use_compression")
    if on and setup.xdebug.zlib is False:
        yield Check(
            "php.xdebug.compression", CheckLevel.WARNING,
            f"{where}: use_compression is on, and this build of Xdebug has no zlib: files stay as they are",
            "xdebug.use_compression = 0",
        )  # fmt: skip
    elif on and "trace" in setup.modes:
        yield Check(
            "php.xdebug.compression", CheckLevel.WARNING,
            f"{where}: compressed traces are written out after every line: 2 % smaller, 4 times as slow",
            "xdebug.use_compression = 0",
        )  # fmt: skip
