"""``harness fleet``: ready queries over a dataset of many runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING

import click

from harness.errors import UsageError, one_line

if TYPE_CHECKING:
    from harness.fleet.dataset import Dataset
    from harness.fleet.partitions import Choice

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command(name="fleet", short_help="Ask many runs: drift, versions, endpoints, verdicts, costs.")
@click.argument("dataset", required=False)
@click.argument("query", metavar="QUERY", required=False)
@click.option("--host", metavar="NAME", help="Only runs recorded on this host.")
@click.option("--scenario", metavar="NAME", help="Only runs of this scenario.")
@click.option("--version", metavar="TEXT", help="Only runs of this version of the application.")
@click.option("--since", type=_DAY, metavar="DAY", help="Only runs of this day (UTC, such as 2026-11-01) and later.")
@click.option("--until", type=_DAY, metavar="DAY", help="Only runs of this day and earlier.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=30, show_default=True, help="How many rows.")
@click.option("--engine", default="duckdb", show_default=True, help="duckdb, in this process; or dask.")
@click.option("--scheduler", metavar="URL", help="Dask scheduler, such as tcp://10.0.0.1:8786; with --engine dask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--sql", "as_sql", is_flag=True, help="Print the SQL of the query instead, for DuckDB.")
@click.option("--list", "show_list", is_flag=True, help="Say which queries there are.")
def command(
    dataset: str | None,
    query: str | None,
    host: str | None,
    scenario: str | None,
    version: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    engine: str,
    scheduler: str | None,
    as_json: bool,
    as_sql: bool,
    show_list: bool,
) -> None:
    """Ask the many runs in DATASET, a directory or URL that `harness export RUN... --parquet DATASET` wrote.

    \b
    QUERY is one of:
      drift      what grows slowly from run to run, for each scenario and host
      versions   the version of the application that a change began with
      endpoints  what a request to each endpoint keeps
      verdicts   how often runs ended in which verdict
      costs      what measuring cost
      functions  what functions cost in all profiles that `harness profile bulk` read

    \b
    Examples:
      harness export runs/* --parquet /srv/fleet
      harness fleet /srv/fleet drift
      harness fleet s3://bucket/fleet versions --scenario shop --since 2026-11-01 --json
      harness fleet /srv/fleet endpoints --sql | duckdb
      harness fleet /srv/fleet drift --engine dask --scheduler tcp://10.0.0.1:8786
    """
    from harness.fleet.dataset import Dataset
    from harness.fleet.engines import ENGINES
    from harness.fleet.partitions import Choice
    from harness.fleet.queries import QUERIES
    from harness.fleet.query import shown, whole_statement
    from harness.fleet.render import document, text

    if show_list:
        width = max(map(len, QUERIES))
        click.echo("\n".join(f"{name:<{width}}  {each.title}" for name, each in QUERIES.items()))
        return
    if dataset is None or query is None:
        raise UsageError(
            "a DATASET and a QUERY are needed", hint=f"harness fleet DATASET QUERY; queries: {', '.join(QUERIES)}"
        )
    if dataset in QUERIES and query not in QUERIES:
        raise UsageError(f"no query {query!r}", hint=f"the dataset comes first: harness fleet {query} {dataset}")
    asked = QUERIES[_one_of(QUERIES, query, "query")]
    answer = ENGINES[_one_of(ENGINES, engine, "engine")]
    choice = Choice(host, scenario, version, _day(since), _day(until))
    opened = Dataset(dataset)
    statement = whole_statement(asked, choice, [opened.storage.pattern(f"{asked.table}/**/*.parquet")])
    if as_sql:
        click.echo(shown(statement))
        return
    files = opened.files(asked.table, choice)
    if not files:
        click.echo(_nothing(opened, asked.table, choice), err=True)
    rows = answer(asked, choice, files, scheduler)
    try:
        answered = (document if as_json else text)(asked, asked.judge(rows), limit)
    except (
        TypeError,
        ValueError,
        AttributeError,
        KeyError,
        ArithmeticError,
    ) as error:  # anybody may have written its files
        why = f"{type(error).__name__}: {one_line(error)}"
        raise UsageError(
            f"the dataset holds rows that are none of ours ({why})", hint="was it made by harness?"
        ) from error
    click.echo(answered, nl=False)


def _nothing(opened: Dataset, table: str, choice: Choice) -> str:
    """Why a query reads no file."""
    from harness.fleet.partitions import PROFILE_TABLES, RUNS, Choice

    if table in PROFILE_TABLES:
        return "the dataset has no profiles: harness profile bulk DIR -o DATASET adds them"
    there = len(opened.files(RUNS, Choice()))
    if not there:
        return "the dataset has no runs yet: harness export RUN... --parquet DATASET adds them"
    chosen = len(opened.files(RUNS, choice))
    return f"chosen are {chosen} of its {there} runs, and none of them has rows for this query"


def _one_of(names: Mapping[str, object], name: str, what: str) -> str:
    from harness.scenario.hints import did_you_mean

    if name not in names:
        raise UsageError(f"no {what} {name!r}{did_you_mean(name, names)}", hint=f"there are: {', '.join(names)}")
    return name


def _day(given: datetime | None) -> date | None:
    return None if given is None else given.date()
