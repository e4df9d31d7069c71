"""``harness doctor`` as a user without rights: what it names is what is missing, and a run says the same."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from checkups import yama_forbids
from nobody import AS_NOBODY, NOBODY, python_of_nobody, unprivileged
from processes import DEADLINE_S, free_port, wait_for

from harness.store.reader import read_run

pytestmark = pytest.mark.integration
CHECKOUT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parents[1] / "programs"
YAMA = yama_forbids(NOBODY)
PERMISSION = {"process.memory.pss", "process.smaps", "runtime.memory"}  # what of others may not be looked into
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be, and start, somebody else")


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that nobody may write to and pass through."""
    with TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o777)
        yield path


def checked_up(*arguments: str | Path, cwd: Path, code: int = 0) -> dict[str, dict[str, Any]]:
    """The lines of the table by signal."""
    done = unprivileged("doctor", "--json", *arguments, cwd=cwd)
    assert done.returncode == code, done.stderr
    assert done.stderr == ""
    return {line["signal"]: line for line in json.loads(done.stdout)["signals"]}


def lacking(table: dict[str, dict[str, Any]]) -> set[str]:
    return {signal for signal, line in table.items() if line["state"] in ("missing", "partly")}


def readable(path: str) -> bool:
    """By nobody, whatever we are."""
    reader = AS_NOBODY if os.geteuid() == 0 else ()
    return subprocess.run([*reader, "head", "-c1", path], capture_output=True, check=False).returncode == 0


def test_what_is_missing_is_named_with_what_gets_it_back(public: Path) -> None:
    table = checked_up(cwd=public)
    found = lacking(table)
    assert found >= PERMISSION
    memory = "missing" if YAMA else "partly"  # partly: our own processes can be looked into
    assert [table[signal]["state"] for signal in sorted(PERMISSION)] == ["partly", "partly", memory]
    for signal, file in (
        ("system.slab", "/proc/slabinfo"), ("system.pagetypeinfo", "/proc/pagetypeinfo"), ("system.meminfo", "/proc/meminfo"),
        ("system.psi.memory", "/proc/pressure/memory"), ("system.zoneinfo", "/proc/zoneinfo"),
    ):  # fmt: skip
        assert (signal in found) == (not readable(file)), signal
    for signal in found:
        assert table[signal]["costs"], signal
        assert table[signal]["fix"], signal
    for signal in PERMISSION:
        assert "-m harness run SCENARIO" in table[signal]["fix"]
        assert table[signal]["fix"].startswith("sudo " if shutil.which("sudo") else "as root: ")
    own = {
        "process.memory.rss",
        "process.memory.hwm",
        "clock",
        "disk",
        *(() if YAMA else ("runtime.python", "runtime.glibc")),
    }
    assert {table[signal]["state"] for signal in own} == {"ok"}


@pytest.fixture
def script(public: Path) -> Path:
    path = public / "server.py"
    shutil.copyfile(PROGRAMS / "plain_server.py", path)
    path.chmod(0o644)
    return path


def test_a_run_gets_what_was_promised_and_misses_the_same(public: Path, script: Path) -> None:
    python = python_of_nobody() if os.geteuid() == 0 else sys.executable
    port = free_port()
    scenario = public / "shop.yaml"
    scenario.write_text(
        f"name: shop\ntarget: {{runtime: any, launch: {python} {script} {port}, ready: 'http://127.0.0.1:{port}/ok'}}\n"
        "load: {observe: 2s}\nprofile: none\nsample: {interval: 200ms}\n"
    )
    table = checked_up(scenario, cwd=public)
    done = unprivileged("run", scenario, cwd=public)
    assert done.returncode == 0, done.stderr
    run = read_run(public / done.stdout.splitlines()[-1])
    assert table["process.memory.pss"]["state"] == "ok"
    assert table["runtime.memory"]["state"] == ("missing" if YAMA else "ok")
    names = {metric for metric, *_ in run.series}
    inside = {"runtime.python.gc.count0", "runtime.python.pymalloc.live"}
    assert {"process.memory.pss", "process.memory.uss"} <= names
    assert inside <= names or YAMA
    said = {m.signal: m.costs for m in run.missing}
    promised = {signal: table[signal]["costs"] for signal in lacking(table)}
    if table["cgroup.own"]["state"] == "ok":  # then the target's group is not the one that was looked at
        said, promised = ({s: c for s, c in some.items() if not s.startswith("cgroup.")} for some in (said, promised))
    assert said == promised


