"""``harness watch --host`` as somebody mistypes it; what it does for real: tests/integration/test_remote_runs.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import cli


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("8000", "--host", "web-1"), "'web-1' is no address of a host"),
        (("8000", "--host", "ssh://web-1/x"), "is no address of a host"),
        (("8000", "--host", "local"), "is no address of a host"),
        (("99999", "--host", "ssh://web-1"), "99999 on web-1: Input should be less than or equal to 65535"),
        (("9" * 5000, "--host", "ssh://web-1"), "say pid:4711, port:8000 or a text"),
        (("ab", "--host", "ssh://web-1"), "'ab' is too short for a name"),
        (("container:a/b", "--host", "ssh://web-1"), "is no name of a container"),
        (("8000", "--host", "ssh://web-1", "--all"), "--all is for this machine"),
    ],
)
def test_other_hosts_that_make_no_sense(
    arguments: tuple[str, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.invoke(["watch", *arguments, "--out", str(tmp_path / "runs")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert says in told.err
    assert not (tmp_path / "runs").exists()
