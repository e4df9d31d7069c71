"""The same service as a plain WSGI application, in Flask, in Django; ``python blackfire_apps.py KIND [PORT]`` serves it."""

import sys
import types
from wsgiref.simple_server import WSGIRequestHandler, make_server

import blackfire_work


def plain(environ, start_response):
    try:
        body, status = blackfire_work.route(environ["PATH_INFO"]), "200 OK"
    except RuntimeError:
        body, status = b"failed", "500 Internal Server Error"
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def flask():
    from flask import Flask

    app = Flask("blackfire_apps")

    @app.route("/<name>")
    def page(name):
        return blackfire_work.route("/" + name)

    return app


def django():
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import re_path

    urls = types.ModuleType("blackfire_urls")
    urls.urlpatterns = [re_path("^(?P<name>.*)$", lambda request, name: HttpResponse(blackfire_work.route("/" + name)))]
    sys.modules["blackfire_urls"] = urls
    settings.configure(
        ROOT_URLCONF="blackfire_urls", SECRET_KEY="x", ALLOWED_HOSTS=["*"], MIDDLEWARE=[], LOGGING_CONFIG=None
    )
    return get_wsgi_application()


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


def main():
    app = {"plain": lambda: plain, "flask": flask, "django": django}[sys.argv[1]]()
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with make_server("127.0.0.1", port, app, handler_class=Quiet) as server:
        sys.stdout.write(f"port {server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
