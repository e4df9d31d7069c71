"""Read before somebody's own locustfile (``locust -f harness_hooks.py,theirs.py --worker``), which stays as it is.

Their requests get a ``traceparent``, and every request Locust counts becomes a span. The header is put in where both of Locust's
HTTP clients begin a request; how it ended is told by Locust's ``request`` event, which carries our mark in its context. Requests
of other clients (a protocol of their own) become spans without a header.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from locust import events
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment
from locust.exception import CatchResponseError
from locust.runners import WorkerRunner

_HERE = Path(__file__).resolve().parent
if (_HERE / "harness").is_dir():  # exported: the modules it needs are beside it
    sys.path.insert(0, str(_HERE))

from harness.load.exchange import Counters, new_span_id, traceparent_of  # noqa: E402
from harness.load.swarm import private, wire  # noqa: E402
from harness.load.swarm.member import Member, end_with_the_line  # noqa: E402
from harness.model.span import PhaseName, Span  # noqa: E402

_MARK = "harness.span"
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-([0-9a-f]{16})-[0-9a-f]{2}\Z")  # W3C Trace Context, section 3.2
_MAX_NAME_CHARS = 200
_MAX_NAMES = 1000
_OTHERS = "(other requests)"
_STATUS, _FAILURE = (
    "status",
    "locust",
)  # failed checks: Locust's own rule (from 400 on), or what the locustfile calls a failure
_USERS_OF_A_WORKER = 100_000  # users are numbered by worker and by appearance in it


@dataclass(slots=True)
class Mark:
    """A request on its way."""

    span_id: str
    user: int
    start_ns: int
    end_ns: int | None = None


class Watcher:
    """Makes spans of what Locust counts."""

    def __init__(self, runner: WorkerRunner) -> None:
        self.counters = Counters()
        self._runner = runner
        self._phase = PhaseName.WARMUP
        self._users: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._new_user = count()
        self._names: set[str] = set()
        self._member = Member(runner, "", self.counters)
        self._member.on(wire.PHASE, self._on_phase)

    def begin(self, user: object, headers: Mapping[str, Any] | None) -> tuple[Mark, dict[str, Any]]:
        """The mark of a request, and its headers with a ``traceparent``: theirs, if they set one."""
        sent = dict(headers or {})
        theirs = next((str(value) for name, value in sent.items() if str(name).lower() == "traceparent"), None)
        match = None if theirs is None else _TRACEPARENT.match(theirs)
        span_id = new_span_id() if match is None else match[1]
        if theirs is None:
            sent["traceparent"] = traceparent_of(span_id)
        self.counters.in_flight += 1
        return Mark(span_id, self._number(user), time.monotonic_ns()), sent

    def end(self, mark: Mark) -> None:
        """The response is there, or never will be."""
        mark.end_ns = time.monotonic_ns()
        self.counters.in_flight -= 1

    def counted(
        self, request_type: str, name: str, response_time: float | None, response_length: int | None,
        exception: BaseException | None = None, context: Any = None, response: Any = None, **_: object,
    ) -> None:  # fmt: skip
        """Locust's ``request`` event."""
        now_ns = time.monotonic_ns()
        mark = context.pop(_MARK, None) if isinstance(context, dict) else None
        if mark is None:
            mark = Mark(new_span_id(), 0, now_ns - int((response_time or 0.0) * 1e6))
        status = getattr(response, "status_code", None) or None
        status = status if isinstance(status, int) else None
        error = _describe(exception) if exception is not None and status is None else None
        self._member.span(
            Span(
                span_id=mark.span_id,
                endpoint=self._endpoint(request_type, name),
                phase=self._phase,
                round=None,
                block=None,
                user=mark.user,
                intended_ns=None,
                start_ns=mark.start_ns,
                end_ns=now_ns if mark.end_ns is None else mark.end_ns,
                status=status,
                error=error,
                body_bytes=int(response_length or 0),
                failed_checks=() if exception is None or error is not None else (_failed_check(exception),),
            )
        )

    def _on_phase(self, data: Mapping[str, Any]) -> None:
        self._member.align()
        self._phase = PhaseName(data["phase"])

    def _endpoint(self, request_type: str, name: str) -> str:
        """The name they gave; where it is only the address, the method is told too. Bounded, for addresses are many."""
        text = str(name)
        text = (f"{request_type} {text}" if text.startswith(("/", "http")) else text)[:_MAX_NAME_CHARS]
        text = "".join(c if c.isprintable() else "?" for c in text) or _OTHERS
        if text not in self._names:
            if len(self._names) >= _MAX_NAMES:
                return _OTHERS
            self._names.add(text)
        return text

    def _number(self, user: object) -> int:
        if user is None:
            return 0
        number = self._users.get(user)
        if number is None:
            number = self._users[user] = self._runner.worker_index * _USERS_OF_A_WORKER + next(self._new_user)
        return number


def _failed_check(exception: BaseException) -> str:
    return _FAILURE if isinstance(exception, CatchResponseError) else _STATUS


def _describe(error: BaseException) -> str:
    """Short, the same for the same trouble, without anybody's data."""
    for cause in _causes(error):
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return "connection reset"
    return type(error).__name__


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    todo: list[object] = [error]
    while todo and len(found) < 20:
        each = todo.pop()
        if isinstance(each, BaseException) and each not in found:
            found.append(each)
            todo += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
    return found


def _wrap(client: Any, watcher: Watcher) -> None:
    """Have every request of a client class begin with a mark."""
    original: Callable[..., Any] = client.request
    signature = inspect.signature(original)

    @functools.wraps(original)
    def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        if len(args) > 2:  # rare: more than method and address without their names
            bound = signature.bind(self, *args, **kwargs)
            kwargs = {k: v for k, v in bound.arguments.items() if k not in {"self", "method", "url", "kwargs"}}
            kwargs |= bound.arguments.get("kwargs", {})
            args = (bound.arguments["method"], bound.arguments["url"])
        mark, kwargs["headers"] = watcher.begin(self.user, kwargs.get("headers"))
        kwargs["context"] = {**(kwargs.get("context") or {}), _MARK: mark}
        try:
            return original(self, *args, **kwargs)
        finally:
            watcher.end(mark)

    client.request = request


def _init(environment: Environment, **_: object) -> None:
    if not isinstance(environment.runner, WorkerRunner):
        sys.exit("harness_hooks.py is for workers: add --worker --master-host HOST --master-port PORT")
    watcher = Watcher(environment.runner)
    for client in (HttpSession, FastHttpSession):
        _wrap(client, watcher)
    environment.events.request.add_listener(watcher.counted)  # type: ignore[no-untyped-call]


private.join()
end_with_the_line()
events.init.add_listener(_init)  # type: ignore[no-untyped-call]
