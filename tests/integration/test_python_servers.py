"""Every server of docs/python.md with a real application, in a clean environment: one record a request, responses untouched."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from processes import free_port, wait_for
from python_envs import environment
from python_service import DEADLINE_S, PROGRAMS, Service, Services
from pythons import pythons

from harness.model.profile import ArtifactStatus
from harness.model.span import BootRecord, RequestRecord

pytestmark = pytest.mark.integration

WEB = ("aiohttp", "daphne", "django", "fastapi", "flask", "gevent", "gunicorn", "hypercorn", "tornado",
       "uvicorn[standard]", "uvicorn-worker", "waitress")  # fmt: skip
SMALL = ("fastapi", "flask", "gunicorn", "uvicorn")
MATRIX = ("3.8", "3.11", "3.12", "3.13")
FLASK, FASTAPI, DJANGO = "python_flask_app", "python_fastapi_app", "python_django_app"
AIOHTTP, TORNADO = "python_aiohttp_app", "python_tornado_app"
PATHS = {"/": 200, "/leak": 200, "/stream": 200, "/fail": 500, "/nope": 404}
ROUNDS = 20
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def by_minor() -> dict[str, str]:
    """Minor version -> a Python of it."""
    return {".".join(version.split(".")[:2]): program for version, program in reversed(pythons().items())}


@functools.cache
def web_python() -> str:
    """The environment with all servers: of 3.12 where that is installed, else of our own Python."""
    return environment(by_minor().get("3.12", sys.executable), *WEB)


def program(name: str) -> str:
    return str(Path(web_python()).with_name(name))


@dataclass(frozen=True)
class Server:
    """``words`` follow the program's name; PORT among them is replaced by a free port, where the server cannot choose one.
    ``workers``: processes that serve. ``failed``: the status recorded for an error that the application does not handle."""

    app: str
    words: Sequence[str]
    workers: int = 1
    failed: int | None = 500
    env: Mapping[str, str] = field(default_factory=dict)


def gunicorn(app: str, *flags: str, workers: int = 1, failed: int | None = 500) -> Server:
    words = ("gunicorn", "--no-control-socket", "-b", "127.0.0.1:0", "-w", str(workers), *flags, app)
    return Server(app.partition(":")[0], words, workers, failed)


def uwsgi(app: str, *flags: str, workers: int = 1) -> Server:
    """Debian's: Python is embedded into a program of C, as with an installation by hand (the wheels on PyPI start as Python)."""
    words = ("uwsgi", "--plugin", "python3", "--http-socket", "127.0.0.1:0", "--virtualenv", "VENV",
             "--add-header", "Connection: close",  # it closes without a word
             "--need-app", "--die-on-term", "--module", app, *flags)  # fmt: skip
    return Server(app.partition(":")[0], words, workers)


SERVERS = {
    "gunicorn sync": gunicorn(f"{FLASK}:app", workers=2),
    "gunicorn gthread": gunicorn(f"{FLASK}:app", "-k", "gthread", "--threads", "4"),
    "gunicorn gevent": gunicorn(f"{FLASK}:app", "-k", "gevent"),
    "gunicorn preload, Django": gunicorn(f"{DJANGO}:application", "--preload", workers=2),
    "gunicorn, uvicorn's worker": gunicorn(f"{FASTAPI}:app", "-k", "uvicorn_worker.UvicornWorker"),
    "gunicorn, uvicorn's old worker": gunicorn(f"{FASTAPI}:app", "-k", "uvicorn.workers.UvicornWorker"),
    "gunicorn, aiohttp's worker": gunicorn(f"{AIOHTTP}:application", "-k", "aiohttp.GunicornWebWorker", failed=None),
    "uvicorn": Server(FASTAPI, ("uvicorn", "--port", "0", f"{FASTAPI}:app")),
    "uvicorn, WSGI": Server(FLASK, ("uvicorn", "--port", "0", "--interface", "wsgi", f"{FLASK}:app")),
    "uvicorn, two workers": Server(FASTAPI, ("uvicorn", "--port", "0", "--workers", "2", f"{FASTAPI}:app"), 2),
    "waitress": Server(FLASK, ("waitress-serve", "--listen=127.0.0.1:0", f"{FLASK}:app")),
    "flask run": Server(FLASK, ("flask", "--app", FLASK, "run", "--port", "0")),
    "runserver": Server(DJANGO, ("python", str(PROGRAMS / f"{DJANGO}.py"), "runserver", "PORT"), 1),
    "hypercorn, ASGI": Server(FASTAPI, ("hypercorn", "-b", "127.0.0.1:PORT", f"{FASTAPI}:app")),
    "hypercorn, WSGI": Server(FLASK, ("hypercorn", "-b", "127.0.0.1:PORT", f"wsgi:{FLASK}:app")),
    "daphne": Server(FASTAPI, ("daphne", "-b", "127.0.0.1", "-p", "0", f"{FASTAPI}:app")),
    "aiohttp": Server(AIOHTTP, ("python", "-m", "aiohttp.web", "-H", "127.0.0.1", "-P", "PORT", f"{AIOHTTP}:make_app"), 1, None),
    "tornado": Server(TORNADO, ("python", str(PROGRAMS / f"{TORNADO}.py"))),
    "uWSGI": uwsgi(f"{FLASK}:app"),
    "uWSGI master": uwsgi(f"{FLASK}:app", "--master", "--processes", "2", workers=2),
    "uWSGI lazy": uwsgi(f"{FLASK}:app", "--master", "--processes", "2", "--lazy-apps", workers=2),
    "uWSGI threads": uwsgi(f"{FLASK}:app", "--enable-threads", "--threads", "4"),
}  # fmt: skip


