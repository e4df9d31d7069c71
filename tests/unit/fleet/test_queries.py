"""The ready queries find what was built into a fleet and nothing else, and both engines say the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import duckdb
import jsonschema
import pytest
from fleets import CREEPING, LEAK_BYTES, LEAKING, LEAKS_SINCE, fleet

from harness.compare.thresholds import GROWTH
from harness.fleet.dataset import Dataset
from harness.fleet.engines import ENGINES
from harness.fleet.partitions import Choice
from harness.fleet.queries import QUERIES
from harness.fleet.query import Judged, shown, whole_statement
from harness.fleet.render import document, text
from harness.fleet.tables import fleet_run

HOSTS, NIGHTS = 3, 20
SCHEMA: dict[str, Any] = json.loads(files("harness.fleet").joinpath("fleet.schema.json").read_text())
OF_RUNS = [name for name, query in QUERIES.items() if "host" in query.partitions]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    made = Dataset(str(tmp_path_factory.mktemp("fleet")), create=True)
    for report in fleet(HOSTS, NIGHTS):
        made.add(fleet_run(report))
    return made


def ask(dataset: Dataset, name: str, choice: Choice = Choice(), engine: str = "duckdb") -> Judged:  # noqa: B008
    query = QUERIES[name]
    return query.judge(ENGINES[engine](query, choice, dataset.files(query.table, choice), None))


def test_drift_finds_what_grows_and_nothing_else(dataset: Dataset) -> None:
    found = ask(dataset, "drift")
    worse = [row for row in found.rows if row["answer"] == "worse"]
    assert {(row["scenario"], row["metric"]) for row in worse} == {
        (LEAKING, "retained_bytes_per_request"),
        (CREEPING, "floor_pss"),
        (CREEPING, "peak_pss"),
    }
    assert len(worse) == 3 * HOSTS
    assert list(found.rows[: len(worse)]) == worse
    assert not [row for row in found.rows if row["answer"] == "better"]
    crept = next(row for row in worse if row["metric"] == "floor_pss")
    assert crept["slope_per_run"] == pytest.approx(200 * 2**20 * 0.006, rel=0.3)
    assert crept["slope_per_day"] == pytest.approx(crept["slope_per_run"], rel=1e-6)  # one run a day


def test_versions_name_the_one_that_began_it(dataset: Dataset) -> None:
    rows = ask(dataset, "versions").rows
    leak = next(row for row in rows if row["scenario"] == LEAKING)
    assert (leak["before"], leak["since"], leak["hosts"], leak["of_hosts"]) == ("1.4", LEAKS_SINCE, HOSTS, HOSTS)
    assert leak["step"] == pytest.approx(LEAK_BYTES, rel=0.05)
    assert leak["run"] == f"{NIGHTS // 2:04}-{LEAKING}"
    others = [row for row in rows if row["scenario"] == CREEPING]
    assert others
    assert all("no step" in str(row["since"]) or " or " in str(row["since"]) for row in others)


def test_endpoints_worst_first(dataset: Dataset) -> None:
    rows = ask(dataset, "endpoints").rows
    assert (rows[0]["scenario"], rows[0]["endpoint"]) == (LEAKING, "basket")
    assert rows[0]["kept"] == pytest.approx(3 * LEAK_BYTES, rel=0.05)
    assert rows[0]["certain"] == rows[0]["runs"] == HOSTS * NIGHTS // 2
    assert all(abs(float(str(row["kept"]))) < 100 for row in rows[1:])


def test_verdicts_are_counted(dataset: Dataset) -> None:
    rows = ask(dataset, "verdicts").rows
    assert sum(int(str(row["runs"])) for row in rows) == HOSTS * NIGHTS * 4
    sick = [row for row in rows if row["cause"] == "leak.objects"]
    assert {(row["scenario"], row["version"]) for row in sick} == {(LEAKING, f"1.{n}") for n in range(5, 10)}
    assert all(row["share"] == 1 and row["hosts"] == HOSTS for row in sick)


def test_costs(dataset: Dataset) -> None:
    rows = {(row["scenario"], row["name"]): row for row in ask(dataset, "costs").rows}
    sampler = rows["shop", "sampler_cpu_percent"]
    assert 0.4 <= float(str(sampler["middle"])) <= float(str(sampler["p95"])) <= float(str(sampler["most"])) <= 0.5
    assert rows["shop", "agent_us_per_request"]["middle"] == 12


@pytest.mark.parametrize("name", OF_RUNS)
def test_both_engines_say_the_same(dataset: Dataset, name: str) -> None:
    assert document(QUERIES[name], ask(dataset, name), 1000) == document(
        QUERIES[name], ask(dataset, name, engine="dask"), 1000
    )


@pytest.mark.parametrize("name", OF_RUNS)
def test_the_printed_sql_is_what_is_asked(dataset: Dataset, name: str) -> None:
    choice = Choice(host="web-1", scenario=LEAKING, since=None)
    glob = dataset.storage.url(f"{QUERIES[name].table}/**/*.parquet")
    printed = shown(whole_statement(QUERIES[name], choice, [glob]))
    rows = duckdb.connect().execute(printed).fetchall()
    files = dataset.files(QUERIES[name].table, choice)
    assert rows == [tuple(row.values()) for row in ENGINES["duckdb"](QUERIES[name], choice, files, None)]
    assert rows


@pytest.mark.parametrize("value", ["x'; drop table t; --", "$scenario", "a$host'b", "''"])
def test_values_are_literals(dataset: Dataset, value: str) -> None:
    choice = Choice(host=value, scenario=value)
    printed = shown(whole_statement(QUERIES["verdicts"], choice, [dataset.storage.url("runs/**/*.parquet")]))
    assert duckdb.connect().execute(printed).fetchall() == []
    assert ENGINES["duckdb"](QUERIES["verdicts"], choice, dataset.files("runs", Choice()), None) == []


def test_a_choice_narrows_by_path_and_by_sql_alike(dataset: Dataset) -> None:
    choice = Choice(host="web-2", version="1.3")
    few = dataset.files("runs", choice)
    everything = dataset.files("runs", Choice())
    assert 0 < len(few) < len(everything)
    query = QUERIES["verdicts"]
    assert ENGINES["duckdb"](query, choice, few, None) == ENGINES["duckdb"](query, choice, everything, None)


def test_all_measures_of_growth_are_asked_for() -> None:
    for name in ("drift", "versions"):
        assert all(f"'{metric}'" in QUERIES[name].mapped for metric in GROWTH)


@pytest.mark.parametrize("name", OF_RUNS)
def test_a_table_shows_and_json_tells(dataset: Dataset, name: str) -> None:
    found = ask(dataset, name)
    shown_text = text(QUERIES[name], found, 3)
    assert len(shown_text.splitlines()) == 1 + 3 + (len(found.rows) > 3) + len(found.notes)
    told: Mapping[str, object] = json.loads(document(QUERIES[name], found, 3))
    assert told["format"] == "harness-fleet-answer/1"
    assert told["more_rows"] == len(found.rows) - 3
    jsonschema.validate(json.loads(document(QUERIES[name], found, 1_000)), SCHEMA)


def test_the_schema_knows_every_query_and_its_columns() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["query"]["enum"] == list(QUERIES)
    for name, query in QUERIES.items():
        columns = [column.name for column in query.columns]
        assert SCHEMA["$defs"][name]["required"] == columns
        assert list(SCHEMA["$defs"][name]["properties"]) == columns
        empty = json.loads(document(query, Judged(()), 5))
        jsonschema.validate(empty, SCHEMA)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**empty, "rows": [{columns[0]: "x"}]}, SCHEMA)


def test_nothing_is_no_rows(dataset: Dataset) -> None:
    for name in QUERIES:
        assert ask(dataset, name, Choice(host="nobody")) == Judged(())
        assert text(QUERIES[name], Judged(()), 5) == "no rows\n"
