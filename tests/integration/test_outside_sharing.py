"""Looking into a pre-forked worker must not make it grow: what a fork shares stays shared.

process_vm_readv(2) would fail this: since Linux 5.19 it makes a private copy of every shared anonymous page it reads.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import pytest

from harness.sampling.outside.attach import ATTACH
from harness.sampling.outside.process import Process
from harness.sampling.sources import pid_smaps, pid_stat

pytestmark = pytest.mark.integration

WORKER = """
import os, sys
kept = [[str(n)] for n in range(200_000)]
if os.fork() == 0:
    os.write(1, b"%d\\n" % os.getpid())
    sys.stdin.read()
    os._exit(0)
os.wait()
"""


class Pages(NamedTuple):
    """What copying a page would change. RSS is not among it: tables and names in the runtime's files are read too, and the
    kernel maps these pages of the page cache into the worker, a MB or two once."""

    shared_dirty: int | None
    uss: int | None
    pss_anon: int | None
    minor_faults: int | None


def pages(pid: int) -> Pages:
    walk, stat = pid_smaps.read_rollup("/proc", pid), pid_stat.read("/proc", pid)
    assert walk is not None
    assert stat is not None
    return Pages(walk.shared_dirty, walk.uss, walk.pss_anon, stat.minor_faults)


@pytest.fixture
def worker() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as master:
        assert master.stdout is not None
        pid = int(master.stdout.readline())
        for each in (pid, master.pid):  # until they wait, both write to pages of their own accord
            while (stat := pid_stat.read("/proc", each)) is not None and stat.state != b"S":
                pass
        yield pid
        assert master.stdin is not None
        master.stdin.close()


def test_nothing_that_is_read_is_copied(worker: int) -> None:
    before = pages(worker)
    assert before.shared_dirty is not None
    assert before.shared_dirty > 20 << 20
    with closing(Process("/proc", worker)) as process:
        readers = [reader for reader in (attach(process) for name, attach in ATTACH.items() if name != "php") if reader]
        assert {reader.runtime for reader in readers} == {"python", "glibc"}
        for reader in readers:
            reader.counters()
            reader.walk()
        (python,) = [reader for reader in readers if reader.runtime == "python"]
        assert {t.name: t.number for t in python.types(1)}["list"] >= 200_000
        # all of it once more, in the largest pieces there are
        for mapping in process.mappings:
            if mapping.private_anonymous:
                for start in range(mapping.start, mapping.end, 1 << 20):
                    process.memory.read(start, min(1 << 20, mapping.end - start))
    assert pages(worker) == before
