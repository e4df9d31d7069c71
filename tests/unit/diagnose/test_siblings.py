"""What only one of several hosts does, and what may not be said about it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from timelines import App, simulate

from harness.correlate.build import correlate
from harness.diagnose.growth import Yardstick, judge
from harness.diagnose.pool import PoolView, pools_of
from harness.diagnose.siblings import compare, containers, with_siblings
from harness.diagnose.sight import least_seen
from harness.model.event import CONTAINER_OOM, CONTAINER_START, Event
from harness.model.finding import Cause, Confidence, Finding, Growth, Severity, Subject
from harness.model.host import RunHost, Split

MIB = 1 << 20
YARDSTICK = Yardstick(64 << 10, 256 << 10, doubt=256 << 10)


def host(name: str, *, version: str = "", role: str = "web", measured: bool = True) -> RunHost:
    return RunHost(name, f"ssh://{name}", role, measured, name == "web-1", 0, version)


def pool(name: str, per_round: int, rounds: int = 9, noise: int = 0, workers: int = 1, **more: object) -> PoolView:
    """A pool whose workers' memory takes this course, all of what nobody knows the allocators."""
    random = np.random.default_rng(len(name) + per_round)
    levels = 50 * MIB + per_round * np.arange(rounds) + random.integers(-noise, noise + 1, rounds)
    answers: dict[str, object] = {"account": None}

    def once(question: str, compute: Callable[[], object]) -> object:
        if question not in answers:
            answers[question] = compute()
        return answers[question]

    seen = {
        "name": name, "memory": judge(levels.astype(float), YARDSTICK), "coverage": None, "quantum": YARDSTICK.quantum,
        "stable": (None,) * workers, "runtime": "any", "counters": lambda _metrics: None, "once": once, "measured_spans": (),
        "stretch": "round",
    }  # fmt: skip
    return cast(PoolView, SimpleNamespace(**{**seen, **more}))


def finding(cause: Cause, name: str) -> Finding:
    subject = Subject(pool=name)
    return Finding(cause, Severity.WARNING, Confidence.HIGH, subject, "", Growth(None, None, None, None), (), (), None)


def test_the_one_that_leaks_is_told_from_the_others() -> None:
    hosts = [host("web-1"), host("web-2"), host("web-3"), host("db", role="db", measured=False)]
    (found,) = compare(hosts, [pool("web-1", 0), pool("web-2", 3 * MIB), pool("web-3", 0)])
    assert found.differ == ("web-2",)
    assert found.text == (
        "Of the 3 hosts of role web, only web-2 grows (web-2 by 3.0 MiB a round), web-1 and web-3 do not: look at what is "
        "different there (version, configuration, traffic)."
    )


