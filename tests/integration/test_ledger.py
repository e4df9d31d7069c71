"""The ledger of real processes in known states: what it says a byte is, against what the program did."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from obedient import Target, running
from processes import DEADLINE_S, free_port, wait_for
from pythons import pythons
from sweeps import Watched

from adapters.php.installed import find_fpm
from harness.diagnose.ledger.parts import SUMMANDS, Parts, parts_of
from harness.diagnose.ledger.pool import summed

pytestmark = pytest.mark.integration

PROGRAMS = Path(__file__).parents[1] / "programs"
AGENT = Path(__file__).parents[2] / "adapters" / "python" / "agent"
LIBRARIES = Path(f"/usr/lib/{os.uname().machine}-linux-gnu")
MIB = 1 << 20
EXPLAINED = 0.95
OWN_BYTES = MIB // 4  # that asking takes, and what is allocated between two readings

every_python = pytest.mark.parametrize("python", pythons().values(), ids=pythons().keys())


class Looked:
    """A running program of known states."""

    def __init__(self, target: Target, watched: Watched, runtime: str) -> None:
        self._target = target
        self._watched = watched
        self._runtime = runtime
        self.shares: list[float] = []

    def told(self) -> dict[str, int]:
        """What the program's allocators say from inside."""
        self._target.say("told")
        answer: dict[str, int] = json.loads(self._target.hear())
        return answer

    def after(self, *words: str, more: Mapping[str, int | None] | None = None) -> Parts:
        """The ledger once it has done these things."""
        return self.all_after(*words, more=more)[self._target.pid]

    def all_after(self, *words: str, more: Mapping[str, int | None] | None = None) -> dict[int, Parts]:
        self._target.do(*words)
        found = {}
        for pid, values in self._watched.floor().items():
            parts = parts_of({**values, **(more or {})}, self._runtime)
            assert sum(getattr(parts, name) or 0 for name in SUMMANDS) == parts.pss
            assert parts.explained_share is not None
            self.shares.append(parts.explained_share)
            found[pid] = parts
        return found


@contextmanager
def python_program(python: str = sys.executable, **env: str) -> Iterator[Looked]:
    with (
        running(python, PROGRAMS / "python_ledger_states.py", AGENT, env=env) as target,
        closing(Watched(target.pid)) as watched,
    ):
        yield Looked(target, watched, "python")


@contextmanager
def php_program() -> Iterator[Looked]:
    settings = {"opcache.enable_cli": "1", "apc.enable_cli": "1", "ffi.enable": "1", "memory_limit": "-1"}
    options = [part for name, value in settings.items() for part in ("-d", f"{name}={value}")]
    with (
        running("php", *options, PROGRAMS / "php_ledger_states.php") as target,
        closing(Watched(target.pid)) as watched,
    ):
        yield Looked(target, watched, "php")


def near(value: int | None, expected: float, within: float = 2 * MIB) -> bool:
    return value is not None and abs(value - expected) <= within


def agrees_with_inside(parts: Parts, told: Mapping[str, int]) -> bool:
    native = told["glibc.used_bytes"] + told["glibc.mmapped_bytes"]
    return near(parts.exact_live_runtime, told["pymalloc.live_bytes"], OWN_BYTES) and near(
        parts.exact_live_native, native, OWN_BYTES
    )


