"""What only one of several hosts does, and what may not be said about it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from harness.diagnose.growth import Yardstick, judge
from harness.diagnose.pool import PoolView
from harness.diagnose.siblings import compare, containers, with_siblings
from harness.model.event import CONTAINER_OOM, CONTAINER_START, Event
from harness.model.finding import Cause, Confidence, Finding, Growth, Severity, Subject
from harness.model.host import RunHost

MIB = 1 << 20
YARDSTICK = Yardstick(64 << 10, 256 << 10, doubt=256 << 10)


def host(name: str, *, version: str = "", role: str = "web", measured: bool = True) -> RunHost:
    return RunHost(name, f"ssh://{name}", role, measured, name == "web-1", 0, version)


def pool(name: str, per_round: int, rounds: int = 9, noise: int = 0) -> PoolView:
    """A pool whose workers' memory takes this course."""
    random = np.random.default_rng(len(name) + per_round)
    levels = 50 * MIB + per_round * np.arange(rounds) + random.integers(-noise, noise + 1, rounds)
    return cast(PoolView, SimpleNamespace(name=name, memory=judge(levels.astype(float), YARDSTICK), coverage=None))


def test_the_one_that_leaks_is_told_from_the_others() -> None:
    hosts = [host("web-1"), host("web-2"), host("web-3"), host("db", role="db", measured=False)]
    (found,) = compare(hosts, [pool("web-1", 0), pool("web-2", 3 * MIB), pool("web-3", 0)])
    assert found.differ == ("web-2",)
    assert found.text == (
        "Of the 3 hosts of role web, only web-2 grows (web-2 by 3.0 MiB a round), web-1 and web-3 do not: look at what is "
        "different there (version, configuration, traffic)."
    )


def test_it_goes_with_the_version_where_versions_are_known() -> None:
    hosts = [host("web-1", version="1.9"), host("web-2", version="2.0"), host("web-3", version="2.0")]
    pools = [pool("web-1", 0), pool("web-2", 3 * MIB), pool("web-3", 3 * MIB)]
    assert "those that grow run version 2.0, those that do not run 1.9" in compare(hosts, pools)[0].text
    mixed = [host("web-1", version="2.0"), *hosts[1:]]
    assert "run version" not in compare(mixed, pools)[0].text


@pytest.mark.parametrize(
    ("rates", "beginning"),
    [
        ((0, 0), "None of the 2 hosts of role web grows."),
        (
            (3 * MIB, 3 * MIB),
            "All of the 2 hosts of role web grow (web-1 by 3.0 MiB a round, web-2 by 3.0 MiB a round): look at",
        ),
    ],
)
def test_where_all_do_the_same_it_is_what_they_share(rates: tuple[int, int], beginning: str) -> None:
    (found,) = compare([host("web-1"), host("web-2")], [pool(f"web-{n + 1}", rate) for n, rate in enumerate(rates)])
    assert found.text.startswith(beginning)
    assert found.differ == ()


def test_who_could_not_be_judged_is_no_proof() -> None:
    hosts = [host("web-1"), host("web-2"), host("web-3")]
    (found,) = compare(hosts, [pool("web-1", 3 * MIB), pool("web-2", 0, rounds=2)])
    assert found.differ == ()
    assert found.text.startswith("All that could be judged of the 3 hosts of role web grow")
    assert found.text.endswith("; web-2 and web-3 could not be judged.")
    assert compare(hosts, [])[0].text == "None of the 3 hosts of role web could be judged."


def test_noise_is_not_called_stillness() -> None:
    """Of a host whose memory moves up and down by more than the other grows, nothing can be said."""
    (found,) = compare([host("web-1"), host("web-2")], [pool("web-1", 1 * MIB), pool("web-2", 0, noise=20 * MIB)])
    assert found.differ == ()
    assert "only web-1 grows" not in found.text


def test_one_host_of_a_role_has_no_siblings() -> None:
    assert compare([host("web-1"), host("job-1", role="job")], [pool("web-1", MIB), pool("job-1", 0)]) == ()


def test_findings_about_growth_say_what_the_siblings_do() -> None:
    compared = compare([host("web-1"), host("web-2")], [pool("web-1", 0), pool("web-2", 3 * MIB)])

    def finding(cause: Cause, name: str) -> Finding:
        growth = Growth(None, None, None, None)
        subject = Subject(pool=name)
        return Finding(cause, Severity.WARNING, Confidence.HIGH, subject, "", growth, (), (), None)

    leak, healthy, other = with_siblings(
        [finding(Cause.LEAK_OBJECTS, "web-2"), finding(Cause.HEALTHY, "web-1"), finding(Cause.LEAK, "elsewhere")],
        compared,
    )
    assert [e.text for e in leak.evidence] == [compared[0].text]
    assert healthy.evidence == other.evidence == ()


def start(pool: str, image: str, **more: str | bool | None) -> Event:
    about = {"pool": pool, "role": "web", "measured": True, "container_image": image, **more}
    return Event(1, CONTAINER_START, None, "", about)


def test_containers_are_compared_like_hosts_and_their_image_is_the_version() -> None:
    killed = Event(2, CONTAINER_OOM, None, "", {"pool": "web-c", "role": "web"})
    again = start("web-b", "shop:3")  # its next generation
    db, alone = start("db", "redis", role="db"), start("alone", "shop:1", role=None)
    events = [start("web-a", "shop:1"), start("web-b", "shop:2"), again, db, alone, killed]
    found = containers(events)
    assert [(host.name, host.role, host.version) for host in found] == [
        ("web-a", "web", "shop:1"), ("web-b", "web", "shop:2"), ("db", "db", "redis"),
    ]  # fmt: skip
    (told,) = compare([], [pool("web-a", 0), pool("web-b", 3 * MIB)], events)
    assert told.differ == ("web-b",)
    assert told.text == (
        "Of the 2 containers of role web, only web-b grows (web-b by 3.0 MiB a round), web-a does not; those that grow run "
        "version shop:2, those that do not run shop:1."
    )


def test_hosts_and_containers_of_one_role_are_compared_wherever_they_are() -> None:
    """The host that holds a container is none of its own; a container's version may be named."""
    events = [start("web-c", "shop:1"), start("web-2", "shop:1", host="web-2", version="2.0")]
    hosts = [host("web-1"), host("web-2"), host("db-1", role="db")]
    (told,) = compare(hosts, [pool("web-1", 0), pool("web-2", 0), pool("web-c", 3 * MIB)], events)
    assert [(each.host, each.version) for each in told.hosts] == [("web-1", ""), ("web-c", "shop:1"), ("web-2", "2.0")]
    assert told.differ == ("web-c",)
    assert told.text.startswith("Of the 3 hosts and containers of role web, only web-c grows")


def test_a_pool_of_which_a_finding_says_that_it_grows_is_not_said_to_be_still() -> None:
    """Where objects were counted a small leak is certain that the curve alone leaves open."""
    hosts, pools = [host("web-1"), host("web-2")], [pool("web-1", 0), pool("web-2", 100 << 10, noise=50 << 10)]
    assert compare(hosts, pools)[0].hosts[1].grows is None
    subject = Subject(pool="web-2")
    leak = Finding(
        Cause.LEAK_OBJECTS, Severity.WARNING, Confidence.HIGH, subject, "", Growth(None, None, None, None), (), (), None
    )
    (told,) = compare(hosts, pools, (), [leak])
    assert told.differ == ("web-2",)
