"""``harness load export``."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import cli

SCENARIO = """
name: shop
target: {launch: serve, ready: "http://127.0.0.1:8000/"}
requests: [{name: home, get: "/?key=${KEY}"}]
"""


def export(directory: Path, load: str, *more: str) -> int:
    (directory / "shop.yaml").write_text(f"{SCENARIO}{load}\n")
    return cli.invoke(["load", "export", str(directory / "shop.yaml"), "-o", str(directory / "out"), *more])


def test_what_was_written_and_what_to_do_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEY", raising=False)  # its value is only needed where the requests are sent
    load = "load: {engine: locust, remote_workers: 2, listen: '10.0.0.5:5557'}"
    assert export(tmp_path, load, "--url", "http://staging:8000") == 0
    out = capsys.readouterr().out
    assert "locustfile.py --worker --master-host 10.0.0.5 --master-port 5557" in out
    assert (tmp_path / "out" / "harness" / "load" / "swarm" / "crew.py").is_file()
    assert '"http://staging:8000"' in (tmp_path / "out" / "plan.json").read_text()


def test_of_an_own_locustfile_only_the_hooks_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(tmp_path, "load: {locustfile: mine.py, for: 5m}") == 0
    assert "harness_hooks.py,mine.py --worker" in capsys.readouterr().out
    assert not (tmp_path / "out" / "plan.json").exists()


@pytest.mark.parametrize(
    ("load", "more", "said"),
    [
        ("load: {command: wrk x}", (), "not sent by Locust"),
        ("load: {engine: locust}", ("--url", "ftp://x"), "base_url: must look like"),
        ("load: {rounds: 2}", (), "2 rounds are too few"),
    ],
)
def test_what_cannot_be(
    load: str, more: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(tmp_path, load, *more) == 2
    assert said in capsys.readouterr().err


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    assert export(tmp_path, "load: {engine: locust}") == 2
    assert "is not empty" in capsys.readouterr().err