def test_where_requests_come_all_the_time_it_is_said_by_the_slice() -> None:
    pools = [pool("web-1", 0, stretch="slice"), pool("web-2", 3 * MIB, stretch="slice")]
    assert (
        "only web-2 grows (web-2 by 3.0 MiB a slice), web-1 does not"
        in compare([host("web-1"), host("web-2")], pools)[0].text
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
    assert [(place.name, place.role, place.version, place.image) for place in found] == [
        ("web-a", "web", "", "shop:1"), ("web-b", "web", "", "shop:2"), ("db", "db", "", "redis"),
    ]  # fmt: skip
    (told,) = compare([], [pool("web-a", 0), pool("web-b", 3 * MIB)], events)
    assert told.differ == ("web-b",)
    assert told.text == (
        "Of the 2 containers of role web, only web-b grows (web-b by 3.0 MiB a round), web-a does not; those that grow run "
        "the image shop:2, those that do not run shop:1 (whether they had as much to do is not known)."
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
    (told,) = compare(hosts, pools, (), [finding(Cause.LEAK_OBJECTS, "web-2")])
    assert told.hosts[1].grows is True
    (told,) = compare(hosts, [pools[0], pool("web-2", 0)], (), [finding(Cause.LEAK_OBJECTS, "web-2")])
    assert told.hosts[1].grows is None, "the finding says that it leaks, the curve does not show by how much"
    assert with_siblings([finding(Cause.LEAK_OBJECTS, "web-2")], [told])[0].evidence == ()


def test_growth_that_an_exact_counter_tells_from_chance_is_compared() -> None:
    levels = 50.0 * MIB + 60e3 * np.arange(9)
    account = SimpleNamespace(grows=True, curve=judge(levels, Yardstick(48e3, 4096, doubt=4096, relative=0)))
    small = pool(
        "web-2", 60_000, noise=9 << 10, once=lambda question, compute: account if question == "account" else compute()
    )
    pools = [pool("web-1", 0), small]
    assert compare([host("web-1"), host("web-2")], pools)[0].hosts[1].grows is not True
    (told,) = compare([host("web-1"), host("web-2")], pools, (), [finding(Cause.LEAK_OBJECTS, "web-2")])
    assert told.differ == ("web-2",)
    assert "only web-2 grows (web-2 by 58.6 KiB a round)" in told.text


def test_a_pool_that_is_in_doubt_is_not_said_to_be_still() -> None:
    """Its curve is flat, and live allocations grow, say."""
    hosts, pools = [host("web-1"), host("web-2")], [pool("web-1", 0), pool("web-2", 3 * MIB)]
    (told,) = compare(hosts, pools, (), [finding(Cause.INCONCLUSIVE, "web-1")])
    assert told.differ == ()
    assert told.text.endswith("; web-1 could not be judged.")


# -- versions and images -----------------------------------------------------------------------------------------------


def test_an_image_is_not_compared_with_a_version() -> None:
    """ "shop:2 grows, 2.0 does not" is true of a container and a host, and means nothing."""
    (told,) = compare(
        [host("web-1", version="2.0")], [pool("web-1", 0), pool("web-c", 3 * MIB)], [start("web-c", "shop:2")]
    )
    assert [(each.host, each.version, each.named_version, each.image) for each in told.hosts] == [
        ("web-1", "2.0", "2.0", ""), ("web-c", "shop:2", "", "shop:2"),
    ]  # fmt: skip
    assert told.differ == ("web-c",)
    assert told.split is None
    assert told.text.endswith("web-1 does not: look at what is different there (version, configuration, traffic).")


@pytest.mark.parametrize(
    ("versions", "images", "split"),
    [
        (("2.0", "2.1"), ("shop:a", "shop:b"), Split("version", ("2.1",), ("2.0",))),
        (("", "2.1"), ("shop:a", "shop:b"), Split("image", ("shop:b",), ("shop:a",))),
        (("2.0", "2.0"), ("shop:a", "shop:b"), Split("image", ("shop:b",), ("shop:a",))),
        (("", "2.1"), ("shop:a", "shop:a"), None),
    ],
)
def test_what_all_of_them_have_is_compared(
    versions: tuple[str, str], images: tuple[str, str], split: Split | None
) -> None:
    events = [start(f"web-{n + 1}", images[n], version=versions[n] or None) for n in range(2)]
    (told,) = compare([], [pool("web-1", 0), pool("web-2", 3 * MIB)], events)
    assert told.split == split


# -- what would have shown ---------------------------------------------------------------------------------------------


def test_a_host_on_which_such_growth_would_not_have_shown_proves_nothing() -> None:
    """Its floors move by half of what the other grows by, and sixteen workers may each hide a step of their allocator."""
    hosts = [host("web-1", version="1.9"), host("web-2", version="2.0")]
    (told,) = compare(hosts, [pool("web-1", 0, noise=60 << 10, workers=16), pool("web-2", 120 << 10)])
    assert (told.differ, told.blind) == ((), ("web-1",))
    assert [each.grows for each in told.hosts] == [None, True]
    assert told.text == (
        "Of the 2 hosts of role web, web-2 grows (web-2 by 120.0 KiB a round); such a growth would not have shown on web-1."
    )
    (told,) = compare(hosts, [pool("web-1", 0, noise=60 << 10, workers=16), pool("web-2", 3 * MIB)])
    assert (told.differ, told.blind) == (("web-2",), ()), "a large one would have"


def test_who_would_have_shown_it_is_compared_and_the_others_are_told() -> None:
    hosts = [host("web-1"), host("web-2"), host("web-3")]
    (told,) = compare(hosts, [pool("web-1", 0), pool("web-2", 120 << 10), pool("web-3", 0, noise=60 << 10, workers=16)])
    assert (told.differ, told.blind) == (("web-2",), ("web-3",))
    assert told.text == (
        "Of the 3 hosts of role web, web-2 grows (web-2 by 120.0 KiB a round), web-1 does not: look at what is different there "
        "(version, configuration, traffic); such a growth would not have shown on web-3."
    )


def test_where_none_grows_the_least_that_would_have_shown_is_told() -> None:
    (told,) = compare([host("web-1"), host("web-2")], [pool("web-1", 0), pool("web-2", 3 * MIB)])
    still, growing = told.hosts
    assert still.least_seen == 32 << 10, "one step of the allocator in eight rounds"
    assert growing.least_seen is None
    (told,) = compare([host("web-1"), host("web-2")], [pool("web-1", 0, workers=16), pool("web-2", 0, workers=16)])
    assert (told.blind, told.text) == ((), "None of the 2 hosts of role web grows.")
    assert told.hosts[0].least_seen == pytest.approx(0.002 * 50 * MIB), (
        "the MDL: all of the sixteen are unlikely to hide more"
    )


@pytest.mark.parametrize(
    ("jumps", "least"), [((), 32 << 10), ((4,), 64 << 10), ((3, 6), 96 << 10)]
)  # the last: no better than the MDL
def test_a_jump_that_is_no_trend_may_be_growth_that_shows_in_steps(jumps: tuple[int, ...], least: int) -> None:
    levels = np.full(9, 50.0 * MIB)
    for at in jumps:
        levels[at:] += YARDSTICK.quantum
    curve = judge(levels, YARDSTICK)
    assert least_seen(pool("web-1", 0), curve) == least


def test_one_that_answers_a_tenth_of_the_requests_is_expected_to_grow_by_a_tenth() -> None:
    def answering(name: str, per_round: int, requests: float | None) -> PoolView:
        spans = (None,) if requests else ()
        return pool(name, per_round, coverage=1.0, requests_per_round=requests, measured_spans=spans)

    hosts = [host("web-1"), host("web-2")]
    for requests, blind in ((500.0, ()), (50.0, ("web-1",)), (5000.0, ())):
        (told,) = compare(hosts, [answering("web-1", 0, requests), answering("web-2", 300 << 10, 500.0)])
        assert told.blind == blind
    (told,) = compare(hosts, [answering("web-1", 0, None), answering("web-2", 3 * MIB, 500.0)])
    assert (told.differ, told.blind) == ((), ("web-1",))
    assert told.text.endswith("(web-2 by 3.0 MiB a round); web-1 answered no requests.")
    (told,) = compare(hosts, [answering("web-1", 0, None), answering("web-2", 3 * MIB, None)])
    assert told.differ == ("web-2",), "jobs, say, that no request is"


def test_exact_counters_rule_out_what_pages_do_not_show() -> None:
    """A simulated run with its allocators: free memory hides growth of pages, and live bytes are exact."""
    (known,) = pools_of(correlate(simulate(App(allocators=True, noise_bytes=0))))
    (unknown,) = pools_of(correlate(simulate(App(noise_bytes=0))))
    assert known.memory is not None
    assert unknown.memory is not None
    better, worse = least_seen(known, known.memory), least_seen(unknown, unknown.memory)
    assert better is not None
    assert worse is not None
    assert better < 0.5 * worse
