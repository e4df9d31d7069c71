"""Which format a file is in: every capture, and files in none."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.model.profile import Profile
from harness.plugins import registry
from harness.plugins.formats import HEAD_BYTES, FileFormat, head_of, recognised
from harness.plugins.registry import load_formats
from tests.support.sound_profiles import assert_sound

CAPTURES = Path(__file__).parents[2] / "fixtures" / "captures"
KNOWN = {
    "blackfire/*.bf": "blackfire_probe",
    "callgrind/*callgrind*": "callgrind",
    "callgrind/cachegrind.gz": "callgrind",
    "memprof/app.callgrind": "memprof",
    "memprof/app.heap": "memprof",
    "xdebug/*.cachegrind*": "cachegrind",
    "xdebug/*.gcstats": "xdebug_gcstats",
    "xdebug/*.xt": "xdebug_trace",
    "xhprof/*.json": "xhprof",
    "xhprof/*.xhprof": "xhprof",
}
FILES = [(path, name) for pattern, name in KNOWN.items() for path in sorted(CAPTURES.glob(pattern))]


def test_the_built_in_formats_are_there() -> None:
    assert [format_.name for format_ in load_formats()] == sorted(set(KNOWN.values()))
    assert {name for _, name in FILES} == set(KNOWN.values())
    assert len({format_.title for format_ in load_formats()}) == len(load_formats())


@pytest.mark.parametrize(("path", "name"), FILES, ids=lambda value: value.name if isinstance(value, Path) else "")
def test_a_capture_is_in_one_format_and_read_by_it(path: Path, name: str) -> None:
    [found] = recognised(head_of(path), load_formats())
    assert found.name == name
    profile = found.read(path)
    assert_sound(profile)
    assert profile.complete or path.name.startswith("php-fallback")
    assert profile.functions or profile.collections


@pytest.mark.parametrize(("path", "name"), FILES, ids=lambda value: value.name if isinstance(value, Path) else "")
def test_gzip_is_told_by_its_content(path: Path, name: str, tmp_path: Path) -> None:
    data = path.read_bytes()
    data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    other = tmp_path / "named.badly"
    other.write_bytes(gzip.compress(data, 1))
    assert head_of(other) == data[:HEAD_BYTES]
    [found] = recognised(head_of(other), load_formats())
    assert found.name == name
    assert found.read(other) == found.read(path)


def test_what_is_no_profile_is_in_no_format() -> None:
    others = [path for path in CAPTURES.rglob("*") if path.suffix in (".php", ".md", ".c", ".xml", ".txt")]
    assert len(others) > 10
    for path in others:
        assert recognised(head_of(path), load_formats()) == ()
    assert recognised(b"", load_formats()) == ()


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(ValueError, match="not a regular file"):
        head_of(fifo)
    with pytest.raises(ValueError, match="not a regular file"):
        head_of(Path("/dev/zero"))
    with pytest.raises(OSError, match="directory"):
        head_of(tmp_path)


def test_damaged_gzip_has_no_head(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"\x1f\x8b\x08damaged")
    assert recognised(head_of(path), load_formats()) == ()


def test_two_packages_cannot_claim_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        def __init__(self, value: str) -> None:
            self.value = value

        def load(self) -> FileFormat:
            return FileFormat("mine", self.value, lambda _: False, lambda _: Profile("mine", ()))

    monkeypatch.setattr(registry, "entry_points", lambda **_: [Entry("a:FORMAT"), Entry("b:FORMAT")])
    with pytest.raises(HarnessError, match="two packages claim the format mine"):
        load_formats()
