"""``harness schema``: the JSON Schema of what people and scripts write and read."""

from __future__ import annotations

import click


@click.command(name="schema", short_help="Print the JSON Schema of scenario files.")
def command() -> None:
    """Print the JSON Schema (draft 2020-12) of scenario files, for completion and checks in editors.

    \b
    Examples:
      harness schema > scenario.schema.json      and in the first line of a scenario beside it:
      # yaml-language-server: $schema=scenario.schema.json
    """
    from harness.scenario.published import json_schema_text

    click.echo(json_schema_text(), nl=False)
