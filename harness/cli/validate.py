"""``harness validate``: every mistake of scenario files at once, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import ScenarioError, UsageError

if TYPE_CHECKING:
    from harness.scenario.schema import Scenario
    from harness.scenario.target import ContainerSpec, HostSpec

_MOST_NAMED = 6


@click.command(name="validate", short_help="Check scenario files; every mistake at once, as file:line.")
@click.argument("scenarios", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="SCENARIO...")
def command(scenarios: tuple[Path, ...]) -> None:
    """Check SCENARIO files without running anything: keys, values, captures, expectations, and whether the environment
    variables, adapters and profilers they name are there.

    \b
    Examples:
      harness validate shop.yaml
      harness validate scenarios/*.yaml
    """
    from harness.cli.reading import read_for_run
    from harness.scenario.reader import warnings_of

    problems: list[str] = []
    for path in scenarios:
        try:
            scenario = read_for_run(path)
        except ScenarioError as error:
            problems += error.problems
            continue
        mixed_up = _mixed_up(scenario)
        if mixed_up:
            problems.append(f"{path}: {mixed_up}")
            continue
        for warning in warnings_of(scenario):
            click.echo(f"{warning} (warning)", err=True)
        click.echo(f"{path}: OK: {summary(scenario)}")
    if problems:
        raise ScenarioError(tuple(problems))


def _mixed_up(scenario: Scenario) -> str:
    """Why a run could not tell the places of the target from each other; empty where it could."""
    from harness.session.options import check_names, check_options
    from harness.session.target import JOB

    try:
        check_names(scenario.target, JOB)
        check_options(scenario.target)
    except UsageError as error:
        return f"{error.message}: {error.hint}"
    return ""


def summary(scenario: Scenario) -> str:
    """A scenario in one line."""
    count = len(scenario.requests)
    parts = [_target(scenario), f"{count} request{'' if count == 1 else 's'}" if count else "", _load(scenario)]
    if scenario.expect:
        parts.append(f"{len(scenario.expect)} expectation{'' if len(scenario.expect) == 1 else 's'}")
    return ", ".join(part for part in parts if part)


def _target(scenario: Scenario) -> str:
    target = scenario.target
    if target is None:
        return scenario.runtime
    places = [_marked(_host(host), measured=host.measured) for host in target.elsewhere]
    here = [*_containers(target.in_containers), *(_marked(host.label, measured=host.measured) for host in target.here)]
    if places and here:
        places.append(f"this machine ({_named(here)})")
    places = places or here
    ways = [way for way in target.ways_in if way in ("launch", "attach", "php.serve")]
    how = " and ".join(ways)
    if places:
        how = f"{how} on {_named(places)}" if how and target.elsewhere else _named(places)
    return f"{scenario.runtime}, {how}" if how else scenario.runtime


def _host(host: HostSpec) -> str:
    return f"{host.label} ({_named(_containers(host.in_containers))})" if host.in_containers else host.label


def _containers(specs: Sequence[ContainerSpec]) -> list[str]:
    return [_marked(f"container {spec.name}", measured=spec.measured) for spec in specs]


def _marked(name: str, *, measured: bool) -> str:
    return name if measured else f"{name} only watched"


def _named(places: Sequence[str]) -> str:
    """The first few."""
    shown = places[:_MOST_NAMED]
    more = len(places) - len(shown)
    return f"{', '.join(shown)}{f' and {more} more' if more else ''}"


def _load(scenario: Scenario) -> str:
    from harness.scenario.load import CommandLoad, EachRoundLoad, LocustfileLoad, ObserveLoad, RoundsLoad
    from harness.units import format_duration

    load = scenario.load
    if isinstance(load, RoundsLoad):
        return f"{load.rounds} rounds of {load.requests_per_round} at concurrency {load.concurrency}"
    if isinstance(load, EachRoundLoad):
        return f"{load.rounds} rounds of {load.argv[0]}"
    if isinstance(load, CommandLoad):
        how = f"{load.rounds} rounds of" if load.duration_ns is None else f"{format_duration(load.duration_ns)} of"
        return f"{how} {load.argv[0]}"
    if isinstance(load, LocustfileLoad):
        return f"{load.locustfile} with {load.users} users for {format_duration(load.duration_ns)}"
    if isinstance(load, ObserveLoad):
        return f"observed for {format_duration(load.observe_ns)}"
    return f"{len(load.stages)} stages in {format_duration(sum(stage.duration_ns for stage in load.stages))}"
