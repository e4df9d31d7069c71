"""The compiled reader of cachegrind blocks beside the one in Python, on whatever hostile people might write; and its library."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.formats import cachegrind_kernel
from adapters.formats.cachegrind import open_blocks, parse_cachegrind
from adapters.formats.cachegrind_blocks import PythonBlocks
from adapters.formats.cachegrind_kernel import KernelBlocks, NoKernelError, load
from adapters.formats.cachegrind_text import LIMITS, Headers, Limits, TooLargeError
from adapters.formats.kernel_build import BuildError, build
from adapters.formats.kernel_source import SOURCE
from harness.model.profile import Profile

thorough = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])  # CI may be busy
ROOT = Path(__file__).parents[4]
CORPUS = sorted((ROOT / "tests" / "corpus" / "cachegrind").iterdir())
CAPTURES = ROOT / "tests" / "fixtures" / "captures" / "xdebug"


def said(chunks: Iterable[bytes], compiled: bool, limits: Limits = LIMITS) -> object:
    """The profile, or the error."""
    try:
        return parse_cachegrind(chunks, limits=limits, tree_nodes=50, compiled=compiled)
    except ValueError as error:
        return type(error), str(error)


def agreed(text: bytes, limits: Limits = LIMITS, size: int = 1 << 20) -> object:
    """What both readers say of this text in chunks of this size."""
    chunks = [text[at : at + size] for at in range(0, len(text), size)]
    ours, python = said(chunks, True, limits), said(chunks, False, limits)
    assert ours == python
    return ours


def test_the_compiled_reader_is_there_and_is_the_default() -> None:
    assert cachegrind_kernel.why_not() is None
    assert isinstance(open_blocks(Headers()), KernelBlocks)
    assert isinstance(open_blocks(Headers(), compiled=False), PythonBlocks)


# --- whatever the text is -------------------------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.integers(0, 99).map(str), st.integers(-(10**6), 10**19).map(str),
    st.sampled_from(["", "-", "+1", "1_0", "007", "-0", "9" * 18, "9" * 19, "-" + "9" * 18, "x", "\t1", "1\r", "9" * 60]),
)  # fmt: skip
LINES = st.one_of(st.integers(0, 9).map(str), st.sampled_from(["", "x", "-1", "007", "999999999", "1234567890"]))
COSTS = st.one_of(
    st.tuples(LINES, st.integers(0, 9), st.integers(0, 9)),
    st.tuples(LINES, NUMBERS, NUMBERS),
    st.tuples(LINES, NUMBERS),
    st.tuples(LINES, NUMBERS, NUMBERS, NUMBERS),
).map(lambda parts: " ".join(map(str, parts)))
IDS = st.one_of(
    st.integers(1, 3).map(str), st.sampled_from(["0", "01", "000001", "0000001", "999999", "1000000", "", "a", "-1"])
)
REFERENCES = st.one_of(
    st.integers(1, 3).map(lambda number: f"({number})"),
    st.builds("({}) {}".format, st.integers(1, 3), st.sampled_from("abc")),
    st.builds("({}) {}".format, IDS, st.sampled_from(["", "a", "php:internal", "(1) b", "n" * 1030])),
    st.builds("({}){}".format, IDS, st.sampled_from(["", "x", " "])),
    st.sampled_from(["a", "b", "php:internal", "{main}", "", "(", "(1", "fn=(1)", "calls=1 0 0"]),
)
STRAY = st.sampled_from(
    ["calls=1 0 0", "calls=2 0 0", "cfl=(1)", "cfl=", "cfn=(1)", "fn=(1)", "cfl=1 2 3", "junk", "7 7 7"]
)
CALLS = st.builds("\ncfl={}\ncfn={}\ncalls=1 0 0\n{}".format, REFERENCES, REFERENCES, COSTS)
SOUND_CALLS = st.builds(
    "\ncfl=({0})\ncfn=({0})\ncalls=1 0 0\n{1} {2} {3}".format,
    st.integers(1, 3), st.integers(1, 2), st.integers(0, 99), st.integers(0, 99),
)  # fmt: skip
SOUND = st.builds(
    "fl=({0})\nfn=({0})\n{1} {2} {3}{4}\n\n".format,
    st.integers(1, 3), st.integers(0, 9), st.integers(0, 99), st.integers(0, 99),
    st.lists(SOUND_CALLS, max_size=3).map("".join),
)  # fmt: skip
BLOCKS = st.builds(
    "fl={}\nfn={}\n{}{}\n\n".format, REFERENCES, REFERENCES, COSTS,
    st.lists(st.one_of(CALLS, CALLS, STRAY.map("\n{}".format)), max_size=4).map("".join),
)  # fmt: skip
HEADERS = st.sampled_from(
    [
        "version: 1\n", "creator: xdebug 3.2.0 (PHP 8.2.36)\n", "cmd: x\npart: 1\npositions: line\n\n",
        "events: Time\n\n", "events: Time Memory\n\n", "events: Time_(10ns) Memory_(bytes)\n\n", "events: Ir\n\n",
        "summary: 5 6\n\n", "summary: 5\n\n", "\nsummary: 1 0\n\n", "summary: x\n\n", "\n==== NEW PROFILING FILE ====\n",
        "\n", "\n\n", "\n\n\n", "junk\n\n", "fl=(1) a\n\n", "fl=a\nfn={main}\n\nsummary: 7\n\n0 7\n\n", "0 5 5\n\n",
    ]
)  # fmt: skip
DEFINED = "version: 1\nevents: Time_(10ns) Memory_(bytes)\n\n" + "".join(
    f"fl=({number}) f{number}\nfn=({number}) {name}\n1 2 3\n\n" for number, name in enumerate("abc", 1)
)
TEXTS = st.builds(
    lambda before, parts, cut: (before + "".join(parts)).encode()[: cut or None],
    st.sampled_from(["", DEFINED, DEFINED]),
    st.lists(st.one_of(SOUND, SOUND, SOUND, BLOCKS, HEADERS), max_size=12),
    st.one_of(st.just(0), st.integers(-40, 0)),
)
LIMITED = st.builds(
    Limits,
    **{
        name: st.one_of(st.just(getattr(LIMITS, name)), st.just(getattr(LIMITS, name)), st.integers(1, 12))
        for name in ("frames", "edges", "tree", "pending", "search", "name_bytes")
    },
    block_bytes=st.one_of(st.just(LIMITS.block_bytes), st.integers(1, 200)),
)


@thorough
@given(TEXTS, LIMITED, st.one_of(st.just(1 << 20), st.integers(1, 60)))
def test_both_readers_say_the_same_of_any_text(text: bytes, limits: Limits, size: int) -> None:
    agreed(text, limits, size)


@thorough
@given(TEXTS)
def test_the_size_of_the_chunks_does_not_matter_to_hostile_text(text: bytes) -> None:
    assert said([text], True) == said((text[at : at + 1] for at in range(len(text))), True)


# --- real files, cut and damaged ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_a_file_of_the_corpus_cut_at_any_byte_and_in_two_at_any_byte(path: Path) -> None:
    text = path.read_bytes()
    whole = agreed(text)
    step = 1 if len(text) < 1500 else 37
    for at in range(0, len(text), step):
        agreed(text[:at])
        assert said([text[:at], text[at:]], True) == whole


@pytest.mark.parametrize("compiled", [True, False])
def test_a_capture_in_two_chunks_at_any_byte(compiled: bool) -> None:
    text = (CAPTURES / "edge.cachegrind").read_bytes()
    whole = said([text], compiled)
    for at in range(0, len(text), 1 if compiled else 11):
        assert said([text[:at], text[at:]], compiled) == whole


@pytest.mark.parametrize("name", ["edge.cachegrind", "small.cachegrind.gz"])
def test_damaged_captures(name: str) -> None:
    data = (CAPTURES / name).read_bytes()
    text = (gzip.decompress(data) if name.endswith(".gz") else data)[:20_000]
    for seed in range(150):
        dice = random.Random(seed)
        agreed(
            bytes(damaged(text, dice)), replace(LIMITS, tree=dice.choice([1_000_000, 30])), dice.choice([1 << 20, 777])
        )


def damaged(text: bytes, dice: random.Random) -> Iterator[int]:
    """The bytes with some lines dropped, doubled, exchanged, or bytes changed in them."""
    lines = text.split(b"\n")
    for _ in range(dice.randint(1, 6)):
        at, other = dice.randrange(len(lines)), dice.randrange(len(lines))
        match dice.randrange(5):
            case 0:
                del lines[at : at + dice.randint(1, 9)]
            case 1:
                lines[at:at] = lines[other : other + dice.randint(1, 30)]
            case 2:
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at] = lines[at].replace(b"1", dice.choice([b"-1", b"9" * 19, b" ", b"\n", b""]))
            case _:
                lines[at] = lines[at][: dice.randint(0, 9)] + dice.randbytes(2)
    yield from b"\n".join(lines)


def test_many_children_are_merged_alike() -> None:
    """Levels that are large enough for a hash table, from several calls, with roots and missing blocks between."""
    dice = random.Random(5)
    out = [b"version: 1\nevents: Time_(10ns) Memory_(bytes)\n\n"]
    out += [b"fl=(1) f\nfn=(%d) f%d\n1 2 3\n\n" % (number, number) for number in range(1, 401)]
    for caller in range(1000):
        called = [dice.randint(1, 400) for _ in range(dice.choice([1, 2, 30, 200]))]
        out += [b"fl=(1)\nfn=(%d)\n1 2 3\n\n" % number for number in called if dice.random() < 0.99]
        calls = b"".join(b"cfl=(1)\ncfn=(%d)\ncalls=1 0 0\n%d 5 %d\n" % (n, n % 3, dice.randint(0, 99)) for n in called)
        out.append(b"fl=(1)\nfn=(%d)\n1 2 3\n%s\n" % (caller % 7 + 1, calls))
    out.append(b"summary: 1 1\n\n")
    profile = agreed(b"".join(out))
    assert not isinstance(profile, tuple)
    agreed(b"".join(out), replace(LIMITS, tree=5000))
    agreed(b"".join(out), replace(LIMITS, search=5000))


def test_a_deep_tree_needs_no_stack() -> None:
    depth = 100_000
    block = b"fl=(1)\nfn=(1)\n1 1 1\ncfl=(1)\ncfn=(1)\ncalls=1 0 0\n2 7 8\n\n"
    text = b"version: 1\nevents: Time Memory\n\nfl=(1) f\nfn=(1) deep\n1 1 1\n\n" + block * depth
    agreed(text)


@pytest.mark.parametrize("cost", ["1 2 3 4", "1 5643937701946188517 2 3", "1" + " 2" * 31 + " ", " " * 64])
def test_before_a_header_nothing_is_a_block(cost: str) -> None:
    text = f"fl=a\nfn=b\n{cost}\n\n{DEFINED}"
    assert agreed(text.encode()) == (ValueError, "this is no Xdebug profile: it has no header")


MOSTLY_ELSE = "the file is mostly something else than blocks"


@pytest.mark.parametrize(
    "line",
    [b"xx\n", b"cmd: x\n", b"summary: 1 1\n", b"version: 1\n", b"fl=\nfn=\n\n"],
    ids=lambda line: line.decode().strip(),
)
def test_lines_that_are_no_blocks_end_the_reading_at_a_limit(line: bytes) -> None:
    """In one paragraph there can be 64 MiB of them, each a line to keep or a profile to begin."""
    text = DEFINED.encode() + line * 510_000 + b"\n\n"
    assert agreed(text) == (TooLargeError, MOSTLY_ELSE)


@pytest.mark.timeout(60)
def test_a_profile_that_begins_costs_no_more_than_the_names_before_it() -> None:
    """Forgetting every possible id each time took minutes here, and half an hour for a paragraph of 64 MiB."""
    text = DEFINED.encode() + b"fl=(999999) a\nfn=(999999) b\n1 1 1\n\n" + b"version: 1\n" * 450_000 + b"\n"
    profile = agreed(text)
    assert isinstance(profile, Profile)
    assert "the file holds 450001 profiles, added up; the peak is the highest of theirs" in profile.notes
    again = b"fl=(999999)\nfn=(1)\n1 1 1\n\n"
    assert agreed(text + again) != agreed(text + again.replace(b"(999999)", b"(999999) a").replace(b"(1)", b"(1) a"))


# --- the library ----------------------------------------------------------------------------------------------------


def test_a_library_of_another_source_is_not_used(tmp_path: Path) -> None:
    source, library = tmp_path / "_cachegrind.c", tmp_path / "_cachegrind.so"
    source.write_bytes(SOURCE.read_bytes())
    build(source, library)
    load(library, source)
    with source.open("a") as file:
        file.write("\n")
    with pytest.raises(NoKernelError, match="another version of the source"):
        load(library, source)


def test_what_is_no_library_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(NoKernelError, match="not compiled"):
        load(tmp_path / "missing.so")
    library = tmp_path / "_cachegrind.so"
    library.write_bytes(b"\x7fELF")
    with pytest.raises(NoKernelError, match="cannot be loaded"):
        load(library)


def test_without_a_library_the_reader_can_only_be_asked_for_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cachegrind_kernel, "_installed", lambda: "it was not compiled")
    monkeypatch.setattr("adapters.formats.cachegrind.why_not", lambda: "it was not compiled")
    assert isinstance(open_blocks(Headers()), PythonBlocks)
    with pytest.raises(NoKernelError, match="no compiled reader of profiles: it was not compiled"):
        parse_cachegrind([DEFINED.encode()], compiled=True)
    assert len(parse_cachegrind([DEFINED.encode()]).functions) == 3


def test_a_build_that_cannot_be_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "no-such-compiler"))
    with pytest.raises(BuildError, match="no C compiler"):
        build(SOURCE, tmp_path / "_cachegrind.so")
    monkeypatch.delenv("CC")
    with pytest.raises(
        BuildError, match="cannot be written"
    ):  # a checkout on a read-only file system is the same to it
        build(SOURCE, tmp_path / "no-such-directory" / "_cachegrind.so")
    broken = tmp_path / "broken.c"
    broken.write_text("int main(\n")
    with pytest.raises(BuildError, match="refused it"):
        build(broken, tmp_path / "_cachegrind.so")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.c"]
