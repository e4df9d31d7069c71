"""Which processes are copies made to look at a heap, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from timelines import empty_run, process

from harness.correlate.build import correlate
from harness.model.event import Window
from harness.model.process import ProcessInfo
from harness.model.run import Series
from harness.model.span import BootRecord, PhaseName
from harness.model.timeline import Timeline

S = 1_000_000_000
WORKER = process(11, born=S)
COPY = process(50, born=10 * S, ended=11 * S)
PROFILED = Window(PhaseName.PROFILED, None, None, 9 * S, 20 * S, None)


def boot(process: ProcessInfo) -> BootRecord:
    return BootRecord("python-agent", process.key.pid, process.ppid, process.born_ns + 1, "3.11.7", "gunicorn")


def timeline(*others: ProcessInfo, boots: tuple[ProcessInfo, ...] = (WORKER,)) -> Timeline:
    key = ("process.memory.pss", COPY.key)
    series = {key: Series(*key, np.array([10 * S], dtype=np.int64), np.array([5], dtype=np.int64))}
    processes = [WORKER, *others]
    return correlate(empty_run(processes=processes, boots=[boot(p) for p in boots], windows=[PROFILED], series=series))


def test_a_copy_is_left_out_and_counted() -> None:
    found = timeline(COPY)
    assert [w.info for w in found.workers] == [WORKER]
    assert found.series == {}
    [text] = [text for what, text in found.coverage.checks if what == "processes of the application"]
    assert text.startswith("1 short-lived copies")


@pytest.mark.parametrize(
    "other",
    [
        replace(COPY, born_ns=5 * S),  # in the measured rounds
        replace(COPY, cmdline="convert a.png b.jpg", comm="convert"),  # a program that the application started
        replace(COPY, pool="proxy"),
    ],
)
def test_what_is_the_applications_own_stays(other: ProcessInfo) -> None:
    assert [w.info for w in timeline(other).workers] == [WORKER, other]


def test_a_process_in_which_the_agent_announced_itself_stays() -> None:
    assert [w.info for w in timeline(COPY, boots=(WORKER, COPY)).workers] == [WORKER, COPY]


def test_without_an_agent_nothing_is_a_copy() -> None:
    assert [w.info for w in timeline(COPY, boots=()).workers] == [WORKER, COPY]


def test_of_one_that_lived_for_some_ms_the_name_is_enough() -> None:
    brief = replace(COPY, cmdline="")
    assert [w.info for w in timeline(brief).workers] == [WORKER]
