"""PHP's books read from outside, against what PHP says about itself at the same moment."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from obedient import Target, running
from processes import DEADLINE_S, free_port, wait_for

from adapters.php.installed import find_fpm
from harness.sampling.outside.php.reader import Php, attach
from harness.sampling.outside.process import Process
from harness.sampling.outside.refusal import Refused, Torn

pytestmark = pytest.mark.integration

PROGRAM = Path(__file__).parents[1] / "programs" / "php_states.php"
CACHES = ("-d", "opcache.enable_cli=1", "-d", "apc.enable_cli=1")
CHUNK = 2 << 20
CHECKOUT = Path(__file__).parents[2]


@contextmanager
def reader(pid: int) -> Iterator[Php]:
    process = Process("/proc", pid)
    try:
        php = attach(process)
        assert php is not None
        yield php
    finally:
        process.close()


def assert_equal_at_rest(target: Target, php: Php) -> tuple[dict[str, int], dict[str, Any]]:
    with target.at_rest() as said:
        values = {name.removeprefix("runtime.php."): value for name, value in php.walk().items()}
    (line,) = said
    own = json.loads(line)
    assert values["heap.size"] == own["usage"]
    assert values["heap.peak"] == own["peak"]
    assert values["heap.real"] == own["real"]
    assert values["heap.real_peak"] == own["real_peak"]
    for name in ("roots", "runs", "collected", "threshold"):
        assert values[f"gc.{name}"] == own["gc"][name]
    assert values["gc.enabled"] == 1
    assert 0 < values["heap.resident"] <= own["real"]
    chunks = values["heap.chunks"]
    assert (chunks + values["heap.cached_chunks"]) * CHUNK + values["heap.huge"] == own["real"]
    # whatever is neither handed out nor free is the first page of each chunk, and what is left over of pages cut into slots
    unused = values["heap.free_pages"] + values["heap.free_in_runs"]
    rest = own["real"] - values["heap.cached_chunks"] * CHUNK - own["usage"] - unused
    assert chunks * 4096 <= rest <= chunks * (4096 + 512 * 96)
    return values, own


def test_equal_to_what_php_says_in_every_state() -> None:
    with running("php", *CACHES, PROGRAM) as target, reader(target.pid) as php:
        assert not php.missing
        version = subprocess.run(
            ["php", "-n", "-r", "echo PHP_VERSION;"], capture_output=True, text=True, check=True
        ).stdout
        assert php.facts["version"] == version
        assert_equal_at_rest(target, php)
        target.do("objects")
        full, _ = assert_equal_at_rest(target, php)
        target.do("third")
        holes, _ = assert_equal_at_rest(target, php)
        gone = full["heap.size"] - holes["heap.size"]
        assert gone > 700_000
        unused = [v["heap.free_in_runs"] + v["heap.free_pages"] for v in (full, holes)]
        assert unused[1] - unused[0] == pytest.approx(gone, rel=0.01)  # every byte given back is found as free
        assert holes["heap.free_in_runs"] - full["heap.free_in_runs"] > gone * 0.9  # in runs that are still in use
        target.do("blocks")
        values, _ = assert_equal_at_rest(target, php)
        assert values["heap.huge"] >= 14 << 20  # the first is less than a chunk
        target.do("cycles")
        values, _ = assert_equal_at_rest(target, php)
        assert values["gc.roots"] >= 4000
        target.do("collect")
        values, _ = assert_equal_at_rest(target, php)
        assert (values["gc.roots"], values["gc.runs"], values["gc.collected"]) == (0, 1, 4000)


def test_shared_memory_of_opcache_and_apcu() -> None:
    with running("php", *CACHES, PROGRAM) as target, reader(target.pid) as php:
        target.do("store")
        values, own = assert_equal_at_rest(target, php)
        memory, statistics = own["opcache"]["memory_usage"], own["opcache"]["opcache_statistics"]
        assert values["opcache.free"] == memory["free_memory"]
        assert values["opcache.wasted"] == memory["wasted_memory"]
        assert values["opcache.size"] == memory["free_memory"] + memory["wasted_memory"] + memory["used_memory"]
        assert values["opcache.full"] == int(own["opcache"]["cache_full"])
        assert values["opcache.hits"] == statistics["hits"]
        assert values["opcache.misses"] == statistics["misses"]
        assert values["opcache.restarts"] == 0
        assert values["apcu.free"] == own["apcu"]["avail_mem"]
        assert values["apcu.size"] - own["apcu"]["seg_size"] in range(4096)  # which leaves out the segment's own header
        assert values["apcu.size"] - values["apcu.free"] > 1 << 20
    with running("php", PROGRAM) as target, reader(target.pid) as php:
        assert set(php.missing) == {"runtime.php.opcache", "runtime.php.apcu"}
        assert not any(name.startswith(tuple(php.missing)) for name in php.walk())


def test_objects_by_class_are_exact_and_as_large_as_their_blocks() -> None:
    with running("php", PROGRAM) as target, reader(target.pid) as php:
        target.say("sizes")
        sizes = json.loads(target.hear())
        target.do("objects")
        with target.at_rest():
            counted = {one.name: one for one in php.types(1)}
            parts = {one.name: one for one in php.types(8)}
    for name, number in (("Small", 30_000), ("Wide", 3_000)):
        assert counted[name].number == number
        assert counted[name].size_bytes == number * sizes[name]
        assert parts[name].number == pytest.approx(number, rel=0.05)


def test_under_a_loop_that_does_nothing_but_allocate() -> None:
    tries = 15
    with running("php", PROGRAM) as target, reader(target.pid) as php:
        target.do("objects", "churn")
        probe = php.probe()
        samples = set()
        while len(samples) < 200 and probe.taken < 10_000_000:
            samples.add(probe.sample())
        counted, walked = [], 0
        for _ in range(tries):
            try:
                counted.append({one.name: one.number for one in php.types(1)}["Wide"])
                walked += php.walk()["runtime.php.heap.free_pages"] >= 0
            except Torn:
                continue
        target.do("any word ends it")
    assert probe.refused <= probe.taken // 20
    assert len(samples) >= 199
    assert all(size <= peak and size <= real for size, peak, real in filter(None, samples))
    assert len(counted) >= tries * 9 // 10
    assert walked >= tries * 8 // 10
    assert all(abs(number - 3000) <= 3 for number in counted)


def test_without_a_zend_heap_it_is_refused_with_the_reason() -> None:
    with (
        running("php", PROGRAM, env={"USE_ZEND_ALLOC": "0"}) as target,
        pytest.raises(Refused, match="USE_ZEND_ALLOC=0"),
        reader(target.pid),
    ):
        pass


def test_other_programs_are_not_php() -> None:
    with running(sys.executable, "-c", "print('ready', flush=True); input()") as target:
        process = Process("/proc", target.pid)
        try:
            assert attach(process) is None
        finally:
            process.close()


def read_as(uid: int, pid: int) -> str:
    """What a reader of another user gets: the size of the heap, or the refusal."""
    code = """
