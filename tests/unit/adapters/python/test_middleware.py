"""The wrappers, called as servers call them."""

import asyncio
import functools
import gc
import inspect
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.python.agent import middleware
from adapters.python.agent.middleware import Application, AsyncApplication, wrap
from adapters.python.agent.recorder import Recorder
from harness.model.span import RequestRecord
from harness.plugins.records import parse_record

Environ = dict[str, Any]
SPAN = "00-" + "a" * 32 + "-0123456789abcdef-01"


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[RequestRecord]]]:
    path = tmp_path / "python-x.ndjson"
    path.touch()
    recorder = Recorder(str(path))
    monkeypatch.setattr(middleware, "recorder", recorder)
    monkeypatch.setattr(middleware, "token", b"secret")

    def read() -> list[RequestRecord]:
        parsed = [parse_record(line) for line in path.read_bytes().splitlines()]
        return [record for record in parsed if isinstance(record, RequestRecord)]

    yield read
    assert recorder.active == {}
    gc.callbacks.remove(recorder.gc)
    os.close(recorder.statm)
    os.close(recorder.fd)


def environ(path: str = "/", **more: Any) -> Environ:
    return {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, **more}


def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
    return lambda data: None


def hello(environ: Environ, start_response: Any) -> list[bytes]:
    start_response("201 Created", [])
    return [b"hello"]


async def ahello(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 202, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def call_asgi(app: Any, scope: dict[str, Any]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, None, send))
    return sent


def test_a_list_is_returned_as_it_is_and_recorded_at_once(records: Callable[[], list[RequestRecord]]) -> None:
    body = [b"x"]
    assert Application(lambda e, s: body)(environ(), start_response) is body
    assert [r.name for r in records()] == ["GET /"]


def test_layers_that_are_both_wrapped_make_one_record(records: Callable[[], list[RequestRecord]]) -> None:
    Application(Application(hello))(environ(HTTP_TRACEPARENT=SPAN), start_response)
    [record] = records()
    assert (record.status, record.span_id) == (201, "0123456789abcdef")


def test_an_asgi_bridge_into_wsgi_makes_one_record(records: Callable[[], list[RequestRecord]]) -> None:
    async def bridge(scope: dict[str, Any], receive: Any, send: Any) -> None:
        Application(hello)(environ(HTTP_TRACEPARENT=SPAN), start_response)
        await ahello(scope, receive, send)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"traceparent", SPAN.encode())]}
    call_asgi(AsyncApplication(bridge), scope)
    assert [r.status for r in records()] == [202]


def test_a_generator_stays_lazy_and_ends_its_record_at_close(records: Callable[[], list[RequestRecord]]) -> None:
    events = []

    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            events.append("first")
            yield b"1"
            events.append("second")
            yield b"2"
        finally:
            events.append("closed")

    body = Application(app)(environ(), start_response)
    assert events == []
    iterator = iter(body)
    assert next(iterator) == b"1"
    assert events == ["first"]
    assert records() == []
    body.close()
    assert events == ["first", "closed"]
    assert len(records()) == 1


def test_a_body_that_nobody_closes_is_recorded_when_it_is_dropped(records: Callable[[], list[RequestRecord]]) -> None:
    body = Application(lambda e, s: iter([b"x"]))(environ(), start_response)
    assert list(body) == [b"x"]
    del body
    assert len(records()) == 1


def test_an_error_in_close_is_the_applications(records: Callable[[], list[RequestRecord]]) -> None:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([])

        def close(self) -> None:
            raise RuntimeError("mine")

    body = Application(lambda e, s: Body())(environ(), start_response)
    with pytest.raises(RuntimeError, match="mine"):
        body.close()
    assert len(records()) == 1


def test_only_a_body_with_a_length_gets_one(records: Callable[[], list[RequestRecord]]) -> None:
    class Sized:
        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"x"])

    sized = Application(lambda e, s: Sized())(environ(), start_response)
    plain = Application(lambda e, s: iter([b"x"]))(environ(), start_response)
    assert len(sized) == 1
    assert not hasattr(plain, "__len__")
    sized.close()
    plain.close()


def test_sendfile_wrappers_reach_the_server(records: Callable[[], list[RequestRecord]]) -> None:
    class Wrapper:
        pass

    class Handle:
        def read(self) -> bytes:
            return b""

    for file_wrapper, result in ((Wrapper, Wrapper()), (lambda f: f, Handle())):
        app = Application(lambda e, s, result=result: result)
        assert app(environ(**{"wsgi.file_wrapper": file_wrapper}), start_response) is result
    assert len(records()) == 2


def test_exc_info_is_handed_on_and_the_last_status_counts(records: Callable[[], list[RequestRecord]]) -> None:
    seen = []

    def server(status: str, headers: Any, exc_info: Any = None) -> None:
        seen.append((status, exc_info))

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        start_response("500 Oops", [], exc_info=(ValueError, None, None))
        return []

    Application(app)(environ(), server)
    assert seen == [("200 OK", None), ("500 Oops", (ValueError, None, None))]
    assert [r.status for r in records()] == [500]


