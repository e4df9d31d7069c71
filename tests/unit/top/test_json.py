"""``--json`` is what its schema says."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from looks import MIB, look, process

from harness.top.grouping import snapshot
from harness.top.json_ import as_object, line
from harness.top.ledger import REST, WORDS
from harness.top.model import By, Sort

SCHEMA: dict[str, Any] = json.loads(files("harness.top").joinpath("top.schema.json").read_text())
INFO = {"MemTotal": 64 * MIB, "MemFree": 32 * MIB, "Cached": 4 * MIB, "AnonPages": MIB, "Slab": MIB}


def valid(data: object) -> None:
    jsonschema.validate(data, SCHEMA, jsonschema.Draft202012Validator)


@given(
    st.lists(
        st.tuples(st.none() | st.integers(0, 2**62), st.none() | st.integers(0, 9), st.booleans(), st.text()),
        max_size=6,
    ),
    st.sampled_from(By),
    st.sampled_from(Sort),
    st.booleans(),
    st.booleans(),
)
def test_every_snapshot_is_valid(
    parts: list[tuple[int | None, int | None, bool, str]], by: By, sort: Sort, twice: bool, complete: bool
) -> None:
    members = [
        process(i + 1, pss, at_s=2, uid=uid, stale=stale, command=text)
        for i, (pss, uid, stale, text) in enumerate(parts)
    ]
    now = look(members, at_s=2, meminfo=INFO if complete else {}, complete=complete)
    shown = snapshot(now, look(members[1:]) if twice else None, by, sort, str, "" if complete else "of user 'x'")
    text = line(shown, 3)
    assert text.isascii()
    assert "\n" not in text
    valid(json.loads(text))


def test_figures_and_what_is_unknown() -> None:
    members = [process(1, 4 * MIB, at_s=60, uid=5), process(2, None, uid=5, rss=9 * MIB)]
    then = look([process(1, MIB), process(2, None, rss=9 * MIB)])
    data = as_object(snapshot(look(members, at_s=60, meminfo=INFO), then, By.USER, Sort.PSS, str))
    (row,) = data["rows"]
    assert row["pss_bytes"] is None
    assert (row["pss_at_least_bytes"], row["rss_bytes"], row["unreadable"]) == (4 * MIB, 17 * MIB, 1)
    assert (row["growth_bytes_per_minute"], row["growth_of"]) == (3 * MIB, "mixed")
    assert (row["name"], row["uid"], row["user"], row["pid"], row["age_s"]) == ("5", 5, "5", None, 60.0)
    assert data["totals"] == {key: row[key] for key in data["totals"]}
    assert (data["growth_over_s"], data["rows_left_out"]) == (60.0, 0)
    assert data["machine"]["mem_total_bytes"] == 64 * MIB
    assert data["machine"]["mem_available_bytes"] is None
    assert data["used"]["used_bytes"] == 32 * MIB
    assert data["used"]["unexplained_bytes"] == 32 * MIB - sum(part["bytes"] for part in data["used"]["parts"])


def test_a_limit_leaves_rows_out_and_counts_them() -> None:
    data = as_object(snapshot(look([process(1), process(2), process(3)]), None, By.PROCESS, Sort.PID, str), 2)
    assert [row["pid"] for row in data["rows"]] == [1, 2]
    assert data["rows_left_out"] == 1
    assert data["totals"]["processes"] == 3


def test_the_schema_is_a_schema_that_refuses_and_describes_what_there_is() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    data = as_object(snapshot(look([process(1)], meminfo=INFO), None, By.PROCESS, Sort.PSS, str))
    valid(data)
    assert set(data) == set(SCHEMA["properties"])
    assert set(data["rows"][0]) == set(SCHEMA["properties"]["rows"]["items"]["properties"])
    assert set(data["totals"]) == set(SCHEMA["$defs"]["figures"]["properties"])
    assert set(data["machine"]) == set(SCHEMA["properties"]["machine"]["properties"])
    parts = SCHEMA["properties"]["used"]["oneOf"][1]["properties"]["parts"]
    assert set(parts["items"]["properties"]["id"]["enum"]) == WORDS.keys() - {REST}
    with pytest.raises(jsonschema.ValidationError):
        valid({**data, "rows": [{**data["rows"][0], "pss_bytes": -1}]})
    with pytest.raises(jsonschema.ValidationError):
        valid({**data, "totals": {}})
