"""Preflight of an output directory in another place: can it be reached, is it there, may we, and are the tools there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace

from adapters.php.xdebug.elsewhere.line import LineError
from adapters.php.xdebug.elsewhere.place import ContainerPlace, HostPlace, Place, UnreachableError
from adapters.php.xdebug.elsewhere.places import ShellTo, new_outputs
from adapters.php.xdebug.elsewhere.process_outputs import ProcessOutputs
from adapters.php.xdebug.elsewhere.shell_outputs import ShellOutputs
from harness.clock import Clock, SystemClock
from harness.plugins.spec import Check, CheckLevel

_CHECK = "php.xdebug"
_MOST_WORDS, _WORD_CAP = 16, 16


def check_place(
    place: Place,
    directory: str,
    log: str | None,
    costs: str,
    shell_to: ShellTo,
    clock: Clock | None = None,
    *,
    launched: bool = False,
) -> list[Check]:
    """Empty when all is well. Changes nothing there. ``costs``: what is lost where profiles cannot be had. ``launched``: the run
    itself starts the target, so its processes and containers may not be there yet, which is no error."""
    if isinstance(place, HostPlace) and shutil.which("ssh") is None:
        return [Check(_CHECK, CheckLevel.ERROR, "there is no ssh here", "apt-get install openssh-client", costs)]
    outputs = new_outputs(place, directory, log, clock or SystemClock(), shell_to)
    try:
        found = (
            _seen(outputs, place, directory, log)
            if isinstance(outputs, ProcessOutputs)
            else _asked(outputs, place, directory, log)
        )
        checks = [replace(check, costs=costs) if check.level is CheckLevel.ERROR else check for check in found]
        return [_later(check) for check in checks] if launched and not isinstance(place, HostPlace) else checks
    finally:
        outputs.close()


def _seen(outputs: ProcessOutputs, place: Place, directory: str, log: str | None) -> Iterator[Check]:
    try:
        removes, reads_log = outputs.check()
    except UnreachableError as error:
        yield _error(str(error), error.fix)
        return
    if not removes:
        yield _stays(place, directory)
    if not reads_log:
        yield from _of_log({}, place, log)


def _asked(outputs: ShellOutputs, place: Place, directory: str, log: str | None) -> Iterator[Check]:
    try:
        answer = outputs.hello()
    except LineError as error:
        yield _error(f"{place} cannot be asked: {error}", error.fix or _how_to_reach(place))
        return
    said = {line[0]: line[1] for line in answer.lines if len(line) > 1}
    if missing := answer.of("missing"):
        tools = ", ".join(word[:_WORD_CAP] for word in missing[:_MOST_WORDS])
        yield _error(f"{place} lacks {tools}", "install coreutils and gzip there, or busybox, which has all of them")
        return
    if said.get("proc") != "yes":
        yield _error(f"{place} has no /proc for our user", "mount it there: files are looked at through it")
        return
    yield from _of_directory(said, place, directory)
    yield from _of_log(said, place, log)
    outputs.wall_offset()
    if outputs.trouble:
        yield _error(outputs.trouble, _how_to_reach(place))


def _of_directory(said: dict[str, str], place: Place, directory: str) -> Iterator[Check]:
    if said.get("place") in {"absent", "file"}:
        what = "does not exist" if said["place"] == "absent" else "is not a directory"
        yield _error(
            f"target.php.xdebug.output_dir: {directory} {what} in {place}",
            "it must be xdebug.output_dir of the masters with Xdebug, as they see it",
        )
    elif said.get("place") != "there":
        yield _error(
            f"the profiles in {directory} of {place} cannot be read",
            "be the user of that php-fpm pool there, or give this user access to the directory",
        )
    elif said.get("writable") != "yes":
        yield _stays(place, directory)


def _stays(place: Place, directory: str) -> Check:
    return Check(
        _CHECK, CheckLevel.WARNING, f"profiles stay in {directory} of {place}: they may not be removed by us",
        "be the user of that php-fpm pool there, or clean up yourself: one profile can have hundreds of MB",
    )  # fmt: skip


def _of_log(said: dict[str, str], place: Place, log: str | None) -> Iterator[Check]:
    if log is None or said.get("log") == "there":
        return
    reasons = {
        "absent": "does not exist",
        "special": "is not a file that can be read again",
        "denied": "may not be read",
    }
    what = reasons.get(said.get("log", ""), "is no file that can be read")
    yield Check(
        _CHECK, CheckLevel.WARNING, f"target.php.xdebug.access_log: {log} {what} in {place}",
        "correct it, or leave it out: it is needed only where the application removes Xdebug's header",
    )  # fmt: skip


def _how_to_reach(place: Place) -> str:
    if isinstance(place, HostPlace):
        port = "" if place.port is None else f" -p {place.port}"
        user = "" if place.user is None else f"{place.user}@"
        ssh = f"ssh -o BatchMode=yes{port} {user}{place.host}"
        if place.container is not None:
            return (
                f"`{ssh} podman exec -i -u 0 {place.container} sh` (or docker) must work without a question; root's containers "
                "need root there"
            )
        return f"`{ssh} sh` must work without a question: known host, key, agent"
    if isinstance(place, ContainerPlace):
        return f"`podman exec -i {place.name} sh` (or docker) must work; an image without a shell needs the harness as root"
    return "run the harness as root"


def _later(check: Check) -> Check:
    if check.level is not CheckLevel.ERROR:
        return check
    told = f"before the target is started, {check.message}; that is looked at again when a request is profiled"
    return Check(check.name, CheckLevel.WARNING, told, check.fix)


def _error(message: str, fix: str) -> Check:
    return Check(_CHECK, CheckLevel.ERROR, message, fix)
