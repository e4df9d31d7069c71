"""``harness tune``: options, errors, kinds of output. What is found is tested in ``tests/unit/tune``, and that nothing is
written in ``tests/integration/test_tune.py``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import cli
from harness.tune.parameters import PARAMETERS


def test_everything_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["tune", "--over", "0"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "nothing was changed" in captured.out
    for parameter in PARAMETERS:
        assert parameter.name in captured.out
    assert "\x1b" not in captured.out


def test_what_needs_no_attention_is_short_unless_all_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["tune", "--over", "0"]) == 0
    short = capsys.readouterr().out
    assert cli.invoke(["tune", "--over", "0", "--all"]) == 0
    long = capsys.readouterr().out
    assert len(short.splitlines()) < len(long.splitlines()) / 2
    assert "How early the kernel begins to free memory" in long


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["tune", "--over", "100ms", "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["format"] == "harness-tune/1"
    assert [window["span"] for window in data["windows"]] == ["boot", "look"]
    assert {row["name"] for row in data["parameters"]} == {parameter.name for parameter in PARAMETERS}
    current = {row["name"]: row["current"] for row in data["parameters"]}
    assert current["vm.swappiness"] == Path("/proc/sys/vm/swappiness").read_text().strip()


@pytest.mark.parametrize("name", ["vm.swappiness", "swappiness", "THP", "vm.dirty_bytes", "/proc/sys/vm/max_map_count"])
def test_one_at_length(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["tune", "--over", "0", "--explain", name]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 8
    assert cli.invoke(["tune", "--over", "0", "--explain", name, "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["parameters"]) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--over", "5"], "'5' is not a duration such as"),
        (["--over", "1ms"], "not between 100 ms and 1 h"),
        (["--explain", "vm.nonsense"], "known are: vm.swappiness"),
        (["--explain", "vm.swapiness"], "did you mean 'vm.swappiness'?"),
        (["--explain", "swapyness"], "did you mean 'vm.swappiness'?"),
        (["--explain", "max_map_cuont"], "did you mean 'vm.max_map_count'?"),
        (["--format", "yaml"], "'yaml' is not one of"),
        (["--run", "/nowhere"], "not a run"),
        (["extra"], "unexpected extra argument"),
    ],
)
def test_wrong_options_are_explained(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["tune", *arguments]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.out == ""
