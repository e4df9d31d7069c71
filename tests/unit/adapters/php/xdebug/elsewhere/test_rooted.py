"""Paths below another root: what a process with that root would open, and nothing outside, by the kernel and by our own walk."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.php.xdebug.elsewhere import rooted
from adapters.php.xdebug.elsewhere.rooted import by_kernel, by_walk, open_below

Open = Callable[[int, str, int], int]
EACH_WAY = pytest.mark.parametrize("way", [by_kernel, by_walk], ids=["kernel", "walk"])
SECRET = "outside"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "secret").write_text(SECRET)
    inside = tmp_path / "root"
    (inside / "var/lib/out").mkdir(parents=True)
    (inside / "var/lib/out/file").write_text("inside")
    (inside / "secret").write_text("inside")
    (inside / "absolute").symlink_to("/var/lib/out")
    (inside / "var/relative").symlink_to("../var/./lib//out")
    (inside / "climbs").symlink_to("../../../../secret")
    (inside / "var/lib/host").symlink_to(tmp_path / "secret")
    (inside / "loop").symlink_to("loop")
    (inside / "var/lib/up").symlink_to("..")
    (inside / "proc").symlink_to("/proc/self/root")
    descriptor = os.open(inside, os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def read(way: Open, root: int, path: str) -> str:
    descriptor = way(root, path, os.O_RDONLY)
    try:
        return os.read(descriptor, 100).decode()
    finally:
        os.close(descriptor)


@EACH_WAY
@pytest.mark.parametrize(
    "path",
    [
        "/var/lib/out/file", "var/lib/out/file", "//var/./lib/out/../out/file", "/absolute/file", "/var/relative/file",
        "/../../../var/lib/out/file", "/climbs", "/secret", "/var/lib/up/lib/out/file",
    ],
)  # fmt: skip
def test_what_is_below_is_opened(root: int, way: Open, path: str) -> None:
    assert read(way, root, path) == "inside"


@EACH_WAY
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/var/lib/host", errno.ENOENT),  # leads to where its text leads below this root, and there is nothing
        ("/nothing", errno.ENOENT),
        ("/loop", errno.ELOOP),
        ("/secret/x", errno.ENOTDIR),
        ("/secret/..", errno.ENOTDIR),
        ("/proc/etc/passwd", errno.ELOOP),
        ("/a\0b", errno.EINVAL),
        ("", errno.ENOENT),
    ],
)
def test_what_is_not_there_is_not_found_elsewhere(root: int, way: Open, path: str, code: int) -> None:
    with pytest.raises(OSError, match=re.escape(os.strerror(code))):
        read(way, root, path)


@EACH_WAY
def test_links_of_proc_lead_nowhere_else(way: Open) -> None:
    """``/proc/self/root`` is the root directory itself, whatever its text says: with a root of ours it would lead out."""
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    try:
        with pytest.raises(OSError, match=r"symbolic links|No such file"):
            os.close(way(proc, f"/{os.getpid()}/root/etc/passwd", os.O_RDONLY))
    finally:
        os.close(proc)


@EACH_WAY
def test_a_last_link_can_be_refused(root: int, way: Open) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        way(root, "/absolute", os.O_RDONLY | os.O_NOFOLLOW)


@EACH_WAY
def test_nothing_stays_open(root: int, way: Open) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in ("/absolute/file", "/var/lib/host", "/loop", "/secret/x", "/.."):
        with suppress(OSError):
            os.close(way(root, path, os.O_RDONLY))
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_without_openat2_the_path_is_walked(root: int, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refused(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(rooted, "by_kernel", refused)
    assert read(open_below, root, "/absolute/file") == "inside"


PARTS = st.sampled_from(["a", "b", "c", "..", ".", "", "file", "l1", "l2", "l3"])
PATHS = st.lists(PARTS, max_size=6).map("/".join)


@settings(max_examples=100, deadline=None)
@given(links=st.lists(st.tuples(PATHS, st.booleans()), min_size=3, max_size=3), path=PATHS)
def test_both_ways_agree(tmp_path_factory: pytest.TempPathFactory, links: list[tuple[str, bool]], path: str) -> None:
    inside = tmp_path_factory.mktemp("tree") / "root"
    (inside / "a/b/c").mkdir(parents=True)
    for number, ((target, absolute), place) in enumerate(zip(links, ("", "a", "a/b"), strict=True), 1):
        (inside / place / f"l{number}").symlink_to(("/" if absolute else "") + target or ".")
        (inside / place / "file").write_text(place)
    root = os.open(inside, os.O_PATH | os.O_DIRECTORY)
    try:
        assert _outcome(by_kernel, root, path) == _outcome(by_walk, root, path)
    finally:
        os.close(root)


def _outcome(way: Open, root: int, path: str) -> tuple[int, int] | str:
    try:
        descriptor = way(root, path, os.O_PATH)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    try:
        status = os.fstat(descriptor)
        return status.st_dev, status.st_ino
    finally:
        os.close(descriptor)