@pytest.mark.parametrize(
    "bad", [{}, {"REQUEST_METHOD": None, "PATH_INFO": None}, {"REQUEST_METHOD": "\ud800", "PATH_INFO": "\ud800"}]
)
def test_an_odd_environ_is_the_applications_business(bad: Environ, records: Callable[[], list[RequestRecord]]) -> None:
    assert Application(hello)(dict(bad), start_response) == [b"hello"]
    for record in records():
        record.name.encode()  # storable


def test_asgi_passes_everything_but_http_through(records: Callable[[], list[RequestRecord]]) -> None:
    scopes = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        scopes.append(dict(scope))

    call_asgi(wrap(app), {"type": "lifespan"})
    call_asgi(wrap(app), {"type": "websocket", "path": "/"})
    assert scopes == [{"type": "lifespan"}, {"type": "websocket", "path": "/"}]
    assert records() == []


def test_asgi_records_status_and_name(records: Callable[[], list[RequestRecord]]) -> None:
    scope = {"type": "http", "method": "POST", "root_path": "/api", "path": "/é", "headers": []}
    assert len(call_asgi(wrap(ahello), scope)) == 2
    assert [(r.name, r.status) for r in records()] == [("POST /api/é", 202)]


def test_asgi_errors_pass_and_are_recorded(records: Callable[[], list[RequestRecord]]) -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError):
        call_asgi(wrap(app), {"type": "http", "method": "GET", "path": "/", "headers": []})
    assert [r.status for r in records()] == [None]


class Instance:
    attribute = 1

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await ahello(scope, receive, send)


def returns_a_coroutine(scope: dict[str, Any], receive: Any, send: Any) -> Any:
    return ahello(scope, receive, send)


@pytest.mark.parametrize("app", [ahello, Instance(), functools.partial(ahello)])
def test_an_asgi_application_stays_recognisable(app: Any) -> None:
    wrapped = wrap(app)
    assert isinstance(wrapped, AsyncApplication)
    assert inspect.iscoroutinefunction(wrapped.__call__)
    assert wrap(wrapped) is wrapped
    assert not hasattr(wrap(ahello), "attribute")
    assert wrap(Instance()).attribute == 1


def test_a_callable_that_only_returns_a_coroutine_works_as_asgi(records: Callable[[], list[RequestRecord]]) -> None:
    assert len(call_asgi(wrap(returns_a_coroutine), {"type": "http", "method": "GET", "path": "/", "headers": []})) == 2
    assert [r.status for r in records()] == [202]


def test_asgi_2_applications_are_called_as_they_are(records: Callable[[], list[RequestRecord]]) -> None:
    assert wrap(lambda scope: ("instance", scope))({"type": "http"}) == ("instance", {"type": "http"})
    assert records() == []


@pytest.mark.parametrize(
    "header", ["", "secret", "secre tracemalloc", "Secret tracemalloc", "\xff x", "wrong tracemalloc"]
)
def test_only_the_token_authorises(header: str, records: Callable[[], list[RequestRecord]]) -> None:
    assert middleware.authorised("secret tracemalloc") == "tracemalloc"
    assert middleware.authorised("other lines, secret lines a=1%2C, third lines") == "lines a=1%2C"
    assert not middleware.authorised(header)


def test_a_trigger_that_cannot_be_loaded_is_told_and_the_request_served(
    records: Callable[[], list[RequestRecord]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor is left for the import, or the application has emptied sys.modules."""
    monkeypatch.setitem(sys.modules, "adapters.python.agent.trigger", None)
    monkeypatch.delattr("adapters.python.agent.trigger", raising=False)
    headers = [(b"x-harness-trigger", b"secret tracemalloc")]
    told: list[tuple[Any, ...]] = []
    monkeypatch.setattr(middleware.recorder, "tool", lambda *what: told.append(what))
    assert wrap(hello)(environ(HTTP_X_HARNESS_TRIGGER="secret tracemalloc"), start_response) == [b"hello"]
    assert len(call_asgi(wrap(ahello), {"type": "http", "method": "GET", "path": "/", "headers": headers})) == 2
    assert [r.status for r in records()] == [201, 202]
    assert [(tool, error[:23]) for tool, _, _, error, _ in told] == [("tracemalloc", "the agent is incomplete")] * 2


def test_no_token_authorises_nobody(
    records: Callable[[], list[RequestRecord]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "token", b"")
    assert middleware.authorised(" tracemalloc") is None


def test_nothing_of_the_response_is_left_when_its_end_is_reported() -> None:
    class Response(list[bytes]):
        def close(self) -> None: ...

    response = Response([b"x"])
    known = weakref.ref(response)
    alive: list[bool] = []
    body = middleware.wrap_body(response, lambda: alive.append(known() is not None))
    del response
    assert list(body) == [b"x"]
    body.close()
    assert alive == [False]
