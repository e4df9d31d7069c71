"""The status page, and what the question at floors brings back: read from hostile bytes."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.php.fpm.fastcgi import Address
from adapters.php.fpm.floor import parse_told
from adapters.php.fpm.status import PAGE_CAP, Page, page_of, parse_status, read_status
from harness.errors import TargetError, UsageError
from harness.model.metric import describe
from harness.session.floors import samples_of

PROCESS = {
    "pid": 11, "state": "Idle", "start time": 1795663691, "start since": 2, "requests": 5, "request duration": 243109,
    "request method": "GET", "request uri": "/x", "content length": 0, "user": "-", "script": "/x.php", "last request cpu": 20.5,
    "last request memory": 2097152,
}  # fmt: skip
STATUS = {
    "pool": "www", "process manager": "static", "start time": 1795663691, "start since": 2, "accepted conn": 7, "listen queue": 3,
    "max listen queue": 4, "listen queue len": 511, "idle processes": 1, "active processes": 1, "total processes": 2,
    "max active processes": 2, "max children reached": 9, "slow requests": 1,
    "processes": [PROCESS, {**PROCESS, "pid": 12, "state": "Running", "last request memory": 0}],
}  # fmt: skip
OPCACHE = {
    "opcache_enabled": True, "cache_full": False,
    "memory_usage": {"used_memory": 100, "free_memory": 20, "wasted_memory": 3, "current_wasted_percentage": 2.5},
    "interned_strings_usage": {"buffer_size": 50, "used_memory": 10, "free_memory": 40, "number_of_strings": 6},
    "opcache_statistics": {"num_cached_scripts": 4, "num_cached_keys": 5, "hits": 60, "misses": 7, "oom_restarts": 1,
                           "hash_restarts": 0, "manual_restarts": 2},
    "jit": {"buffer_size": 0, "buffer_free": 0},
}  # fmt: skip
TOLD = {
    "pid": 11, "version": "8.2.32", "sapi": "fpm-fcgi", "missing": {}, "opcache": OPCACHE, "realpath_cache": 646,
    "apcu": {"memory": {"num_seg": 1, "seg_size": 1000.0, "avail_mem": 900.0},
             "entries": {"num_entries": 2, "num_hits": 3.0, "num_misses": 4, "num_inserts": 5, "expunges": 0}},
    "trim": [4194304, 2097152],
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def line(told: object) -> bytes:
    return b"\nharness-floor:" + json.dumps(told).encode() + b"\n"


# --- the page -------------------------------------------------------------------------------------------------------


def test_a_page() -> None:
    status = parse_status(json.dumps(STATUS).encode())
    assert status is not None
    assert status.pool == "www"
    assert status.values == {
        "fpm.accepted": 7, "fpm.queue": 3, "fpm.queue_highest": 4, "fpm.idle": 1, "fpm.active": 1, "fpm.total": 2,
        "fpm.active_highest": 2, "fpm.max_children_reached": 9, "fpm.slow_requests": 1,
    }  # fmt: skip
    idle, running = status.workers
    assert (idle.pid, idle.start, idle.idle) == (11, 1795663691, True)
    assert idle.values == {"fpm.requests": 5, "fpm.last_request_memory_bytes": 2097152}
    assert (running.idle, running.values) == (False, {"fpm.requests": 5}), "its memory is not known before its end"


def test_pressure_in_words() -> None:
    status = parse_status(json.dumps(STATUS).encode())
    assert status is not None
    assert set(status.pressure()) == {"pool.workers", "pool.queue", "pool.slow"}
    assert status.pressure()["pool.workers"].startswith("since its start the pool was out of workers 9 times")
    during = status.pressure({"fpm.max_children_reached": 7, "fpm.slow_requests": 1})
    assert during.keys() == {"pool.workers", "pool.queue"}
    assert during["pool.workers"].startswith("during the run the pool was out of workers 2 times")
    restarted = status.pressure({"fpm.max_children_reached": 70})
    assert "out of workers 9 times" in restarted["pool.workers"]
    calm = parse_status(
        json.dumps({**STATUS, "max children reached": 0, "listen queue": 0, "slow requests": 0}).encode()
    )
    assert calm is not None
    assert calm.pressure() == {}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"pool": "x"}', b'{"pool": 1, "total processes": 1}', b"[" * 100_000]
)
def test_other_answers_are_no_page(body: bytes) -> None:
    assert parse_status(body) is None


@given(st.sampled_from(sorted({*STATUS, *PROCESS})), JSON)
def test_nonsense_in_a_place_is_not_believed(name: str, value: object) -> None:
    process = {**PROCESS, name: value} if name in PROCESS else PROCESS
    page = {**STATUS, "processes": [process, value]} | ({name: value} if name in STATUS else {})
    status = parse_status(json.dumps(page).encode())
    if status is not None:
        numbers = [*status.values.values(), *(v for w in status.workers for v in w.values.values())]
        assert all(type(number) is int and 0 <= number < 2**63 for number in numbers)
        assert all(worker.pid > 0 for worker in status.workers)
        assert status.pool.isascii()


def test_truncation_at_every_byte_gives_nothing() -> None:
    body = json.dumps(STATUS).encode()
    assert all(parse_status(body[:end]) is None for end in range(len(body)))


# --- where it is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("http://127.0.0.1/fpm-status", Page(url="http://127.0.0.1/fpm-status")),
        ("tcp://127.0.0.1:9001/status", Page(address=Address("127.0.0.1", 9001), path="/status")),
        ("tcp://[::1]:9001/status", Page(address=Address("::1", 9001), path="/status")),
        ("unix:///run/php.sock?/status", Page(address=Address(path="/run/php.sock"), path="/status")),
    ],
)
def test_addresses_of_pages(text: str, page: Page) -> None:
    assert page_of(text) == page


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unix://run.sock?/s",
        "unix:///run.sock",
        "tcp://h:1",
        "tcp://h/status",
        "ftp://h/",
        "http://",
        "http://h:99999/s",
        "http://h:x/s",
        "http://[::1/s",
    ],
)
def test_what_is_no_address_says_what_one_is(text: str) -> None:
    with pytest.raises(UsageError, match="is not the address of a status page") as caught:
        page_of(text)
    assert "unix:///SOCKET" in str(caught.value)


@contextmanager
def web(status: int, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """Answers every request so; what was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/status", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_over_http() -> None:
    with web(200, json.dumps(STATUS).encode()) as (url, asked):
        assert read_status(page_of(url), 10).values["fpm.accepted"] == 7
        assert read_status(page_of(f"{url}?a=1"), 10).pool == "www"
    assert asked == ["/status?json&full", "/status?a=1&json&full"]


