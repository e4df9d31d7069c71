"""``harness schema``: the JSON Schemas of what people and scripts write and read."""

from __future__ import annotations

import click


@click.command(name="schema", short_help="Print the JSON Schema of scenario files or of JSON output.")
@click.argument("what", type=click.Choice(["scenario", "report", "compare", "fleet"]), default="scenario")
def command(what: str) -> None:
    """Print a JSON Schema (draft 2020-12): of scenario files, for completion and checks in editors, or of what
    `harness report --format json`, `harness compare --format json` and `harness fleet --json` write.

    \b
    Examples:
      harness schema > scenario.schema.json      and in the first line of a scenario beside it:
      # yaml-language-server: $schema=scenario.schema.json
      harness schema report > report.schema.json
    """
    click.echo({"scenario": _scenario, "report": _report, "compare": _compare, "fleet": _fleet}[what](), nl=False)


def _scenario() -> str:
    from harness.scenario.published import json_schema_text

    return json_schema_text()


def _report() -> str:
    from importlib.resources import files

    return files("harness.report").joinpath("report.schema.json").read_text(encoding="utf-8")


def _compare() -> str:
    from harness.compare.json_ import schema_text

    return schema_text()


def _fleet() -> str:
    from importlib.resources import files

    return files("harness.fleet").joinpath("fleet.schema.json").read_text(encoding="utf-8")
