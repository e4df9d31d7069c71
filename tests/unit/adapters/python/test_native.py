"""Servers with a protocol of their own: seen as ASGI requests, their results and errors handed on as they are."""

import asyncio
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.python.agent import middleware, native
from adapters.python.agent.recorder import Recorder
from harness.model.span import RequestRecord
from harness.plugins.records import parse_record

Read = Callable[[], list[RequestRecord]]


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Read]:
    path = tmp_path / "python-x.ndjson"
    path.touch()
    recorder = Recorder(str(path))
    monkeypatch.setattr(middleware, "recorder", recorder)

    def read() -> list[RequestRecord]:
        parsed = [parse_record(line) for line in path.read_bytes().splitlines()]
        return [record for record in parsed if isinstance(record, RequestRecord)]

    yield read
    assert recorder.active == {}
    gc.callbacks.remove(recorder.gc)
    os.close(recorder.statm)
    os.close(recorder.fd)


class RedirectError(Exception):
    status = 302


async def handle(app: object, request: Any) -> Any:
    if isinstance(request.answer, Exception):
        raise request.answer
    return request.answer


def aiohttp_request(answer: object, **headers: str) -> Any:
    return SimpleNamespace(method="GET", path="/a", headers=headers, answer=answer)


def test_an_aiohttp_response_is_the_applications_own(records: Read) -> None:
    answer = SimpleNamespace(status=204)
    span = {"Traceparent": "00-" + "a" * 32 + "-0123456789abcdef-01"}
    assert asyncio.run(native.aiohttp_application(handle)(None, aiohttp_request(answer, **span))) is answer
    [record] = records()
    assert (record.name, record.status, record.span_id) == ("GET /a", 204, "0123456789abcdef")


@pytest.mark.parametrize(("error", "status"), [(RedirectError("there"), 302), (RuntimeError("planted"), None)])
def test_an_aiohttp_error_is_the_applications_own(records: Read, error: Exception, status: int | None) -> None:
    with pytest.raises(type(error)) as caught:
        asyncio.run(native.aiohttp_application(handle)(None, aiohttp_request(error)))
    assert caught.value is error
    assert [r.status for r in records()] == [status]


def test_a_websocket_is_not_a_request(records: Read) -> None:
    assert asyncio.run(native.aiohttp_application(handle)(None, aiohttp_request(1, upgrade="websocket"))) == 1
    assert records() == []


class Headers(dict[str, str]):
    def get_all(self) -> Any:
        return self.items()


class Handler:
    def __init__(self, **headers: str) -> None:
        self.request = SimpleNamespace(method="POST", path="/t", headers=Headers(headers))
        self.transforms: object = None

    def get_status(self) -> int:
        return 418

    async def execute(self, transforms: object, name: str) -> None:
        self.transforms = (transforms, name)


def test_a_tornado_handler_runs_with_its_arguments(records: Read) -> None:
    handler = Handler(Host="x")
    asyncio.run(native.tornado_handler(Handler.execute)(handler, "transforms", name="n"))
    assert handler.transforms == ("transforms", "n")
    assert [(r.name, r.status) for r in records()] == [("POST /t", 418)]


def test_tornados_websockets_and_fallbacks_are_left_to_others(records: Read) -> None:
    fallback = Handler()
    fallback.fallback = len  # type: ignore[attr-defined]  # as tornado's FallbackHandler has it
    for handler in (Handler(Upgrade="websocket"), fallback):
        asyncio.run(native.tornado_handler(Handler.execute)(handler, "t", "n"))
        assert handler.transforms == ("t", "n")
    assert records() == []


def test_a_foreign_application_is_not_wrapped() -> None:
    class Foreign:
        __module__ = "aiohttp.web_app"

    class Derived(Foreign):
        pass

    async def factory() -> object:
        return Derived()

    app = Derived()
    assert middleware.wrap(app) is app
    assert middleware.wrap(factory) is factory
