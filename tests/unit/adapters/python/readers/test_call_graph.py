"""Taking the agent's own frames out of a call graph."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.python.readers import call_graph
from adapters.python.readers.call_graph import Figures, Function, Graph, merged, self_ns, without_ours


def graph(functions: dict[int, tuple[str, Figures]], calls: dict[tuple[int, int], Figures]) -> Graph:
    """Names tell what a function is: ``_ours``, ``<builtin>``."""
    return Graph(
        {
            number: Function(
                None if name.startswith("<") else f"/{name}.py",
                None if name.startswith("<") else 1,
                name,
                name.startswith("_"),
                figures,
            )
            for number, (name, figures) in functions.items()
        },
        calls,
    )


def test_callers_of_ours_call_what_ours_called() -> None:
    found = without_ours(
        graph(
            {0: ("server", Figures(1, 5, 100)), 1: ("_wrapper", Figures(2, 3, 95)), 2: ("app", Figures(2, 92, 92))},
            {(0, 1): Figures(2, 3, 95), (1, 2): Figures(2, 92, 92)},
        )
    )
    assert [f.name for f in found.functions.values()] == ["server", "app"]
    assert found.calls == {(0, 2): Figures(2, 92, 92)}
    assert found.functions[0].figures == Figures(1, 5, 100)


def test_wrappers_within_wrappers() -> None:
    found = without_ours(
        graph(
            {0: ("server", Figures(1)), 1: ("_outer", Figures(1)), 2: ("_inner", Figures(1)), 3: ("app", Figures(1))},
            {(0, 1): Figures(1, 1, 9), (1, 2): Figures(1, 1, 8), (2, 3): Figures(1, 7, 7)},
        )
    )
    assert found.calls == {(0, 3): Figures(1, 7, 7)}


def test_what_ours_was_not_called_for_becomes_a_root() -> None:
    """Three of four calls of the wrapper came from a function that was already running when the profile began."""
    found = without_ours(
        graph(
            {0: ("server", Figures(1, 0, 0)), 1: ("_wrapper", Figures(4, 0, 40)), 2: ("app", Figures(4, 40, 40))},
            {(0, 1): Figures(1, 0, 10), (1, 2): Figures(4, 40, 40)},
        )
    )
    assert found.calls == {(0, 2): Figures(1, 10, 10)}


def test_builtins_that_ours_called_are_no_calls_of_the_application() -> None:
    found = without_ours(
        graph(
            {
                0: ("app", Figures(1, 5, 50)),
                1: ("_callback", Figures(2, 1, 10)),
                2: ("<clock>", Figures(5, 50, 50)),
                3: ("<len>", Figures(2, 4, 4)),
            },
            {
                (0, 1): Figures(2, 1, 10),
                (0, 2): Figures(3, 30, 30),
                (1, 2): Figures(2, 20, 20),
                (1, 3): Figures(2, 4, 4),
            },
        )
    )
    assert {f.name: f.figures for f in found.functions.values()} == {
        "app": Figures(1, 5, 50),
        "<clock>": Figures(3, 30, 30),
    }
    assert found.calls == {(0, 2): Figures(3, 30, 30)}


def test_what_a_builtin_called_for_us_is_called_by_our_callers() -> None:
    """``next`` in our wrapper of a body resumes the application's generator."""
    found = without_ours(
        graph(
            {
                0: ("server", Figures(1, 1, 100)),
                1: ("_body", Figures(4, 1, 90)),
                2: ("<next>", Figures(4, 1, 89)),
                3: ("generator", Figures(4, 88, 88)),
            },
            {(0, 1): Figures(4, 1, 90), (1, 2): Figures(4, 1, 89), (2, 3): Figures(4, 88, 88)},
        )
    )
    assert found.calls == {(0, 3): Figures(4, 88, 88)}
    assert [f.name for f in found.functions.values()] == ["server", "generator"]


def test_ours_that_reaches_itself_through_a_builtin() -> None:
    """A wrapped body whose chunks come from another wrapped body."""
    found = without_ours(
        graph(
            {
                0: ("_body", Figures(4, 2, 90)),
                1: ("<next>", Figures(4, 1, 89)),
                2: ("generator", Figures(2, 70, 70)),
                3: ("server", Figures(1, 1, 100)),
                4: ("_other", Figures(1, 1, 91)),
            },
            {
                (3, 0): Figures(2, 1, 90),
                (0, 1): Figures(4, 1, 89),
                (1, 0): Figures(2, 1, 80),
                (1, 2): Figures(2, 70, 70),
                (4, 0): Figures(0, 0, 0),
            },
        )
    )
    assert [f.name for f in found.functions.values()] == ["generator", "server"]
    assert found.calls == {(3, 2): Figures(1, 35, 35)}


def test_functions_of_one_label_become_one() -> None:
    found = merged(
        graph(
            {0: ("app", Figures(1, 5, 50)), 4: ("twin", Figures(1, 6, 6)), 9: ("twin", Figures(2, 8, 8))},
            {(0, 4): Figures(1, 6, 6), (0, 9): Figures(2, 8, 8), (4, 9): Figures(1, 1, 1)},
        )
    )
    assert [(f.name, f.figures) for f in found.functions.values()] == [
        ("app", Figures(1, 5, 50)),
        ("twin", Figures(3, 14, 14)),
    ]
    assert found.calls == {(0, 1): Figures(3, 14, 14), (1, 1): Figures(1, 1, 1)}
    assert self_ns(found.functions.values()) == 19


def test_forged_graphs_end_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_graph, "STEPS_CAP", 1000)
    functions = {0: ("_ours", Figures(1)), **{n: (f"f{n}", Figures(1)) for n in range(1, 100)}}
    calls = {(n, 0) if n < 50 else (0, n): Figures(1, 1, 1) for n in range(1, 100)}
    with pytest.raises(ValueError, match="more callers than they can have"):
        without_ours(graph(functions, calls))


figures = st.builds(Figures, st.integers(0, 5), st.integers(0, 99), st.integers(0, 99))


@given(
    names=st.lists(st.sampled_from(["_a", "_b", "app", "lib", "<next>", "<len>"]), min_size=1, max_size=8),
    calls=st.dictionaries(st.tuples(st.integers(0, 7), st.integers(0, 7)), figures, max_size=25),
    data=st.data(),
)
def test_nothing_of_ours_is_left_and_python_functions_keep_their_figures(
    names: list[str], calls: dict[tuple[int, int], Figures], data: st.DataObject
) -> None:
    whole = graph(
        {n: (name, data.draw(figures)) for n, name in enumerate(names)},
        {ends: cost for ends, cost in calls.items() if max(ends) < len(names)},
    )
    before = {n: (f.figures.calls, f.figures.own_ns) for n, f in whole.functions.items()}
    found = without_ours(whole)
    assert {n: (f.figures.calls, f.figures.own_ns) for n, f in whole.functions.items()} == before
    for n, f in whole.functions.items():
        assert (n in found.functions) is not f.ours or f.file is None
        if n in found.functions and f.file is not None:
            assert found.functions[n].figures == f.figures
    for ends in found.calls:
        assert found.functions.keys() >= set(ends)