def test_an_address_of_a_client_that_spoils_the_long_form_is_got_around() -> None:
    with web(200, b'{"pool":"www","processes":[{"request uri":"/"x"}]}') as (url, asked):
        with pytest.raises(TargetError, match="no status page"):
            read_status(page_of(url), 10)
        assert asked == ["/status?json&full", "/status?json"]


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (302, b"", "status 302"),
        (404, b"", "status 404"),
        (200, b"x" * (PAGE_CAP + 1), "more than"),
        (200, b"<html>", "no status page"),
    ],
)
def test_bad_answers_over_http(status: int, body: bytes, says: str) -> None:
    with web(status, body) as (url, _), pytest.raises(TargetError, match=says):
        read_status(page_of(url), 10)


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"]
)
def test_an_answer_that_trickles_ends_with_the_time_allowed(start: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.sendall(start)
                while True:  # until the other side has gone
                    connection.sendall(b" ")
                    time.sleep(0.02)

        thread = threading.Thread(target=trickle)
        thread.start()
        with pytest.raises(TargetError, match=r"did not answer within 0\.3 s"):
            read_status(page_of(f"http://127.0.0.1:{server.getsockname()[1]}/status"), 0.3)
        thread.join()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://a..b/"])
def test_nobody_there_over_http(url: str) -> None:
    with pytest.raises(TargetError, match="cannot be read"):
        read_status(page_of(url), 10)


# --- what the script printed ----------------------------------------------------------------------------------------


def test_the_answer_whatever_a_prepend_file_printed_around_it() -> None:
    told = parse_told(b"<html>" + line(TOLD) + b"<!-- 3 ms -->")
    assert told is not None
    assert told.pid == 11
    assert told.own == {
        "realpath_cache_bytes": 646,
        "trim.real_before_bytes": 4194304,
        "trim.real_after_bytes": 2097152,
    }
    assert told.missing == {}
    assert told.shared == {
        "opcache.size_bytes": 123, "opcache.free_bytes": 20, "opcache.wasted_bytes": 3, "opcache.interned_size_bytes": 50,
        "opcache.interned_free_bytes": 40, "opcache.jit_size_bytes": 0, "opcache.jit_free_bytes": 0, "opcache.hits": 60,
        "opcache.misses": 7, "opcache.scripts": 4, "opcache.keys": 5, "opcache.restarts": 3, "opcache.full": 0,
        "apcu.size_bytes": 1000, "apcu.free_bytes": 900, "apcu.entries": 2, "apcu.hits": 3, "apcu.misses": 4, "apcu.inserts": 5,
        "apcu.expunges": 0,
    }  # fmt: skip


def test_all_that_is_told_is_a_metric() -> None:
    told, status = parse_told(line(TOLD)), parse_status(json.dumps(STATUS).encode())
    assert told is not None
    assert status is not None
    values = {**told.shared, **told.own, **status.values, **status.workers[0].values}
    assert len(samples_of("php", values)) == len(values)
    assert describe("agent.php.opcache.size").unit == "bytes"


def test_caches_that_are_not_there_are_missing_and_not_0() -> None:
    told = parse_told(line({"pid": 1, "missing": {"opcache": "opcache is not loaded", "apcu": "x" * 999, "no": 1}}))
    assert told is not None
    assert told.shared == told.own == {}
    assert told.missing == {"opcache": "opcache is not loaded", "apcu": "x" * 160}


@pytest.mark.parametrize(
    "body", [b"", b"harness-floor:", b"harness-floor:[]", b"\nharness-floor:{", b"harness-floor:" + b"[" * 99_999]
)
def test_anything_else_is_no_answer(body: bytes) -> None:
    assert parse_told(body) is None


@given(st.sampled_from(sorted(TOLD)), JSON)
def test_nonsense_from_the_pool_is_not_believed(name: str, value: object) -> None:
    told = parse_told(line({**TOLD, name: value}))
    assert told is not None
    assert all(type(number) is int and 0 <= number < 2**63 for number in (*told.shared.values(), *told.own.values()))


def test_truncation_of_the_answer_at_every_byte_gives_nothing() -> None:
    body = line(TOLD)[1:-1]
    assert all(parse_told(body[:end]) is None for end in range(len(body)))