import os, sys
from harness.sampling.outside.php.reader import attach
from harness.sampling.outside.process import Process
from harness.sampling.outside.refusal import Refused
os.setgroups([])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
try:
    print(attach(Process("/proc", int(sys.argv[2]))).counters()["runtime.php.heap.size"])
except Refused as why:
    print("refused:", why)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(uid), str(pid)],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )  # fmt: skip
    return done.stdout.strip()


FPM = """[global]
error_log = {directory}/fpm.log
daemonize = no
[app]
listen = 127.0.0.1:{port}
pm = static
pm.max_children = 1
{account}
"""


def fpm_request(port: int, script: Path, query: str = "") -> bytes:
    """One request to a FastCGI server (FastCGI specification 1.0), its whole answer."""
    parameters = {
        "SCRIPT_FILENAME": str(script), "SCRIPT_NAME": "/" + script.name, "REQUEST_METHOD": "GET",
        "QUERY_STRING": query, "SERVER_PROTOCOL": "HTTP/1.1", "GATEWAY_INTERFACE": "CGI/1.1",
    }  # fmt: skip
    pairs = b"".join(
        bytes([len(name)]) + struct.pack(">I", len(value) | 1 << 31) + name.encode() + value.encode()
        for name, value in parameters.items()
    )
    record = struct.Struct(">BBHHBx")
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(
            record.pack(1, 1, 1, 8, 0) + struct.pack(">HBxxxxx", 1, 0)  # begin, as a responder
            + record.pack(1, 4, 1, len(pairs), 0) + pairs + record.pack(1, 4, 1, 0, 0)  # parameters
            + record.pack(1, 5, 1, 0, 0)  # no body
        )  # fmt: skip
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
    return answer


