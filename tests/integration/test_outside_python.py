"""CPython read from outside, against what it says of itself inside, on every CPython found from 3.8 to 3.13."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from memory_dump import dump_of
from obedient import Target, running
from processes import wait_for
from pythons import pythons

from harness.sampling.outside.process import Process
from harness.sampling.outside.python import layouts
from harness.sampling.outside.python.reader import PythonReader, attach
from harness.sampling.outside.refusal import Refused, Torn, Unreadable

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).parents[2]
NAME = "runtime.python."
OWN_CALLS = 40  # blocks and collector counts that asking inside takes itself
COPIES = 5
CONSTANT = 20_000

PROGRAM = """
import gc, json, os, re, sys, tempfile, threading
file, errors = tempfile.TemporaryFile(), os.dup(2)
def statistics():
    os.ftruncate(file.fileno(), 0)
    os.lseek(file.fileno(), 0, 0)
    os.dup2(file.fileno(), 2)
    sys._debugmallocstats()
    os.dup2(errors, 2)
    return os.pread(file.fileno(), 1 << 20, 0).decode()
def number(text, label):
    return int(re.search("^" + label + r" *= *([0-9,]+)$", text, re.M)[1].replace(",", ""))
def truth():
    said = {"blocks": sys.getallocatedblocks(), "count": gc.get_count(), "stats": gc.get_stats(), "threshold": gc.get_threshold(),
            "enabled": gc.isenabled(), "frozen": gc.get_freeze_count(), "threads": threading.active_count()}
    text = statistics()
    said["live"] = number(text, "# bytes in allocated blocks")
    said["arenas"] = number(text, "# arenas allocated current")
    return said
class Constant: pass
class ConstantSlots: __slots__ = ("value",)
class Passing: pass
kept, more, stop, threads = [], [], threading.Event(), []
def hammer(number):
    for _ in iter(stop.is_set, True):
        for _ in range(50):
            [(Passing(), {"a": number, "b": [str(n) for n in range(8)]}, (number, "x" * number)) for _ in range(40)]
        number = number % 200 + 1
def hammering(on):
    if on:
        threads[:] = [threading.Thread(target=hammer, args=(n,), daemon=True) for n in range(2)]
        for thread in threads: thread.start()
    else:
        stop.set()
        for thread in threads: thread.join()
actions = {
    "fill": lambda: kept.extend((Constant(), ConstantSlots()) for _ in range(CONSTANT)),
    "garbage": lambda: [x.append(x) for x in [[] for _ in range(5000)]] and gc.collect(),
    "grow": lambda: more.extend({"n": n} for n in range(150_000)),
    "drop": more.clear,
    "disable": gc.disable, "freeze": gc.freeze,
    "threshold": lambda: gc.set_threshold(500, 6, 7),
    "isolate": lambda: kept.append(__import__("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters").create()),
    "trace": lambda: __import__("tracemalloc").start(),
    "hammer": lambda: hammering(True), "calm": lambda: hammering(False),
}
if os.environ.get("PYTHONMALLOC") != "malloc": json.dumps(truth())  # whatever is made once is made now
print("ready", flush=True)
for line in sys.stdin:
    word = line.strip()
    if word == "truth":
        print(json.dumps(truth()), flush=True)
    elif word == "exec":
        os.execv("/bin/cat", ["cat"])
    else:
        actions[word]()
        print("ok", flush=True)
