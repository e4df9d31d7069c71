"""php-memprof's dumps. ``app.callgrind`` and ``app.heap``: two dumps of one process, made with the extension (see the captures'
README); shapes of newer versions are written here as their source writes them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.formats import memprof
from adapters.formats.memprof import BLOCKS, BYTES, FORMAT, NOTE_RETAINED, parse_callgrind, parse_pprof, read_memprof
from harness.model.profile import FunctionCost, Profile
from tests.support.sound_profiles import assert_sound

CAPTURES = Path(__file__).parents[3] / "fixtures" / "captures" / "memprof"
HEAD = b"version: 1\ncmd: unknown\npositions: line\nevents: MemorySize BlocksCount\n\n"
thorough = settings(deadline=None, max_examples=150)


def function(profile: Profile, name: str) -> FunctionCost:
    [found] = [f for f in profile.functions if profile.frames[f.frame].function == name]
    return found


def paths(profile: Profile) -> dict[tuple[str, ...], int]:
    """Names from the root -> bytes of its own."""
    found: list[tuple[str, ...]] = []
    for node in profile.tree:
        above = found[node.parent] if node.parent >= 0 else ()
        found.append((*above, profile.frames[node.frame].function))
    assert len(set(found)) == len(found)
    return {path: node.self_values[0] for path, node in zip(found, profile.tree, strict=True)}


# --- genuine dumps --------------------------------------------------------------------------------------------------


def test_a_callgrind_dump_tells_what_is_still_allocated_and_by_whom() -> None:
    profile = read_memprof(CAPTURES / "app.callgrind")
    assert_sound(profile)
    assert profile.complete
    assert profile.value_types == (BYTES, BLOCKS)
    assert NOTE_RETAINED in profile.notes
    assert profile.totals == {"kept_bytes": 274_569, "kept_blocks": 252}
    assert function(profile, "root").inclusive_values == (274_569, 252)
    # The cache keeps 20 pages of 10 000 bytes, each a zend_string; the temporary 100 000 bytes are gone.
    assert function(profile, "substr").self_values == (20 * 10_032, 20)
    render = function(profile, "Cache::render")
    assert (render.calls, render.self_values, render.inclusive_values) == (20, (0, 0), (200_640, 20))
    # Recursion counts once.
    assert function(profile, "walk").calls == 7
    assert function(profile, "walk").inclusive_values == (8736, 21)


def test_the_tree_is_exact() -> None:
    found = paths(read_memprof(CAPTURES / "app.callgrind"))
    walk = ("root", "main", *["walk"] * 7)
    assert found[(*walk, "str_repeat")] == 1032
    assert found["root", "main", "handle", "Cache::render", "substr"] == 200_640
    assert found["root", "main", "array_map", "{closure}", "str_repeat"] == 8 * 532


def test_the_pprof_dump_of_the_same_process_tells_the_same() -> None:
    """But for what memprof_dump_callgrind's caller did in between: it closed a file."""
    profile = read_memprof(CAPTURES / "app.heap")
    assert_sound(profile)
    assert profile.complete
    assert profile.value_types == (BYTES,)
    assert profile.totals == {"kept_bytes": None}
    other = {path: own for path, own in paths(read_memprof(CAPTURES / "app.callgrind")).items() if own}
    ours = {path: own for path, own in paths(profile).items() if own}
    fopen = ("root", "main", "fopen")
    assert abs(ours.pop(fopen) - other.pop(fopen)) < 100
    assert ours == other


# --- as other versions write ----------------------------------------------------------------------------------------


def test_the_older_name_of_the_event_and_names_with_paths() -> None:
    text = (
        b"version: 1\ncmd: unknown\npositions: line\nevents: Memory_Size_(bytes) BlocksCount\n\n"
        b"fl=/todo.php\nfn=require /app/with space.php\n1 10 1\n\n"
        b"fl=/todo.php\nfn=root\n1 5 1\ncfl=/todo.php\ncfn=require /app/with space.php\ncalls=1 1\n1 10 1\n\ntotal: 15 2\n"
    )
    assert FORMAT.recognises(text)
    profile = parse_callgrind([text])
    assert profile.complete
    assert paths(profile) == {("root",): 5, ("root", "require /app/with space.php"): 10}


def pprof(symbols: bytes, *words: int, header: tuple[int, ...] = (0, 3, 0, 0, 0)) -> bytes:
    return b"--- symbol\nbinary=php://stdout\n" + symbols + b"---\n--- profile\n" + struct.pack(
        f"<{len(header) + len(words)}Q", *header, *words
    )  # fmt: skip


SYMBOLS = b"0x0000000000000008 root\n0x0000000000000010 require /app/a.php\n0x0000000000000018 f\n"