@contextmanager
def fpm(directory: Path) -> Iterator[tuple[int, int]]:
    """A master with one worker, of another user where we may choose one: (port, pid of the worker)."""
    program = find_fpm()
    assert program, "these tests need php-fpm"
    port = free_port()
    account = "user = nobody\ngroup = nogroup" if os.geteuid() == 0 else ""
    config = directory / "fpm.conf"
    config.write_text(FPM.format(directory=directory, port=port, account=account))
    master = subprocess.Popen(
        [program, "-y", str(config), "-F", "-d", "opcache.file_update_protection=0"], stderr=subprocess.DEVNULL
    )
    try:
        children = Path(f"/proc/{master.pid}/task/{master.pid}/children")
        wait_for(lambda: children.read_text().split(), "php-fpm's worker")
        (worker,) = map(int, children.read_text().split())
        wait_for(
            lambda: b"fpm: pool app" in Path(f"/proc/{worker}/cmdline").read_bytes().replace(b"-", b" "), "the pool"
        )
        yield port, worker
    finally:
        master.terminate()
        master.wait(DEADLINE_S)


def size_now(php: Php) -> int | None:
    """None while PHP drops its heap, which takes some milliseconds and cannot balance."""
    try:
        return php.counters()["runtime.php.heap.size"]
    except Torn:
        return None


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A directory that every user may read."""
    with TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def test_a_worker_of_php_fpm_gives_its_memory_back_after_a_request(public_path: Path) -> None:
    script = public_path / "work.php"
    script.write_text(
        "<?php class Kept {} $k = []; for ($i = 0; $i < 50000; $i++) $k[] = new Kept();"
        " $s = str_repeat('x', 8 << 20); printf('peak %d;', memory_get_peak_usage());"
    )
    with fpm(public_path) as (port, worker), reader(worker) as php:
        assert php.types(1) == []  # before the first request
        answer = fpm_request(port, script)
        assert b"peak " in answer, answer
        wait_for(lambda: size_now(php) == 0, "the end of the request")  # the answer is out before it
        idle = php.walk()
        assert idle["runtime.php.heap.cached_chunks"] > 0
        assert idle["runtime.php.heap.huge"] == 0
        assert idle["runtime.php.opcache.misses"] == 1
        assert php.types(1) == []  # PHP has dropped the heap, but not yet its list of objects
        fpm_request(port, script)
        wait_for(lambda: size_now(php) == 0, "the end of the second request")
        assert php.counters()["runtime.php.opcache.hits"] == 1
        with reader(worker) as again:  # found between two requests
            assert again.types(1) == []
        if os.geteuid() == 0:
            # started as root, then became another user: not even that user may look in
            assert read_as(65534, worker).startswith("refused: no permission to read")
            assert read_as(1, worker).startswith("refused: no permission to read")


def test_the_built_in_server(tmp_path: Path) -> None:
    (tmp_path / "index.php").write_text("<?php echo 'ok';")
    port = free_port()
    server = subprocess.Popen(
        ["php", "-S", f"127.0.0.1:{port}", "-t", str(tmp_path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:

        def answers() -> bool:
            try:
                return bool(httpx.get(f"http://127.0.0.1:{port}/").text == "ok")
            except httpx.TransportError:
                return False

        wait_for(answers, "php -S")
        with reader(server.pid) as php:
            values = php.walk()
            used_chunks = values["runtime.php.heap.chunks"] + values["runtime.php.heap.cached_chunks"]
            assert values["runtime.php.heap.real"] == used_chunks * CHUNK
            # between two requests there is nothing in the heap
            wait_for(lambda: size_now(php) == 0, "the end of the request")
            empty = php.walk()
            unused = empty["runtime.php.heap.free_pages"] + empty["runtime.php.heap.free_in_runs"]
            assert CHUNK - 8192 < unused <= CHUNK - 4096
    finally:
        server.kill()
        server.wait()
