"""Every byte of a process has a name, whatever is known of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.diagnose.ledger.parts import SUMMANDS, Parts, parts_of

MIB = 1 << 20


def total(parts: Parts) -> int:
    return sum(getattr(parts, name) or 0 for name in SUMMANDS)


METRICS = (
    *(f"process.memory.{n}" for n in ("pss", "pss_anon", "pss_file", "pss_shmem", "swap_pss", "shared_dirty", "anon_huge")),
    *(
        f"process.smaps.{c}.{f}"
        for c in ("heap", "anonymous", "thread_stack", "main_stack", "library", "jit", "memfd")
        for f in ("rss", "pss", "swap", "anonymous", "anon_huge")
    ),
    *(f"runtime.python.pymalloc.{n}" for n in ("live", "held", "resident", "pools")),
    "runtime.python.arenas",
    *(f"runtime.php.heap.{n}" for n in ("size", "real")),
    *(f"runtime.glibc.{n}" for n in ("used", "system", "mmapped", "used_arena.0", "free_arena.0")),
    "agent.python.blocks",
    *(f"agent.python.memory.{n}" for n in ("pss", "pss_anon")),
    *(f"agent.python.pymalloc.{n}" for n in ("live", "held")),
    *(f"agent.python.glibc.{n}" for n in ("used", "system", "mmapped", "main_system", "other_system", "other_free")),
    *(f"agent.python.jemalloc.{n}" for n in ("allocated", "resident")),
    *(f"agent.python.tcmalloc.{n}" for n in ("allocated", "heap", "unmapped")),
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(METRICS), st.one_of(st.none(), st.integers(-(1 << 62), 1 << 62), st.integers(0, 99))
    ),
    st.sampled_from(["python", "php", "any"]),
)
def test_parts_add_up_to_the_byte_whatever_a_target_says(values: Mapping[str, int | None], runtime: str) -> None:
    parts = parts_of(values, runtime)
    if parts.pss is None:
        assert all(getattr(parts, name) is None for name in SUMMANDS)
    else:
        assert total(parts) == parts.pss
    if parts.live is not None:
        assert parts.live == (parts.live_runtime or 0) + (parts.live_native or 0)
        assert parts.held == sum(parts.held_by.values())
    if parts.exact_committed is not None:
        assert parts.exact_live is not None
        assert parts.exact_held is not None
        assert parts.exact_committed == parts.exact_live + parts.exact_held
        assert parts.exact_held == sum(parts.exact_held_by.values()) >= 0


def python_worker(**changes: int | None) -> dict[str, int | None]:
    """A worker that shares nothing, in MiB; names as below ``process.`` or ``runtime.``, dots as ``__``."""
    values: dict[str, int | None] = {
        "memory__pss": 100, "memory__pss_anon": 80, "memory__pss_file": 15, "memory__pss_shmem": 5, "memory__swap_pss": 0,
        "smaps__heap__rss": 30, "smaps__heap__pss": 30, "smaps__heap__swap": 0,
        "smaps__anonymous__rss": 45, "smaps__anonymous__pss": 45, "smaps__anonymous__swap": 0,
        "smaps__anonymous__anon_huge": 0,
        "smaps__main_stack__pss": 1, "smaps__thread_stack__pss": 2, "smaps__thread_stack__anon_huge": 0,
        "smaps__library__rss": 17, "smaps__library__pss": 17, "smaps__library__anonymous": 2,
        "python__pymalloc__live": 20, "python__pymalloc__held": 30, "python__pymalloc__resident": 25,
        "glibc__used": 22, "glibc__system": 32, "glibc__mmapped": 10, "glibc__used_arena.0": 22, "glibc__free_arena.0": 10,
    }  # fmt: skip
    values.update(changes)
    named = {name.replace("__", "."): None if v is None else v * MIB for name, v in values.items()}
    return {
        f"{'process' if name.startswith(('memory', 'smaps')) else 'runtime'}.{name}": value
        for name, value in named.items()
    }


def mib(parts: Parts) -> dict[str, int | None]:
    """The parts, in MiB."""
    found = {name: getattr(parts, name) for name in ("pss", *SUMMANDS)}
    return {name: None if value is None else round(value / MIB) for name, value in found.items()}


def test_a_worker() -> None:
    parts = parts_of(python_worker(), "python")
    assert mib(parts) == {
        "pss": 100, "live": 52, "held": 13, "other_native": 10, "image": 2, "files": 15, "shared": 5, "stacks": 3,
        "thp_slack": 0, "swap": 0, "unexplained": 0,
    }  # fmt: skip
    assert (parts.live_runtime, parts.live_native) == (20 * MIB, 32 * MIB)
    assert parts.held_by == {"pymalloc": 5 * MIB, "glibc": 8 * MIB}  # two of the heap's 32 MiB were never touched
    assert (parts.exact_live, parts.exact_live_runtime, parts.exact_live_native) == (52 * MIB, 20 * MIB, 32 * MIB)
    assert (parts.exact_held, parts.exact_committed) == (20 * MIB, 72 * MIB)
    assert parts.exact_held_by == {"pymalloc": 10 * MIB, "glibc": 10 * MIB}
    assert parts.exact_other == 10 * MIB
    assert parts.source == "outside"
    assert parts.explained_share == 1


def test_a_forked_worker_has_its_part_of_every_byte_and_all_of_the_exact_ones() -> None:
    parts = parts_of(python_worker(memory__pss=60, memory__pss_anon=40, smaps__heap__pss=15, smaps__anonymous__pss=20,
                                   smaps__library__pss=16), "python")  # fmt: skip
    assert (parts.live_native, parts.live_runtime) == (11 * MIB + 10 * MIB * 20 // 45, 20 * MIB * 20 // 45)
    assert mib(parts)["other_native"] == round(10 * 20 / 45)
    assert parts.exact_live == 52 * MIB
    assert total(parts) == 60 * MIB


def test_swapped_memory_is_a_part_of_its_own() -> None:
    parts = parts_of(
        python_worker(
            memory__pss=90, memory__pss_anon=70, memory__swap_pss=10, smaps__anonymous__rss=35, smaps__anonymous__pss=35,
            smaps__anonymous__swap=10, python__pymalloc__resident=None,
        ),
        "python",
    )  # fmt: skip
    assert (parts.pss, parts.swap) == (100 * MIB, 10 * MIB)
    assert total(parts) == 100 * MIB
    assert parts.live is not None
    assert parts.live_runtime == 20 * MIB * 35 // 45  # as likely to be out as all else in these mappings
    assert parts.exact_live == 52 * MIB


def test_arenas_of_threads_have_a_place_of_their_own() -> None:
    """20 MiB of arenas, of which 12 are not in memory after a trim, and 10 MiB that nobody took."""
    values = python_worker(
        glibc__used=27, glibc__system=52,
        smaps__malloc_arena__rss=8, smaps__malloc_arena__pss=8, smaps__malloc_arena__swap=0,
        smaps__anonymous__rss=53, smaps__anonymous__pss=53, memory__pss=108, memory__pss_anon=88,
    )  # fmt: skip
    parts = parts_of(values, "python")
    assert parts.other_native == 10 * MIB
    assert parts.exact_other == 10 * MIB
    assert parts.held_by["glibc"] == (8 + 3) * MIB
    unknown = parts_of({name: v for name, v in values.items() if "malloc_arena" not in name}, "python")
    assert unknown.other_native == 0  # it may be what the arenas have
    small = parts_of({**values, "process.smaps.malloc_arena.rss": 4 * MIB}, "python")
    assert small.other_native == 0  # less than is live in them: those are not all arenas


def test_memory_that_nobody_took_is_not_called_so_where_an_allocator_is_unknown() -> None:
    parts = parts_of(python_worker(python__pymalloc__live=None), "python")
    assert (parts.live_runtime, parts.other_native, parts.exact_live, parts.exact_other) == (None, None, None, None)
    assert parts.live == parts.live_native == 32 * MIB
    assert parts.unexplained == 35 * MIB
    assert parts.explained_share == pytest.approx(0.65)
    native = parts_of(python_worker(glibc__used=None), "python")
    assert (native.live_native, native.other_native, native.exact_live_native) == (None, None, None)
    assert native.live == native.live_runtime == native.exact_live_runtime == 20 * MIB
    nobody = parts_of(python_worker(glibc__used=None, python__pymalloc__live=None), "any")
    assert (nobody.live, nobody.held, nobody.source) == (None, None, None)
    assert nobody.unexplained == 75 * MIB


def test_generated_code_is_nobodys() -> None:
    code = {"smaps__jit__rss": 8, "smaps__jit__pss": 4, "smaps__jit__anonymous": 6}
    parts = parts_of(python_worker(memory__pss=104, memory__pss_anon=83, memory__pss_file=16, **code), "python")
    assert parts.other_native == 13 * MIB  # three quarters of what is there belong to no file
    assert parts.exact_other == 16 * MIB
    assert parts.image == 2 * MIB


def test_places_of_arenas_that_were_never_used_are_there_for_huge_pages_only() -> None:
    values = python_worker(python__pymalloc__held=30, smaps__anonymous__anon_huge=20)
    values |= {"runtime.python.arenas": 30, "runtime.python.pymalloc.pools": 64 * 22}
    parts = parts_of(values, "python")
    assert (parts.thp_slack, parts.held_by["pymalloc"]) == (3 * MIB, 2 * MIB)
    assert parts.anon_huge == 20 * MIB
    assert parts.held == sum(parts.held_by.values())
    without = parts_of({**values, "process.smaps.anonymous.anon_huge": 0}, "python")
    assert (without.thp_slack, without.held_by["pymalloc"]) == (0, 5 * MIB)


def test_stacks_in_huge_pages() -> None:
    values = python_worker(
        smaps__thread_stack__pss=20, smaps__thread_stack__anon_huge=16, memory__pss=118, memory__pss_anon=98
    )
    parts = parts_of(values, "python")
    assert parts.thp_slack == 14 * MIB  # all but 256 KiB of each of the eight
    assert parts.stacks == 7 * MIB
    assert parts.other_native == 10 * MIB


def test_private_copies_are_at_most_what_was_counted() -> None:
    parts = parts_of(python_worker(memory__pss=110, memory__pss_anon=90), "python")
    assert parts.image == 2 * MIB
    assert parts.unexplained == 10 * MIB  # the two readings of anonymous memory differ
    before = parts_of(python_worker(memory__pss=80, memory__pss_anon=60), "python")
    assert before.image == 0
    assert before.unexplained == -18 * MIB
    assert before.explained_share == pytest.approx(1 - 18 / 80)


def test_an_old_kernel_tells_no_kinds_of_pages() -> None:
    values = python_worker(
        memory__pss_anon=None, memory__pss_file=None, memory__pss_shmem=None, smaps__memfd__pss=5, memory__pss=100,
    )  # fmt: skip
    parts = parts_of(values, "python")
    assert mib(parts) == {
        "pss": 100, "live": 52, "held": 13, "other_native": 10, "image": 2, "files": 15, "shared": 5, "stacks": 3,
        "thp_slack": 0, "swap": 0, "unexplained": 0,
    }  # fmt: skip
    bare = {name: None if ".library." in name else value for name, value in values.items()}
    assert parts_of(bare, "python").image == 0


def test_without_mappings_heaps_are_looked_for_where_no_page_is_shared() -> None:
    values = {name: v for name, v in python_worker().items() if "smaps" not in name}
    parts = parts_of({**values, "process.memory.shared_dirty": 0, "process.memory.anon_huge": MIB}, "python")
    assert (parts.live, parts.held, parts.other_native, parts.stacks) == (52 * MIB, 15 * MIB, None, None)
    assert parts.unexplained == 13 * MIB
    assert (parts.exact_live, parts.exact_other, parts.anon_huge) == (52 * MIB, None, MIB)
    shared = parts_of({**values, "process.memory.shared_dirty": MIB}, "python")
    assert (shared.live, shared.held, shared.unexplained) == (None, None, 80 * MIB)
    assert shared.exact_live == 52 * MIB


def test_an_agents_word_where_nobody_may_look() -> None:
    told = {
        "memory.pss": 100, "memory.pss_anon": 80, "pymalloc.live": 20, "pymalloc.held": 30,
        "glibc.used": 22, "glibc.system": 32, "glibc.mmapped": 10,
    }  # fmt: skip
    values = {f"agent.python.{name}": value * MIB for name, value in told.items()}
    parts = parts_of({**values, "process.memory.shared_dirty": 0}, "python")
    assert (parts.pss, parts.live, parts.held, parts.files) == (100 * MIB, 52 * MIB, 20 * MIB, None)
    assert parts.unexplained == 28 * MIB
    assert parts.source == "agent"


def test_a_process_that_was_not_measured() -> None:
    parts = parts_of({"runtime.python.pymalloc.live": 5, "runtime.python.pymalloc.held": 9}, "python")
    assert (parts.pss, parts.live, parts.explained_share) == (None, None, None)
    assert parts.exact_live_runtime == 5
    assert parts_of({"process.memory.pss": 0}, "any").explained_share is None


def test_a_preloaded_malloc_has_the_heap_too() -> None:
    values = python_worker(**dict.fromkeys(["glibc__used", "glibc__system", "glibc__mmapped"]))
    values |= {"agent.python.tcmalloc.allocated": 30 * MIB, "agent.python.tcmalloc.heap": 42 * MIB}
    parts = parts_of(values, "python")
    assert (parts.live_native, parts.held_by["tcmalloc"], parts.other_native) == (30 * MIB, 12 * MIB, 8 * MIB)
    assert parts.source == "both"
