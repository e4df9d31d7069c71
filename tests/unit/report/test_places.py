"""Hosts, containers and siblings in every report; their names are hostile text."""

from __future__ import annotations

import dataclasses
import json
from html.parser import HTMLParser
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from reports import HOSTILE, SECOND, START, empty_report, leak_report

from harness.model.event import CONTAINER_EXIT, CONTAINER_LIMIT, CONTAINER_OOM, CONTAINER_START, Event, Scalar
from harness.model.finding import Evidence, Side
from harness.model.host import HOST, HOST_DOWN, HOST_UP, LOCAL, HostClock, RunHost, Sibling, Siblings
from harness.model.process import host_key
from harness.model.report import Report
from harness.model.run import Series
from harness.report import words
from harness.report.exporters import github, html, json_, markdown
from harness.report.host_words import places_brief
from harness.report.places import beside, container_rows, drift_words, host_rows
from harness.report.terminal import render, render_brief

MS, KIB, MIB, GIB = 1_000_000, 1 << 10, 1 << 20, 1 << 30
FACTS = {"kernel": "6.1.0-31-amd64", "machine": "x86_64", "cpus": 4, "memory_bytes": 16 * GIB}


def clock(name: str, version: str = "", *, role: str = "web", measured: bool = True, first: bool = False) -> HostClock:
    read = tuple(START + n * 10 * SECOND for n in range(7))
    host = RunHost(name, f"ssh://deploy@{name}", role, measured, first, 0, version, FACTS)
    return HostClock(host, 7, 300_000, 1.24, read, (300_000,) * 7, 1e-5)


HOSTS = (
    clock("web-1", "2.0", first=True), clock("web-2", "2.1"), clock("web-3", "2.0"),
    clock("db-1", role="db", measured=False),
)  # fmt: skip


def line(kind: str, at_s: float, host: str = "web-2") -> Event:
    return Event(START + round(at_s * SECOND), kind, None, "the line", {HOST: host})


def container(kind: str, at_s: int, pool: str = "web", **told: Scalar) -> Event:
    about = {"container": f"shop-{pool}-1", "pool": pool, **told}
    return Event(START + at_s * SECOND, kind, None, "the container did something", about)


LIVES = (
    container(
        CONTAINER_START, 0, generation=1, role="web", measured=True, container_image="shop:2.1", memory_bytes=128 * MIB
    ),
    container(
        CONTAINER_START, 0, "db", generation=1, role="db", measured=False, container_image="redis:7", memory_bytes=None
    ),
    container(CONTAINER_OOM, 20, kills=2, told_by="group"),
    container(CONTAINER_EXIT, 21, code=137, signal=9, oom=True),
    container(
        CONTAINER_START, 22, generation=2, role="web", measured=True, container_image="shop:2.1", memory_bytes=128 * MIB
    ),
    container(CONTAINER_LIMIT, 30, memory_bytes=256 * MIB),
)


def compared(*siblings: Sibling, differ: tuple[str, ...] = (), blind: tuple[str, ...] = ()) -> Siblings:
    return Siblings("web", siblings, differ, "Of the hosts of role web, only web-2 grows.", blind)


GROWS = Sibling("web-2", "2.1", True, 4400 * KIB, (4000 * KIB, 4800 * KIB), 200.0)
STILL = (
    Sibling("web-1", "2.0", False, 10 * KIB, (-100 * KIB, 180 * KIB), 200.0, least_seen=440 * KIB),
    Sibling("web-3", "2.0", False, 0.0, (-50 * KIB, 90 * KIB), 200.0, least_seen=300 * KIB),
)
ONE_LEAKS = compared(STILL[0], GROWS, STILL[1], differ=("web-2",))


def report(siblings: Siblings = ONE_LEAKS, pool: str = "web-2", **timeline: object) -> Report:
    base = leak_report(requests_per_round=8)
    first = base.findings[0]
    subject = dataclasses.replace(first.subject, pool=pool)
    told = Evidence("siblings", 3.0, "hosts", siblings.text, Side.CONTEXT)
    finding = dataclasses.replace(first, subject=subject, evidence=(*first.evidence, told))
    changed = dataclasses.replace(base.timeline, **{"hosts": HOSTS, **timeline})  # type: ignore[arg-type]  # as named
    return dataclasses.replace(base, findings=(finding, *base.findings[1:]), siblings=(siblings,), timeline=changed)


