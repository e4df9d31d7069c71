"""The experiment that freezes the heap before a fork, in interpreters of its own: hooks at fork cannot be taken back."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[4]
PROGRAM = """
import gc, os, subprocess, sys
from adapters.python.agent import freezing
class Recorder: copying = False
recorder, before = Recorder(), gc.get_freeze_count()
freezing.install(recorder)
def forked():
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, b"%d" % (gc.get_freeze_count() - before))
        os._exit(0)
    os.wait()
    return int(os.read(reading, 99))
def copy():
    recorder.copying = True
    return forked()
ways = {
    "fork": forked,
    "subprocess": lambda: subprocess.call([sys.executable, "-c", ""], preexec_fn=lambda: None),
    "spawn": lambda: os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", ""]),
    "copy": copy,
}
said = ways[sys.argv[1]]()
print(said, gc.get_freeze_count() - before)
"""


def frozen(way: str) -> tuple[int, int]:
    """(what the way returned, objects frozen in the parent afterwards)."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, way], cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=100
    )
    said, parent = done.stdout.split()
    return int(said), int(parent)


def test_parent_and_worker_share_a_frozen_heap() -> None:
    worker, parent = frozen("fork")
    assert parent > 1000
    assert abs(worker - parent) < 50


@pytest.mark.parametrize("way", ["subprocess", "spawn", "copy"])
def test_programs_that_are_started_and_our_own_copies_freeze_nothing(way: str) -> None:
    assert frozen(way) == (0, 0)
