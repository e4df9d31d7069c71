"""What of a scenario is looked for in a run that is shared."""

from __future__ import annotations

from harness.bundle.scenario import containers_in
from harness.scenario.reader import parse_scenario


def test_names_of_containers_here_on_other_hosts_and_of_xdebug() -> None:
    scenario = parse_scenario(
        "name: shop\n"
        "target:\n"
        "  runtime: php\n"
        "  url: https://staging.example\n"
        "  containers: [one]\n"
        "  hosts:\n"
        "    - {host: 'ssh://web-1', container: two}\n"
        "    - {host: 'ssh://web-2', containers: [three, {name: four, role: db}]}\n"
        "    - {host: local, attach: {match: shop-cron}}\n"
        "  php: {xdebug: {secret: 0123456789abcdef, output_dir: /x, host: 'ssh://web-1', container: five}}\n"
        "requests: [{name: home, get: /}]\n"
        "load: {rounds: 8}\n"
    )
    assert containers_in(scenario.to_data()) == ["one", "two", "three", "four", "five"]
    alone = parse_scenario("name: shop\ntarget: {container: one}\nload: {observe: 1m}\n")
    assert containers_in(alone.to_data()) == ["one"]
    there = parse_scenario("name: shop\ntarget: {host: 'ssh://web-1', container: two}\nload: {observe: 1m}\n")
    assert containers_in(there.to_data()) == ["two"]