@every_python
def test_every_state_of_every_python(python: str) -> None:
    with python_program(python) as program:
        start = program.after()
        assert agrees_with_inside(start, program.told())
        loaded = program.after("load")
        assert agrees_with_inside(loaded, program.told())
        assert start.live is not None
        assert loaded.live is not None
        assert loaded.exact_live is not None
        assert start.exact_live is not None
        assert near(loaded.live - start.live, loaded.exact_live - start.exact_live)
        assert loaded.live - start.live > 10 * MIB

        freed = program.after("blocks")
        assert near(freed.held_by["glibc"] - loaded.held_by["glibc"], 45 * MIB, 3 * MIB)  # 3 of 4 of 60 MiB

        large = program.after("large")
        assert freed.live is not None
        assert large.live is not None
        assert near(large.live - freed.live, 40 * MIB)  # and not the 100 MiB that were never written
        assert large.exact_live is not None
        assert freed.exact_live is not None
        assert near(large.exact_live - freed.exact_live, 140 * MIB)

        dropped = program.after("drop")
        assert dropped.held_by["pymalloc"] - large.held_by["pymalloc"] > 8 * MIB
        assert agrees_with_inside(dropped, program.told())

        mapped = program.after("file", "shared")
        assert mapped.files is not None
        assert dropped.files is not None
        assert near(mapped.files - dropped.files, 20 * MIB)
        assert near(mapped.shared, 10 * MIB, MIB)
        assert statistics.median(program.shares) >= EXPLAINED
        assert min(program.shares) >= EXPLAINED


@every_python
def test_memory_outside_every_allocator_is_found_before_and_after_a_trim(python: str) -> None:
    with python_program(python) as program:
        program.after("load", "blocks", "drop")
        outside = program.after("outside")
        assert near(outside.other_native, 50 * MIB)
        threads = program.after("threads")
        assert near(threads.other_native, 50 * MIB)
        assert threads.stacks is not None
        assert outside.stacks is not None
        assert threads.stacks > outside.stacks
        trimmed = program.after("trim")
        assert near(trimmed.other_native, 50 * MIB)
        assert near(trimmed.exact_other, 50 * MIB)
        assert threads.held_by["glibc"] - trimmed.held_by["glibc"] > 25 * MIB  # free as before, but not in memory
        assert threads.exact_held is not None
        assert near(trimmed.exact_held, threads.exact_held, 4 * MIB)
        assert min(program.shares) >= EXPLAINED


def test_an_agent_tells_the_same() -> None:
    with python_program() as program:
        program.after("load", "blocks", "drop", "outside")
        told = {"agent.python." + name.replace("_bytes", ""): value for name, value in program.told().items()}
        outside = program.after()
        unread = dict.fromkeys(["runtime.python.pymalloc.live", "runtime.glibc.used"])
        inside = program.after(more={**told, **unread})
        assert (outside.source, inside.source) == ("outside", "agent")
        for name in ("live", "held", "other_native"):
            assert near(getattr(inside, name), getattr(outside, name)), name
        assert min(program.shares) >= EXPLAINED


@pytest.mark.parametrize("name", ["jemalloc", "tcmalloc"])
def test_another_malloc_is_known_by_the_agent_only(name: str) -> None:
    library = next(LIBRARIES.glob(f"lib{name}*.so.*"), None)
    assert library is not None, f"lib{name} is not installed: run .dev/setup"
    with python_program(LD_PRELOAD=str(library)) as program:
        program.after("load", "blocks", "outside")
        without = program.after()
        program.shares.clear()
        told = {"agent.python." + key.replace("_bytes", ""): value for key, value in program.told().items()}
        parts = program.after(more=told)
        assert without.live_native is None
        assert without.other_native is None  # what nobody took cannot be told from what this malloc did
        assert without.unexplained is not None
        assert without.unexplained > 50 * MIB
        assert parts.source == "both"
        assert parts.exact_live_native == told[f"agent.python.{name}.allocated"]
        assert parts.other_native is not None
        assert parts.other_native > 30 * MIB
        assert min(program.shares) >= EXPLAINED


def test_without_pymalloc_all_is_mallocs() -> None:
    with python_program(PYTHONMALLOC="malloc") as program:
        start, loaded = program.after(), program.after("load")
        assert loaded.live_runtime is None
        assert loaded.live_native is not None
        assert start.live_native is not None
        assert loaded.live_native - start.live_native > 10 * MIB
        assert min(program.shares) >= EXPLAINED
        told = program.after(more={"agent.python.blocks": 0})  # which says that there is none
        assert told.live_runtime == 0
        assert told.other_native is not None