def test_a_host_is_told_with_its_clock_and_its_line() -> None:
    missed = Series("sampler.missed", host_key("web-2"), np.array([START, START + SECOND]), np.array([0, 7]))
    events = (line(HOST_DOWN, 10), line(HOST_UP, 12.5), line(HOST_DOWN, 60))
    rows = host_rows(report(events=events, series={(missed.metric, missed.process): missed}).timeline)
    web_1, web_2, _, db = rows
    assert (web_1.name, web_1.role, web_1.version, web_1.measured, web_1.first) == ("web-1", "web", "2.0", True, True)
    assert web_1.system == "6.1.0-31-amd64, x86_64, 4 CPUs, 16.0 GiB"
    assert (web_1.down_ns, web_1.downs, web_1.missed) == (0, 0, None)
    assert (web_2.down_ns, web_2.downs, web_2.missed) == (4_500 * MS, 2, 7), "the run ends at 62 s"
    assert (db.measured, db.version) == (False, "")
    assert web_1.within_ns == 300_000 + 5 * SECOND // 100_000, "half way between two readings"


def test_a_drift_is_told_as_far_as_it_is_known() -> None:
    sure = dataclasses.replace(HOSTS[0], drift_error=4e-7)
    unread = HostClock(HOSTS[0].host, 0, None, None)
    rows = host_rows(report(hosts=(sure, HOSTS[1], unread)).timeline)
    assert [drift_words(row) for row in rows] == ["+1.24 ± 0.4 ppm", "within ± 11.24 ppm", ""]
    assert [row.within_ns for row in rows[1:]] == [350_000, None]


def test_a_container_is_told_with_its_lives() -> None:
    charged = Series("cgroup.web.memory.current", None, np.array([START, START + SECOND]), np.array([5 * MIB, 3 * MIB]))
    web, db = container_rows(report(events=LIVES, series={(charged.metric, None): charged}).timeline)
    assert (web.peak, db.peak) == (5 * MIB, None)
    assert (web.name, web.role, web.image, web.measured) == ("shop-web-1", "web", "shop:2.1", True)
    assert (web.generations, web.kills, web.limit) == (2, 2, 256 * MIB)
    assert web.ended == "exit code 137, for lack of memory"
    assert (db.measured, db.generations, db.kills, db.limit, db.ended) == (False, 1, 0, None, "")


@pytest.mark.parametrize(
    ("siblings", "said"),
    [
        (
            ONE_LEAKS,
            "grows on web-2 (22.0 KiB a request); not on web-1, web-3 (less than 2.2 KiB a request); "
            "version 2.1 grows, 2.0 does not",
        ),
        (
            compared(GROWS, dataclasses.replace(STILL[0], least_seen=None), differ=("web-2",)),
            "grows on web-2 (22.0 KiB a request); not on web-1; version 2.1 grows, 2.0 does not",
        ),
        (
            compared(dataclasses.replace(GROWS, requests_per_round=None), *STILL, differ=("web-2",)),
            "grows on web-2 (4.3 MiB a round); not on web-1, web-3 (less than 440.0 KiB a round); "
            "version 2.1 grows, 2.0 does not",
        ),
        (
            compared(GROWS, dataclasses.replace(STILL[0], least_seen=5000 * KIB), Sibling("web-4", "", None, None, None)),
            "grows on web-2 (22.0 KiB a request); not on web-1 (less than 25.0 KiB a request); cannot be told of web-4; "
            "whether they differ is not sure",
        ),
        (
            compared(
                GROWS, dataclasses.replace(STILL[0], grows=None, least_seen=5000 * KIB), STILL[1],
                Sibling("web-4", "2.0", None, 0.0, (0.0, 0.0), 0.0, least_seen=300 * KIB),
                differ=("web-2",), blind=("web-1", "web-4"),
            ),
            "grows on web-2 (22.0 KiB a request); not on web-3 (less than 1.5 KiB a request); would not have shown on web-1 "
            "(only from 25.0 KiB a request); web-4 answered no requests; version 2.1 grows, 2.0 does not",
        ),
        (
            compared(dataclasses.replace(GROWS, version="shop:2", image="shop:2"), *STILL, differ=("web-2",)),
            "grows on web-2 (22.0 KiB a request); not on web-1, web-3 (less than 2.2 KiB a request)",
        ),
        (
            compared(
                dataclasses.replace(GROWS, image="shop:2"), dataclasses.replace(STILL[0], version="shop:1", image="shop:1"),
                differ=("web-2",),
            ),
            "grows on web-2 (22.0 KiB a request); not on web-1 (less than 2.2 KiB a request); "
            "image shop:2 grows, shop:1 does not",
        ),
        (
            compared(GROWS, dataclasses.replace(GROWS, host="web-1")),
            "grows on web-2 (22.0 KiB a request), web-1 (22.0 KiB a request)",
        ),
    ],
)  # fmt: skip
def test_siblings_are_told_beside_the_finding(siblings: Siblings, said: str) -> None:
    of = report(siblings)
    assert beside(of, of.findings[0]) == said
    for finding in of.findings[1:]:
        assert beside(of, finding) == "", "nothing about growth, or of another pool"
    shown = [
        markdown.export(of).decode(),
        github.export(of).decode(),
        html.export(of).decode(),
        render(of, columns=400),
    ]
    assert all(said in text for text in shown)
    assert said.split("; ", maxsplit=1)[0] in render_brief(of, columns=400)


