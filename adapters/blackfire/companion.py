"""The receiver as part of a run: how it is started, asked for queries, and what it has received. For the language adapters.

Nothing is kept in memory: its address is in a file of the run's work directory, its secret follows from the run's token.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from adapters.blackfire.query import DEFAULT_ARGUMENTS, Query, issue
from adapters.blackfire.receiver import FORMAT, SECRET
from harness.errors import HarnessError, TargetError
from harness.plugins.ports import free_port
from harness.plugins.spec import LaunchPlan, Stage

NAME = "blackfire-receiver"
_VALID_S = 600
_POLL_S = 0.02
_ABOUT_CAP_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Received:
    """One profile: the probe's own file, and times on the harness's clock: of the hello (the session begins then) and of the end.

    ``problem`` is empty when everything is there.
    """

    body: bytes
    hello_ns: int
    end_ns: int
    probe: str
    problem: str = ""
    attributes: Mapping[str, str | int] = field(default_factory=dict)


def plan(work_dir: Path, token: str) -> LaunchPlan:
    """The receiver, to be started for the profiled pass. A second call for the same run gives the same plan."""
    directory = _directory(work_dir)
    address = directory / "address"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not address.exists():
            address.write_text(f"tcp://127.0.0.1:{free_port()}", "ascii")
        url = address.read_text("ascii")
    except OSError as error:
        raise HarnessError(
            f"cannot write to {directory}: {error.strerror or error}", hint="choose another output directory with --out"
        ) from error
    return LaunchPlan(
        NAME,
        (sys.executable, "-P", "-m", "adapters.blackfire.receiver", "--listen", url, "--directory", str(directory)),
        {SECRET: _secret(token).hex()},
        measured=False,
        stage=Stage.PROFILE,
        ready=url,
    )


def ask(work_dir: Path, token: str, arguments: Mapping[str, str] = DEFAULT_ARGUMENTS) -> tuple[Query, str]:
    """A query for one profile, and the socket to send it to. TargetError when no receiver belongs to this run."""
    try:
        address = (_directory(work_dir) / "address").read_text("ascii")
    except OSError:
        raise TargetError(
            "no Blackfire-compatible receiver belongs to this run, because no program of it was launched with the agent",
            hint="launch the service with target.launch, or profile with another tool",
        ) from None
    return issue(_secret(token), int(time.time()) + _VALID_S, arguments), address


def received(work_dir: Path, request_id: str, timeout_s: float) -> Received:
    """What came for a query, waited for at most ``timeout_s``. ValueError with the reason when there is nothing."""
    about_file = _directory(work_dir) / f"{request_id}.json"
    deadline = time.monotonic() + timeout_s
    while not about_file.exists():
        if time.monotonic() > deadline:
            raise ValueError(f"the probe said that it sent its profile, and none was received within {timeout_s:g} s")
        time.sleep(_POLL_S)
    about = json.loads(about_file.read_bytes()[:_ABOUT_CAP_BYTES])
    if about["format"] != FORMAT:
        raise ValueError("the receiver left a file of another version")
    if about["body"] is None:
        raise ValueError(str(about["detail"]))
    return Received(
        (about_file.parent / f"{request_id}.bf").read_bytes(),
        int(about["hello_ns"]),
        int(about["end_ns"]),
        str(about["probe"]),
        str(about["detail"]),
    )


def _directory(work_dir: Path) -> Path:
    return work_dir.resolve() / "blackfire"


def _secret(token: str) -> bytes:
    return hmac.digest(token.encode(), b"blackfire receiver", hashlib.sha256)
