"""Line-level tools on real applications in clean environments: `lines` to the byte, memory_profiler within page noise, and what
memory_profiler's own decorator gets wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from python_envs import environment
from python_service import PROGRAMS, Service, Services
from pythons import pythons

from harness.model.profile import Artifact, ArtifactStatus, Profile

pytestmark = pytest.mark.integration

PACKAGES = ("asgiref", "fastapi", "flask", "gunicorn", "uvicorn")
WORK = "python_lines_web"
MB = 1_000_000
LARGE = 36_000_000  # glibc maps blocks above 32 MiB one by one, so that RSS shows each
HEADER = sys.getsizeof(bytearray()) + 1  # of a bytearray that has contents
NOISE = 1024 * 1024  # of RSS, in bytes: the kernel adds a CPU's changes to it in batches
SMALL = 1200  # bytes that an interpreter itself may need in between: frames, freed objects that it keeps
NOTHING_LEFT = " ".join(["concurrent.futures.thread anyio._backends._asyncio None False"] * 3)

KNOWN = ["known", "calls", "callee", "recursive", "raises", "catches", "nested", "numbers", "many", "Shelf.put"]
ASYNC = ["awaits", "awaited", "in_thread", "meets", "numbers", "async_numbers", "raises"]
ENDPOINTS = ["python_lines_fastapi:endpoint", "python_lines_fastapi:endpoint_in_thread"]

Figures = tuple[int | None, ...]


def by_minor() -> dict[str, str]:
    """Minor version -> a Python of it, of those whose tracing differs, at least our own."""
    found = {".".join(version.split(".")[:2]): program for version, program in reversed(pythons().items())}
    wanted = {minor: found[minor] for minor in ("3.8", "3.11", "3.12", "3.13") if minor in found}
    return wanted or {"own": sys.executable}


every_python = pytest.mark.parametrize("python", by_minor().values(), ids=by_minor().keys())


def version(python: str) -> tuple[int, ...]:
    program = "import sys; print(*sys.version_info[:2])"
    said = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, said.split()))


def flask(services: Services, python: str, functions: Iterable[str], size: int = MB) -> Service:
    argv = [environment(python, *PACKAGES), "-m", "gunicorn", "python_lines_flask:app", "-b", "127.0.0.1:0"]
    return services.serve(
        [*argv, "-k", "gthread", "--threads", "4"], tools=("lines", "memory_profiler"), LINES_BYTES=str(size),
        functions=[f"{WORK}:{name}" for name in functions],
    )  # fmt: skip


def fastapi(services: Services, python: str, functions: Iterable[str], size: int = MB) -> Service:
    argv = [environment(python, *PACKAGES), "-m", "uvicorn", "python_lines_fastapi:app", "--port", "0"]
    return services.serve(
        argv, tools=("lines", "memory_profiler", "tracemalloc"), LINES_BYTES=str(size),
        functions=[*(f"{WORK}:{name}" for name in functions), *ENDPOINTS],
    )  # fmt: skip


def measured(service: Service, tool: str, path: str, text: str | None = None, warmups: int = 2) -> Profile:
    """A whole profile; the response is checked against one without the tool, or ``text``."""
    expected = service.get(path).text if text is None else text
    response, artifact, profile = service.measure(tool, path, warmups)
    assert response.text == expected
    assert artifact.status is ArtifactStatus.COMPLETE, (artifact, service.output())
    assert profile is not None
    return profile


def rows(profile: Profile) -> dict[str, tuple[int | None, Figures]]:
    """Source line -> (hits, values)."""
    sources = {file: (PROGRAMS / file).read_text().splitlines() for file in (f"{WORK}.py", "python_lines_fastapi.py")}
    found = {}
    for row in profile.lines:
        name = row.file.rpartition("/")[2]
        assert row.file == str(PROGRAMS / name)
        found[f"{row.function.partition(':')[2]}: {sources[name][row.line - 1].strip()}"] = (row.hits, row.values)
    return found


def exact(profile: Profile, expected: Mapping[str, tuple[int, int, int]], peaks: bool) -> None:
    """Hits, net and peak of these lines, to the byte."""
    found = rows(profile)
    for line, (hits, net, peak) in expected.items():
        assert found[line] == (hits, (net, peak if peaks else None)), (line, found)


def near(value: int | None, expected: int, tolerance: int) -> bool:
    return value is not None and abs(value - expected) <= tolerance


# --- lines -----------------------------------------------------------------------------------------------------------


def kept(size: int, times: int = 1) -> int:
    """What tracemalloc says of bytearrays."""
    return times * (size + HEADER)


@every_python
def test_lines_to_the_byte(services: Services, python: str) -> None:
    service = flask(services, python, KNOWN)
    peaks = version(python) >= (3, 9)
    number = 28  # an int object as C code makes it
    profile = measured(service, "lines", "/call/known")
    exact(
        profile,
        {
            "known: first = bytearray(n)": (1, kept(MB), kept(MB)),
            "known: del first": (1, -kept(MB), 0),
            "known: return transient": (1, 0, 0),
        },
        peaks,
    )
    found = rows(profile)
    hits, (net, peak) = found["known: transient = len(bytearray(5 * n))"]
    assert (hits, net) == (1, number)
    assert peak in ((kept(5 * MB) + 28, kept(5 * MB) + 32) if peaks else (None,))  # with the number 5 * n
    # A list of one makes room for four pointers; so under 3.11 and before, tracing makes an object of the method.
    assert found["known: KEPT.append(bytearray(2 * n))"][1][0] == kept(2 * MB) + 32
    assert found["known: KEPT.clear()"][1][0] == -kept(2 * MB) - 32
    assert profile.totals[f"{WORK}:known net_bytes"] == profile.totals["watched_net_bytes"] == number
    assert profile.totals[f"{WORK}:known calls"] == 1
    if peaks:
        assert near(
            profile.totals["peak_bytes"], kept(MB) + kept(5 * MB), 100 * SMALL
        )  # Flask's own is in that of a request
        assert near(profile.totals[f"{WORK}:known peak_bytes"], kept(MB) + kept(5 * MB), SMALL)
    assert any("No peaks" in note for note in profile.notes) is not peaks
    again = measured(service, "lines", "/call/known", warmups=0)
    assert again.lines == profile.lines
    assert profile.complete
    exact(measured(service, "lines", "/call/put"), {"Shelf.put: return len(self.block)": (1, number, number)}, peaks)


@every_python
def test_lines_include_what_they_call_and_totals_count_once(services: Services, python: str) -> None:
    service = flask(services, python, KNOWN)
    peaks = version(python) >= (3, 9)
    profile = measured(service, "lines", "/call/calls")
    exact(
        profile,
        {"callee: del temporary": (1, -kept(3 * MB), 0), "callee: return bytearray(n)": (1, kept(MB), kept(MB))},
        peaks,
    )
    found = rows(profile)
    for line in ("calls: of_unwatched = unwatched(n)", "calls: of_watched = callee(n)"):
        hits, (net, peak) = found[line]
        assert (hits, net) == (1, kept(MB))
        assert near(peak, kept(3 * MB), SMALL) if peaks else peak is None
    assert near(profile.totals[f"{WORK}:callee net_bytes"], kept(MB), 0)
    assert near(profile.totals["watched_net_bytes"], kept(MB, 2), 100)
    assert profile.totals["watched_net_bytes"] == profile.totals[f"{WORK}:calls net_bytes"]

    profile = measured(service, "lines", "/call/recursive")
    exact(
        profile,
        {"recursive: mine = bytearray(n)": (4, kept(MB, 4), kept(MB)), "recursive: if depth:": (4, 0, 0)},
        peaks,
    )
    hits, (net, peak) = rows(profile)["recursive: return len(mine) + recursive(depth - 1)"]
    assert (hits, near(net, 0, SMALL)) == (3, True)  # each level's own is freed at its return
    assert near(peak, kept(MB, 3), SMALL) if peaks else peak is None
    assert near(profile.totals["watched_net_bytes"], kept(MB), SMALL)  # the outermost call
    assert profile.totals[f"{WORK}:recursive calls"] == 4


@every_python
def test_lines_of_exceptions_comprehensions_and_generators(services: Services, python: str) -> None:
    service = flask(services, python, KNOWN)
    peaks = version(python) >= (3, 9)
    profile = measured(service, "lines", "/call/catches")
    exact(
        profile,
        {"raises: lost = bytearray(n)": (1, kept(MB), kept(MB)), "catches: return len(kept)": (1, 28, 28)},
        peaks,
    )
    found = rows(profile)
    assert near(found["catches: raises(n)"][1][0], kept(MB), SMALL)  # the exception's traceback holds it
    assert near(found["catches: kept = bytearray(n)"][1][0], 0, SMALL)  # and lets it go as another one comes
    assert near(profile.totals["watched_net_bytes"], kept(MB), SMALL)

    found = rows(measured(service, "lines", "/call/nested"))
    assert found["nested: blocks = [bytearray(n) for _ in range(3)]"][1][0] == kept(MB, 3) + 32
    assert found["nested: return bytearray(n)"][1] == (kept(MB), kept(MB) if peaks else None)
    assert found["nested: blocks.append(inside())"][1][0] == kept(MB)

    generator = {
        "numbers: block = bytearray(n)": (3, kept(MB, 3), kept(MB)),
        "numbers: del block": (3, -kept(MB, 3), 0),
    }
    profile = measured(service, "lines", "/stream")
    exact(profile, generator, peaks)
    assert rows(profile)["numbers: for number in range(count):"][0] == 4
    assert profile.totals[f"{WORK}:numbers calls"] == 1

    response, artifact, failed = service.measure("lines", "/fails")
    assert response.status_code == 500
    assert artifact.status is ArtifactStatus.COMPLETE
    assert failed is not None
    exact(failed, {"raises: lost = bytearray(n)": (1, kept(MB), kept(MB))}, peaks)


@every_python
def test_lines_of_coroutines_and_thread_pools(services: Services, python: str) -> None:
    service = fastapi(services, python, ASYNC)
    peaks = version(python) >= (3, 9)
    profile = measured(service, "lines", "/awaits")
    exact(
        profile,
        {
            "awaits: before = bytearray(n)": (1, kept(MB), kept(MB)),
            "awaits: after = bytearray(n)": (1, kept(MB), kept(MB)),
            "awaited: del temporary": (1, -kept(2 * MB), 0),
            "awaited: return bytearray(n)": (1, kept(MB), kept(MB)),
        },
        peaks,
    )
    hits, (net, peak) = rows(profile)["awaits: inner = await awaited(n)"]
    assert (hits, near(net, kept(MB), SMALL)) == (1, True)
    assert near(peak, kept(2 * MB), 2 * SMALL) if peaks else peak is None
    for path in ("/plain", "/executor", "/asgiref"):
        profile = measured(service, "lines", path)
        hits, (net, peak) = rows(profile)["in_thread: block = bytearray(4 * n)"]
        assert (path, hits, net) == (path, 1, kept(4 * MB))
        assert near(peak, kept(4 * MB), 32) if peaks else peak is None
        assert profile.complete
    for path, function in (("/endpoint", "endpoint"), ("/endpoint-in-thread", "endpoint_in_thread")):
        profile = measured(service, "lines", path, "body 1000000")
        exact(profile, {f"{function}: block = bytearray(work.MB)": (1, kept(MB), kept(MB))}, peaks)
    for path, function in (("/stream", "numbers"), ("/async-stream", "async_numbers")):
        profile = measured(service, "lines", path)
        exact(profile, {f"{function}: block = bytearray(n)": (3, kept(MB, 3), kept(MB))}, peaks)
        assert profile.totals[f"{WORK}:{function} calls"] == 1
    # Two threads of one request at the same time: that is said.
    _, artifact, both = service.measure("lines", "/gather")
    assert "several threads at the same time" in artifact.detail
    assert both is not None
    assert not both.complete
    assert rows(both)["meets: block = bytearray(n)"][0] == 2


@every_python
def test_lines_leave_the_applications_own_tracing_alone(services: Services, python: str) -> None:
    service = flask(services, python, KNOWN)
    assert service.get("/trace").text == "tracing"
    response, artifact, profile = service.measure("lines", "/call/known")
    assert (response.text, artifact.status, profile) == ("5000000", ArtifactStatus.MISSING, None)
    assert "tracing in the target already" in artifact.detail
    assert service.get("/tracing").text == "True"


# --- memory_profiler: its stock decorator fails in each of these -------------------------------------------------------


def grown(profile: Profile, line: str, hits: int, expected: int) -> None:
    found = rows(profile)[line]
    assert found[0] == hits, line
    assert near(found[1][0], expected, NOISE), (line, found)


@every_python
def test_memory_profiler_in_wsgi(services: Services, python: str) -> None:
    """Several functions with figures of their own, nested ones, generators, recursion, exceptions."""
    service = flask(services, python, KNOWN, LARGE)
    profile = measured(service, "memory_profiler", "/call/calls")
    grown(profile, "calls: of_unwatched = unwatched(n)", 1, LARGE)
    grown(profile, "calls: of_watched = callee(n)", 1, LARGE)
    grown(profile, "callee: temporary = bytearray(3 * n)", 1, 3 * LARGE)
    grown(profile, "callee: del temporary", 1, -3 * LARGE)
    grown(profile, "callee: return bytearray(n)", 1, LARGE)
    assert rows(profile)["callee: def callee(n):"][1][0] is None
    profile = measured(service, "memory_profiler", "/call/known")
    grown(profile, "known: first = bytearray(n)", 1, LARGE)
    grown(profile, "known: transient = len(bytearray(5 * n))", 1, 0)
    grown(profile, "known: KEPT.append(bytearray(2 * n))", 1, 2 * LARGE)
    grown(profile, "known: del first", 1, -LARGE)
    profile = measured(service, "memory_profiler", "/stream")
    assert rows(profile)["numbers: block = bytearray(n)"][0] == 3
    profile = measured(service, "memory_profiler", "/call/catches")
    grown(profile, "raises: lost = bytearray(n)", 1, LARGE)
    grown(profile, "catches: raises(n)", 1, LARGE)


@every_python
def test_memory_profiler_in_asgi(services: Services, python: str) -> None:
    """Coroutine endpoints keep their bodies; routers hold the functions already; thread pools."""
    service = fastapi(services, python, ASYNC, LARGE)
    for path, function in (("/endpoint", "endpoint"), ("/endpoint-in-thread", "endpoint_in_thread")):
        profile = measured(service, "memory_profiler", path, f"body {LARGE}")
        grown(profile, f"{function}: block = bytearray(work.MB)", 1, LARGE)
    for path in ("/plain", "/executor", "/asgiref"):
        grown(measured(service, "memory_profiler", path), "in_thread: block = bytearray(4 * n)", 1, 4 * LARGE)
    for path, function in (("/stream", "numbers"), ("/async-stream", "async_numbers")):
        profile = measured(service, "memory_profiler", path)
        assert rows(profile)[f"{function}: block = bytearray(n)"][0] == 3
    profile = measured(service, "memory_profiler", "/awaits")
    grown(profile, "awaits: before = bytearray(n)", 1, LARGE)
    grown(profile, "awaited: return bytearray(n)", 1, LARGE)
    both = measured(service, "memory_profiler", "/gather")
    assert rows(both)["meets: block = bytearray(n)"][0] == 2  # each of two threads at the same time


@every_python
@pytest.mark.parametrize("tool", ["lines", "memory_profiler"])
def test_requests_at_the_same_time(services: Services, python: str, tool: str) -> None:
    """The stock profiler is shared: a second thread gets no trace, and the first keeps its for ever."""
    service = flask(services, python, KNOWN)
    service.measure(tool, "/call/known")

    def one(_: int) -> tuple[str, str, Artifact, Profile | None]:
        ordinary = service.get("/call/known").text
        response, artifact, profile = service.measure(tool, "/call/known", 0)
        return ordinary, response.text, artifact, profile

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(one, range(6)))
    for ordinary, text, artifact, profile in results:
        assert (ordinary, text) == ("5000000", "5000000")
        assert artifact.status is ArtifactStatus.COMPLETE, artifact
        assert profile is not None
        assert {hits for hits, _ in rows(profile).values()} == {1}  # of one request
    assert service.get("/tracing").text == "False"


# --- both ------------------------------------------------------------------------------------------------------------


@every_python
@pytest.mark.parametrize("tool", ["lines", "memory_profiler"])
def test_nothing_is_left_behind(services: Services, python: str, tool: str) -> None:
    service = fastapi(services, python, ASYNC)
    assert service.get("/left").text == NOTHING_LEFT
    for path in ("/plain", "/executor"):
        assert service.measure(tool, path)[0].status_code == 200
    assert service.get("/left").text == NOTHING_LEFT
    # Forked while the tool runs: the child has the originals and traces nothing.
    said = service.measure(tool, "/fork", 0)[0].text
    assert said in NOTHING_LEFT, said
    assert service.get("/left").text == NOTHING_LEFT
    hot = flask(services, python, ["many"])
    response, artifact, profile = hot.measure(tool, "/call/many", 0)
    assert response.text == "44999850000"
    assert "stopped after 200000 line events" in artifact.detail
    assert profile is not None
    assert not profile.complete


def test_the_peak_of_an_asgi_request(services: Services) -> None:
    """tracemalloc's is noted when the application has ended, before our own work could raise it."""
    service = fastapi(services, next(iter(by_minor().values())), ASYNC)
    profile = measured(service, "tracemalloc", "/endpoint")
    assert near(profile.totals["peak_bytes"], kept(MB), 100_000)