def test_every_report_names_hosts_and_containers() -> None:
    of = report(events=(*LIVES, line(HOST_DOWN, 10), line(HOST_UP, 12.5)))
    system = "6.1.0-31-amd64, x86_64, 4 CPUs, 16.0 GiB"
    host = f"web-2 (web, version 2.1) on {system}: clock ± 350.0 us, drift within ± 11.24 ppm; line down once, 2.5 s"
    killed = (
        "shop-web-1 (web), image shop:2.1: at most 256.0 MiB; started anew once; ended: exit code 137, for lack of memory; "
        "2 kills for lack of memory"
    )
    for text in (render(of, columns=300), markdown.export(of).decode().replace("\\", "")):
        assert host in text
        assert killed in text
        assert "db-1 (db, only watched)" in text
        assert "no order that is known" in text
    brief = render_brief(of, columns=400)
    (where,) = [each for each in brief.splitlines() if each.strip().startswith("where")]
    assert where.split(maxsplit=1)[1] == (
        "4 hosts and 2 containers; of web, only web-2 grows; clocks ± 350.0 us; the line to web-2 down once, 2.5 s; "
        "2 kills for lack of memory; 1 restart"
    )
    assert len(render_brief(of).splitlines()) <= 20
    page = html.export(of).decode()
    for words_ in (
        "Hosts and containers",
        "t-siblings",
        "t-hosts",
        "t-containers",
        "± 350.0 us",
        "within ± 11.24 ppm",
        "only watched",
    ):
        assert words_ in page
    document = json.loads(json_.export(of))
    jsonschema.validate(document, json.loads(files("harness.report").joinpath("report.schema.json").read_text()))
    assert [(h["name"], h["line_down_s"], h["line_downs"]) for h in document["hosts"]][1] == ("web-2", 2.5, 1)
    assert [(c["name"], c["generations"], c["kills"], c["limit"]) for c in document["containers"]] == [
        ("shop-web-1", 2, 2, 256 * MIB),
        ("shop-db-1", 1, 0, None),
    ]
    assert document["siblings"][0]["hosts"][1]["requests_per_round"] == 200.0


def test_that_no_host_grows_is_told_of_all_that_were_judged() -> None:
    assert "; none of web grows; clocks" in str(places_brief(report(compared(*STILL))))
    unknown = Sibling("web-4", "", None, None, None)
    assert "none of web" not in str(places_brief(report(compared(*STILL, unknown))))


def test_only_is_said_where_all_others_were_judged() -> None:
    unknown = Sibling("web-4", "", None, None, None)
    assert "; of web, web-2 grows, web-1, web-3 do not; clocks" in str(
        places_brief(report(compared(GROWS, *STILL, unknown, differ=("web-2",))))
    )


def test_the_table_of_siblings_says_what_would_not_have_shown() -> None:
    hidden = dataclasses.replace(STILL[0], grows=None, image="shop:1")
    page = html.export(report(compared(GROWS, hidden, blind=("web-1",)))).decode()
    table = page.partition('id="t-siblings"')[2].partition("</table>")[0]
    assert "? would not have shown" in table
    assert "440.0 KiB" in table
    assert "shop:1" in table
    document = json.loads(json_.export(report(compared(GROWS, hidden, blind=("web-1",)))))
    jsonschema.validate(document, json.loads(files("harness.report").joinpath("report.schema.json").read_text()))
    assert document["siblings"][0]["blind"] == ["web-1"]
    assert [host["least_seen"] for host in document["siblings"][0]["hosts"]] == [None, 440 * KIB]


def test_a_run_on_this_machine_alone_says_nothing_of_it() -> None:
    for of in (leak_report(requests_per_round=8), empty_report()):
        assert 'id="hosts"' not in html.export(of).decode()
        assert "where" not in render_brief(of)
        assert "hosts" not in markdown.export(of).decode().lower()
        assert json.loads(json_.export(of))["containers"] == []


