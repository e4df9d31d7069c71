"""Work that enters pool threads while a request is measured: who is traced, and that nothing is left."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.thread import _WorkItem
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio._backends import _asyncio as backend

from adapters.python.agent.thread_hops import ThreadHops

ORIGINALS = (_WorkItem.__dict__["run"], backend.AsyncIOBackend.__dict__["run_sync_in_worker_thread"])


def now() -> tuple[Any, Any]:
    return _WorkItem.__dict__["run"], backend.AsyncIOBackend.__dict__["run_sync_in_worker_thread"]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made
    assert now() == ORIGINALS


def tracer(frame: Any, event: str, arg: Any) -> None:
    """Declines every frame."""


def test_an_executors_job_is_traced_only_while_it_runs(pool: ThreadPoolExecutor) -> None:
    hops = ThreadHops(tracer)
    hops.start()
    assert pool.submit(sys.gettrace).result() is tracer
    hops.stop()
    assert pool.submit(sys.gettrace).result() is None
    assert now() == ORIGINALS


def test_asyncio(pool: ThreadPoolExecutor) -> None:
    async def hop() -> Any:
        return await asyncio.to_thread(sys.gettrace)

    hops = ThreadHops(tracer)
    hops.start()
    try:
        assert asyncio.run(hop()) is tracer
    finally:
        hops.stop()


def add(a: int, *, b: int = 2) -> int:
    return a + b


def fail() -> None:
    raise StopIteration(7)


def test_anyio() -> None:
    async def hops_of(function: Callable[..., Any], *args: Any) -> Any:
        return await anyio.to_thread.run_sync(function, *args, abandon_on_cancel=True)

    hops = ThreadHops(tracer)
    hops.start()
    try:
        assert anyio.run(hops_of, sys.gettrace) is tracer
        assert anyio.run(hops_of, add, 40) == 42
        with pytest.raises(RuntimeError, match="StopIteration"):
            anyio.run(hops_of, fail)
    finally:
        hops.stop()
    assert anyio.run(hops_of, sys.gettrace) is None
    assert now() == ORIGINALS


def test_errors_are_the_jobs_own(pool: ThreadPoolExecutor) -> None:
    hops = ThreadHops(tracer)
    hops.start()
    failed = pool.submit(int, "x").exception()
    hops.stop()
    assert isinstance(failed, ValueError)


def test_a_debugger_in_the_pool_thread_goes_first(pool: ThreadPoolExecutor) -> None:
    def theirs(frame: Any, event: str, arg: Any) -> None:
        pass

    pool.submit(sys.settrace, theirs).result()
    hops = ThreadHops(tracer)
    hops.start()
    assert pool.submit(sys.gettrace).result() is theirs
    hops.stop()
    assert pool.submit(sys.gettrace).result() is theirs


def test_whoever_has_wrapped_ours_keeps_a_wrapper_that_does_nothing(pool: ThreadPoolExecutor) -> None:
    hops = ThreadHops(tracer)
    hops.start()
    ours = _WorkItem.run

    def theirs(self: Any) -> None:
        ours(self)

    try:
        _WorkItem.run = theirs  # type: ignore[method-assign]  # that is what they do
        hops.stop()
        assert now()[0] is theirs
        assert pool.submit(sys.gettrace).result() is None
    finally:
        _WorkItem.run = ORIGINALS[0]  # type: ignore[method-assign]


def test_a_measurement_without_such_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "concurrent.futures.thread")
    monkeypatch.delitem(sys.modules, "anyio._backends._asyncio")
    hops = ThreadHops(tracer)
    hops.start()
    hops.stop()
    assert now() == ORIGINALS


def test_the_function_of_older_anyio(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run_sync_in_worker_thread(func: Callable[..., Any], *args: Any, cancellable: bool = False) -> Any:
        return func(*args), cancellable

    old = types.ModuleType("anyio._backends._asyncio")
    monkeypatch.setattr(old, "run_sync_in_worker_thread", run_sync_in_worker_thread, raising=False)
    monkeypatch.setitem(sys.modules, "anyio._backends._asyncio", old)
    hops = ThreadHops(tracer)
    hops.start()
    hop = vars(old)["run_sync_in_worker_thread"]
    assert asyncio.run(hop(sys.gettrace, cancellable=True)) == (tracer, True)
    hops.stop()
    assert vars(old)["run_sync_in_worker_thread"] is run_sync_in_worker_thread
