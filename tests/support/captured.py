"""Processes captured by ``tests/fixtures/capture_outside.py``: their memory as far as a reader looked, and their own words."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

from memory_dump import DumpedMemory, DumpedProcess

from harness.sampling.outside.mappings import Mapping

FIXTURES = Path(__file__).parents[1] / "fixtures" / "outside"


@dataclass(frozen=True)
class Captured:
    """One capture; `memory` is also the process's."""

    process: DumpedProcess
    memory: DumpedMemory
    pages: list[int]  # addresses
    said: str  # the process's own answer to "rest" at the same moment
    values: dict[str, int]  # what was read then
    types: list[tuple[str, int, int]]


def captured(name: str) -> Captured:
    data = json.loads(gzip.decompress((FIXTURES / f"{name}.json.gz").read_bytes()))
    pieces = [(int(address, 16), bytes.fromhex(page)) for address, page in data["pages"].items()]
    process = DumpedProcess(pieces, [Mapping(*fields) for fields in data["mappings"]], "", 1)
    memory = process.memory
    assert isinstance(memory, DumpedMemory)
    types = [(str(name), int(number), int(size)) for name, number, size in data["types"]]
    return Captured(process, memory, [at for at, _ in pieces], data["said"], data["values"], types)