def start(services: Services, server: Server, python: str | None = None) -> Service:
    """Start it with the programs of the environment; uWSGI is the system's, and its plugin is for the system's Python."""
    if server.words[0] == "uwsgi":
        assert shutil.which("uwsgi"), "these tests need uWSGI: apt install uwsgi-core uwsgi-plugin-python3 python3-venv"
        python = environment("/usr/bin/python3", "flask")
    directory = Path(python or web_python()).parent
    port = free_port() if any("PORT" in word for word in server.words) else None
    words = [word.replace("PORT", str(port)).replace("VENV", str(directory.parent)) for word in server.words]
    if (directory / words[0]).exists():
        words[0] = str(directory / words[0])
    return services.serve(words, port=port, **server.env)


def exercise(service: Service, server: Server) -> list[RequestRecord]:
    """Send every kind of request many times; exactly one right record for each."""
    spans = {}
    for _ in range(ROUNDS):
        for path, status in PATHS.items():
            # uvicorn ends a connection after an error; a client that keeps it could meet the end in its next request.
            response = service.get(path, {"connection": "close"})
            assert response.status_code == status, service.output()
            if path == "/stream":
                assert response.text == "01234"
            spans[response.extensions["span"]] = (path, status)
    wait_for(lambda: len(spanned(service)) >= len(spans), "the records")
    records = spanned(service)
    assert Counter(r.span_id for r in records) == Counter(spans.keys())
    for record in records:
        path, status = spans[record.span_id or ""]
        assert (record.name, record.status) == (f"GET {path}", server.failed if path == "/fail" else status)
    boots = {r.pid: r for r in service.records() if isinstance(r, BootRecord)}
    pids = {r.pid for r in records}
    assert 1 <= len(pids) <= server.workers
    assert pids <= set(boots)
    if server.workers > 1:
        assert service.process.pid not in pids
    for pid in pids:
        last = [r for r in records if r.pid == pid][-1].values["rss_end_bytes"]
        assert last is not None
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
        assert abs(resident - last) < 2_000_000  # this process's own memory, not that of the one it was forked from
        own = [r for r in service.records() if isinstance(r, RequestRecord) and r.pid == pid]
        assert sorted(r.sequence for r in own if r.sequence is not None) == list(range(len(own)))
    return records


def spanned(service: Service) -> list[RequestRecord]:
    """Records of the test's own requests; asking whether the server is there yet has no span."""
    return [r for r in service.records() if isinstance(r, RequestRecord) and r.span_id is not None]


def measure_the_leak(service: Service, server: Server) -> None:
    response, artifact, profile = service.measure("tracemalloc", "/leak", warmups=4 * server.workers)
    assert response.text == "leaked"
    assert artifact.status is ArtifactStatus.COMPLETE, (artifact, service.output())
    assert artifact.attributes["alone"] == 1
    assert profile is not None
    top = profile.lines[0]
    assert top.file == str(PROGRAMS / f"{server.app}.py")
    assert abs((top.values[0] or 0) - 100_000) < 1000


