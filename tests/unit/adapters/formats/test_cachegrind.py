"""The parser against real captures, generated call trees, every way of cutting a file, and garbage.

Everything is read twice, by the compiled reader and in Python, and both must say the same.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.formats import cachegrind
from adapters.formats.cachegrind import NOTE_MEMORY, TREE_NODES
from adapters.formats.cachegrind_text import LIMITS, Limits
from harness.model.profile import CallNode, FunctionCost, Profile

thorough = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])  # CI may be busy
CAPTURES = Path(__file__).parents[3] / "fixtures" / "captures" / "xdebug"
HEADER = b"version: 1\ncreator: xdebug 3.2.0 (PHP 8.2.36)\ncmd: /app/x.php\npart: 1\npositions: line\n\n"
EVENTS = b"events: Time_(10ns) Memory_(bytes)\n\n"


def both(read: Callable[[bool], Profile]) -> Profile:
    """What both readers say: the same profile, or the same error."""
    found: list[Profile | ValueError] = []
    for compiled in (True, False):
        try:
            found.append(read(compiled))
        except ValueError as error:
            found.append(error)
    ours, theirs = found
    if isinstance(ours, ValueError):
        assert (type(ours), str(ours)) == (type(theirs), str(theirs))
        raise ours
    assert ours == theirs
    return ours


def parse_cachegrind(chunks: Iterable[bytes], tree_nodes: int = TREE_NODES, limits: Limits = LIMITS) -> Profile:
    chunks = list(chunks)
    return both(
        lambda compiled: cachegrind.parse_cachegrind(chunks, tree_nodes=tree_nodes, limits=limits, compiled=compiled)
    )


def read_cachegrind(path: Path, cap_bytes: int = cachegrind.UNPACKED_CAP_BYTES) -> Profile:
    return both(lambda compiled: cachegrind.read_cachegrind(path, cap_bytes=cap_bytes, compiled=compiled))


def parse(text: bytes, tree_nodes: int = TREE_NODES, limits: Limits = LIMITS) -> Profile:
    return parse_cachegrind([text], tree_nodes, limits)


def function(profile: Profile, name: str) -> FunctionCost:
    [found] = [f for f in profile.functions if profile.frames[f.frame].function == name]
    return found


def roots(profile: Profile) -> list[CallNode]:
    return [node for node in profile.tree if node.parent < 0]


def names(profile: Profile) -> set[str]:
    return {frame.function for frame in profile.frames}


# --- real files -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def medium() -> Profile:
    data = gzip.decompress((CAPTURES / "medium.cachegrind.gz").read_bytes())
    return parse_cachegrind([data], tree_nodes=1_000_000)


def test_a_whole_page_of_mediawiki_is_rebuilt(medium: Profile) -> None:
    assert medium.complete
    assert medium.notes == (NOTE_MEMORY,)
    assert medium.totals == {"time_ns": 145_137_690, "peak_bytes": 4_220_712}
    assert sum(f.calls for f in medium.functions) == 127_787
    assert sum(f.self_values[0] for f in medium.functions) == 144_883_780
    assert sum(f.self_values[1] for f in medium.functions) == 9_760_664
    assert sum(node.calls for node in roots(medium)) == 14
    assert sum(edge.calls for edge in medium.edges) == 127_787 - 14
    assert sum(node.calls for node in medium.tree) == 127_787


def test_inclusive_times_are_the_sums_of_their_parts(medium: Profile) -> None:
    below_ns = [0] * len(medium.tree)
    calls_below = [0] * len(medium.tree)
    for node in medium.tree:
        if node.parent >= 0:
            below_ns[node.parent] += node.inclusive_values[0]
            calls_below[node.parent] += node.calls
    for node, parts_ns, calls in zip(medium.tree, below_ns, calls_below, strict=True):
        # every number in the file is rounded to 10 ns on its own
        assert abs(node.inclusive_values[0] - node.self_values[0] - parts_ns) <= 10 * (calls + node.calls)


def test_the_tree_keeps_its_largest_nodes_and_says_so() -> None:
    data = gzip.decompress((CAPTURES / "small.cachegrind.gz").read_bytes())
    profile = parse_cachegrind([data], tree_nodes=200)
    assert len(profile.tree) == 200
    assert any(note.startswith("the tree shows the 200 largest of 965 ") for note in profile.notes)
    assert all(node.parent < position for position, node in enumerate(profile.tree))


def test_the_small_capture() -> None:
    profile = read_cachegrind(CAPTURES / "small.cachegrind.gz")
    assert profile.complete
    assert sum(f.calls for f in profile.functions) == 1229
    assert [profile.frames[node.frame].function for node in roots(profile)] == ["{main}"]


def test_language_features_of_the_edge_capture() -> None:
    profile = read_cachegrind(CAPTURES / "edge.cachegrind")
    assert profile.totals == {"time_ns": 5_837_990, "peak_bytes": 8_417_016}
    assert names(profile) >= {
        "App\\Sem\\Ünï_код", "require::/app/edge inc.php", "App\\Sem\\{closure:/app/edge.php:20-20}", "eval", "{main}"
    }  # fmt: skip
    recursive = function(profile, "App\\Sem\\rec")
    assert recursive.calls == 4
    assert recursive.inclusive_values[0] == 71_150  # the outermost call alone
    # a temporary of 5 MB that is freed inside the call does not show in it, and its frees do not show anywhere
    assert function(profile, "App\\Sem\\temp").inclusive_values[1] == 0
    assert {profile.frames[node.frame].function for node in roots(profile)} == {
        "{main}", "App\\Sem\\{closure:/app/edge.php:34-34}", "App\\Sem\\{closure:/app/edge.php:35-35}",
        "App\\Sem\\Foo->__destruct",
    }  # fmt: skip
    by_name = {frame.function: frame for frame in profile.frames}
    assert by_name["App\\Sem\\temp"].line == 12
    assert by_name["php::strlen"].line is None, "internal functions are defined nowhere"
    assert by_name["eval"].file == "/app/edge.php(30) : eval()'d code"


# --- generated trees ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Called:
    """One invocation of a generated program; ``strays`` return inside it without a caller, as fibers do."""

    name: str
    line: int
    time: int
    memory: int
    children: tuple[Called, ...] = ()
    strays: tuple[Called, ...] = ()

    @property
    def total_time(self) -> int:
        return self.time + sum(c.total_time for c in self.children)

    @property
    def total_memory(self) -> int:
        return self.memory + sum(c.total_memory for c in self.children)


def _numbers() -> st.SearchStrategy[int]:
    return st.integers(0, 10**9)


def _called(functions: str, strays: st.SearchStrategy[tuple[Called, ...]]) -> st.SearchStrategy[Called]:
    leaves = st.builds(Called, st.sampled_from(functions), st.integers(1, 3), _numbers(), _numbers())
    return st.recursive(
        leaves,
        lambda inner: st.builds(
            Called, st.sampled_from(functions), st.integers(1, 3), _numbers(), _numbers(),
            st.lists(inner, max_size=5).map(tuple), strays,
        ),
        max_leaves=15,
    )  # fmt: skip


# Strays have names of their own: which of two equal calls is the stray, no reader could know.
STRAYS = st.lists(_called("xyz", st.just(())), max_size=2).map(tuple)
PROGRAMS = st.lists(_called("abcde", STRAYS), min_size=1, max_size=3)


def write(program: list[Called]) -> bytes:
    """What Xdebug would write for it."""
    seen: set[tuple[bytes, str]] = set()

    def reference(kind: bytes, name: str) -> bytes:
        number = (ord(name[0]) if kind == b"fn" else ord(name[0]) % 3) + 1
        text = name if kind == b"fn" else f"/app/file {number}.php"
        known = (kind, str(number)) in seen
        seen.add((kind, str(number)))
        return f"({number})".encode() + (b"" if known else f" {text}".encode())

    def blocks(call: Called) -> Iterator[bytes]:
        for child, stray in zip((*call.children, *[None] * 9), (*call.strays, *[None] * 9), strict=False):
            if child is not None:
                yield from blocks(child)
            if stray is not None:
                yield from blocks(stray)
        out = [
            b"fl=" + reference(b"fl", call.name),
            b"fn=" + reference(b"fn", call.name),
            f"7 {call.time} {call.memory}".encode(),
        ]
        for child in call.children:
            out += [
                b"cfl=" + reference(b"fl", child.name),
                b"cfn=" + reference(b"fn", child.name),
                b"calls=1 0 0",
                f"{child.line} {child.total_time} {child.total_memory}".encode(),
            ]
        yield b"\n".join(out) + b"\n\n"

    body = b"".join(block for call in program for block in blocks(call))
    return HEADER + EVENTS + body + b"summary: 77 88\n\n"


Folded = dict[str, list[object]]


def fold(calls: list[Called]) -> Folded:
    """The expected tree, written the obvious way."""
    folded: dict[str, list[Called]] = {}
    for call in calls:
        folded.setdefault(call.name, []).append(call)
    return {
        name: [
            len(same),
            (sum(c.time for c in same) * 10, sum(c.memory for c in same)),
            (sum(c.total_time for c in same) * 10, sum(c.total_memory for c in same)),
            fold([child for c in same for child in c.children]),
        ]
        for name, same in folded.items()
    }


def tree_of(profile: Profile) -> Folded:
    levels: list[Folded] = []
    top: Folded = {}
    for node in profile.tree:
        below: Folded = {}
        level = top if node.parent < 0 else levels[node.parent]
        level[profile.frames[node.frame].function] = [node.calls, node.self_values, node.inclusive_values, below]
        levels.append(below)
    return top


def everywhere(calls: list[Called]) -> Iterator[Called]:
    for call in calls:
        yield call
        yield from everywhere([*call.children, *call.strays])


def all_roots(program: list[Called]) -> list[Called]:
    return [*program, *(stray for call in everywhere(program) for stray in call.strays)]


def outermost_time(calls: list[Called], name: str) -> int:
    return sum(c.total_time if c.name == name else outermost_time(list(c.children), name) for c in calls)


@thorough
@given(PROGRAMS)
def test_any_call_tree_is_rebuilt_exactly(program: list[Called]) -> None:
    profile = parse(write(program))
    assert profile.complete
    assert not any("no block of their own" in note for note in profile.notes)
    assert tree_of(profile) == fold(all_roots(program))
    assert profile.totals == {"time_ns": 770, "peak_bytes": 88}
    for cost in profile.functions:
        name = profile.frames[cost.frame].function
        calls = [call for call in everywhere(program) if call.name == name]
        assert cost.calls == len(calls)
        assert cost.self_values == (sum(c.time for c in calls) * 10, sum(c.memory for c in calls))
        assert cost.inclusive_values[0] == outermost_time(all_roots(program), name) * 10


@thorough
@given(PROGRAMS)
def test_edges_are_calls_by_line(program: list[Called]) -> None:
    profile = parse(write(program))
    expected: dict[tuple[str, str, int], list[int]] = {}
    for caller in everywhere(program):
        for callee in caller.children:
            edge = expected.setdefault((caller.name, callee.name, callee.line), [0, 0, 0])
            edge[0] += 1
            edge[1] += callee.total_time * 10
            edge[2] += callee.total_memory
    found = {
        (profile.frames[e.caller].function, profile.frames[e.callee].function, e.line): [e.calls, *e.inclusive_values]
        for e in profile.edges
    }
    assert found == expected


@thorough
@given(PROGRAMS, st.integers(1, 50))
def test_the_size_of_the_chunks_does_not_matter(program: list[Called], size: int) -> None:
    text = write(program)
    assert parse_cachegrind(text[i : i + size] for i in range(0, len(text), size)) == parse(text)


def test_many_paths_cost_the_tree_but_not_the_totals() -> None:
    data = gzip.decompress((CAPTURES / "small.cachegrind.gz").read_bytes())
    whole, flat = parse(data), parse(data, limits=replace(LIMITS, tree=100))
    assert flat.tree == ()
    assert any("there is no tree" in note for note in flat.notes)
    assert flat.edges == whole.edges
    assert [(f.calls, f.self_values) for f in flat.functions] == [(f.calls, f.self_values) for f in whole.functions]
    pairs = list(zip(flat.functions, whole.functions, strict=True))
    assert all(a.inclusive_values[0] >= b.inclusive_values[0] for a, b in pairs)
    assert (
        sum(a.inclusive_values == b.inclusive_values for a, b in pairs) > len(pairs) // 2
    )  # all but indirect recursion


# --- cut and damaged files ------------------------------------------------------------------------------------------

SMALL = write([Called("a", 1, 5, 6, (Called("b", 2, 7, 8, (Called("c", 3, 9, 10),)), Called("c", 1, 1, 2)))])


def test_a_file_cut_at_any_byte_is_read_as_far_as_it_goes() -> None:
    assert sum(f.calls for f in parse(SMALL).functions) == 4
    for length in range(len(SMALL)):
        text = SMALL[:length]
        if EVENTS not in text:
            with pytest.raises(ValueError, match="no Xdebug profile"):
                parse(text)
            continue
        profile = parse(text)
        whole_blocks = [piece for piece in text.split(b"\n\n")[:-1] if piece.startswith(b"fl=")]
        assert sum(f.calls for f in profile.functions) == len(whole_blocks)
        assert profile.complete == (length == len(SMALL) - 1), text[-30:]  # everything but the very last newline


@thorough
@given(st.integers(0, 5117), st.sampled_from(["plain", "gzip"]))
def test_a_real_file_cut_anywhere(tmp_path_factory: pytest.TempPathFactory, length: int, form: str) -> None:
    path = tmp_path_factory.mktemp("cut") / "profile"
    data = (CAPTURES / "edge.cachegrind").read_bytes()
    packed = gzip.compress(data) if form == "gzip" else data
    path.write_bytes(packed[:length] if form == "plain" else packed[: max(len(packed) - 1 - length, 0)])
    try:
        profile = read_cachegrind(path)
    except ValueError:
        return
    if not profile.complete:
        assert any("incomplete" in note for note in profile.notes)


def test_truncated_gzip_gives_the_prefix(tmp_path: Path) -> None:
    path = tmp_path / "profile"
    packed = (CAPTURES / "small.cachegrind.gz").read_bytes()
    path.write_bytes(packed[: len(packed) // 2])
    profile = read_cachegrind(path)
    assert not profile.complete
    assert 100 < sum(f.calls for f in profile.functions) < 1229
    assert profile.totals == {"time_ns": None, "peak_bytes": None}


@thorough
@given(st.data())
def test_damage_never_raises_anything_but_value_error(data: st.DataObject) -> None:
    text = bytearray((CAPTURES / "edge.cachegrind").read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        start = data.draw(st.integers(0, len(text) - 1))
        length = data.draw(st.integers(0, 40))
        patch = data.draw(
            st.one_of(st.binary(max_size=40), st.sampled_from([b"\n", b"\n\n", b"fl=", b"(1)", b"calls=1 0 0\n"]))
        )
        text[start : start + length] = patch
    try:
        profile = parse(bytes(text))
    except ValueError:
        return
    # whatever came out can be written to any report
    for frame in profile.frames:
        frame.function.encode()
        frame.file.encode()


@given(st.binary(max_size=300))
def test_garbage_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="no Xdebug profile"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "no header"),
        (b"fl=(1) x\nfn=(1) y\n1 2 3\n\n", "no header"),
        (HEADER + b"events: Ir Dr\n\n", "its columns"),
        (HEADER + b"events: Memory_Size_(bytes) BlocksCount\n\n", "its columns"),
        (HEADER + EVENTS + b"fl=(1) x\nfn=(1) y\none two three\n\n", "not one block"),
        (HEADER + EVENTS + b"fl=(1) x\nfn=(1) y\n1 " + b"9" * 30 + b" 3\n\n", "impossible"),
        (HEADER + EVENTS + b"fl=(1) x\nfn=(1) y\n1 2 3\n\nsummary: " + b"9" * 19 + b" 3\n\n", "impossible"),
    ],
)
def test_what_is_no_profile_is_refused_with_a_reason(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(text)


def test_one_broken_block_costs_that_block() -> None:
    text = SMALL.replace(b"\n\nfl=(", b"\n\nfl=(1) x\nfn=(99)\n1 2 3\n\nfl=(", 1)
    profile = parse(text)
    assert sum(f.calls for f in profile.functions) == 4
    assert not profile.complete
    assert "1 places in the file could not be read" in profile.notes


def test_a_call_without_its_block_is_counted_and_told() -> None:
    text = HEADER + EVENTS + (
        b"fl=(1) f\nfn=(1) b\n1 5 0\n\n"
        b"fl=(1)\nfn=(2) a\n1 1 0\ncfl=(1)\ncfn=(1)\ncalls=1 0 0\n2 5 0\ncfl=(1)\ncfn=(3) gone\ncalls=1 0 0\n3 7 0\n\n"
        b"summary: 13 100\n\n"
    )  # fmt: skip
    profile = parse(text)
    assert tree_of(profile) == {
        "a": [1, (10, 0), (130, 0), {"b": [1, (50, 0), (50, 0), {}], "gone": [1, (70, 0), (70, 0), {}]}]
    }
    assert any("1 calls have no block" in note for note in profile.notes)


# --- limits ---------------------------------------------------------------------------------------------------------


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(zlib.compress(HEADER + EVENTS + b"x" * (8 << 20), wbits=31))
    assert path.stat().st_size < 20_000
    with pytest.raises(ValueError, match="unpacks to more than 4 MiB"):
        read_cachegrind(path, cap_bytes=4 << 20)


def test_an_endless_block_is_refused() -> None:
    with pytest.raises(ValueError, match="larger than 64 MiB"):
        parse_cachegrind([HEADER, EVENTS, *([b"fl=x" * (1 << 20)] * 40)])


def test_a_file_of_blank_lines_is_given_up_early() -> None:
    with pytest.raises(ValueError, match="mostly something else"):
        parse_cachegrind([HEADER, EVENTS, *([b"\n" * (1 << 20)] * 1000)])


LITERAL = HEADER + EVENTS + b"fl=f\nfn=a\n1 1 1\n\nfl=f\nfn=b\n1 1 1\n\nfl=f\nfn=c\n1 1 1\n\n"


@pytest.mark.parametrize(
    ("text", "limits", "reason"),
    [
        (SMALL, Limits(frames=2), "more than 2 names"),
        (LITERAL, Limits(frames=2), "more than 2 functions"),
        (SMALL, Limits(edges=2), "more than 2 different calls"),
        (LITERAL, Limits(pending=2), "makes more than 2 calls"),
        (LITERAL, Limits(name_bytes=5), "names of the profile's functions are larger than 0 MiB"),
    ],
)
def test_what_is_too_large_is_refused(text: bytes, limits: Limits, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(text, limits=limits)


@pytest.mark.parametrize("limits", [Limits(frames=3), Limits(edges=3), Limits(pending=3), Limits(name_bytes=6)])
def test_what_is_just_within_a_limit_is_read(limits: Limits) -> None:
    assert sum(f.calls for f in parse(LITERAL, limits=limits).functions) == 3


def test_long_names_are_cut() -> None:
    profile = parse(HEADER + EVENTS + b"fl=(1) f\nfn=(1) " + b"n" * 100_000 + b"\n1 2 3\n\nsummary: 1 1\n\n")
    assert profile.frames[0].function == "n" * 1024


def test_forged_calls_out_of_order_end_in_bounded_time() -> None:
    leaves = b"fl=(1) f\nfn=(1) leaf\n1 1 0\n\n" + b"fl=(1)\nfn=(1)\n1 1 0\n\n" * 2000
    forged = b"fl=(1)\nfn=(2) forger\n1 1 0\n" + b"cfl=(1)\ncfn=(3) nobody\ncalls=1 0 0\n1 1 0\n" + (
        b"cfl=(1)\ncfn=(3)\ncalls=1 0 0\n1 1 0\n" * 99 + b"\n"
    )  # fmt: skip
    profile = parse(HEADER + EVENTS + leaves + forged + b"summary: 1 1\n\n", limits=Limits(search=1000))
    assert any("100 calls have no block" in note for note in profile.notes)


# --- variants of the format -----------------------------------------------------------------------------------------


def test_an_appended_profile_has_ids_of_its_own() -> None:
    first = HEADER + EVENTS + b"fl=(1) f\nfn=(1) one\n1 5 6\n\nsummary: 5 1000\n\n"
    second = b"\n==== NEW PROFILING FILE ==============================================\n" + HEADER + EVENTS + (
        b"fl=(1) f\nfn=(1) two\n1 7 8\n\nsummary: 7 900\n\n"
    )  # fmt: skip
    profile = parse(first + second)
    assert {name: function(profile, name).self_values for name in ("one", "two")} == {"one": (50, 6), "two": (70, 8)}
    assert profile.totals == {"time_ns": 120, "peak_bytes": 1000}
    assert profile.complete
    assert any("2 profiles" in note for note in profile.notes)
    assert not parse(first + second.partition(b"summary")[0]).complete


def test_after_a_fork_an_id_may_get_another_name() -> None:
    text = HEADER + EVENTS + (
        b"fl=(1) f\nfn=(1) parent\n1 1 0\n\nfl=(1)\nfn=(1)\n1 1 0\n\n"
        b"fl=(1)\nfn=(1) child\n1 10 0\n\nfl=(1)\nfn=(1)\n1 10 0\n\nsummary: 2 9\n\nsummary: 20 9\n\n"
    )  # fmt: skip
    profile = parse(text)
    assert function(profile, "parent").calls == function(profile, "child").calls == 2


def test_xdebug_2_counts_in_microseconds_and_may_go_below_zero() -> None:
    text = HEADER + b"events: Time Memory\n\nfl=(1) f\nfn=(1) frees\n1 3 -500\n\nsummary: 3 4096\n\n"
    profile = parse(text)
    assert function(profile, "frees").self_values == (3000, -500)
    assert profile.totals == {"time_ns": 3000, "peak_bytes": 4096}


def test_before_2_6_there_is_no_memory_and_the_summary_is_inside_main() -> None:
    text = HEADER + b"events: Time\n\n" + (
        b"fl=php:internal\nfn=php::strlen\n3 2\n\n"
        b"fl=/app/x.php\nfn={main}\n\nsummary: 12\n\n0 10\ncfl=php:internal\ncfn=php::strlen\ncalls=1 0 0\n3 2\n\n"
    )  # fmt: skip
    profile = parse(text)
    assert [v.name for v in profile.value_types] == ["time"]
    assert tree_of(profile) == {"{main}": [1, (10_000,), (12_000,), {"php::strlen": [1, (2000,), (2000,), {}]}]}
    assert profile.totals == {"time_ns": 12_000, "peak_bytes": None}
    assert profile.complete
    assert NOTE_MEMORY not in profile.notes


def test_without_the_zend_allocator_the_peak_is_unknown_and_not_zero() -> None:
    profile = parse(HEADER + EVENTS + b"fl=(1) f\nfn=(1) a\n1 2 0\n\nsummary: 2 0\n\n")
    assert profile.totals["peak_bytes"] is None
    assert any("USE_ZEND_ALLOC" in note for note in profile.notes)


def test_undecodable_names_stay_printable() -> None:
    profile = parse(HEADER + EVENTS + b"fl=(1) /app/\xff.php\nfn=(1) f\xe9\n1 2 0\n\nsummary: 2 1\n\n")
    assert profile.frames[0].function == "f\\xe9"
    assert profile.frames[0].file == "/app/\\xff.php"


def test_the_extension_says_nothing_about_the_content(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.gz", tmp_path / "packed"
    plain.write_bytes(SMALL)
    packed.write_bytes(gzip.compress(SMALL))
    assert read_cachegrind(plain) == read_cachegrind(packed) == parse(SMALL)
