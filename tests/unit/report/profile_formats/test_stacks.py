"""What all formats of profiles are written from."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports import call_profile, curve_profile, line_profile, object_profile

from harness.model.profile import CallNode, Frame, FunctionCost, LineCost, Profile, ValueType
from harness.report.profile_formats import stacks as module
from harness.report.profile_formats.stacks import LEFT_OUT, place, stacks_of, walk

TIME = ValueType("time", "ns", "time")
GROWTH = ValueType("memory_growth", "bytes", "growth")


def chain(own: list[int], kind: ValueType = TIME, *, extra: int = 0) -> Profile:
    """Each call within the one before; ``extra``: what the innermost one did that is not in the tree."""
    total = [sum(own[n:]) + extra for n in range(len(own))]
    tree = tuple(CallNode(n, n - 1, 1, (own[n],), (total[n],)) for n in range(len(own)))
    return Profile("t", (kind,), frames=tuple(Frame(f"f{n}", "a.py", n) for n in range(len(own))), tree=tree)


def test_a_tree_keeps_its_sums() -> None:
    stacks = stacks_of(chain([1, 2, 3]))
    assert [column.name for column in stacks.columns] == ["time"]
    assert stacks.totals(0) == [6, 5, 3]
    assert stacks.stack(2) == [2, 1, 0]
    assert [node for node, entering in walk(stacks.children()) if entering] == [0, 1, 2]
    assert [node for node, entering in walk(stacks.children()) if not entering] == [2, 1, 0]


def test_what_readers_left_out_of_a_tree_is_a_call_of_its_own() -> None:
    stacks = stacks_of(chain([1, 2, 3], extra=10))
    assert stacks.totals(0)[0] == 16
    assert stacks.frames[stacks.frame[-1]].function == LEFT_OUT
    assert stacks.stack(3) == [3, 2, 1, 0]


def test_clamped_memory_is_what_functions_gained_themselves() -> None:
    """Xdebug writes growth without frees: a caller may show less than what it called."""
    tree = (CallNode(0, -1, 1, (5, 100), (9, 120)), CallNode(1, 0, 1, (4, 5_000), (4, 5_000)))
    functions = tuple(FunctionCost(n.frame, 1, n.self_values, n.inclusive_values) for n in tree)
    profile = Profile("xdebug", (TIME, GROWTH), frames=(Frame("a", "", None),) * 2, functions=functions, tree=tree)
    stacks = stacks_of(profile)
    assert [(column.name, column.own) for column in stacks.columns] == [("time", False), ("self_memory_growth", True)]
    assert "of functions themselves" in stacks.columns[1].title
    assert stacks.totals(1)[0] == 5_100
    assert stacks.column("memory_growth") == stacks.column("self_memory_growth") == 1


def test_growth_that_adds_up_by_chance_is_called_the_same() -> None:
    """So that names do not differ from run to run."""
    assert [column.name for column in stacks_of(call_profile()).columns] == ["time", "self_memory_growth"]
    assert [column.name for column in stacks_of(line_profile()).columns] == ["self_memory_growth"]


def test_signed_growth_is_told_as_gained_and_given_back_where_a_format_has_no_sign() -> None:
    profile = curve_profile()
    unsigned, signed = stacks_of(profile), stacks_of(profile, signed=True)
    assert [column.name for column in signed.columns] == ["time", "memory_growth"]
    assert [column.name for column in unsigned.columns] == ["time", "memory_growth_gained", "memory_growth_given_back"]
    assert sum(unsigned.values[1]) - sum(unsigned.values[2]) == sum(signed.values[1]) == 10_000
    assert all(value >= 0 for column in unsigned.values for value in column)


def test_a_profile_without_calls_is_stacks_of_one_frame() -> None:
    stacks = stacks_of(line_profile())
    assert set(stacks.parent) == {-1}
    assert stacks.notes[0] == "The profile has no call tree: these are its lines, without their callers."
    assert sum(stacks.values[0]) == 40_960 + 2_150_400
    objects = stacks_of(object_profile())
    assert objects.frames[0].function == "shop.models.Order"
    assert [column.name for column in objects.columns] == ["inuse_objects", "inuse_space"]


def test_levels_are_not_added_up() -> None:
    """The highest RSS of two lines is not the sum of both."""
    kinds = (ValueType("memory_growth", "bytes", "growth"), ValueType("rss", "bytes", "highest RSS"))
    lines = (LineCost("a.py", 1, "f", None, (5, 900)), LineCost("a.py", 2, "f", None, (None, 950)))
    profile = Profile("memory_profiler", kinds, lines=lines)
    assert [column.source for column in stacks_of(profile).columns] == ["memory_growth"]
    with pytest.raises(ValueError, match="only levels"):
        stacks_of(dataclasses.replace(profile, value_types=kinds[1:], lines=(LineCost("a", 1, "f", None, (9,)),)))


def test_what_cannot_be_stacks_is_told() -> None:
    with pytest.raises(ValueError, match="no values"):
        stacks_of(Profile("xdebug_gcstats", ()))
    with pytest.raises(ValueError, match="neither calls nor"):
        stacks_of(Profile("t", (TIME,)))
    with pytest.raises(ValueError, match=r"no value 'mem.*it has time"):
        stacks_of(chain([1]), "mem\x1b")


def test_names_can_be_shown() -> None:
    frames = (
        Frame("a\nb\x1b[2J", "x\ty", -3),
        Frame("", "/srv/app/views.py", 7),
        Frame("\ud800", "", 2**70),
        Frame("n" * 9_000, "", None),
    )
    tree = tuple(CallNode(n, -1, 1, (1,), (1,)) for n in range(4))
    shown = stacks_of(Profile("t", (TIME,), frames=frames, tree=tree)).frames
    assert [frame.function[:20] for frame in shown] == ["a b\\x1b[2J", "views.py:7", "\\ud800", "n" * 20]
    assert all(len(frame.function) <= module.NAME_LETTERS for frame in shown)
    assert [frame.line for frame in shown] == [None, 7, 2**31 - 1, None]
    assert place(shown[1]) == "/srv/app/views.py:7"


def test_columns_of_one_name_are_numbered() -> None:
    profile = Profile("t", (TIME, TIME), frames=(Frame("f", "", None),), tree=(CallNode(0, -1, 1, (1, 2), (1, 2)),))
    assert [column.name for column in stacks_of(profile).columns] == ["time", "time_2"]


@given(st.lists(st.integers(0, 100), min_size=1, max_size=60), st.integers(1, 30), st.integers(1, 30))
def test_caps_keep_sums(own: list[int], nodes: int, depth: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "NODE_CAP", nodes)
        patch.setattr(module, "DEPTH_CAP", depth)
        patch.setattr(module, "EXPANDED_CAP", 40)
        for expanded in (False, True):
            stacks = stacks_of(chain(own, extra=3), expanded=expanded)
            assert sum(stacks.values[0]) == sum(own) + 3
            assert all(parent < node for node, parent in enumerate(stacks.parent))
            assert len(stacks.parent) <= len(own) + 2 * nodes + 1
        if len(own) > depth:
            assert any("deeper than" in note for note in stacks.notes)


def test_a_deep_recursion_does_not_take_the_stack_of_python() -> None:
    stacks = stacks_of(chain([1] * 50_000))
    assert len(stacks.parent) == module.DEPTH_CAP
    assert stacks.totals(0)[0] == 50_000
    assert sum(1 for _ in walk(stacks.children())) == 2 * module.DEPTH_CAP
