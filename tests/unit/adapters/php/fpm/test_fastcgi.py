"""The FastCGI client: its bytes, and servers that answer badly."""

from __future__ import annotations

import socket
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.php.fpm.fastcgi import Address, Decoder, FastCgiError, ask, encode, listen_address

HEAD = struct.Struct(">BBHHBx")
BODY = b"Status: 404 Not Found\r\nContent-type: text/html\r\n\r\nFile not found."


def record(kind: int, content: bytes, padding: int = 0) -> bytes:
    return HEAD.pack(1, kind, 1, len(content), padding) + content + bytes(padding)


END = record(3, bytes(8))
ANSWER = (
    record(7, b"Primary script unknown\n", 1) + record(6, BODY[:20], 3) + record(6, BODY[20:]) + record(6, b"") + END
)


def decoded(data: bytes) -> Decoder:
    decoder = Decoder()
    decoder.feed(data)
    return decoder


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9000", Address("127.0.0.1", 9000)),
        ("9000", Address("127.0.0.1", 9000)),
        ("*:9000", Address("127.0.0.1", 9000)),
        ("0.0.0.0:9000", Address("127.0.0.1", 9000)),
        ("[::]:9000", Address("::1", 9000)),
        ("php.example:9000", Address("php.example", 9000)),
        ("/run/php/php8.2-fpm.sock", Address(path="/run/php/php8.2-fpm.sock")),
        ("relative.sock", None),
        ("host:0", None),
        ("host:65536", None),
        ("", None),
        ("/a\0b", None),
    ],
)
def test_where_a_pool_listens(text: str, address: Address | None) -> None:
    assert listen_address(text) == address


def test_a_request_on_the_wire() -> None:
    sent = encode({"A": "1", "LONG": "x" * 200})
    assert sent[:16] == HEAD.pack(1, 1, 1, 8, 0) + b"\0\1\0\0\0\0\0\0"
    assert b"\1\1A1" + b"\4" + struct.pack(">I", 200 | 1 << 31) + b"LONG" + b"x" * 200 in sent
    assert sent.endswith(HEAD.pack(1, 4, 1, 0, 0) + HEAD.pack(1, 5, 1, 0, 0))
    with pytest.raises(ValueError, match="larger than one record"):
        encode({"A": "x" * 70_000})


def test_an_answer() -> None:
    answer = decoded(ANSWER).answer()
    assert (answer.status, answer.body, answer.errors) == (404, b"File not found.", "Primary script unknown")
    assert answer.headers["content-type"] == "text/html"
    assert decoded(record(6, b"A: b\r\n\r\n") + END).answer().status == 200
    assert decoded(record(6, b"Status: x\r\n\r\n") + END).answer().status == 0


@pytest.mark.parametrize("end", range(len(ANSWER)))
def test_truncation_at_every_byte_is_noticed(end: int) -> None:
    decoder = decoded(ANSWER[:end])
    assert not decoder.ended
    with pytest.raises(FastCgiError, match="broke off"):
        decoder.answer()


@given(st.lists(st.integers(1, len(ANSWER) - 1), unique=True).map(sorted))
def test_an_answer_may_come_in_any_pieces(cuts: list[int]) -> None:
    decoder = Decoder()
    for begin, end in zip([0, *cuts], [*cuts, len(ANSWER)], strict=True):
        decoder.feed(ANSWER[begin:end])
    assert decoder.answer() == decoded(ANSWER).answer()


@given(st.binary(max_size=400) | st.lists(st.sampled_from([ANSWER[:40], END, BODY, b"\1\6\0\1"])).map(b"".join))
def test_nothing_else_upsets_it(data: bytes) -> None:
    decoder = Decoder(body_cap=100)
    with suppress(FastCgiError):
        decoder.feed(data)
        decoder.answer()


def test_too_much_is_too_much() -> None:
    with pytest.raises(FastCgiError, match="larger than 10 bytes"):
        Decoder(body_cap=10).feed(record(6, b"x" * 11))
    noisy = decoded(b"".join(record(7, b"e" * 60_000) for _ in range(4)) + record(6, BODY) + END).answer()
    assert len(noisy.errors) <= 8192


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", HEAD.pack(1, 6, 2, 0, 0), HEAD.pack(1, 99, 1, 0, 0)]
)
def test_others_than_fastcgi_are_recognised(data: bytes) -> None:
    with pytest.raises(FastCgiError, match="does not speak FastCGI"):
        decoded(data)


def test_a_refused_request_says_so() -> None:
    with pytest.raises(FastCgiError, match="overloaded"):
        decoded(record(3, b"\0\0\0\0\2\0\0\0"))


# --- sockets --------------------------------------------------------------------------------------------------------


@contextmanager
def server(listener: socket.socket, answer: bytes, *, hang: bool = False) -> Iterator[list[bytes]]:
    """Answers one connection with these bytes; ``hang``: and then keeps it open until the client is gone."""
    got: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            got.append(connection.recv(1 << 16))
            connection.sendall(answer)
            if hang:
                connection.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield got
    finally:
        thread.join(10)
        listener.close()


def tcp() -> tuple[socket.socket, Address]:
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, Address("127.0.0.1", listener.getsockname()[1])


def test_over_tcp() -> None:
    listener, address = tcp()
    with server(listener, ANSWER) as got:
        assert ask(address, {"A": "1"}, 10).status == 404
    assert got == [encode({"A": "1"})]


def test_over_a_unix_socket_however_deep() -> None:
    with tempfile.TemporaryDirectory() as name:
        deep = Path(name) / ("d" * 60) / ("e" * 60)
        deep.mkdir(parents=True)
        listener = socket.socket(socket.AF_UNIX)
        short = Path(name) / "s"
        listener.bind(str(short))
        short.rename(deep / "s")
        listener.listen()
        with server(listener, ANSWER):
            assert ask(Address(path=str(deep / "s")), {}, 10).status == 404


def test_silence_ends_at_the_deadline() -> None:
    listener, address = tcp()
    with server(listener, ANSWER[:50], hang=True), pytest.raises(FastCgiError, match=r"did not answer within 0.2 s"):
        ask(address, {}, 0.2)


def test_a_connection_that_breaks_off() -> None:
    listener, address = tcp()
    with server(listener, ANSWER[:50]), pytest.raises(FastCgiError, match="broke off"):
        ask(address, {}, 10)


NOBODY = [Address(path="/nowhere/at-all.sock"), Address(path="/" + "d/" * 100 + "s"), Address("a..b", 1)]


@pytest.mark.parametrize("address", NOBODY)
def test_nobody_there(address: Address) -> None:
    with pytest.raises(FastCgiError, match="cannot be reached"):
        ask(address, {}, 10)
