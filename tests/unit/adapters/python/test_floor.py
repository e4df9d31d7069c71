"""A floor, taken in this process and read with the harness's own parser."""

import gc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.python.agent import floor
from adapters.python.agent.gate import Turn
from adapters.python.agent.recorder import Recorder
from harness.model.span import FloorRecord
from harness.plugins.records import LINE_CAP, parse_record
from harness.session.floors import samples_of

NEVER = str(2**62)  # nobody stops waiting


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    path = tmp_path / "python-x.ndjson"
    path.touch()
    recorder = Recorder(str(path))
    yield recorder
    gc.callbacks.remove(recorder.gc)
    os.close(recorder.statm)
    os.close(recorder.fd)


def answers(recorder: Recorder) -> list[FloorRecord]:
    found = []
    for line in Path(recorder.path).read_bytes().splitlines():
        assert len(line) < LINE_CAP // 2
        record = parse_record(line)
        assert isinstance(record, FloorRecord), line
        found.append(record)
    return found


def take(recorder: Recorder, depth: str) -> FloorRecord:
    floor.take(recorder, 7, f"{depth} {NEVER}")
    record = answers(recorder)[-1]
    assert (record.number, record.pid, record.source) == (7, os.getpid(), "python-agent")
    return record


def value(record: FloorRecord, name: str) -> int:
    found = record.values[name]
    assert found is not None
    return found


@pytest.mark.parametrize("depth", ["look", "collect", "trim"])
def test_every_value_is_a_metric_with_the_unit_of_its_name(recorder: Recorder, depth: str) -> None:
    record = take(recorder, depth)
    assert record.missing == {}
    assert len(record.values) < 64, "the parser takes no more"
    known = [name for name, found in record.values.items() if found is not None]
    assert len(samples_of("python", record.values)) == len(known)


def test_it_says_what_can_be_counted_here_as_well(recorder: Recorder) -> None:
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    record = take(recorder, "look")
    fds = len(os.listdir("/proc/self/fd")) - 1
    stop.set()
    for thread in threads:
        thread.join()
    assert value(record, "threads") >= 4
    assert value(record, "os_threads") >= value(record, "threads")
    assert value(record, "fds") == fds
    assert value(record, "gc.frozen_objects") == gc.get_freeze_count()
    assert 0 < value(record, "fork.age_ns") < 60e9
    assert value(record, "fork.blocks") > 10_000
    private = value(record, "memory.private_clean_bytes") + value(record, "memory.private_dirty_bytes")
    assert private <= value(record, "memory.rss_bytes") * 1.1
    assert value(record, "memory.pss_anon_bytes") <= value(record, "memory.pss_bytes")
    assert "collect.objects" not in record.values
    assert "trim.released" not in record.values


def test_a_collection_frees_cycles_and_says_how_many(recorder: Recorder) -> None:
    take(recorder, "collect")
    gc.disable()
    try:
        for _ in range(5000):
            cycle: list[object] = []
            cycle.append(cycle)
        del cycle
        looked = take(recorder, "look")
        collected = take(recorder, "collect")
    finally:
        gc.enable()
    assert value(collected, "collect.objects") >= 5000
    freed = value(collected, "collect.blocks_before") - value(collected, "collect.blocks_after")
    assert 9_900 <= freed < 30_000, "a list and its one item each; a few lie in what is kept to be used again"
    assert value(collected, "collect.blocks_before") < value(looked, "blocks") + 2000
    assert value(collected, "collect.pause_ns") <= value(collected, "floor_ns")


def test_what_the_interpreter_keeps_to_use_again_is_no_garbage(recorder: Recorder) -> None:
    """Lists of freed tuples, lists, dicts and floats count as allocations, and a full collection empties them."""
    take(recorder, "collect")
    work = [([n], {n: n}, (n, n), float(n)) for n in range(500)]
    del work
    assert gc.collect(0) == 0
    collected = take(recorder, "collect")
    freed = value(collected, "collect.blocks_before") - value(collected, "collect.blocks_after")
    assert value(collected, "collect.objects") == 0
    assert abs(freed) < 50
    assert gc.get_freeze_count() == 0


def test_what_the_application_has_frozen_stays_frozen(recorder: Recorder) -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        take(recorder, "collect")
        assert gc.get_freeze_count() == frozen
    finally:
        gc.unfreeze()


def test_a_question_within_a_collection_is_answered_without_another(recorder: Recorder) -> None:
    class Asks:
        def __del__(self) -> None:
            floor.take(recorder, 7, f"collect {NEVER}")

    asks = Asks()
    asks.cycle = asks  # type: ignore[attr-defined]  # what makes it wait for the collector
    del asks
    gc.collect()
    [record] = answers(recorder)
    assert "collect.objects" not in record.values
    assert record.missing == {"collect": "a collection was going on there already"}
    assert value(record, "blocks") > 0


def test_nobody_answers_a_question_that_nobody_waits_for(recorder: Recorder) -> None:
    floor.take(recorder, 7, f"collect {time.monotonic_ns() - 1}")
    assert answers(recorder) == []


def test_a_tool_at_work_is_left_alone(recorder: Recorder) -> None:
    recorder.gate = Turn(recorder, threading.Lock())
    record = take(recorder, "trim")
    assert record.values == {}
    assert "measuring" in record.missing["floor.measuring"]
    recorder.gate = None
    assert take(recorder, "look").values


def test_a_part_that_fails_is_missing_with_its_reason(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> bytes:
        raise PermissionError(13, 'no "way"\n', path)

    monkeypatch.setattr(floor, "_read", refuse)
    record = take(recorder, "look")
    assert "PermissionError" in record.missing["memory"]
    assert "memory.pss_bytes" not in record.values
    assert value(record, "memory.rss_bytes") > 0
    assert value(record, "pymalloc.live_bytes") > 0


def test_an_interrupt_goes_on_to_the_application(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during an answer is the application's, and the next question is answered."""

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(floor, "_kernel", interrupt)
        with pytest.raises(KeyboardInterrupt):
            floor.take(recorder, 7, f"look {NEVER}")
    assert take(recorder, "look").values


def test_a_process_forked_without_hooks_answers_for_itself(recorder: Recorder) -> None:
    recorder.pid += 1  # as uWSGI's workers find it
    floor.take(recorder, 7, f"look {NEVER}")
    boot, record = map(parse_record, Path(recorder.path).read_bytes().splitlines())
    assert boot is not None
    assert isinstance(record, FloorRecord)
    assert boot.pid == record.pid == os.getpid()
