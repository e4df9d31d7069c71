"""What killed runs left behind is removed, and nothing of runs that go on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.php.launch import make_output
from adapters.php.state import Places
from adapters.php.xdebug import leftovers
from adapters.php.xdebug.leftovers import sweep
from adapters.php.xdebug.tools import PROFILE, TRACE

NAME = "cachegrind.out.4711.1700000001.500000.0a1b2c.0123456789abcdef"


@pytest.fixture
def earlier(tmp_path: Path) -> Places:
    """A run whose process was killed, with a profile that nobody collected."""
    code = (
        "import sys; from pathlib import Path; from adapters.php.launch import make_output\n"
        "from adapters.php.state import Places; from adapters.php.xdebug.tools import PROFILE\n"
        "make_output(Places(Path(sys.argv[1])), PROFILE)"
    )
    work = tmp_path / "earlier" / "work"
    subprocess.run([sys.executable, "-c", code, str(work)], check=True, cwd=Path(__file__).parents[5])
    places = Places(work)
    (places.output("xdebug") / NAME).write_text("raw")
    return places


def files(places: Places) -> list[str]:
    return sorted(path.name for path in places.outputs.rglob("*") if not path.is_dir())


def test_the_next_run_beside_a_killed_one_removes_its_raw_files(earlier: Places, tmp_path: Path) -> None:
    (earlier.output("xdebug") / "notes.txt").write_text("not Xdebug's")
    current = Places(tmp_path / "current" / "work")
    make_output(current, PROFILE)
    assert files(earlier) == ["notes.txt", "owner"]
    (current.output("xdebug") / NAME).write_text("raw")
    make_output(current, TRACE)
    assert NAME in files(current), "its own are collected, not swept"


def test_runs_that_go_on_and_those_nobody_knows_are_left_alone(earlier: Places, tmp_path: Path) -> None:
    (earlier.outputs / "owner").write_text("another-boot/1 1 1\n")
    living = Places(tmp_path / "living" / "work")
    make_output(living, PROFILE)
    (living.output("xdebug") / NAME).write_text("raw")
    unknown = Places(tmp_path / "unknown" / "work")
    unknown.output("xdebug").mkdir(parents=True)
    (unknown.output("xdebug") / NAME).write_text("raw")
    sweep(Places(tmp_path / "current" / "work"))
    for places in (living, unknown, earlier):
        assert NAME in files(places)


def test_a_pid_that_is_used_again_is_another_process(earlier: Places, tmp_path: Path) -> None:
    (earlier.outputs / "owner").write_text(f"{leftovers._world()} {os.getpid()} 1\n")
    sweep(Places(tmp_path / "current" / "work"))
    assert files(earlier) == ["owner"]


@pytest.mark.parametrize("text", ["", "x", "a b c d", "\udce4".encode("utf-8", "surrogateescape").decode("latin-1")])
def test_a_broken_note_says_nothing(earlier: Places, tmp_path: Path, text: str) -> None:
    (earlier.outputs / "owner").write_text(text)
    sweep(Places(tmp_path / "current" / "work"))
    assert NAME in files(earlier)


def test_what_somebody_else_prepared_beside_is_left_alone(earlier: Places, tmp_path: Path) -> None:
    """A shared directory: a note that is a pipe would be waited for, a directory that is a link would be emptied."""
    note = (earlier.outputs / "owner").read_text()
    pipe = Places(tmp_path / "pipe" / "work")
    pipe.outputs.mkdir(parents=True)
    os.mkfifo(pipe.outputs / "owner")
    elsewhere = tmp_path / "precious"
    elsewhere.mkdir()
    (elsewhere / NAME).write_text("theirs")
    linked = Places(tmp_path / "linked" / "work")
    linked.outputs.mkdir(parents=True)
    (linked.outputs / "owner").write_text(note)
    linked.output("xdebug").symlink_to(elsewhere)
    (tmp_path / "alias").symlink_to(tmp_path / "earlier")
    (earlier.outputs / "owner").rename(tmp_path / "note")
    (earlier.outputs / "owner").symlink_to(tmp_path / "note")
    sweep(Places(tmp_path / "current" / "work"))
    assert (elsewhere / NAME).read_text() == "theirs"
    assert NAME in files(earlier)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory to another user")
def test_a_directory_of_another_user_is_no_run_of_ours(earlier: Places, tmp_path: Path) -> None:
    os.chown(earlier.work_dir.parent, 65534, 65534)
    sweep(Places(tmp_path / "current" / "work"))
    assert NAME in files(earlier)