def test_this_machine_among_others_needs_no_clock_and_no_line() -> None:
    here = HostClock(RunHost("here", LOCAL, "web", True, True, 0, "2.0"), 0, 0, None)
    of = report(hosts=(here, HOSTS[1]))
    assert "here (web, version 2.0): the machine that recorded" in render(of, columns=300)
    assert "recorded here" in html.export(of).decode()
    assert json.loads(json_.export(of))["hosts"][0]["clock_error_s"] == 0.0


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            {"attach": {"port": 80}, "hosts": [{"host": "ssh://root@web-1"}, {"host": "ssh://b", "name": "B"}]},
            "attached to port 80 on web-1, B",
        ),
        (
            {
                "attach": {"port": 80},
                "hosts": [{"host": "ssh://web-1"}],
                "containers": [{"name": "db"}, {"name": "mq"}],
            },
            "attached to port 80 on web-1, and in the containers db, mq",
        ),
        ({"launch": [{"run": "gunicorn"}], "host": "ssh://deploy@web-1:22"}, "gunicorn on web-1:22"),
        ({"attach": {"port": 80}, "hosts": []}, "attached to port 80"),
        (
            {"container": {"name": "shop"}, "host": {"host": "ssh://web-1"}, "hosts": []},
            "in the container shop on web-1",
        ),
        ({"containers": [{"name": "shop"}], "hosts": [{"host": "ssh://web-1"}]}, "in the container shop, and on web-1"),
        ({"launch": [], "hosts": [{"host": "ssh://web-1"}, 5, None, {}]}, "watched on web-1, 5"),
        ({"launch": [], "containers": 5, "hosts": "x"}, None),
    ],
)
def test_what_was_measured_is_told_with_where(target: dict[str, object], said: str | None) -> None:
    assert words.command({"target": target}) == said


def test_the_page_names_containers_of_this_machine_that_are_watched_beside_hosts() -> None:
    there = dataclasses.replace(LIVES[0], attributes={**LIVES[0].attributes, HOST: "web-2", "container": "elsewhere"})
    page = html.export(report(hosts=HOSTS[:2], events=(there, LIVES[1]))).decode()
    assert "<dt>Watched</dt><dd>web-1, web-2, shop-db-1</dd>" in page


def test_names_are_hostile() -> None:
    name = HOSTILE.replace("\ud800", "")
    facts = {"kernel": name, "machine": name}
    host = RunHost(name, name, name, True, True, 0, name, facts)
    lives = [container(CONTAINER_START, 0, name, role=name, container_image=name, generation="x", memory_bytes="y")]
    lives += [
        container(CONTAINER_OOM, 1, name, kills=True),
        Event(START, CONTAINER_EXIT, None, name, {"pool": name, "code": name}),
    ]
    siblings = Siblings(name, (Sibling(name, name, True, 1.0, (0.0, 2.0)), *STILL), (name,), name)
    of = report(siblings, name, hosts=(HostClock(host, 0, None, float("nan")),), events=tuple(lives))
    tags = _Tags()
    tags.feed(html.export(of).decode())
    assert not tags.found & {"img", "b-"}
    for text in (render(of), render_brief(of), markdown.export(of).decode()):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\x07" not in text
    assert "<img" not in markdown.export(of).decode().replace("\\<img", "")
    json.loads(json_.export(of))


def test_the_version_of_the_application() -> None:
    base = leak_report(requests_per_round=8)
    named = dataclasses.replace(base.timeline.manifest, scenario={"name": "shop", "version": "1.4.2-3-g3f98448"})
    of = dataclasses.replace(base, timeline=dataclasses.replace(base.timeline, manifest=named))
    assert render(of).splitlines()[0].endswith("scenario shop – version 1.4.2-3-g3f98448")
    assert "version 1.4.2-3-g3f98448" in markdown.export(of).decode()
    assert "<dt>Version</dt><dd>1.4.2-3-g3f98448</dd>" in html.export(of).decode()
    assert json.loads(json_.export(of))["run"]["version"] == "1.4.2-3-g3f98448"
    assert json.loads(json_.export(base))["run"]["version"] is None
    same = dataclasses.replace(
        base.timeline.manifest, hosts=tuple(each.host for each in (HOSTS[0], HOSTS[2], HOSTS[3]))
    )
    assert words.version(same) == "2.0"
    assert words.version(dataclasses.replace(same, hosts=tuple(each.host for each in HOSTS))) is None
    for measured, version in ((True, None), (False, "2.0")):  # containers of this machine have versions of their own
        target = {"containers": [{"name": "shop", "role": "web", "measured": measured}], "hosts": []}
        assert words.version(dataclasses.replace(same, scenario={"name": "shop", "target": target})) == version
