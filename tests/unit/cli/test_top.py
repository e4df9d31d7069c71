"""``harness top``: options, errors, and the kinds of output; the figures are tested in ``tests/unit/top`` and with real processes
in ``tests/integration/test_top.py``."""

from __future__ import annotations

import json
import os

import pytest

from harness import cli


def test_one_look_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["top", "--over", "0"]) == 0
    captured = capsys.readouterr()
    assert "used " in captured.out
    assert "GROWTH/MIN" in captured.out
    assert "\x1b" not in captured.out
    assert captured.err == ""


def test_json_holds_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["top", "--json", "--over", "0", "--user", str(os.getuid())]) == 0
    data = json.loads(capsys.readouterr().out)
    (row,) = [row for row in data["rows"] if row["pid"] == os.getpid()]
    assert row["pss_bytes"] > 1 << 20
    assert row["growth_bytes_per_minute"] is None
    assert data["used"] is None


def test_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["top", "--json", "--over", "0", "-n", "1", "--by", "pool", "--sort", "rss"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (len(data["rows"]), data["by"], data["sort"]) == (1, "pool", "rss")


def test_nothing_matches(capsys: pytest.CaptureFixture[str]) -> None:
    text = "no such process anywhere"
    assert cli.invoke(["top", "--over", "0", "--match", text]) == 0
    assert f"no process matching '{text}'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--over", "5"], "'5' is not a duration such as"),
        (["--over", "1ms"], "not between 100 ms and 1 h"),
        (["--over", "2h"], "not between 100 ms and 1 h"),
        (["--live", "--interval", "0"], "is not a duration"),
        (["--live", "--interval", "10ms"], "not between 200 ms and 1 h"),
        (["--live", "--budget", "5"], "is not a share"),
        (["--live", "--budget", "0%"], "5% the default"),
        (["--interval", "2s"], "add --live"),
        (["--budget", "1%"], "add --live"),
        (["--sort", "growth", "--over", "0"], "use --over 2s"),
        (["--sort", "size"], "'size' is not one of"),
        (["--by", "host"], "'host' is not one of"),
        (["-n", "0"], "0 is not in the range"),
        (["--user", "no-such-user-here"], "there is no user 'no-such-user-here'"),
        (["extra"], "unexpected extra argument"),
    ],
)
def test_wrong_options_are_explained(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["top", *arguments]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.out == ""