@pytest.mark.parametrize("name", SERVERS)
def test_a_server(services: Services, name: str) -> None:
    server = SERVERS[name]
    service = start(services, server)
    exercise(service, server)
    measure_the_leak(service, server)
    assert "harness agent" not in service.output()


# --- versions --------------------------------------------------------------------------------------------------------


def matrix() -> list[str]:
    """The versions of the matrix that are here, at least our own."""
    found = by_minor()
    return [minor for minor in MATRIX if minor in found] or ["{}.{}".format(*sys.version_info[:2])]


@pytest.mark.parametrize("minor", matrix())
@pytest.mark.parametrize("server", [
    Server(FLASK, ("gunicorn", "-b", "127.0.0.1:0", "-k", "gthread", "-w", "1", f"{FLASK}:app")),
    Server(FASTAPI, ("uvicorn", "--port", "0", f"{FASTAPI}:app")),
], ids=["gunicorn", "uvicorn"])  # fmt: skip
def test_a_version(services: Services, server: Server, minor: str) -> None:
    service = start(services, server, environment(by_minor().get(minor, sys.executable), *SMALL))
    exercise(service, server)
    measure_the_leak(service, server)
    assert "harness agent" not in service.output()


# --- reloaders -------------------------------------------------------------------------------------------------------

RELOADERS = {
    "gunicorn": ("gunicorn", "--no-control-socket", "-b", "127.0.0.1:PORT", "--reload", "--reload-engine", "poll", "FLASK:app"),
    "uvicorn": ("uvicorn", "--port", "PORT", "--reload", "--reload-dir", ".", "FASTAPI:app"),
    "flask run": ("flask", "--app", "FLASK", "--debug", "run", "--port", "PORT"),
    "runserver": ("python", "DJANGO.py", "runserver", "PORT"),
}  # fmt: skip


@pytest.mark.parametrize("name", RELOADERS)
def test_a_reloader(services: Services, name: str) -> None:
    """What it starts anew announces itself and records."""
    [app] = [
        word.partition(":")[0].partition(".")[0] for word in RELOADERS[name] if word[0].isupper() and word != "PORT"
    ]
    copy = services.directory / "reloaded_app.py"
    source = {"FLASK": FLASK, "FASTAPI": FASTAPI, "DJANGO": DJANGO}[app]
    copy.write_text((PROGRAMS / f"{source}.py").read_text().replace("LEAK.append", "VERSION = 1; LEAK.append"))
    words = [word.replace(app, "reloaded_app") for word in RELOADERS[name]]
    service = start(services, Server(source, words, env={"PYTHONPATH": str(services.directory)}))
    assert service.get("/leak").text == "leaked"
    wait_for(lambda: spanned(service), "its record")
    [before] = spanned(service)
    text = copy.read_text().replace('"leaked"', '"anew"')
    touched = 0.0

    def answers_anew() -> bool:
        nonlocal touched
        if (
            time.monotonic() - touched > 2.5
        ):  # a watcher that polls may not have looked at the file before its first change
            copy.write_text(text)
            touched = time.monotonic()
        return _answer(service, "/leak") == "anew"

    wait_for(answers_anew, "the new code")
    wait_for(lambda: _of_others(service, before.pid), "its record")
    for pid in {r.pid for r in _of_others(service, before.pid)}:
        assert len([r for r in _of_others(service, before.pid) if r.pid == pid and r.first_in_process]) == 1
        assert pid in {r.pid for r in service.records() if isinstance(r, BootRecord)}


def _of_others(service: Service, pid: int) -> list[RequestRecord]:
    return [r for r in service.records() if isinstance(r, RequestRecord) and r.pid != pid]


def _answer(service: Service, path: str) -> str | None:
    try:
        return service.http.get(path, headers={"connection": "close"}).text
    except httpx.TransportError:  # between the old process and the new one
        return None


# --- concurrency, websockets, lifespan -------------------------------------------------------------------------------