""".replace("CONSTANT", str(CONSTANT))

every_python = pytest.mark.parametrize("program", list(pythons().values()), ids=list(pythons()))


@contextmanager
def target(program: str, *options: str, **environment: str) -> Iterator[Target]:
    with running(program, "-I" if not environment else "-s", *options, "-c", PROGRAM, env=environment) as found:
        yield found


@contextmanager
def attached(pid: int) -> Iterator[PythonReader]:
    process = Process("/proc", pid)
    try:
        found = attach(process)
        assert found is not None
        yield found
    finally:
        process.close()


def truth(of: Target) -> dict[str, Any]:
    of.say("truth")
    said: dict[str, Any] = json.loads(of.hear())
    return said


def assert_agrees(outside: PythonReader, inside: Target) -> None:
    """Outside first, while it waits for the question; asking costs it a few blocks and objects of its own."""
    counters, walk = outside.counters(), outside.walk()
    said = truth(inside)
    for generation, stats in enumerate(said["stats"]):
        for field in ("collections", "collected"):
            assert counters[f"{NAME}gc.{field}{generation}"] == stats[field]
    assert counters[NAME + "gc.uncollectable"] == sum(stats["uncollectable"] for stats in said["stats"])
    assert [counters[f"{NAME}gc.threshold{k}"] for k in range(3)] == said["threshold"]
    counts = [counters[f"{NAME}gc.count{k}"] for k in range(3)]
    assert counts[1:] == said["count"][1:]
    assert abs(said["count"][0] - counts[0]) <= OWN_CALLS
    assert counters[NAME + "gc.enabled"] == said["enabled"]
    assert counters[NAME + "gc.frozen"] == (said["frozen"] > 0)
    assert counters[NAME + "threads"] == said["threads"]
    assert counters[NAME + "interpreters"] == 1
    assert said["arenas"] - counters[NAME + "arenas"] in (0, 1)  # asking may take a new one
    blocks = walk[NAME + "pymalloc.blocks"]
    if NAME + "raw_blocks" in counters:
        assert abs(said["blocks"] - blocks - counters[NAME + "raw_blocks"]) <= OWN_CALLS
    else:
        assert 0 <= said["blocks"] - blocks < 3000  # with those that are larger than 512 bytes
    assert abs(said["live"] - walk[NAME + "pymalloc.live"]) < 64 * OWN_CALLS
    assert walk[NAME + "pymalloc.torn"] == 0
    assert walk[NAME + "pymalloc.live"] < walk[NAME + "pymalloc.resident"] <= walk[NAME + "pymalloc.held"]
    assert walk[NAME + "pymalloc.held"] == counters[NAME + "arenas"] * (1 << 18 if walk_is_small(outside) else 1 << 20)


def walk_is_small(outside: PythonReader) -> bool:
    return str(outside.facts["pymalloc"]).startswith("4 KiB")


@every_python
def test_at_rest_it_says_what_the_interpreter_says(program: str) -> None:
    with target(program) as inside, attached(inside.pid) as outside:
        assert outside.missing == {}
        assert_agrees(outside, inside)
        for word in ("fill", "garbage", "threshold", "grow", "drop", "disable", "freeze", "grow"):
            inside.do(word)
            assert_agrees(outside, inside)
        rows = {row.name: row for row in outside.types(1)}
        assert rows["Constant"].number == rows["ConstantSlots"].number == CONSTANT
        assert outside.torn == 0


@every_python
def test_version_and_layout(program: str) -> None:
    version = next(version for version, path in pythons().items() if path == program).split()[0]
    with target(program) as inside, attached(inside.pid) as outside:
        assert outside.facts["version"] == version
        assert str(outside.facts["layout"]).endswith("(same size)")
        minor = int(version.split(".")[1])
        assert NAME + "raw_blocks" not in outside.missing
        assert (NAME + "raw_blocks" in outside.counters()) == (minor >= 12)
        assert walk_is_small(outside) == (minor < 10)


@every_python
def test_tracing_is_seen(program: str) -> None:
    with target(program) as inside, attached(inside.pid) as outside:
        assert outside.counters()[NAME + "tracemalloc.enabled"] == 0
        inside.do("trace", "fill")
        values = outside.counters()
        assert values[NAME + "tracemalloc.enabled"] == 1
        if NAME + "raw_blocks" in values:  # 3.12 and later tell the bytes too
            assert values[NAME + "tracemalloc.traced"] > CONSTANT * 80


@every_python
def test_isolated_interpreters_are_counted(program: str) -> None:
    with target(program) as inside, attached(inside.pid) as outside:
        before = outside.counters()
        inside.do("isolate")
        after = outside.counters()
        assert (before[NAME + "interpreters"], after[NAME + "interpreters"]) == (1, 2)
        known = NAME + "raw_blocks" in after
        assert after.get(NAME + "isolated_interpreters") == (1 if known else None)
        assert before.get(NAME + "isolated_interpreters") == (0 if known else None)
        assert after[NAME + "threads"] >= 1
        inside.do("fill")
        rows = {row.name: row.number for row in outside.types(1)}
        assert rows["Constant"] == CONSTANT


@every_python
def test_under_load_what_is_not_refused_is_plausible(program: str, record_property: Any) -> None:
    with target(program) as inside, attached(inside.pid) as outside:
        inside.do("fill", "hammer")
        refused = {"counters": 0, "walk": 0, "types": 0}
        before: dict[str, int] = {}
        for _ in range(60):
            with counting(refused, "counters"):
                values = outside.counters()
                assert all(before.get(k, 0) <= v for k, v in values.items() if "collect" in k), (before, values)
                before.update(values)
                assert values[NAME + "threads"] == 3
                assert values[NAME + "gc.enabled"] == 1
            with counting(refused, "walk"):
                walk = outside.walk()
                assert 2 * CONSTANT < walk[NAME + "pymalloc.blocks"] < 40 * CONSTANT
                assert walk[NAME + "pymalloc.live"] < walk[NAME + "pymalloc.held"]
        for _ in range(6):
            with counting(refused, "types"):
                rows = {row.name: row.number for row in outside.types(1)}
                assert rows["Constant"] == rows["ConstantSlots"] == CONSTANT
        record_property("refused", refused)
        assert refused["counters"] < 60
        assert refused["walk"] < 60
        assert refused["types"] < 6
        inside.do("calm")
        assert_agrees(outside, inside)


@contextmanager
def counting(refused: dict[str, int], what: str) -> Iterator[None]:
    try:
        yield
    except Torn:
        refused[what] += 1


@every_python
def test_wrong_offsets_are_noticed_or_without_effect(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a copy of a process with threads; every offset that is used is moved by 4, 8 and 16 bytes in both directions."""
    made = PROGRAM.replace('print("ready", flush=True)', 'hammering(True); gc.collect(); print("ready", flush=True)', 1)
    for _ in range(COPIES):  # its threads run on while it is copied: one may have caught them in the middle of a change
        copied = dump_of([program, "-I", "-c", made], b"ready")
        right = attach(copied)
        assert right is not None
        if right._table is not None:
            break
    assert right._table is not None
    truth = right.counters()
    layout = right._table.layout
    slips, tables = set(), 0
    for name, offset in layout.offsets.items():
        if name.startswith("debug.") or name == "obmalloc.is_pointer":
            continue
        for by in (-16, -8, -4, 4, 8, 16):
            wrong = layout._replace(offsets={**layout.offsets, name: offset + by})
            monkeypatch.setattr(layouts, "shipped", lambda wrong=wrong: [wrong])
            tables += 1
            with suppress(Refused):
                found = attach(copied)
                values = found.counters() if found is not None else {}
                if any(truth.get(key) != value for key, value in values.items() if key != NAME + "torn"):
                    slips.add((name, by))
    assert tables >= 70
    assert slips <= {("gc.enabled", by) for by in (-8, -4, 4, 8)}