def test_forked_workers_share_what_they_were_born_with() -> None:
    with python_program() as program:
        alone = program.after("load", "blocks")
        family = program.all_after("fork")
        try:
            assert len(family) == 5
            total = summed(family.values())
            assert total["pss"] == sum(parts.pss or 0 for parts in family.values())
            assert sum(value or 0 for name, value in total.items() if name != "pss") == total["pss"]
            assert alone.live is not None
            assert total["live"] is not None
            assert total["live"] < 5 * alone.live  # most pages are still one for all
            exact = [parts.exact_live or 0 for parts in family.values()]
            assert min(exact) > alone.live  # but each has all of it
            assert max(exact) - min(exact) > 3 * MIB  # the last took more of its own
            assert min(program.shares) >= EXPLAINED
        finally:
            program.after("end")


def test_every_state_of_php() -> None:
    with php_program() as program:
        start = program.after()
        loaded = program.after("load")
        told = program.told()
        assert near(loaded.exact_live_runtime, told["size"], OWN_BYTES)
        assert loaded.live is not None
        assert start.live is not None
        assert loaded.live - start.live > 20 * MIB
        dropped = program.after("drop")
        assert dropped.held_by["zend"] - loaded.held_by["zend"] > 15 * MIB
        large = program.after("large")
        assert large.live_runtime is not None
        assert dropped.live_runtime is not None
        assert near(large.live_runtime - dropped.live_runtime, 40 * MIB)
        documents = program.after("documents")
        assert documents.live_native is not None
        assert large.live_native is not None
        assert documents.live_native - large.live_native > 30 * MIB
        outside = program.after("outside")
        assert near(outside.other_native, 50 * MIB, MIB)
        stored = program.after("store")
        assert stored.shared is not None
        assert outside.shared is not None
        assert near(stored.shared - outside.shared, 10 * MIB, MIB)
        trimmed = program.after("forget", "trim")
        assert near(trimmed.other_native, 50 * MIB, MIB)
        assert min(program.shares) >= EXPLAINED


FPM = """[global]
error_log = {directory}/fpm.log
daemonize = no
[app]
listen = 127.0.0.1:{port}
pm = static
pm.max_children = 3
{account}
"""


def test_a_pool_of_php_fpm_counts_shared_memory_once() -> None:
    """Workers at rest: small, with most of their pages shared with the master and each other."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        account = "user = nobody\ngroup = nogroup" if os.geteuid() == 0 else ""
        config = directory / "fpm.conf"
        config.write_text(FPM.format(directory=directory, port=free_port(), account=account))
        program = find_fpm()
        assert program, "these tests need php-fpm"
        master = subprocess.Popen([program, "-y", str(config), "-F"], stderr=subprocess.DEVNULL)
        try:
            children = Path(f"/proc/{master.pid}/task/{master.pid}/children")
            wait_for(lambda: len(children.read_text().split()) == 3, "php-fpm's workers")
            for pid in children.read_text().split():
                titled = Path(f"/proc/{pid}/cmdline")
                wait_for(lambda titled=titled: b"pool app" in titled.read_bytes(), "the pool")  # type: ignore[misc]
            with closing(Watched(master.pid)) as watched:
                values = watched.floor()
        finally:
            master.terminate()
            master.wait(DEADLINE_S)
    family = [parts_of(found, "php") for found in values.values()]
    assert len(family) == 4
    assert all(parts.exact_live is not None and parts.live_runtime is not None for parts in family)
    assert statistics.median(parts.explained_share or 0 for parts in family) >= EXPLAINED
    total = summed(family)
    assert sum(value or 0 for name, value in total.items() if name != "pss") == total["pss"]
    assert total["pss"] == sum(found["process.memory.pss"] or 0 for found in values.values())
    segment = max(found["process.smaps.opcache_apcu.rss"] or 0 for found in values.values())
    assert total["shared"] is not None
    assert total["shared"] < 1.5 * segment