def test_a_tool_runs_alone_among_greenlets(services: Services) -> None:
    service = start(services, SERVERS["gunicorn gevent"])
    service.measure("tracemalloc", "/leak")
    stop = threading.Event()

    def traffic() -> int:
        done = 0
        while not stop.is_set():
            assert service.http.get("/nap").text == "rested"
            done += 1
        return done

    with ThreadPoolExecutor(6) as pool:
        clients = [pool.submit(traffic) for _ in range(6)]
        try:
            results = [service.measure("tracemalloc", "/leak", warmups=0) for _ in range(4)]
        finally:
            stop.set()
        sent = sum(client.result() for client in clients)
    for _, artifact, profile in results:
        assert artifact.attributes["alone"] == 1, artifact
        assert profile is not None
        assert abs((profile.lines[0].values[0] or 0) - 100_000) < 1000
        assert (profile.totals["kept_bytes"] or 0) < 150_000

    def naps() -> list[RequestRecord]:
        return [r for r in service.records() if isinstance(r, RequestRecord) and r.name == "GET /nap"]

    wait_for(lambda: len(naps()) >= sent, "the records, which are written after the responses")
    assert len(naps()) == sent
    assert max(r.values["in_flight_max"] or 0 for r in naps()) > 2


ECHO = """
import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1]) as socket:
        for word in ("a", "b"):
            await socket.send(word)
            print(await socket.recv())
asyncio.run(main())
"""


def test_a_websocket_and_the_lifespan_pass_through(services: Services) -> None:
    ended = services.directory / "ended"
    server = SERVERS["uvicorn"]
    service = start(services, Server(server.app, server.words, env={"ENDED_FILE": str(ended)}))
    url = str(service.http.base_url).replace("http", "ws") + "/ws"
    said = subprocess.run(
        [web_python(), "-c", ECHO, url], capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    assert said.stdout == "echo a\necho b\n"
    assert service.get("/").text == "started 1"
    [record] = service.requests(1)
    assert record.name == "GET /"
    service.stop()
    assert ended.read_text() == "ended"


# --- applications we did not write -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wagtail(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """(an environment's Python, a fresh site in it)."""
    python = environment(by_minor().get("3.12", sys.executable), "gunicorn", "wagtail")
    site = tmp_path_factory.mktemp("wagtail")
    for words in (
        [str(Path(python).with_name("wagtail")), "start", "shop", "."],
        [python, "manage.py", "migrate", "-v0"],
    ):
        subprocess.run(words, cwd=site, check=True, capture_output=True, timeout=250)
    return python, site


def test_wagtail(services: Services, wagtail: tuple[str, Path]) -> None:
    python, site = wagtail
    words = [
        python,
        "-m",
        "gunicorn",
        "--no-control-socket",
        "-b",
        "127.0.0.1:0",
        "-w",
        "2",
        "--preload",
        "--chdir",
        str(site),
        "shop.wsgi",
    ]
    service = services.serve(words, PYTHONPATH=str(site), DJANGO_SETTINGS_MODULE="shop.settings.dev")
    for _ in range(20):
        assert service.get("/").status_code == 200
        assert service.get("/admin/login/").status_code == 200
        assert service.get("/admin/").status_code == 302
    records = service.requests(60)
    assert Counter((r.name, r.status) for r in records) == {
        ("GET /", 200): 20, ("GET /admin/login/", 200): 20, ("GET /admin/", 302): 20}  # fmt: skip
    assert all((r.values["rss_end_bytes"] or 0) > 50_000_000 for r in records)
    assert service.process.pid not in {r.pid for r in records}
    response, artifact, profile = service.measure("tracemalloc", "/admin/login/", warmups=4)
    assert "Wagtail" in response.text
    assert artifact.status is ArtifactStatus.COMPLETE
    assert artifact.attributes["alone"] == 1
    assert profile is not None
    assert (profile.totals["peak_bytes"] or 0) > 10_000


def test_datasette(services: Services) -> None:
    python = environment(by_minor().get("3.12", sys.executable), "datasette")
    words = [str(Path(python).with_name("datasette")), "--memory", "--port", "PORT"]
    service = start(services, Server("", words))
    for _ in range(20):
        assert service.get("/_memory.json?sql=select+1").status_code == 200
        assert service.get("/_memory/nope").status_code == 404
    wait_for(lambda: len(spanned(service)) >= 40, "the records")
    assert Counter((r.name, r.status) for r in spanned(service)) == {
        ("GET /_memory.json", 200): 20, ("GET /_memory/nope", 404): 20}  # fmt: skip
    response, artifact, profile = service.measure("tracemalloc", "/_memory.json?sql=select+1")
    assert response.status_code == 200
    assert artifact.status is ArtifactStatus.COMPLETE
    assert profile is not None
