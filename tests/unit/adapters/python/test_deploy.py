"""What may be read and written by whom."""

import os
import stat
from pathlib import Path

import pytest

from adapters.python.deploy import has_announcements, install_agent


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, umask: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    before = os.umask(umask)
    try:
        layout = install_agent(tmp_path)
    finally:
        os.umask(before)
    assert mode(layout.boot_dir) == mode(tmp_path / "python") == mode(tmp_path / "python" / "agent") == 0o755
    files = [p for p in (tmp_path / "python").rglob("*") if p.is_file()]
    assert {p.name for p in files} >= {"sitecustomize.py", "boot.py", "__init__.py"}
    assert {mode(p) for p in files} == {0o644}
    assert mode(layout.records_file) == 0o622
    assert mode(layout.records_file.parent) == 0o711
    assert mode(layout.results_dir) == 0o1733


def test_an_ordinary_user_keeps_it_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    layout = install_agent(tmp_path)
    assert mode(layout.records_file) == 0o600
    assert mode(layout.results_dir) == 0o700


def test_only_the_bootstrap_is_on_the_import_path(tmp_path: Path) -> None:
    layout = install_agent(tmp_path)
    assert [p.name for p in layout.boot_dir.iterdir()] == ["sitecustomize.py"]
    assert layout.boot_dir.is_absolute()


def test_a_second_launch_of_the_run_shares_everything_and_disturbs_nothing(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir(mode=0o700)
    first = install_agent(tmp_path)
    first.records_file.write_text("kept\n")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert install_agent(tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
    assert first.records_file.match("records/python-*.ndjson")
    assert mode(tmp_path / "records") == 0o700  # somebody else's


def test_announcements_are_looked_for_without_waiting_for_a_pipe(tmp_path: Path) -> None:
    """As whose user the target runs where the harness is not root, it may put anything there."""
    records = install_agent(tmp_path).records_file.parent
    os.mkfifo(records / "python-0.ndjson")
    (records / "python-1.ndjson").mkdir()
    (records / "python-2.ndjson").symlink_to("/dev/zero")
    assert not has_announcements(tmp_path)
    (records / "python-zz.ndjson").write_text('{"k":"boot"}\n')
    assert has_announcements(tmp_path)
