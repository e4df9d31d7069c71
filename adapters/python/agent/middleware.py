"""Wraps a WSGI or ASGI application so that every request is recorded once, however many layers of it are wrapped.

The response is the application's own: status, headers, chunks, laziness, ``close`` and sendfile wrappers are left as they
are. Errors of ours are swallowed; errors of the application pass through.
"""

from _operator import _compare_digest
from time import monotonic_ns

from .recorder import Recorder, Request, span_of

SEEN = "harness.seen"  # key in environ and scope: an outer layer of ours has this request
TRIGGER_HEADER = b"x-harness-trigger"
_TRIGGER_KEY = "HTTP_X_HARNESS_TRIGGER"

recorder: "Recorder" = None  # type: ignore[assignment]  # boot.install sets it before anything is wrapped
token = b""  # this run's secret


def authorised(header):
    """The tool named by a trigger header (str) that carries this run's token, else None. Other agents' may be beside it."""
    for each in header.split(", ") if token else ():
        given, _, tool = each.partition(" ")
        if _compare_digest(given.encode("utf-8", "replace"), token):
            return tool
    return None


def load_trigger(request, tool):
    """The module that runs tools; None, and an ordinary request has begun, where the application emptied sys.modules."""
    try:
        from . import trigger

        return trigger
    except Exception as error:
        recorder.begin(request)
        recorder.tool(tool.partition(" ")[0], request.span, None, "the agent is incomplete: %s" % error, {})
        return None


def _clean(text):
    # Lone surrogates would not survive storage.
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


# --- WSGI ------------------------------------------------------------------------------------------------------------


def _wsgi_name(environ):
    name = "%.16s %s%s" % (
        environ.get("REQUEST_METHOD", ""),
        environ.get("SCRIPT_NAME", ""),
        environ.get("PATH_INFO", ""),
    )
    if name.isascii():
        return name
    try:
        return name.encode("latin-1").decode("utf-8", "replace")  # PEP 3333 strings are bytes in disguise
    except UnicodeError:
        return _clean(name)


def _wsgi_admit(environ):
    """(request, tool): request is None for a layer to pass through; tool is None for an ordinary request."""
    entered_ns = monotonic_ns()
    environ[SEEN] = True
    span = span_of(environ.get("HTTP_TRACEPARENT"))
    if span is not None and span in recorder.active:
        return None, None  # the same request came through an ASGI-to-WSGI bridge
    request = Request(_wsgi_name(environ), span)
    header = environ.get(_TRIGGER_KEY)
    tool = None if header is None else authorised(header)
    if tool is None:
        recorder.begin(request, entered_ns)
    return request, tool


def call_wsgi(app, environ, start_response):
    """Call a WSGI application and record the request."""
    if SEEN in environ or recorder.closed:
        return app(environ, start_response)
    try:
        request, tool = _wsgi_admit(environ)
    except Exception:
        request = tool = None
    if request is None:
        return app(environ, start_response)
    if tool is not None:
        del environ[_TRIGGER_KEY]
        trigger = load_trigger(request, tool)
        if trigger is not None:
            return trigger.call_wsgi(recorder, app, environ, start_response, request, tool)
    try:
        turn = recorder.gate
        if turn is not None:
            turn.hold_back(request)
        result = app(environ, watch_status(request, start_response))
    except BaseException:
        end(request)
        raise
    if type(result) in (list, tuple) or is_file_wrapper(environ, result):
        end(request)
        return result
    return wrap_body(result, lambda: end(request))


def watch_status(request, start_response):
    """``start_response`` that also notes the status."""

    def watching(status, headers, *rest, **named):
        try:
            request.status = int(status[:3])
        except Exception:
            request.status = None
        return start_response(status, headers, *rest, **named)

    return watching


def end(request):
    """End a request; never raises."""
    try:
        recorder.end(request)
    except Exception:
        pass


def is_file_wrapper(environ, result):
    """Whether the server must get this very object (sendfile)."""
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None:
        return False
    if isinstance(wrapper, type):
        return isinstance(result, wrapper)
    return hasattr(result, "read")  # a function, as in uWSGI: it remembers the file it was given


class Body:
    """A response iterable that reports its end: at ``close`` (PEP 3333 servers always call it), else when it is dropped."""

    def __init__(self, source, finish):
        self._source = source
        self._iterator = None
        self._finish = finish

    def __iter__(self):
        self._iterator = iter(self._source)
        return self

    def __next__(self):
        if self._iterator is None:
            self._iterator = iter(self._source)
        return next(self._iterator)

    def close(self):
        source, self._source, self._iterator = self._source, (), None
        try:
            close = getattr(source, "close", None)
            if close is not None:
                close()
        finally:
            source = close = None  # the bound method, too: a tool that looks at the end must not find the response here
            self._end()

    def _end(self):
        finish, self._finish = self._finish, None
        if finish is not None:
            finish()

    def __del__(self):
        try:
            self._end()
        except Exception:
            pass


