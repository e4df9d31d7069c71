"""The recorder that keeps nothing."""

from __future__ import annotations

import inspect

from harness.store.unrecorded import NoRecorder
from harness.store.writer import Recorder


def test_it_overrides_whatever_the_recorder_can_do() -> None:
    """Anything inherited would look for a database that is not there."""
    inherited = {
        name
        for name, _ in inspect.getmembers(Recorder, inspect.isfunction)
        if not name.startswith("_") and name not in vars(NoRecorder)
    }
    assert inherited == set()


def test_it_takes_the_same_arguments() -> None:
    for name, method in inspect.getmembers(NoRecorder, inspect.isfunction):
        if not name.startswith("_"):
            ours, theirs = (inspect.signature(m).parameters for m in (method, getattr(Recorder, name)))
            assert list(ours) == list(theirs), name
