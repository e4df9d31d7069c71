"""A Django project in one file: ``python_django_app:application`` for servers, ``python python_django_app.py runserver``."""

import sys

from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

LEAK = []


def home(request):
    return HttpResponse("hello")


def leak(request):
    LEAK.append(bytearray(b"x" * 100_000))
    return HttpResponse("leaked")


def stream(request):
    return StreamingHttpResponse(str(n) for n in range(5))


def fail(request):
    raise RuntimeError("planted")


urlpatterns = [path("", home), path("leak", leak), path("stream", stream), path("fail", fail)]

if not settings.configured:
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x", LOGGING_CONFIG=None)

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
else:
    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()
