"""What allocators say of themselves, from either side."""

from __future__ import annotations

import pytest

from harness.diagnose.ledger.taken import Account, Claim, taken_by

GLIBC_OUTSIDE = {
    "runtime.glibc.used": 700,
    "runtime.glibc.system": 1000,
    "runtime.glibc.mmapped": 50,
    "runtime.glibc.used_arena.0": 500,
    "runtime.glibc.free_arena.0": 200,
}
GLIBC_AGENT = {
    "agent.python.glibc.used": 710,
    "agent.python.glibc.system": 1000,
    "agent.python.glibc.mmapped": 60,
    "agent.python.glibc.main_system": 700,
    "agent.python.glibc.other_system": 300,
    "agent.python.glibc.other_free": 100,
}
PYMALLOC_OUTSIDE = {"runtime.python.pymalloc.live": 80, "runtime.python.pymalloc.held": 100}
PYMALLOC_AGENT = {"agent.python.pymalloc.live": 81, "agent.python.pymalloc.held": 100}


def test_from_outside_comes_first() -> None:
    taken = taken_by({**GLIBC_OUTSIDE, **GLIBC_AGENT, **PYMALLOC_OUTSIDE, **PYMALLOC_AGENT}, "python")
    assert taken.source == "outside"
    assert taken.runtime == Account("pymalloc", 80, 100, "outside", Claim("pymalloc", 80, 100))
    assert taken.native == Account(
        "glibc", 750, 1050, "outside", Claim("glibc", 50, 50), Claim("glibc", 200, 300), Claim("glibc", 500, 700)
    )
    assert taken.complete


def test_an_agent_says_the_same() -> None:
    taken = taken_by({**GLIBC_AGENT, **PYMALLOC_AGENT}, "python")
    assert taken.source == "agent"
    assert taken.runtime == Account("pymalloc", 81, 100, "agent", Claim("pymalloc", 81, 100))
    assert taken.native == Account(
        "glibc", 770, 1060, "agent", Claim("glibc", 60, 60), Claim("glibc", 200, 300), Claim("glibc", 510, 700)
    )


def test_each_from_whom_it_is_known() -> None:
    taken = taken_by({**GLIBC_OUTSIDE, **PYMALLOC_AGENT}, "python")
    assert taken.source == "both"
    assert taken.complete


@pytest.mark.parametrize("prefix", ["runtime.glibc.", "agent.python.glibc."])
def test_without_the_arenas_apart_malloc_is_anywhere(prefix: str) -> None:
    values = {f"{prefix}used": 700, f"{prefix}system": 1000, f"{prefix}mmapped": 50}
    native = taken_by(values, "any").native
    assert native is not None
    assert (native.anonymous, native.arenas, native.heap) == (Claim("glibc", 750, 1050), None, None)


@pytest.mark.parametrize("lacking", ["used", "system", "mmapped"])
@pytest.mark.parametrize("prefix", ["runtime.glibc.", "agent.python.glibc."])
def test_malloc_is_known_as_a_whole_or_not(prefix: str, lacking: str) -> None:
    values = {f"{prefix}used": 700, f"{prefix}system": 1000, f"{prefix}mmapped": 50, f"{prefix}{lacking}": None}
    taken = taken_by(values, "any")
    assert (taken.native, taken.complete, taken.source) == (None, False, None)


def test_resident_pages_of_pymalloc_are_counted() -> None:
    own = taken_by({**PYMALLOC_OUTSIDE, "runtime.python.pymalloc.resident": 90}, "python").runtime
    assert own is not None
    assert (own.committed, own.anonymous) == (100, Claim("pymalloc", 80, 90, counted=True))


@pytest.mark.parametrize(("arena", "pool"), [(1 << 20, 16384), (1 << 18, 4096)])
def test_what_lies_behind_the_last_pool_was_never_used(arena: int, pool: int) -> None:
    values = {
        "runtime.python.pymalloc.live": 10 * pool,
        "runtime.python.pymalloc.held": 2 * arena,
        "runtime.python.pymalloc.resident": 2 * arena,
        "runtime.python.pymalloc.pools": 20,
        "runtime.python.arenas": 2,
    }
    own = taken_by(values, "python").runtime
    assert own is not None
    assert own.untouched == 2 * arena - 20 * pool
    guessed = taken_by({**values, "runtime.python.pymalloc.resident": None}, "python").runtime
    assert guessed is not None
    assert guessed.untouched == 0


@pytest.mark.parametrize(("prefix", "source"), [("runtime.php.heap.", "outside"), ("agent.php.heap.", "agent")])
def test_zend(prefix: str, source: str) -> None:
    taken = taken_by({f"{prefix}size": 5, f"{prefix}real": 9}, "php")
    assert taken.runtime == Account("zend", 5, 9, source, Claim("zend", 5, 9))
    assert not taken.complete


def test_resident_pages_of_zends_chunks_are_counted() -> None:
    own = taken_by(
        {"runtime.php.heap.size": 5, "runtime.php.heap.real": 9, "runtime.php.heap.resident": 7}, "php"
    ).runtime
    assert own is not None
    assert (own.committed, own.anonymous) == (9, Claim("zend", 5, 7))


def test_another_malloc_is_asked_before_glibc_which_it_replaces() -> None:
    idle = dict.fromkeys(GLIBC_AGENT, 0)
    jemalloc = {"agent.python.jemalloc.allocated": 60, "agent.python.jemalloc.resident": 90}
    tcmalloc = {
        "agent.python.tcmalloc.allocated": 60,
        "agent.python.tcmalloc.heap": 100,
        "agent.python.tcmalloc.unmapped": 25,
    }
    assert taken_by({**idle, **jemalloc}, "python").native == Account(
        "jemalloc", 60, 90, "agent", Claim("jemalloc", 60, 90)
    )
    assert taken_by({**idle, **tcmalloc}, "python").native == Account(
        "tcmalloc", 60, 75, "agent", Claim("tcmalloc", 60, 75)
    )


def test_which_runtime_must_be_known() -> None:
    assert taken_by(GLIBC_OUTSIDE, "any").complete
    assert not taken_by(GLIBC_OUTSIDE, "python").complete
    assert not taken_by(GLIBC_OUTSIDE, "php").complete
    without = taken_by({**GLIBC_OUTSIDE, "agent.python.blocks": 0}, "python")
    assert without.no_pymalloc
    assert without.complete


def test_what_a_target_says_of_itself_is_made_possible() -> None:
    own = taken_by({"agent.python.pymalloc.live": -5, "agent.python.pymalloc.held": -9}, "python").runtime
    assert own is not None
    assert own.anonymous == Claim("pymalloc", 0, 0)
    more = taken_by({"agent.python.pymalloc.live": 50, "agent.python.pymalloc.held": 9}, "python").runtime
    assert more is not None
    assert (more.committed, more.anonymous) == (50, Claim("pymalloc", 50, 50))
