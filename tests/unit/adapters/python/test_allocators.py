"""What allocators write about themselves, as captured from every version, and probing where functions are missing."""

import ctypes
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.python.agent.allocators import Allocators, glibc_values, pymalloc_values

CAPTURES = Path(__file__).parents[3] / "fixtures" / "captures" / "python"
STATS = sorted(CAPTURES.glob("pymalloc-*.txt"))
INFO = sorted(CAPTURES.glob("malloc-info-*.xml"))
NAMES = {
    "arenas", "arenas_highwater", "pymalloc.held_bytes", "pymalloc.live_bytes", "pymalloc.blocks", "pymalloc.used_pools",
    "pymalloc.free_pools",
}  # fmt: skip
each_version = pytest.mark.parametrize("path", STATS, ids=lambda path: path.stem)


def said(text: str, label: str) -> int:
    found = re.search(rf"^{re.escape(label)} *= *([0-9,]+)$", text, re.MULTILINE)
    assert found is not None
    return int(found[1].replace(",", ""))


def test_every_version_was_captured() -> None:
    assert [path.stem for path in STATS] == [f"pymalloc-3.{minor}" for minor in (10, 11, 12, 13, 8, 9)]
    assert len(INFO) == 2


@each_version
def test_the_parts_add_up_to_the_arenas(path: Path) -> None:
    """By the text's own account: what is in use, available, in unused pools and lost is everything that is held."""
    text = path.read_text()
    values = pymalloc_values(path.read_bytes())
    old = path.stem in ("pymalloc-3.8", "pymalloc-3.9")
    arena, pool = (1 << 18, 1 << 12) if old else (1 << 20, 1 << 14)
    assert values.keys() == NAMES
    assert values["pymalloc.held_bytes"] == values["arenas"] * arena
    lost = sum(said(text, f"# bytes lost to {what}") for what in ("pool headers", "quantization", "arena alignment"))
    available = said(text, "# bytes in available blocks")
    parts = values["pymalloc.live_bytes"] + available + values["pymalloc.free_pools"] * pool + lost
    assert parts == values["pymalloc.held_bytes"]
    assert said(text, "# bytes lost to pool headers") == 48 * values["pymalloc.used_pools"]
    assert 16 * values["pymalloc.blocks"] < values["pymalloc.live_bytes"] < 512 * values["pymalloc.blocks"]
    assert values["arenas_highwater"] >= values["arenas"]


def test_known_numbers() -> None:
    assert pymalloc_values(
        b"class   size   num pools   blocks in use  avail blocks\n"
        b"    0     16           3             700            59\n"
        b"   31    512           1              20            11\n"
        b"# arenas highwater mark            =                    2\n"
        b"# arenas allocated current         =                    1\n"
        b"1 arenas * 1048576 bytes/arena     =            1,048,576\n"
        b"# bytes in allocated blocks        =               21,440\n"
        b"59 unused pools * 16384 bytes      =              966,656\n"
        b"Total                              =            1,048,576\n"
        b"Total                              =                    5\n"
    ) == {
        "arenas": 1,
        "arenas_highwater": 2,
        "pymalloc.held_bytes": 1048576,
        "pymalloc.live_bytes": 21440,
        "pymalloc.free_pools": 59,
        "pymalloc.blocks": 720,
        "pymalloc.used_pools": 4,
    }


@each_version
def test_a_text_that_is_cut_off_gives_nothing_rather_than_something_wrong(path: Path) -> None:
    text = path.read_bytes()
    whole = pymalloc_values(text)
    end = text.index(b"\nTotal") + len(b"\nTotal")
    for length in range(len(text)):
        assert pymalloc_values(text[:length]) == (whole if length >= end else {})


@given(st.binary(max_size=300), st.sampled_from([path.read_bytes() for path in STATS]), st.integers(0, 3000))
def test_noise_in_the_text_never_raises(noise: bytes, text: bytes, at: int) -> None:
    for found in (pymalloc_values(noise), pymalloc_values(text[:at] + noise + text[at:])):
        assert found == {} or (found.keys() == NAMES and all(type(value) is int for value in found.values()))


@pytest.mark.parametrize("path", INFO, ids=lambda path: path.stem)
def test_arenas_of_threads_are_summed_apart_from_the_main_one(path: Path) -> None:
    text = path.read_text()
    values = glibc_values(path.read_bytes())
    total = text.rpartition("</heap>")[2]
    system = int(re.findall(r'<system type="current" size="(\d+)"', total)[0])
    free = int(re.findall(r'<total type="rest" count="\d+" size="(\d+)"', total)[0])
    assert values["glibc.arenas"] == text.count("<heap ") == 5
    assert values["glibc.main_system_bytes"] + values["glibc.other_system_bytes"] == system
    assert values["glibc.main_free_bytes"] + values["glibc.other_free_bytes"] == free
    assert min(values.values()) > 0


@given(st.binary(max_size=300), st.sampled_from([path.read_bytes() for path in INFO]), st.integers(0, 9000))
def test_noise_in_the_xml_never_raises(noise: bytes, text: bytes, at: int) -> None:
    for found in (glibc_values(noise), glibc_values(text[:at]), glibc_values(text[:at] + noise + text[at:])):
        assert all(type(value) is int and value >= 0 for value in found.values())
    assert glibc_values(text[: min(at, len(text) - len(b"</malloc>\n"))]) == {}


class Without:
    """A library that lacks some functions of this process, as musl's and old ones do."""

    def __init__(self, library: ctypes.CDLL, *missing: str) -> None:
        self.library, self.missing = library, missing

    def __getitem__(self, name: str) -> object:
        if name in self.missing or "" in self.missing:
            raise AttributeError(name)
        return self.library[name]


EVERYTHING = ctypes.CDLL(None)


def test_a_library_with_nothing_in_it_gives_reasons_and_no_values() -> None:
    allocators = Allocators(Without(EVERYTHING, ""), Without(ctypes.pythonapi, ""))
    values, missing = allocators.read()
    assert values == {}
    assert missing.keys() == {"pymalloc", "malloc"}
    assert not allocators.can_trim()


@pytest.mark.parametrize(
    ("absent", "lost", "reason"),
    [
        (("mallinfo2",), "glibc.used_bytes", "glibc"),  # glibc 2.31
        (("malloc_info",), "glibc.main_free_bytes", None),
        (("open_memstream",), "pymalloc.held_bytes", "pymalloc"),
        (("gnu_get_libc_version", "malloc_trim"), "glibc.used_bytes", "malloc"),  # musl
    ],
)
def test_what_is_not_there_is_left_out_and_the_rest_is_not(
    absent: tuple[str, ...], lost: str, reason: str | None
) -> None:
    full, nothing_missing = Allocators().read()
    assert nothing_missing == {}
    allocators = Allocators(Without(EVERYTHING, *absent))
    values, missing = allocators.read()
    assert lost in full
    assert lost not in values
    assert list(missing) == ([reason] if reason else [])
    assert any(name.startswith("pymalloc" if reason == "malloc" else "glibc") for name in values)
    assert allocators.can_trim() is ("malloc_trim" not in absent)


def test_functions_of_the_application_keep_their_types() -> None:
    """``ctypes.pythonapi`` is one object for everybody in the process."""
    Allocators().read()
    assert ctypes.pythonapi._PyObject_DebugMallocStats.argtypes is None
