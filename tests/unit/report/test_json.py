"""The JSON report is what its schema says, whatever the run looked like."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files

import jsonschema
import pytest
from reports import HOSTILE, START, empty_report, hostile_report, leak_report, single_sample_report

from harness.model.report import PartGrowthRow, PoolLedgerRow, Report, SharingRow
from harness.report.exporters.json_ import export


def schema() -> dict[str, object]:
    loaded: dict[str, object] = json.loads(files("harness.report").joinpath("report.schema.json").read_text())
    return loaded


@pytest.mark.parametrize("make", [leak_report, empty_report, single_sample_report, hostile_report])
def test_matches_its_schema(make: Callable[[], Report]) -> None:
    jsonschema.validate(json.loads(export(make())), schema(), jsonschema.Draft202012Validator)


def test_the_schema_is_a_schema_and_knows_a_wrong_report() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    wrong = json.loads(export(leak_report()))
    wrong["verdict"]["cause"] = "bad luck"
    with pytest.raises(jsonschema.ValidationError, match="bad luck"):
        jsonschema.validate(wrong, schema())


def test_same_report_same_bytes() -> None:
    assert export(leak_report()) == export(leak_report())


def test_times_are_seconds_from_the_start_and_sizes_bytes() -> None:
    data = json.loads(export(leak_report()))
    assert data["findings"][0]["range_s"] == [12.0, 52.0]
    assert data["endpoints"][1]["p99_ms"] == 21.0
    assert data["workers"][0]["started_s"] == 1.0
    assert data["run"]["started"].endswith("+02:00")
    assert START not in data["windows"][0].values()


def test_unknown_is_null_and_never_zero() -> None:
    data = json.loads(export(hostile_report()))
    assert data["endpoints"][0]["retained_bytes_per_request"] is None
    assert data["overhead"]["x"] is None
    assert data["ledger"][0]["live"] is None
    assert data["profiles"][0]["totals"] == {json.loads(json.dumps(HOSTILE.replace("\ud800", "?"))): None}


def test_files_for_other_programs_say_which() -> None:
    profiles = json.loads(export(leak_report()))["profiles"]
    assert [p["opens_with"] for p in profiles] == [None, None, None, "KCachegrind, callgrind_annotate", None]
    assert profiles[3]["path"] == "artifacts/xdebug-cart.callgrind"


def test_objects_and_what_holds_them() -> None:
    profile = json.loads(export(leak_report()))["profiles"][4]
    assert profile["top_objects"][2] == {"kind": "_io.BufferedReader", "values": [1, None]}
    assert profile["top_holders"][2]["path"][0] == {"label": "module shop.history", "via": "_ORDERS"}
    assert profile["top_holders"][2]["objects"] == 48


def test_pool_memory_is_the_sum_of_its_processes() -> None:
    data = json.loads(export(leak_report()))
    app = next(p for p in data["pools"] if p["name"] == "app")
    alive = [w for w in data["workers"] if w["pool"] == "app" and w["ended_s"] is None]
    assert app["memory_end"] == sum(w["pss_end"] for w in alive)
    assert app["measured"] is True
    assert next(p for p in data["pools"] if p["name"] == "proxy")["measured"] is False


def test_the_ledger_of_processes_and_pools() -> None:
    report = leak_report()
    row = replace(report.ledger[0], live=5, held_by={"glibc": 2}, explained_share=0.98765432, source="outside")
    pool = PoolLedgerRow("app", "rounds", 1, START, 4, 100, {"live": 20, "swap": None, "unexplained": 80})
    growth = PartGrowthRow("app", "live", True, 10, 20, 1.5, (1.0, 2.0), "linear")
    sharing = SharingRow(row.key, "app", 0, "agent", 7, [(2_000_000_000, 1, 8, 5), (4_000_000_000, 8, 1, 9)])
    data = json.loads(
        export(replace(report, ledger=[row], pool_ledger=[pool], part_growth=[growth], sharing=[sharing] * 60))
    )
    assert data["ledger"][0]["held_by"] == {"glibc": 2}
    assert data["ledger"][0]["explained_share"] == 0.987654
    assert (data["pool_ledger"][0]["t_s"], data["pool_ledger"][0]["live"], data["pool_ledger"][0]["pss"]) == (
        0,
        20,
        100,
    )
    assert data["part_growth"][0]["interval"] == [1.0, 2.0]
    assert data["sharing"][0]["points"][1] == {"age_s": 4.0, "private": 8, "shared": 1, "pss": 9}
    assert len(data["sharing"]) == 50
    part = data["pool_ledger"][0]
    data["pool_ledger"] = [{**dict.fromkeys(schema_of("pool_ledger")), **part}]
    jsonschema.validate(data, schema(), jsonschema.Draft202012Validator)


def schema_of(table: str) -> list[str]:
    """The required fields of a row."""
    found: list[str] = schema()["properties"][table]["items"]["required"]  # type: ignore[index]
    return found