POOL = "[{name}]\nlisten = 127.0.0.1:{port}\npm = static\npm.max_children = 1\nuser = nobody\ngroup = {group}\n"


@contextmanager
def fpm(directory: Path, more: str = "") -> Iterator[tuple[int, Path]]:
    """A pool of nobody's below a master of root's: (pid of its worker, the pool's file)."""
    programs = sorted(Path("/usr/sbin").glob("php-fpm*"))
    assert programs, "these tests need php-fpm: apt install php-fpm"
    (directory / "pool.d").mkdir()
    pool = directory / "pool.d" / "shop.conf"
    group = (
        "nogroup"
        if any(line.startswith("nogroup:") for line in Path("/etc/group").read_text().splitlines())
        else "nobody"
    )
    pool.write_text(POOL.format(name="shop", port=free_port(), group=group) + more)
    main = directory / "fpm.conf"
    main.write_text(f"[global]\nerror_log = {directory}/log\ninclude = {directory}/pool.d/*.conf\n")
    master = subprocess.Popen([programs[0], "-y", main, "-F"], stderr=subprocess.DEVNULL)
    try:
        children = Path(f"/proc/{master.pid}/task/{master.pid}/children")
        wait_for(lambda: children.read_text().split(), "php-fpm's worker")
        (worker,) = map(int, children.read_text().split())
        wait_for(lambda: b"pool shop" in Path(f"/proc/{worker}/cmdline").read_bytes(), "the pool")
        yield worker, pool
    finally:
        master.terminate()
        master.wait(DEADLINE_S)


@needs_root
def test_a_worker_that_changed_its_user(public: Path) -> None:
    """Not even its own user may look into it, root may; the fix names the setting and its file."""
    with fpm(public) as (worker, pool):
        table = checked_up("--pid", str(worker), cwd=public)
        assert {table[signal]["state"] for signal in PERMISSION} == {"missing"}
        for signal in PERMISSION:
            assert f"process.dumpable = yes in section [shop] of {pool}, then restart php-fpm" in table[signal]["fix"]
        assert {table[f"runtime.{name}"]["state"] for name in ("python", "php", "glibc")} == {"unchecked"}
        assert table["process.memory.rss"]["state"] == "ok"

        general = checked_up(cwd=public)
        nobody = pwd.getpwuid(NOBODY).pw_name
        assert f"section [shop] of {pool}" in general["runtime.memory"]["fix"]
        assert f"of processes of {nobody}" in general["runtime.memory"]["found"]

        as_root = subprocess.run(
            [sys.executable, "-m", "harness", "doctor", "--json", "--pid", str(worker)],
            cwd=CHECKOUT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        of_root = {line["signal"]: line for line in json.loads(as_root.stdout)["signals"]}
        assert {of_root[signal]["state"] for signal in (*PERMISSION, "runtime.php", "runtime.glibc")} == {"ok"}


@needs_root
def test_the_fix_for_a_worker_works(public: Path) -> None:
    with fpm(public, "process.dumpable = yes\n") as (worker, _):
        table = checked_up("--pid", str(worker), cwd=public)
        expected = PERMISSION - {"runtime.memory"} if YAMA else PERMISSION | {"runtime.php"}
        assert {table[signal]["state"] for signal in expected} == {"ok"}


@needs_root
def test_a_port_of_another_user(public: Path) -> None:
    """Whose it is cannot be seen: a watch would not start either."""
    with subprocess.Popen(
        [sys.executable, "-c", "import socket,sys; s=socket.create_server(('127.0.0.1',0)); print(s.getsockname()[1],flush=True);"
         "sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        done = unprivileged("doctor", "--port", port, cwd=public)
        server.communicate("")
    assert done.returncode == 3
    assert f"port {port} belongs to a process of another user" in done.stderr
