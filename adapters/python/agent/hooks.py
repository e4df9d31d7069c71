"""Finds the application: patches servers and, as a fallback, framework classes, right after their modules were imported."""

import os
import sys

from . import patches
from .middleware import AsyncApplication, call_asgi, call_wsgi, wrap


def _replace(owner, name, make):
    """Replace a function of a class by ``make(original)``, which keeps its names and documentation."""
    original = owner.__dict__[name]
    patched = make(original)
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        try:
            setattr(patched, attribute, getattr(original, attribute))
        except AttributeError:
            pass
    patched.__wrapped__ = original
    patches.put(owner, name, patched)


def _wrap_result(owner, name):
    def make(original):
        def patched(self, *args, **named):
            return wrap(original(self, *args, **named))

        return patched

    _replace(owner, name, make)


def _wrap_attribute(owner, name, attribute, wrapper=wrap):
    def make(original):
        def patched(self, *args, **named):
            result = original(self, *args, **named)
            app = getattr(self, attribute, None)
            if app is not None and not getattr(app, "_harness_wrapped", False):
                setattr(self, attribute, wrapper(app))
            return result

        return patched

    _replace(owner, name, make)


def _wsgi_class(owner):
    def make(original):
        def patched(self, environ, start_response):
            return call_wsgi(lambda e, s: original(self, e, s), environ, start_response)

        return patched

    _replace(owner, "__call__", make)


def _asgi_class(owner):
    def make(original):
        async def patched(self, scope, receive, send):
            async def app(scope, receive, send):
                return await original(self, scope, receive, send)

            return await call_asgi(app, scope, receive, send)

        return patched

    _replace(owner, "__call__", make)


def _native(owner, name, replacement):
    def make(original):
        from . import native

        return getattr(native, replacement)(original)

    _replace(owner, name, make)


def _celery(module):
    from . import celery_tasks

    celery_tasks.hook(module)


# Servers see every request of every framework; the classes cover servers we do not know (uWSGI, mod_wsgi, ...).
HOOKS = {
    "gunicorn.app.base": lambda m: _wrap_result(m.BaseApplication, "wsgi"),
    "uvicorn.config": lambda m: _wrap_attribute(m.Config, "load", "loaded_app", AsyncApplication),
    "wsgiref.simple_server": lambda m: _wrap_attribute(m.WSGIServer, "set_app", "application"),
    "werkzeug.serving": lambda m: _wrap_attribute(m.BaseWSGIServer, "__init__", "app"),
    "waitress.server": lambda m: _wrap_attribute(m.BaseWSGIServer, "__init__", "application"),
    "gevent.pywsgi": lambda m: _wrap_attribute(m.WSGIServer, "__init__", "application"),
    "hypercorn.app_wrappers": lambda m: (
        _wrap_attribute(m.ASGIWrapper, "__init__", "app", AsyncApplication),
        _wrap_attribute(m.WSGIWrapper, "__init__", "app"),
    ),
    "daphne.server": lambda m: _wrap_attribute(m.Server, "__init__", "application", AsyncApplication),
    "aiohttp.web_app": lambda m: _native(m.Application, "_handle", "aiohttp_application"),
    "tornado.web": lambda m: _native(m.RequestHandler, "_execute", "tornado_handler"),
    "django.core.handlers.wsgi": lambda m: _wsgi_class(m.WSGIHandler),
    "django.core.handlers.asgi": lambda m: _asgi_class(m.ASGIHandler),
    "flask.app": lambda m: _wsgi_class(m.Flask),
    "starlette.applications": lambda m: _asgi_class(m.Starlette),
    "celery.app.trace": _celery,
}


class _Loader:
    """The module's own loader, plus our hook after the module's body has run."""

    def __init__(self, loader, finder):
        self._loader = loader
        self._finder = finder

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        create = getattr(self._loader, "create_module", None)
        return None if create is None else create(spec)

    def exec_module(self, module):
        # The module must find its own loader when its body looks (pkgutil, importlib.resources).
        module.__loader__ = self._loader
        module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._finder.run(module.__name__, module)


class HookFinder:
    """First in ``sys.meta_path``; answers only for the hooked names and leaves when the last hook has run."""

    def __init__(self, hooks):
        self._hooks = dict(hooks)

    def find_spec(self, name, path=None, target=None):
        if name not in self._hooks:
            return None
        for finder in list(sys.meta_path):
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = None if find is None else find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, self)
                return spec
        return None

    def run(self, name, module):
        """Run the hook of a module that has just been imported, once."""
        hook = self._hooks.pop(name, None)
        if hook is None:
            return
        try:
            hook(module)
        except Exception as error:
            try:
                os.write(2, ("harness agent: no hook in %s: %r\n" % (name, error)).encode("utf-8", "replace"))
            except OSError:
                pass
        if not self._hooks and self in sys.meta_path:
            sys.meta_path.remove(self)

    def install(self):
        """Start watching; modules that are already loaded are hooked at once."""
        sys.meta_path.insert(0, self)
        for name in list(self._hooks):
            if name in sys.modules:
                self.run(name, sys.modules[name])