def test_words_are_bytes_depth_and_the_stack_from_the_inside() -> None:
    profile = parse_pprof(pprof(SYMBOLS, 7, 0, 100, 2, 0x18, 0x10, 30, 1, 0x10))
    assert paths(profile) == {
        ("root",): 7,
        ("root", "require /app/a.php"): 30,
        ("root", "require /app/a.php", "f"): 100,
    }
    assert function(profile, "root").inclusive_values == (137,)


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["app.callgrind", "app.heap"])
def test_a_dump_cut_anywhere_gives_what_is_there(name: str, tmp_path: Path) -> None:
    data = (CAPTURES / name).read_bytes()
    whole = paths(read_memprof(CAPTURES / name))
    path = tmp_path / "dump"
    read = 0
    for end in range(len(data)):
        path.write_bytes(data[:end])
        try:
            part = read_memprof(path)
        except ValueError:
            continue
        read += 1
        assert_sound(part)
        assert sum(node.self_values[0] for node in part.tree) <= 274_569
        if name == "app.heap":  # there a path is whole or not there; in between are those that only lead to others
            assert all(own in (0, whole[way]) for way, own in paths(part).items())
        assert part.complete <= (name == "app.heap" or end == len(data) - 1)
    assert read > len(data) / 3


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"--- symbol\nbinary=x\n0x08 root\n---\n", "no profile behind"),
        (b"--- symbol\n\x1b[2J\n---\n--- profile\n", "among its symbols is none"),
        (pprof(SYMBOLS), "no allocations"),
        (pprof(SYMBOLS, 5, 1, 0x20), "not among the symbols"),
        (pprof(SYMBOLS, 5, 0, header=(0, 3, 0, 10_000, 0)), "header of its profile is another's"),
        (pprof(SYMBOLS, 2**64 - 1, 1, 0x18, 2**64 - 1, 1, 0x18), None),
    ],
)
def test_pprof_that_is_refused(data: bytes, reason: str | None) -> None:
    if reason is None:
        assert_sound(parse_pprof(data))  # forged sizes are bounded
        return
    with pytest.raises(ValueError, match=reason):
        parse_pprof(data)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "names no events"),
        (HEAD, "no blocks"),
        (b"events: a\nfn=f\n1 1\n\ntotal: 1\n", "no blocks"),
        (HEAD + b"fn=a\n1 1 1\n\nfn=b\n1 1 1\ncfn=c\ncalls=1 1\n1 1 1\n\nfn=d\n1 1 1\n", "not in the order"),
        (HEAD + b"fn=a\ncfn=c\ncalls=1 1\n1 1 1\n", "calls of nobody"),
        (HEAD + b"fn=a\n1 %d 1\n\ntotal: 1 1\n" % 2**63, "impossible"),
        (HEAD + b"fn=a\n1 1 1\n\ntotal: %d 1\n" % 2**63, "impossible"),
    ],
)
def test_callgrind_that_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_callgrind([text])


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memprof, "NODES_CAP", 2)
    with pytest.raises(ValueError, match="more than 2 call paths"):
        parse_callgrind([HEAD + b"fn=a\n1 1 1\n\n" * 3])
    monkeypatch.setattr(memprof, "_SYMBOLS_CAP", 2)
    with pytest.raises(ValueError, match="more than 2 symbols"):
        parse_pprof(pprof(SYMBOLS, 1, 0))


@st.composite
def trees(draw: st.DrawFn, depth: int = 4) -> tuple[str, int, list[tuple[int, tuple[object, ...]]]]:
    names = draw(st.lists(st.sampled_from("abcd"), unique=True, max_size=3)) if depth else []
    below = [(draw(st.integers(1, 9)), draw(trees(depth - 1))) for _ in names]
    return (
        "",
        draw(st.integers(0, 1000)),
        [(calls, (name, *tree[1:])) for name, (calls, tree) in zip(names, below, strict=True)],
    )


def written(tree: tuple[object, ...]) -> tuple[bytes, int, int]:
    """A dump as the extension writes it, and its bytes and blocks; a block a byte here."""
    name, own, below = tree
    assert isinstance(name, str)
    assert isinstance(own, int)
    assert isinstance(below, list)
    text, calls, total = b"", b"", own
    for count, child in below:
        child_text, size, _ = written(child)
        text += child_text
        calls += b"cfl=/todo.php\ncfn=%s\ncalls=%d 1\n1 %d %d\n" % (child[0].encode(), count, size, size)
        total += size
    return text + b"fl=/todo.php\nfn=%s\n1 %d %d\n" % (name.encode(), own, own) + calls + b"\n", total, total


def expected(tree: tuple[object, ...], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], int]:
    name, own, below = tree
    path = (*above, name)
    found = {path: own}
    for _, child in below:  # type: ignore[attr-defined]  # as in `written`
        found.update(expected(child, path))  # type: ignore[arg-type]  # likewise
    return found  # type: ignore[return-value]  # likewise


@thorough
@given(trees())
def test_any_tree_is_rebuilt_exactly(tree: tuple[str, int, list[tuple[int, tuple[object, ...]]]]) -> None:
    whole = ("root", *tree[1:])
    text, size, blocks = written(whole)
    profile = parse_callgrind([HEAD + text + b"total: %d %d\n" % (size, blocks)])
    assert_sound(profile)
    assert profile.complete
    assert paths(profile) == expected(whole)
    assert profile.tree[0].inclusive_values == (size, blocks)
