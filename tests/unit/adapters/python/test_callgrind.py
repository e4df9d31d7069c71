"""The export for KCachegrind: what pyprof2calltree makes of a profile, whatever its names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.python.callgrind import write
from harness.model.profile import CallEdge, CallNode, Frame, FunctionCost, Profile, ValueType


def profile(*frames: Frame, edges: tuple[CallEdge, ...] = ()) -> Profile:
    """Every function 7 times, 10 ns itself and 30 with callees; the first is the root."""
    return Profile(
        tool="cprofile",
        value_types=(ValueType("time", "ns", "time"),),
        frames=frames,
        functions=tuple(FunctionCost(n, 7, (10,), (30,)) for n in range(len(frames))),
        edges=edges,
        tree=(CallNode(0, -1, 7, (10,), (30,)),),
    )


def test_functions_and_calls() -> None:
    written = write(
        profile(
            Frame("view", "/srv/app.py", 12), Frame("<len>", "<built-in>", None), edges=(CallEdge(0, 1, 0, 7, (20,)),)
        )
    )
    assert written.decode() == (
        "event: ns : Nanoseconds\nevents: ns\nsummary: 30\n"
        "fl=/srv/app.py\nfn=view\n12 10\ncfl=~\ncfn=<len>\ncalls=7 0\n12 20\n\n"
        "fl=~\nfn=<len>\n0 10\n\n"
        "fl=~\nfn=<request>\n0 0\ncfl=/srv/app.py\ncfn=view\ncalls=7 12\n0 30\n\n"
    )


def test_functions_of_one_name_are_told_apart_by_line() -> None:
    written = write(profile(Frame("get", "/a.py", 1), Frame("get", "/a.py", 9))).decode()
    assert "fn=get:1\n" in written
    assert "fn=get:9\n" in written


def test_times_are_exact_to_the_nanosecond() -> None:
    for ns in (1, 3, 1_000_000_001, 86_400_000_000_007):
        functions = (FunctionCost(0, 1, (ns,), (ns,)),)
        one = Profile("cprofile", (), (Frame("f", "/f.py", 1),), functions)
        assert f"\n1 {ns}\n" in write(one).decode()


@given(function=st.text(), file=st.text())
def test_a_name_stays_a_name(function: str, file: str) -> None:
    lines = write(profile(Frame(function, file, 5))).decode().splitlines()
    assert len(lines) == 3 + 4 + 8  # header, the function, the entry that calls it
    names = [line.split("=", 1) for line in lines if line.startswith(("fl=", "fn=", "cfl=", "cfn="))]
    assert len(names) == 6
    assert not any(name.startswith("(") or not name for _, name in names)