@every_python
def test_a_build_that_the_table_does_not_know(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From 3.13 on the target says enough of itself; before, only the part that needs no table is left."""
    table = [layout._replace(runtime_bytes=layout.runtime_bytes + 8) for layout in layouts.shipped()]
    monkeypatch.setattr(layouts, "shipped", lambda: table)
    with target(program) as inside, attached(inside.pid) as outside:
        values = outside.counters()
        assert outside.walk()[NAME + "pymalloc.torn"] == 0
        if int(str(outside.facts["version"]).split(".")[1]) >= 13:
            assert str(outside.facts["layout"]).endswith("(as the target describes itself)")
            assert values[NAME + "gc.collections0"] == truth(inside)["stats"][0]["collections"]
            assert NAME + "raw_blocks" in outside.missing
        else:
            assert ".dev/layouts_python.py --update" in outside.missing[NAME + "gc"]
            assert set(values) == {NAME + "arenas", NAME + "torn"}


# --- what is refused, and why --------------------------------------------------------------------------------------


@every_python
def test_without_pymalloc(program: str) -> None:
    with target(program, PYTHONMALLOC="malloc") as inside, attached(inside.pid) as outside:
        assert "PYTHONMALLOC" in outside.missing[NAME + "pymalloc"]
        assert outside.counters()[NAME + "threads"] == 1
        with pytest.raises(Refused, match="PYTHONMALLOC"):
            outside.walk()
        with pytest.raises(Refused, match="PYTHONMALLOC"):
            outside.types(1)


@every_python
def test_debugging_allocator(program: str) -> None:
    with target(program, PYTHONMALLOC="debug") as inside, attached(inside.pid) as outside:
        inside.do("fill")
        assert_agrees(outside, inside)
        rows = {row.name: row.number for row in outside.types(1)}
        assert rows["Constant"] == rows["ConstantSlots"] == CONSTANT


def test_no_python() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        process = Process("/proc", child.pid)
        assert attach(process) is None
        process.close()
        child.communicate()


def test_death_between_two_readings() -> None:
    with target(sys.executable) as inside, attached(inside.pid) as outside:
        outside.counters()
        inside.process.kill()
        inside.process.wait()
        for reading in (outside.counters, outside.walk, lambda: outside.types(1)):
            with pytest.raises(Unreadable):
                reading()


def test_another_program_in_its_place() -> None:
    with target(sys.executable) as inside, attached(inside.pid) as outside:
        outside.counters()
        inside.say("exec")
        program = Path(f"/proc/{inside.pid}/exe")
        wait_for(
            lambda: "python" not in program.readlink().name, "the other program"
        )  # what is said before goes to the first
        inside.say("now a cat")
        assert inside.hear() == "now a cat"
        for reading in (outside.counters, outside.walk, lambda: outside.types(1)):
            with pytest.raises(Unreadable):
                reading()


def test_forked_children_are_read_like_their_parent() -> None:
    program = PROGRAM.replace('print("ready", flush=True)', 'os.fork() and os.wait(); print("ready", flush=True)', 1)
    with running(sys.executable, "-I", "-c", program) as parent:
        (child,) = map(int, Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split())
        with attached(child) as outside:
            parent.do("fill")  # the child hears it
            assert_agrees(outside, parent)


def test_somebody_else_may_not() -> None:
    """One sentence, and what would be needed. As nobody if we are root, else about a process of root's."""
    become = f"os.setuid({pwd.getpwnam('nobody').pw_uid})" if os.geteuid() == 0 else ""
    program = f"""
import os, sys
sys.path.insert(0, {str(CHECKOUT)!r})
from harness.sampling.outside.process import Process
from harness.sampling.outside.refusal import Unreadable
{become}
try:
    Process("/proc", int(sys.argv[1]))
except Unreadable as reason:
    print(reason)
"""
    with target(sys.executable) as inside:
        done = subprocess.run(
            [sys.executable, "-I", "-c", program, str(inside.pid if become else 1)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert "needs root (CAP_SYS_PTRACE), or the same user" in done.stdout
    assert done.stderr == ""


def test_the_reader_itself_runs_on_the_oldest_python() -> None:
    """A 3.8 where there is one: reading each of the others, with nothing but the standard library."""
    oldest = min(pythons().items(), key=lambda item: int(item[0].split(".")[1]))[1]
    program = f"""
import json, sys
sys.path.insert(0, {str(CHECKOUT)!r})
from harness.sampling.outside.process import Process
from harness.sampling.outside.python.reader import attach
reader = attach(Process("/proc", int(sys.argv[1])))
print(json.dumps([reader.counters(), reader.walk(), {{t.name: t.number for t in reader.types(1)}}]))
"""
    for path in pythons().values():
        with target(path) as inside:
            inside.do("fill")
            done = subprocess.run(
                [oldest, "-I", "-c", program, str(inside.pid)], capture_output=True, text=True, check=True
            )
            counters, walk, types = json.loads(done.stdout)
            said = truth(inside)
        assert said["arenas"] - counters[NAME + "arenas"] in (0, 1)
        assert abs(walk[NAME + "pymalloc.live"] - said["live"]) < 64 * OWN_CALLS
        assert types["Constant"] == CONSTANT
