"""What of a target in several places is on this machine, with a real process; other hosts are not asked here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from harness.doctor.here import look_here, of_whom
from harness.plugins.spec import CheckLevel
from harness.scenario.reader import parse_scenario

FAR = "{host: ssh://deploy@web-1, role: web, attach: {port: 8000}}"


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


def looked(*hosts: str) -> tuple[object, list[str], list[str], bool]:
    """Whom it looks at, what it found wrong, what it says of the signals, and whether it shows those of this machine."""
    scenario = parse_scenario(f"name: shop\ntarget: {{hosts: [{', '.join(hosts)}]}}\nload: {{observe: 1m}}\n")
    here = look_here(scenario, "harness run shop.yaml", announces=False)
    subject = None if here.subject is None else (here.subject.text, [each.pid for each in here.subject.processes])
    wrong = [f"{check.name}: {check.message}" for check in here.checks if check.level is CheckLevel.ERROR]
    return subject, wrong, [check.message for check in of_whom(scenario.target, here)], here.shows(scenario.target)


def test_what_is_only_watched_here_is_not_looked_at(sleeper: int) -> None:
    subject, wrong, said, shows = looked(FAR, f"{{host: local, name: db, measured: false, attach: {{pid: {sleeper}}}}}")
    assert (subject, wrong, shows) == (None, [], False)
    assert said == [
        "db on this machine is only watched, so its signals are left out; which signals web-1 gives is said by harness doctor "
        "there; --json lists those of this machine"
    ]


def test_what_is_measured_here_is_looked_at_by_its_name(sleeper: int) -> None:
    subject, wrong, said, shows = looked(FAR, f"{{host: local, name: cron, attach: {{pid: {sleeper}}}}}")
    assert (subject, wrong, shows) == (("cron on this machine", [sleeper]), [], True)
    assert said == [
        "the signals below are those of cron on this machine; which signals web-1 gives is said by harness doctor there"
    ]


@pytest.mark.parametrize("measured", ["true", "false"])
def test_a_run_would_miss_both_kinds(measured: str) -> None:
    attach = f"{{match: no process {os.getpid()} is called so}}"
    subject, wrong, said, shows = looked(FAR, f"{{host: local, name: db, measured: {measured}, attach: {attach}}}")
    assert (subject, wrong) == (None, ["target.hosts db: no such process runs"])
    assert shows == (measured == "true"), "the rest is still worth knowing"
    assert said[0].startswith(
        "the signals below are those of this machine, not of db; which" if shows else "db on this"
    )


def test_only_other_hosts() -> None:
    subject, wrong, said, shows = looked(FAR, FAR.replace("web-1", "web-2"))
    assert (subject, wrong, shows) == (None, [], False)
    assert said == [
        "which signals web-1, web-2 give is said by harness doctor there; --json lists those of this machine"
    ]