class SizedBody(Body):
    """Servers derive Content-Length from the length of a body of one chunk."""

    def __len__(self):
        return len(self._source)


def wrap_body(source, finish, plain=Body, sized=SizedBody):
    """A `Body` around ``source`` that has a length exactly when ``source`` has one."""
    return (sized if hasattr(type(source), "__len__") else plain)(source, finish)


# --- ASGI ------------------------------------------------------------------------------------------------------------


def _asgi_headers(scope):
    """(traceparent, trigger header) of a scope, None where absent or given twice."""
    parent = trigger = None
    for name, value in scope.get("headers") or ():
        if name == b"traceparent":
            parent = value.decode("latin-1") if parent is None else ""
        elif name == TRIGGER_HEADER:
            trigger = value.decode("latin-1") if trigger is None else ""
    return parent, trigger


def _asgi_admit(scope):
    entered_ns = monotonic_ns()
    scope[SEEN] = True
    parent, header = _asgi_headers(scope)
    span = span_of(parent)
    if span is not None and span in recorder.active:
        return None, None
    name = "%s %s%s" % (scope.get("method", ""), scope.get("root_path", ""), scope.get("path", ""))
    if scope.get("root_path") and scope.get("path", "").startswith(scope["root_path"]):
        name = "%s %s" % (scope.get("method", ""), scope["path"])  # newer servers put the root into the path
    request = Request(_clean(name), span)
    tool = None if header is None else authorised(header)
    if tool is None:
        recorder.begin(request, entered_ns)
    return request, tool


async def call_asgi(app, scope, receive, send):
    """Call an ASGI application and record the request; anything but HTTP passes through."""
    if scope.get("type") != "http" or SEEN in scope or recorder.closed:
        return await app(scope, receive, send)
    try:
        request, tool = _asgi_admit(scope)
    except Exception:
        request = tool = None
    if request is None:
        return await app(scope, receive, send)
    if tool is not None:
        trigger = load_trigger(request, tool)
        if trigger is not None:
            return await trigger.call_asgi(recorder, app, scope, receive, send, request, tool)
    try:
        turn = recorder.gate
        if turn is not None:
            await turn.hold_back_async(request)
        return await app(scope, receive, watch_send(request, send))
    finally:
        end(request)


def watch_send(request, send):
    """``send`` that also notes the status."""

    async def watching(message):
        if message["type"] == "http.response.start":
            status = message.get("status")
            request.status = status if isinstance(status, int) else None
        await send(message)

    return watching


# --- wrappers for servers --------------------------------------------------------------------------------------------


class Application:
    """Stands in for a synchronous callable; tells WSGI from ASGI by the number of arguments, as servers do."""

    _harness_wrapped = True

    def __init__(self, app):
        self.__wrapped__ = app

    def __call__(self, *args, **named):
        if len(args) == 2 and not named and type(args[0]) is dict:
            return call_wsgi(self.__wrapped__, *args)
        if len(args) == 3 and not named and isinstance(args[0], dict):
            return call_asgi(self.__wrapped__, *args)
        return self.__wrapped__(*args, **named)

    def __getattr__(self, name):
        return getattr(self.__wrapped__, name)


class AsyncApplication:
    """Stands in for an ASGI callable; stays recognisable as a coroutine function."""

    _harness_wrapped = True

    def __init__(self, app):
        self.__wrapped__ = app

    async def __call__(self, scope, receive, send):
        return await call_asgi(self.__wrapped__, scope, receive, send)

    def __getattr__(self, name):
        return getattr(self.__wrapped__, name)


def _is_native(app):
    """Whether an application is aiohttp's or tornado's own, see `native`."""
    return any(base.__module__ in ("aiohttp.web_app", "tornado.web") for base in type(app).__mro__)


def _takes_arguments(function):
    code = getattr(function, "__code__", None)
    return code is None or code.co_argcount > 0 or bool(code.co_flags & 0x04)  # CO_VARARGS


def wrap(app):
    """The recorded stand-in for an application of either kind; an already wrapped one, or None, is returned as it is."""
    if app is None or getattr(app, "_harness_wrapped", False):
        return app
    from inspect import iscoroutinefunction  # every server that gets here has loaded it

    if _is_native(app) or (iscoroutinefunction(app) and not _takes_arguments(app)):
        return app  # gunicorn's workers for aiohttp and tornado recognise their applications, and factories of them, by type
    call = getattr(type(app), "__call__", None)  # noqa: B004  (wanted is the method, not whether there is one)
    is_async = iscoroutinefunction(app) or iscoroutinefunction(call)
    return AsyncApplication(app) if is_async else Application(app)
