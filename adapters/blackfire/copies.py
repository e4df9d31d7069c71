"""The relay as part of a run: how it is started, and the copies it has made. For the language adapters."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adapters.blackfire.recording import FORMAT
from harness.errors import HarnessError
from harness.plugins.spec import LaunchPlan, Stage

NAME = "blackfire-relay"
_POLL_S = 0.02
_ABOUT_CAP_BYTES = 1 << 20
_COPIES_CAP = 100
_MARK = re.compile(r"[0-9a-f]{32}\Z")
_BODY = re.compile(r"[0-9a-f]{32}-[0-9a-f]{8}\.bf\Z")


@dataclass(frozen=True, slots=True)
class Copy:
    """One profile that passed through the relay. ``body``: the redacted file, None when there is none; ``problem`` is empty when
    everything is there. Times are on the harness's clock: of the hello (the session begins then) and of the end."""

    body: Path | None
    problem: str
    sub_profile: str
    hello_ns: int | None
    end_ns: int


def plan(work_dir: Path, listen: str, agent: str) -> LaunchPlan:
    """The relay, to be started for the profiled pass. HarnessError when its directory cannot be made."""
    directory = directory_of(work_dir)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HarnessError(
            f"cannot write to {directory}: {error.strerror or error}", hint="choose another output directory with --out"
        ) from error
    command = (sys.executable, "-P", "-m", "adapters.blackfire.relay", "--listen", listen, "--upstream", agent)
    return LaunchPlan(
        NAME,
        (*command, "--directory", str(directory)),
        measured=False,
        stage=Stage.PROFILE,
        ready=listen if listen.startswith("tcp://") else None,
    )


def directory_of(work_dir: Path) -> Path:
    """Where the relay of a run puts its copies."""
    return work_dir.resolve() / "blackfire-relay"


def copies_of(work_dir: Path, mark: str, timeout_s: float) -> list[Copy]:
    """What passed for the query of this fingerprint, the profile itself before its sub-profiles, waited for at most
    ``timeout_s``; empty when nothing did. ValueError for files of another version."""
    if not _MARK.match(mark):
        return []
    deadline = time.monotonic() + timeout_s
    directory = directory_of(work_dir)
    while not (names := sorted(directory.glob(f"{mark}-*.json"))[:_COPIES_CAP]) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    found = [_copy(directory, json.loads(path.read_bytes()[:_ABOUT_CAP_BYTES])) for path in names]
    return sorted(found, key=lambda copy: (copy.sub_profile != "", copy.hello_ns or 0))


def _copy(directory: Path, about: Mapping[str, object]) -> Copy:
    if about.get("format") != FORMAT:
        raise ValueError("the relay left a file of another version")
    body, hello_ns = about["body"], about["hello_ns"]
    return Copy(
        directory / body if isinstance(body, str) and _BODY.match(body) else None,
        str(about["detail"]),
        str(about["sub_profile"]),
        hello_ns if isinstance(hello_ns, int) else None,
        int(str(about["end_ns"])),
    )
