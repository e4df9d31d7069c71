"""What a look into a runtime from outside costs: CPU time of ours for each kind of reading, on targets of known content.

    python bench/outside.py [PART...]

Every part (`PARTS`) starts its targets, which wait while they are read. A row is the median CPU time of one reading, the share of
readings that were refused, and what was read. Prints a table, asserts nothing.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from harness.sampling.outside.glibc import reader as glibc
from harness.sampling.outside.php import reader as php
from harness.sampling.outside.process import Process
from harness.sampling.outside.python import reader as python
from harness.sampling.outside.refusal import Refused

MB = 1_000_000


class Row(NamedTuple):
    """One measurement."""

    part: str
    reading: str
    target: str
    cpu_s: float  # median of one
    refused: float  # share
    unit_cost: str  # the same by size, where that is what it depends on


@contextmanager
def target(*command: str, env: dict[str, str] | None = None) -> Iterator[Process]:
    """A program that says a word when its content is complete and waits on stdin; opened."""
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
    try:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == b"ready", command
        process = Process("/proc", child.pid)
        try:
            yield process
        finally:
            process.close()
    finally:
        child.kill()
        child.communicate()


def measure(reading: Callable[[], object], times: int, batch: int = 1) -> tuple[float, float]:
    """Median CPU seconds of one, and the share that was refused. ``batch``: how many are timed together, for short ones."""
    spent, refused = [], 0
    for _ in range(times):
        before = time.process_time()
        for _ in range(batch):
            try:
                reading()
            except Refused:
                refused += 1
        spent.append((time.process_time() - before) / batch)
    return statistics.median(spent), refused / (times * batch)


# --- glibc ----------------------------------------------------------------------------------------------------------

MALLOC = """
import ctypes, sys, threading
malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
malloc.restype = ctypes.c_void_p; malloc.argtypes = [ctypes.c_size_t]; free.argtypes = [ctypes.c_void_p]
size, threads = int(sys.argv[1]), int(sys.argv[2])
def work(total):
    kept = [malloc(size) for _ in range(total // (size + 16))]
    for block in kept[::3]: free(block)
    held.wait(); never.wait()
held, never = threading.Barrier(threads + 1), threading.Event()
for _ in range(threads): threading.Thread(target=work, args=(100_000_000 // threads,), daemon=True).start()
held.wait()
print("ready", flush=True); sys.stdin.read()
"""


def glibc_rows() -> Iterator[Row]:
    for size, threads in ((2700, 1), (500, 1), (115, 1), (500, 16)):
        with target(sys.executable, "-c", MALLOC, str(size), str(threads)) as process:
            reader = glibc.attach(process)
            system = reader.counters()["runtime.glibc.system"] / MB
            content = f"{system:.0f} MB, chunks of {size} B, {len(reader._ring.read())} arenas"
            yield Row("glibc", "attach", content, *measure(functools.partial(glibc.attach, process), 15), "")
            yield Row("glibc", "counters", content, *measure(reader.counters, 50, 20), "")
            cpu, refused = measure(reader.walk, 7)
            yield Row("glibc", "walk", content, cpu, refused, f"{1000 * cpu / system * 100:.0f} ms per 100 MB")


# --- PHP ------------------------------------------------------------------------------------------------------------

OBJECTS = """
class A { public $x = 1; public $y; }
$k = []; $n = (int) $argv[1];
for ($i = 0; $i < $n; $i++) { $k[] = $i % 4 ? new A() : str_repeat('x', 10 + $i % 900); }
for ($i = 0; $i < $n; $i += 3) { unset($k[$i]); }
echo "ready\\n"; fgets(STDIN);
"""


def php_rows() -> Iterator[Row]:
    for number in (10_000, 600_000):
        settings = ("-d", "memory_limit=-1", "-d", "opcache.enable_cli=1", "-d", "apc.enable_cli=1")
        with target("php", *settings, "-r", OBJECTS, "--", str(number)) as process:
            reader = php.attach(process)
            assert reader is not None
            values = reader.walk()
            objects = sum(one.number for one in reader.types(1))
            real = values["runtime.php.heap.real"] / MB
            content = f"{real:.0f} MB, {values['runtime.php.heap.chunks']} chunks, {objects} objects"
            yield Row("php", "attach", content, *measure(functools.partial(php.attach, process), 15), "")
            yield Row("php", "counters", content, *measure(reader.counters, 50, 50), "")
            probe = reader.probe()
            yield Row("php", "probe.sample", content, *measure(probe.sample, 50, 2000), "")
            cpu, refused = measure(reader.walk, 15, 3)
            yield Row("php", "walk", content, cpu, refused, f"{1000 * cpu / real * 100:.1f} ms per 100 MB")
            for every in (1, 8):
                cpu, refused = measure(functools.partial(reader.types, every), 7)
                unit = f"{1e6 * cpu / objects:.2f} us an object"
                yield Row("php", f"types({every})", content, cpu, refused, unit)


# --- CPython --------------------------------------------------------------------------------------------------------

GROUPS = """
import sys, threading
class Group: pass
def hammer(number):
    while True:
        for _ in range(50):
            [(Group(), {"a": number, "b": [str(n) for n in range(8)]}, (number, "x" * number)) for _ in range(40)]
        number = number % 200 + 1
kept = [(Group(), {"n": number}, "text %d" % number) for number in range(int(sys.argv[1]))]
for number in range(int(sys.argv[2])): threading.Thread(target=hammer, args=(number,), daemon=True).start()
print("ready", flush=True); sys.stdin.read()
"""


def pythons() -> list[str]:
    """Our own, and the oldest from 3.8 on that is to be found, whose pools are of the other size up to 3.9."""
    for minor in range(8, sys.version_info.minor):
        managed = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3.{minor}"))
        found = [path for path in (Path(f"/usr/bin/python3.{minor}"), *managed) if path.exists()]
        if found:
            return [sys.executable, str(found[0])]
    return [sys.executable]


def first_attach(process: Process) -> None:
    """As if no process of the same build had been seen."""
    python._PLACES.clear()
    python.attach(process)


def python_rows() -> Iterator[Row]:
    for program in pythons():
        for threads, state in ((0, "at rest"), (2, "2 threads allocate")):
            with target(program, "-I", "-c", GROUPS, "70000", str(threads)) as process:
                reader = python.attach(process)
                assert reader is not None
                values = reader.walk()
                held, blocks = values["runtime.python.pymalloc.held"] / MB, values["runtime.python.pymalloc.blocks"]
                content = f"{reader.facts['version']}, {held:.0f} MB, {values['runtime.python.pymalloc.pools']} pools, {state}"
                yield Row(
                    "python", "attach, first", content, *measure(functools.partial(first_attach, process), 15), ""
                )
                yield Row(
                    "python", "attach, next", content, *measure(functools.partial(python.attach, process), 15), ""
                )
                yield Row("python", "counters", content, *measure(reader.counters, 50, 10), "")
                cpu, refused = measure(reader.walk, 30)
                yield Row("python", "walk", content, cpu, refused, f"{1000 * cpu / held * 32:.1f} ms per 32 MB")
                for every in (1, 8):
                    cpu, refused = measure(functools.partial(reader.types, every), 7)
                    yield Row(
                        "python", f"types({every})", content, cpu, refused, f"{1e6 * cpu / blocks:.2f} us a block"
                    )


PARTS: dict[str, Callable[[], Iterator[Row]]] = {"glibc": glibc_rows, "php": php_rows, "python": python_rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all unless said")
    parts = parser.parse_args().parts or list(PARTS)
    unknown = set(parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    print("| part | reading | target | CPU time | refused | |\n|---|---|---|--:|--:|---|")
    for part in parts:
        for row in PARTS[part]():
            spent = f"{1e6 * row.cpu_s:.1f} us" if row.cpu_s < 1e-3 else f"{1e3 * row.cpu_s:.1f} ms"
            print(
                f"| {row.part} | {row.reading} | {row.target} | {spent} | {100 * row.refused:.0f} % | {row.unit_cost} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
