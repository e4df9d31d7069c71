"""First scenarios."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.scenario.load import EachRoundLoad, ObserveLoad
from harness.scenario.reader import parse_scenario, warnings_of
from harness.scenario.source import parse_source
from harness.scenario.starter import scalar, starter_text


def test_a_server_to_attach_to() -> None:
    text = starter_text(
        name="gunicorn",
        runtime="python",
        launch=None,
        attach=("port", 8000),
        url="http://127.0.0.1:8000",
        path="/shop/?a=1,2",
    )
    assert text == (
        "# yaml-language-server: $schema=scenario.schema.json\n"
        "name: gunicorn\n"
        "target:\n"
        "  runtime: python\n"
        "  attach: {port: 8000}\n"
        "  ready: http://127.0.0.1:8000/shop/?a=1,2\n"
        "requests:\n"
        '  - {name: shop, get: "/shop/?a=1,2"}\n'
        "load: {rounds: 8, requests_per_round: 1000, concurrency: 4}\n"
        "profile: none  # a profiler needs target.python.inject: true\n"
        "expect: [verdict is healthy]\n"
    )
    scenario = parse_scenario(text)
    assert warnings_of(scenario) == ()


def test_a_job_and_a_process_without_an_address() -> None:
    job = starter_text(
        name="php", runtime="php", launch=["php", "a b.php", "${X}"], attach=None, url=None, each_round=True
    )
    load = parse_scenario(job).load
    assert isinstance(load, EachRoundLoad)
    assert load.argv == ("php", "a b.php", "$${X}")
    pool = ("match", "php-fpm: pool www")
    watched = parse_scenario(starter_text(name="www", runtime="php", launch=None, attach=pool, url=None))
    assert isinstance(watched.load, ObserveLoad)
    assert watched.target is not None
    assert watched.target.attach is not None
    assert watched.target.attach.match == "php-fpm: pool www"


def test_a_container() -> None:
    text = starter_text(
        name="web", runtime="python", launch=None, attach=None, url="http://127.0.0.1:8000", container="shop-web-1"
    )
    scenario = parse_scenario(text)
    assert scenario.target is not None
    assert scenario.target.container is not None
    assert (scenario.target.container.name, scenario.target.ready) == ("shop-web-1", "http://127.0.0.1:8000/")
    assert "needs the agent in the container" in text
    watched = starter_text(name="web", runtime="any", launch=None, attach=None, url=None, container="shop-web-1")
    assert isinstance(parse_scenario(watched).load, ObserveLoad)


def test_other_hosts() -> None:
    text = starter_text(
        name="web",
        runtime="python",
        launch=None,
        attach=("port", 8000),
        url="http://web-1:8000",
        hosts=["ssh://a@web-1"],
    )
    scenario = parse_scenario(text)
    assert scenario.target is not None
    assert [host.host for host in scenario.target.elsewhere] == ["ssh://a@web-1"]
    assert scenario.target.url == "http://web-1:8000"
    assert "needs the agent there" in text
    assert warnings_of(scenario) == ()
    several = starter_text(
        name="web",
        runtime="any",
        launch=None,
        attach=None,
        url=None,
        container="shop",
        hosts=["ssh://web-1", "ssh://web-2"],
    )
    target = parse_scenario(several).target
    assert target is not None
    assert [(host.label, host.role, host.in_containers[0].name) for host in target.elsewhere] == [
        ("web-1", "web", "shop"),
        ("web-2", "web", "shop"),
    ]


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"])), min_size=1).filter(lambda words: words[0]))
def test_any_printable_command_survives(argv: list[str]) -> None:
    text = starter_text(name="x", runtime="any", launch=argv, attach=None, url=None)
    assert len(text.splitlines()) <= 10
    scenario = parse_scenario(text)
    assert scenario.target is not None
    assert [word.replace("$${", "${") for word in scenario.target.launch[0].argv] == [
        word.replace("$${", "${") for word in argv
    ]


@settings(deadline=None)
@given(value=st.text(st.characters(exclude_categories=["Cs"])), flow=st.booleans())
def test_a_scalar_reads_back_or_is_refused(value: str, flow: bool) -> None:
    try:
        written = scalar(value, flow=flow)
    except UsageError:
        assert not value.isprintable() or ord(max(value)) > 126
        return
    text = f"{{k: {written}}}" if flow else f"k: {written}"
    assert parse_source(text, "-").data == {"k": value}  # type: ignore[arg-type]  # the path is only for messages


def test_control_characters_are_refused() -> None:
    with pytest.raises(UsageError, match="control characters"):
        starter_text(name="x", runtime="any", launch=["a\x1b[31m"], attach=None, url=None)
