"""The reader on the dump of a real interpreter: what it gives, what it refuses, and that damage never gets further."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from known_python import OBJECTS, THREADS
from memory_dump import DumpedMemory, DumpedProcess, dump_of

from harness.sampling.outside.python import layouts, reader
from harness.sampling.outside.python.reader import PythonReader, attach
from harness.sampling.outside.refusal import Refused, Torn

NAME = "runtime.python."


@pytest.fixture(autouse=True)
def nothing_known_of_other_processes() -> None:
    reader._PLACES.clear()


@pytest.fixture
def attached(dumped_python: DumpedProcess) -> PythonReader:
    found = attach(dumped_python)
    assert found is not None
    return found


@pytest.fixture
def another_table(monkeypatch: pytest.MonkeyPatch):
    def replace(*table: layouts.Layout) -> None:
        monkeypatch.setattr(layouts, "shipped", lambda: list(table))

    return replace


def test_facts(attached: PythonReader) -> None:
    version = "{}.{}.{}".format(*sys.version_info[:3])
    assert attached.facts["version"] == version
    assert attached.facts["layout"] == f"{version} (same size)"
    assert attached.facts["pymalloc"] == "16 KiB pools, 1024 KiB arenas"
    assert len(str(attached.facts["build_id"])) == 40


def test_counters(attached: PythonReader) -> None:
    values = attached.counters()
    assert values[NAME + "threads"] == 1 + THREADS
    assert values[NAME + "interpreters"] == 1
    assert [values[f"{NAME}gc.threshold{k}"] for k in range(3)] == [701, 11, 12]
    assert values[NAME + "gc.enabled"] == 1
    assert values[NAME + "gc.collections2"] >= 1
    assert values[NAME + "tracemalloc.enabled"] == 0
    assert values[NAME + "arenas"] == attached.walk()[NAME + "pymalloc.held"] >> 20
    assert values[NAME + "torn"] == 0


def test_walk(attached: PythonReader) -> None:
    values = attached.walk()
    assert 0 < values[NAME + "pymalloc.live"] < values[NAME + "pymalloc.held"]
    assert values[NAME + "pymalloc.blocks"] > 2 * OBJECTS
    assert values[NAME + "pymalloc.torn"] == 0
    assert NAME + "pymalloc.resident" not in values  # a dump has no pagemap
    assert "pagemap" in attached.missing[NAME + "pymalloc.resident"]


def test_a_sample_of_types(attached: PythonReader) -> None:
    rows = {row.name: row.number for row in attached.types(4)}
    assert OBJECTS / 2 < rows["Plain"] < OBJECTS * 2


def test_the_next_process_of_the_same_build_is_not_searched(dumped_python: DumpedProcess) -> None:
    memory = dumped_python.memory
    memory.bytes_read = 0
    first = attach(dumped_python)
    searched, memory.bytes_read = memory.bytes_read, 0
    second = attach(dumped_python)
    assert memory.bytes_read < searched / 2
    assert first is not None
    assert second is not None
    assert second._place == first._place
    for build, (geometry, offsets) in list(reader._PLACES.items()):  # what is remembered is not believed
        reader._PLACES[build] = reader.arenas.Place(geometry, tuple(offset + 64 for offset in offsets))
    third = attach(dumped_python)
    assert third is not None
    assert third._place == first._place


def test_none_without_a_python() -> None:
    assert attach(dump_of(["/bin/sh", "-c", "echo ready; read -r line"], b"ready")) is None


def test_without_pymalloc_the_collector_is_read(known_without_pymalloc: DumpedProcess) -> None:
    found = attach(known_without_pymalloc)
    assert found is not None
    assert "PYTHONMALLOC" in found.missing[NAME + "pymalloc"]
    assert found.counters()[NAME + "threads"] == 1
    assert NAME + "arenas" not in found.counters()
    for reading in (found.walk, lambda: found.types(1)):
        with pytest.raises(Refused, match="PYTHONMALLOC"):
            reading()


@pytest.fixture(scope="module")
def known_without_pymalloc() -> DumpedProcess:
    program = "import sys; print('ready', flush=True); sys.stdin.read()"
    return dump_of(["/usr/bin/env", "PYTHONMALLOC=malloc", sys.executable, "-S", "-c", program], b"ready")


def test_an_unknown_build_loses_the_table_part_only(dumped_python: DumpedProcess, another_table) -> None:
    another_table(*[layout for layout in layouts.shipped() if layout.minor != sys.hexversion >> 16])
    found = attach(dumped_python)
    assert found is not None
    assert "layouts_python.py" in found.missing[NAME + "gc"]
    assert set(found.counters()) == {NAME + "arenas", NAME + "torn"}
    assert found.walk()[NAME + "pymalloc.torn"] == 0
    assert any(row.name == "Plain" for row in found.types(1))


def test_neither_part(known_without_pymalloc: DumpedProcess, another_table) -> None:
    another_table()
    with pytest.raises(Refused, match=r"no layout for this build.*PYTHONMALLOC"):
        attach(known_without_pymalloc)


def test_torn_readings_are_counted_tried_again_and_given_up(
    attached: PythonReader, dumped_python: DumpedProcess
) -> None:
    memory = dumped_python.memory
    table = attached._table
    assert table is not None
    head = memory.word(table.runtime + table.layout.offsets["runtime.interpreters_head"])
    memory.poke(head + table.layout.offsets["interpreter.threads"], bytes(8))
    try:
        values = attached.counters()
        assert set(values) == {NAME + "arenas", NAME + "torn"}  # the other part is read all the same
        assert values[NAME + "torn"] == reader.TRIES
    finally:
        memory.restore()
    assert attached.counters()[NAME + "threads"] == 1 + THREADS


class Flickering(DumpedMemory):
    """The first reading of each address is torn."""

    def __init__(self, memory: DumpedMemory) -> None:
        super().__init__([(address, bytes(data)) for address, data in memory._pieces])
        self.seen: set[int] = set()
        self.flicker = False

    def read(self, address: int, size: int) -> bytes:
        if self.flicker and address not in self.seen:
            self.seen.add(address)
            raise Torn("just now")
        return super().read(address, size)


def test_one_torn_reading_is_not_the_end(dumped_python: DumpedProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Flickering(dumped_python.memory)
    monkeypatch.setattr(dumped_python, "memory", memory)
    found = attach(dumped_python)
    assert found is not None
    expected = found.counters()
    memory.asked = set()
    found.counters()  # learn which addresses are read
    one = min(memory.asked)
    memory.seen = memory.asked - {one}
    memory.asked = None
    memory.flicker = True
    values = found.counters()
    assert values.pop(NAME + "torn") == 1
    assert values == {k: v for k, v in expected.items() if k != NAME + "torn"}


# --- wrong tables: what of them is noticed -------------------------------------------------------------------------


@dataclass(frozen=True)
class Wrong:
    name: str
    by: int
    layout: layouts.Layout


def wrong_tables(layout: layouts.Layout) -> Iterator[Wrong]:
    for name, offset in layout.offsets.items():
        if not name.startswith("debug.") and name != "obmalloc.is_pointer":
            for by in (-16, -8, -4, 4, 8, 16):
                yield Wrong(name, by, layout._replace(offsets={**layout.offsets, name: offset + by}))


def test_wrong_offsets_are_noticed_or_without_effect(dumped_python: DumpedProcess, another_table) -> None:
    """Each offset moved a little, as a build that the table does not know would have it."""
    right = attach(dumped_python)
    assert right is not None
    table = right._table
    assert table is not None
    truth = right.counters()
    slips = set()
    for wrong in wrong_tables(table.layout):
        another_table(wrong.layout)
        found = attach(dumped_python)
        assert found is not None
        values = {k: v for k, v in found.counters().items() if k != NAME + "torn"}
        if any(truth.get(name) != value for name, value in values.items()):
            slips.add((wrong.name, wrong.by))
    # A switch that is read where a zero is: nothing in the target contradicts it.
    assert slips <= {("gc.enabled", by) for by in (-8, -4, 4, 8)}


# --- hostile targets: anything may stand anywhere ------------------------------------------------------------------


@pytest.fixture(scope="module")
def places(dumped_python: DumpedProcess) -> list[list[int]]:
    """Addresses that are read in an attachment, for the counters and in a walk."""
    memory = dumped_python.memory
    found = attach(dumped_python)
    assert found is not None
    groups = []
    for reading in (lambda: attach(dumped_python), found.counters, found.walk):
        memory.asked = set()
        reading()
        groups.append(sorted(memory.asked))
    memory.asked = None
    return groups


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_refused_and_never_takes_long(
    dumped_python: DumpedProcess, places: list[list[int]], data: st.DataObject
) -> None:
    memory = dumped_python.memory
    address = st.one_of(*map(st.sampled_from, places))
    words = st.one_of(
        address,
        address.map(lambda a: a + 48),
        st.integers(0, 65),
        st.integers(0, (1 << 64) - 1),
        st.sampled_from([1 << 16, 1 << 20, 1 << 31, (1 << 47) - 8, (1 << 63) - 8, (1 << 64) - 1]),
    )
    before = data.draw(st.booleans())
    if data.draw(st.booleans()):
        reader._PLACES.clear()
    damage = data.draw(st.lists(st.tuples(address, st.integers(0, 12), words), min_size=1, max_size=8))
    found = None if before else attach(dumped_python)
    memory.reads = memory.bytes_read = 0
    try:
        for place, word, value in damage:
            try:
                memory.read(place + 8 * word, 8)
            except Torn:
                continue
            memory.poke(place + 8 * word, value.to_bytes(8, "little"))
        found = attach(dumped_python) if before else found
        if found is not None:
            for reading in (found.counters, found.walk, lambda: found.types(1)):
                try:
                    reading()
                except Refused:
                    continue
    except Refused:
        pass
    finally:
        memory.restore()
    assert memory.reads < 200_000
    assert memory.bytes_read < 512 << 20
