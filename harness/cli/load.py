"""``harness load``: what has to do with the traffic alone."""

from __future__ import annotations

from pathlib import Path

import click

from harness.errors import UsageError


@click.group(name="load", short_help="Traffic from other machines: write what they need.")
def command() -> None:
    """Traffic from other machines.

    \b
    Example:
      harness load export shop.yaml -o shop-load --url http://staging.internal:8000
    """


@command.command(name="export", short_help="Write what a Locust worker elsewhere needs.")
@click.argument("scenario", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="DIR", help="Where to."
)
@click.option("--url", metavar="URL", help="The target's address as those machines see it.")
def export(scenario: Path, output: Path, url: str | None) -> None:
    """Write the traffic of SCENARIO into DIR, to be copied to other machines and sent from there by Locust workers.

    They need Python 3.11 and Locust, nothing of this program. Values from the environment are not written: set the same variables
    there. The workers find the run by the address under `load.listen`.

    \b
    Examples:
      harness load export shop.yaml -o shop-load --url http://staging.internal:8000
      locust -f shop-load/locustfile.py --worker --master-host 10.0.0.5 --master-port 5557
    """
    import os

    from harness.load.swarm.export import HOOKS, LOCUSTFILE, write_hooks, write_plan
    from harness.scenario.load import EngineLoad, LocustfileLoad
    from harness.scenario.reader import read_scenario
    from harness.scenario.variables import references, resolve
    from harness.session.compiling import load_plan

    read = read_scenario(scenario)
    load = read.load
    target = read.target
    if not isinstance(load, EngineLoad | LocustfileLoad):
        raise UsageError(f"{scenario}: this load is not sent by Locust", hint="rounds, stages and a locustfile can be")
    if output.exists() and any(output.iterdir()):
        raise UsageError(f"{output} is not empty", hint="choose another directory")
    try:
        if isinstance(load, LocustfileLoad):
            write_hooks(output)
            files = f"{output / HOOKS},{load.locustfile}"
        else:
            base_url = url or (
                None if target is None or target.base_url is None else resolve(target.base_url, os.environ)
            )
            if base_url is None:
                raise UsageError(f"{scenario}: the target has no address", hint="give one with --url")
            names = references([request.model_dump(mode="json", by_alias=True) for request in read.requests])
            write_plan(output, load_plan(read, base_url, {**dict.fromkeys(names, ""), **os.environ}), base_url)
            files = str(output / LOCUSTFILE)
    except ValueError as error:
        raise UsageError(f"{scenario}: {error}") from error
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}", hint="choose another place") from error
    host, _, port = (load.listen or "").rpartition(":")
    click.echo(f"wrote {output}")
    where = f"--master-host {host or 'HOST'} --master-port {port or 'PORT'}"
    click.echo(f"next: copy it, and start there: locust -f {files} --worker {where}")
    if load.listen is None:
        click.echo("next: in the scenario: load: {engine: locust, remote_workers: N, listen: HOST:PORT, ...}")
