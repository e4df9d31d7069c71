"""Every byte of a process has a name, whatever is known of it."""

from __future__ import annotations

from collections.abc import Mapping

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
