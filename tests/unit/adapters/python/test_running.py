"""Looking at a running process: which Python it is, and what forbids to enter it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.python import running
from adapters.python.running import Means, Running

FINE = Running(4711, (3, 11), False, (1000,) * 4, 0, False, (), False)
US = Means(1000, False, 0)


def mapped(*paths: str) -> str:
    return "".join(f"7f00{n:08x}-7f00{n:08x} r-xp 00000000 08:01 {n}   {path}\n" for n, path in enumerate(paths))


@pytest.mark.parametrize(
    ("exe", "paths", "version"),
    [
        ("/usr/bin/python3.11", (), ((3, 11), False)),
        ("/usr/bin/python3.8 (deleted)", (), ((3, 8), False)),
        ("/opt/python3.13t", (), ((3, 13), True)),
        ("/venv/bin/python", ("/usr/lib/libpython3.12.so.1.0",), ((3, 12), False)),
        ("/usr/bin/uwsgi-core", ("/usr/lib/x86_64-linux-gnu/libpython3.9.so.1.0 (deleted)",), ((3, 9), False)),
        ("/venv/bin/python", ("/x/lib-dynload/_json.cpython-310-x86_64-linux-gnu.so",), ((3, 10), False)),
        ("/venv/bin/python", ("/x/lib-dynload/_json.cpython-313t-x86_64-linux-gnu.so",), ((3, 13), True)),
        ("/app/my program", ("/tmp/_MEI with blank/libpython3.12.so",), ((3, 12), False)),
        ("/usr/bin/pypy3.10", ("/usr/lib/libpypy3.10-c.so",), None),
        ("/bin/sleep", ("/usr/lib/libc.so.6", "[heap]"), None),
        ("/usr/bin/python2.7", (), None),
        ("/srv/python3.11/bin/node", (), None),
    ],
)
def test_the_version_by_names(exe: str, paths: tuple[str, ...], version: object) -> None:
    assert running.version_of(exe, mapped(*paths)) == version


@given(st.text(), st.text())
def test_any_text_is_a_map(exe: str, maps: str) -> None:
    running.version_of(exe, maps)


def test_this_process() -> None:
    found = running.look(os.getpid())
    assert found is not None
    assert found.version == sys.version_info[:2]
    assert found.uids == (*os.getresuid(), os.geteuid())
    assert (found.tracer, found.stopped, found.foreign, found.takes_orders) == (0, False, (), False)
    assert found.interpreter.cache_tag == sys.implementation.cache_tag


def test_one_that_has_ended() -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert running.look(process.pid) is None  # a zombie
    assert running.look(process.pid) is None


def test_one_with_namespaces_of_its_own(tmp_path: Path) -> None:
    base = tmp_path / "7"
    (base / "ns").mkdir(parents=True)
    (tmp_path / "self" / "ns").mkdir(parents=True)
    for name in ("pid", "mnt", "user"):
        (base / "ns" / name).symlink_to(f"{name}:[1]")
        (tmp_path / "self" / "ns" / name).symlink_to(f"{name}:[{1 if name == 'user' else 2}]")
    (base / "root").symlink_to("/srv/jail")
    assert running.foreign_of(base, tmp_path / "self") == ("process ids", "files", "the root directory")
    assert running.foreign_of(Path("/proc/self"), Path("/proc/self")) == ()


@pytest.mark.parametrize(
    ("found", "ours", "said"),
    [
        (FINE, US, None),
        (replace(FINE, uids=(33,) * 4), Means(0, True, 1), None),
        (FINE, Means(1000, True, 2), None),
        (replace(FINE, version=None), US, "does not run CPython"),
        (replace(FINE, version=(3, 7)), US, "needs 3.8"),
        (replace(FINE, free_threaded=True), US, "free-threaded"),
        (replace(FINE, foreign=("files",)), US, "has files of its own, as in a container"),
        (replace(FINE, takes_orders=True), US, "an agent is in process 4711 already"),
        (replace(FINE, tracer=99), US, "traced by process 99"),
        (replace(FINE, stopped=True), US, "is stopped"),
        (replace(FINE, uids=(1000, 1000, 0, 1000)), US, "another user"),
        (replace(FINE, uids=()), US, "another user"),
        (FINE, Means(1000, False, 1), "ptrace_scope is 1"),
        (FINE, Means(0, True, 3), "ptrace_scope is 3"),
    ],
)
def test_what_forbids_it(found: Running, ours: Means, said: str | None) -> None:
    obstacle = running.obstacle(found, ours)
    if said is None:
        assert obstacle is None
    else:
        assert obstacle is not None
        assert said in obstacle[0]


def test_our_own_means() -> None:
    ours = running.means()
    assert ours.uid == os.geteuid()
    capabilities = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff")
    )
    assert ours.may_trace == bool(int(capabilities.split()[1], 16) & 1 << 19)
